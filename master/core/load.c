/*
 * A run from its rows: states, rounds, tries and what was left for those below are derived; nothing
 * is re-decided and no fact is made. The same for a restart and for an ended run that somebody asks
 * about.
 */
#include "common/limits.h"
#include "common/memory.h"
#include "common/probe.h"
#include "master/core/state.h"

#include <stdlib.h>

/* What the rows say of one task. */
struct loaded {
    uint8_t end; /* by a span of this round, or 0 */
    uint8_t reason;
    bool cancel_wish;
    int64_t end_at;                  /* of that span */
    const struct attempt_row *last;  /* the attempt of this round that counts, or NULL */
    const struct attempt_row *elder; /* another one that may be alive beside it, or NULL */
};

static void apply_span(struct run *run, struct loaded *loaded, const struct span_row *span)
{
    for (uint32_t i = span->first; i <= span->last && i < run->task_count; i++) {
        if (span->state == SPAN_RESET) {
            run->tasks[i].round++;
            loaded[i] = (struct loaded){0};
        } else if (span->state == SPAN_CANCEL_WISH) {
            loaded[i].cancel_wish = true;
        } else if (task_state_is_end(span->state)) {
            loaded[i].end = (uint8_t)span->state;
            loaded[i].reason = (uint8_t)span->reason;
            loaded[i].end_at = span->at;
        }
    }
    if (span->order >= run->next_span)
        run->next_span = span->order + 1;
}

static void keep_leaving(struct run *run, const struct attempt_row *row)
{
    if (row->outputs.length == 0 && row->artifacts.length != HASH_BYTES)
        return;
    struct leaving *leaving = run_leaving(run, row->id.task, true);
    if (row->outputs.length > 0)
        leaving->outputs = json_loadb(row->outputs.ptr, row->outputs.length, JSON_ALLOW_NUL, NULL);
    leaving->has_manifest = row->artifacts.length == HASH_BYTES;
    if (leaving->has_manifest)
        memcpy(leaving->manifest, row->artifacts.ptr, HASH_BYTES);
}

/* Whether what is known of a task stands when a newer attempt came to nothing: an older one of two
 * may be alive, or have ended after it. */
static bool stands(const struct run *run, const struct attempt_row *last)
{
    if (last == NULL || last->state == ATTEMPT_LOST)
        return false;
    return last->state != ATTEMPT_FAILED ||
           run->tasks[last->id.task].tries > run_plan_task(run, last->id.task)->retries;
}

static void take_last(const struct run *run, struct loaded *loaded, const struct attempt_row *row)
{
    bool nothing = row->state == ATTEMPT_LOST || row->state == ATTEMPT_CANCELLED;
    if (row->reason == REASON_SUPERSEDED || (nothing && stands(run, loaded->last)))
        return;
    bool two = row->state == ATTEMPT_ASSIGNED && loaded->last != NULL &&
               loaded->last->state == ATTEMPT_ASSIGNED;
    loaded->elder = two ? loaded->last : NULL;
    loaded->last = row;
}

static void apply_attempt(struct run *run, struct loaded *loaded, const struct attempt_row *row)
{
    if (row->id.task >= run->task_count)
        return;
    struct task *task = &run->tasks[row->id.task];
    if (row->id.attempt > task->attempt)
        task->attempt = row->id.attempt;
    if (row->round != task->round)
        return;
    if (row->state == ATTEMPT_FAILED)
        task->tries++;
    if (row->state == ATTEMPT_LOST)
        loss_count(task, row->reason);
    take_last(run, &loaded[row->id.task], row);
    if (row->state == ATTEMPT_SUCCESS)
        keep_leaving(run, row);
}

static uint32_t state_of_end(const struct run *run, uint32_t index, const struct attempt_row *row)
{
    switch (row->state) {
    case ATTEMPT_SUCCESS:
        return TASK_SUCCESS;
    case ATTEMPT_SKIPPED:
        return TASK_SKIPPED;
    case ATTEMPT_CANCELLED:
        return TASK_CANCELLED;
    case ATTEMPT_FAILED:
        return run->tasks[index].tries <= run_plan_task(run, index)->retries ? TASK_RETRYING
                                                                             : TASK_FAILED;
    case ATTEMPT_LOST:
        return loss_verdict(run, index, row->reason, 0) == LOSS_HOLD ? TASK_HELD : TASK_WAITING;
    default:
        return TASK_WAITING;
    }
}

/* The rest of a retry's delay by wall time, clamped: a clock that jumped neither skips nor
 * stretches it. */
static void wait_on(
    struct core *core, struct run *run, uint32_t index, const struct attempt_row *row)
{
    int64_t delay =
        (int64_t)task_retry_delay_ms(run_plan_task(run, index), run->tasks[index].tries);
    int64_t rest = row->ended_at + delay - core->now_wall;
    rest = rest < 0 ? 0 : rest;
    task_wait_until(core, run, index, (uint64_t)(rest < delay ? rest : delay));
}

static void restore(struct core *core, struct run *run, const struct loaded *loaded)
{
    struct attempt *elder =
        loaded->elder != NULL ? attempt_restore(core, run, loaded->elder) : NULL;
    struct attempt *live = attempt_restore(core, run, loaded->last);
    if (elder != NULL)
        attempt_restore_elder(core, live, elder);
}

static void place(struct core *core, struct run *run, uint32_t index, const struct loaded *loaded)
{
    struct task *task = &run->tasks[index];
    const struct attempt_row *last = loaded->last;
    if (loaded->cancel_wish)
        task->flags |= TASK_FLAG_CANCEL;
    if (loaded->end != 0) {
        task_place(run, index, loaded->end, loaded->end_at);
        task->reason = loaded->reason;
    } else if (last != NULL && last->state == ATTEMPT_ASSIGNED) {
        task_place(run, index, TASK_ASSIGNED, last->assigned_at);
        task->reason = (uint8_t)last->reason;
        restore(core, run, loaded);
    } else if (last != NULL && state_of_end(run, index, last) != TASK_WAITING) {
        task_place(run, index, state_of_end(run, index, last), last->ended_at);
        task->reason = (uint8_t)last->reason;
        if (task->state == TASK_RETRYING)
            wait_on(core, run, index, last);
    }
}

static void count_predecessors(struct run *run)
{
    for (uint32_t i = 0; i < run->task_count; i++) {
        uint32_t state = run->tasks[i].state;
        for (uint32_t e = run->plan.successor_starts[i];
             task_state_is_end(state) && e < run->plan.successor_starts[i + 1]; e++) {
            struct task *below = &run->tasks[run->plan.successors[e]];
            below->success += state == TASK_SUCCESS;
            below->failed += state == TASK_FAILED || state == TASK_CANCELLED;
            below->skipped += state == TASK_SKIPPED;
            below->upstream_failed += state == TASK_UPSTREAM_FAILED;
        }
    }
}

/* A live run goes on where its rows left it. */
static void go_on(struct core *core, struct run *run)
{
    if (run->order >= core->next_order)
        core->next_order = run->order + 1;
    if (run->state == RUN_QUEUED) {
        run_queue(core, run);
    } else if (run->state == RUN_RUNNING) {
        core->dags[run->dag].active++;
        run_park(core, run);
        work_add(core, WORK_START, run);
    } else {
        run_enter_ended(core, run);
        return;
    }
    if (run->cancelled)
        work_add(core, WORK_CANCEL, run);
}

void load_run(struct core *core, const struct load_run_event *event)
{
    if (run_by_key(core, event->run.key) != NULL)
        return;
    core->loading = true;
    struct run *run = run_create(core, &event->run, &event->plan);
    struct loaded *loaded = xcalloc(run->task_count, sizeof *loaded);
    for (size_t i = 0; i < event->span_count; i++)
        apply_span(run, loaded, &event->spans[i]);
    for (size_t i = 0; i < event->attempt_count; i++)
        apply_attempt(run, loaded, &event->attempts[i]);
    for (size_t i = 0; i < event->note_count; i++) {
        if (event->notes[i].id.task < run->task_count)
            run_add_note(run, &event->notes[i]);
    }
    for (uint32_t i = 0; i < run->task_count; i++)
        place(core, run, i, &loaded[i]);
    free(loaded);
    count_predecessors(run);
    core->loading = false;
    go_on(core, run);
}

/* How long the fleet may run what a restored store knows nothing of: an attempt of any task of a
 * run that is known, or one with the usual lease. */
static uint64_t longest_wait_ms(const struct core *core)
{
    uint64_t longest_ms = LEASE_DEFAULT_MS;
    for (size_t i = 0; i < core->run_count; i++) {
        const struct run *run = &core->runs[i];
        for (uint32_t task = 0; run->key != 0 && task < run->task_count; task++) {
            uint64_t lease_ms = run_plan_task(run, task)->lease_ms;
            longest_ms = lease_ms > longest_ms ? lease_ms : longest_ms;
        }
    }
    return longest_ms + LEASE_MARGIN_MS(longest_ms);
}

/* Every lease counts from here, but for those that were over: what the former master acknowledged
 * last is not known. */
void load_done(struct core *core)
{
    core->loaded = true;
    for (size_t i = 0; i < core->attempt_count; i++) {
        struct attempt *attempt = core->attempts[i];
        if (!attempt->in_use)
            continue;
        core->workers[attempt->worker]->state = WORKER_SILENT;
        core->workers[attempt->worker]->state_at = core->now_wall;
        attempt_arm(core, attempt,
            MUTANT(RESTART_UNWAITED) ? core->now_ms - attempt->lease_ms : core->now_ms);
        if ((attempt->flags & ATTEMPT_FLAG_OVERDUE) != 0) {
            wheel_disarm(&core->wheel, &attempt->expiry);
            attempt->lease_ends_ms = core->now_ms;
            attempt_expire(core, attempt);
        }
    }
    if (core->restoring)
        wheel_arm(&core->wheel, &core->restore.timer,
            core->now_ms + (MUTANT(RESTORE_UNWAITED) ? 0 : longest_wait_ms(core)));
    for (uint32_t i = 0; i < core->dag_count; i++)
        dag_start_queued(core, i);
}
