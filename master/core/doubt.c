/*
 * Two attempts of one idempotent task: once nobody hears of the first, its task may be assigned
 * again beside it, which becomes the younger one's elder. The first end of one of them is the
 * task's; the other is killed. docs/guarantees.md: The exceptions.
 *
 * There are two at most: with an elder alive, the younger one's silence starts none.
 */
#include "common/limits.h"
#include "common/memory.h"
#include "common/probe.h"
#include "master/core/state.h"

static struct task *task_of(const struct core *core, const struct attempt *attempt)
{
    return &core->runs[attempt->run].tasks[attempt->task];
}

bool attempt_is_elder(const struct core *core, const struct attempt *attempt)
{
    return core->attempts[task_of(core, attempt)->live] != attempt;
}

struct attempt *attempt_twin(const struct core *core, const struct attempt *attempt)
{
    struct attempt *live = core->attempts[task_of(core, attempt)->live];
    if (live != attempt)
        return live;
    return attempt->elder != NONE ? core->attempts[attempt->elder] : NULL;
}

bool attempt_may_double(const struct core *core, const struct attempt *attempt)
{
    const struct run *run = &core->runs[attempt->run];
    const struct plan_task *plan = run_plan_task(run, attempt->task);
    const struct task *task = &run->tasks[attempt->task];
    bool wished = run->cancelled || (task->flags & TASK_FLAG_CANCEL) != 0;
    bool idempotent = (plan->flags & PLAN_TASK_IDEMPOTENT) != 0 || MUTANT(DOUBLED_ANY);
    if (!idempotent || wished || attempt->elder != NONE ||
        (attempt->flags & (ATTEMPT_FLAG_DOUBTED | ATTEMPT_FLAG_EXPIRED)) != 0)
        return false;
    return loss_verdict(run, attempt->task, REASON_WORKER_LOST, task->losses + 1u) == LOSS_RERUN;
}

void attempt_doubt(struct core *core, struct attempt *attempt)
{
    struct run *run = &core->runs[attempt->run];
    assert(attempt_may_double(core, attempt));
    attempt_clear_asked(core, attempt);
    attempt->flags |= ATTEMPT_FLAG_DOUBTED;
    task_move(core, run, attempt->task, TASK_EVENT_BACK, REASON_WORKER_LOST);
    task_show(core, run, attempt->task, (struct slice){0});
}

void attempt_trust(struct core *core, struct attempt *attempt)
{
    struct run *run = &core->runs[attempt->run];
    if ((attempt->flags & ATTEMPT_FLAG_DOUBTED) == 0 || attempt_is_elder(core, attempt))
        return;
    attempt->flags &= (uint8_t)~ATTEMPT_FLAG_DOUBTED;
    task_move(core, run, attempt->task, TASK_EVENT_REVIVE, REASON_NONE);
    if (attempt->state == ATTEMPT_RUNNING)
        task_move(core, run, attempt->task, TASK_EVENT_START, REASON_NONE);
    task_show(core, run, attempt->task, (struct slice){0});
}

/* Whether its own session is the one by which its worker is heard, or not heard. */
static bool is_of_session(const struct worker *worker, const struct attempt *attempt)
{
    return worker->open && attempt->held_in == worker->channel.session;
}

/* That its worker is not heard says so much of what belongs to the session: of another runner's,
 * there or on another host, it says nothing. */
static bool is_silent(
    const struct core *core, const struct worker *worker, const struct attempt *attempt)
{
    return is_of_session(worker, attempt) || core->now_ms >= attempt->unheard_ms + SILENT_AFTER_MS;
}

void attempts_weigh(struct core *core, const struct worker *worker)
{
    bool heard = worker_is_heard(worker);
    for (uint32_t slot = worker->attempts; slot != NONE; slot = core->attempts[slot]->next) {
        struct attempt *attempt = core->attempts[slot];
        if (heard && !attempt_is_unreachable(core, attempt))
            attempt_trust(core, attempt);
        else if (!heard && is_silent(core, worker, attempt) && attempt_may_double(core, attempt) &&
                 !attempt_is_elder(core, attempt))
            attempt_doubt(core, attempt);
    }
}

/* The one that is left goes on for both; whether it is silent is asked anew, since a master that
 * was just started has heard of nobody yet. */
void attempt_outlive(struct core *core, struct attempt *left)
{
    const struct worker *worker = core->workers[left->worker];
    bool silent = is_of_session(worker, left);
    task_move(core, &core->runs[left->run], left->task, TASK_EVENT_BACK, REASON_WORKER_LOST);
    attempt_trust(core, left);
    if (!attempt_is_unreachable(core, left))
        return;
    if (!silent)
        attempt_arm(core, left, left->unheard_ms);
    else if (attempt_may_double(core, left))
        attempt_doubt(core, left);
}

/* A worker that is silent may hold it and start it, should it come back: it has to register first,
 * and the answer does not name it. */
void attempt_supersede(struct core *core, struct attempt *attempt)
{
    struct worker *worker = core->workers[attempt->worker];
    struct msg_kill kill = {.id = attempt_id_of(core, attempt), .reason = REASON_CANCELLED};
    bool reachable = !attempt_is_unreachable(core, attempt);
    struct attempt_row *row = attempt_add_row(core, attempt, ATTEMPT_CANCELLED);
    row->ended_at = core->now_wall;
    row->reason = REASON_SUPERSEDED;
    row->error = slice_of("another attempt of its task ended first");
    attempt_destroy(core, attempt);
    if (reachable) {
        channel_add(&worker->channel, MESSAGE_kill, &kill);
        worker_mark_dirty(core, worker);
    } else if (worker->open && !worker_is_heard(worker)) {
        worker_close(core, worker);
    }
}

void attempt_dismiss(struct core *core, struct attempt *attempt)
{
    if ((attempt->flags & ATTEMPT_FLAG_EXPIRED) != 0)
        attempt_bury(core, attempt);
    else
        attempt_supersede(core, attempt);
}

void attempt_cancel(struct core *core, struct attempt *attempt)
{
    struct attempt *elder = attempt_twin(core, attempt);
    attempt_trust(core, attempt);
    attempt_kill(core, attempt, REASON_CANCELLED);
    if (elder != NULL)
        attempt_kill(core, elder, REASON_CANCELLED);
}
