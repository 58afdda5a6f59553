/*
 * The life of an attempt: assigned -> running -> an end that never changes. Its row is written at
 * its assignment and at its end. A lost one keeps its place until the next is assigned, because a
 * late result still counts till then.
 */
#include "common/limits.h"
#include "common/memory.h"
#include "common/probe.h"
#include "master/core/state.h"

#include <stdlib.h>

static const char SILENT_TOO_LONG[] = "its worker was silent past its lease";

/* ---- the lifecycle ---- */

enum { ASS = ATTEMPT_LIFE_ASSIGNED, RUN, EXP, OVE, ___ = 0 };

/* life x event -> next; ___ is illegal. */
/* clang-format off */
static const uint8_t transitions[ATTEMPT_LIFE_OVER][ATTEMPT_EVENT_COUNT] = {
    /*                         start end  gone expire revive bury kill */
    [ATTEMPT_LIFE_ASSIGNED] = {RUN,  OVE, OVE, EXP,   ___,   ___, ASS},
    [ATTEMPT_LIFE_RUNNING]  = {RUN,  OVE, OVE, EXP,   ___,   ___, RUN},
    [ATTEMPT_LIFE_EXPIRED]  = {EXP,  OVE, OVE, ___,   ASS,   OVE, ___},
};
/* clang-format on */

uint32_t attempt_next_life(uint32_t life, enum attempt_event event)
{
    assert(life >= ATTEMPT_LIFE_ASSIGNED && life < ATTEMPT_LIFE_OVER);
    assert(event < ATTEMPT_EVENT_COUNT);
    return transitions[life][event];
}

/* What the event makes of it; that it is legal is a programmer's promise. */
static uint32_t life_after(const struct attempt *attempt, enum attempt_event event)
{
    uint32_t life =
        attempt->state == ATTEMPT_RUNNING ? ATTEMPT_LIFE_RUNNING : ATTEMPT_LIFE_ASSIGNED;
    if ((attempt->flags & ATTEMPT_FLAG_EXPIRED) != 0)
        life = ATTEMPT_LIFE_EXPIRED;
    uint32_t next = attempt_next_life(life, event);
    assert(next != 0 && "the event is legal in this life");
    REACHED(ATTEMPT, life, event);
    return next;
}

/* ---- slots and links ---- */

static struct attempt *take_slot(struct core *core, uint32_t *ret_slot)
{
    if (core->free_attempts == NONE) {
        vector_reserve(&core->attempts, core->attempt_count, &core->attempt_capacity);
        *ret_slot = (uint32_t)core->attempt_count;
        core->attempts[core->attempt_count] = xcalloc(1, sizeof(struct attempt));
        return core->attempts[core->attempt_count++];
    }
    *ret_slot = core->free_attempts;
    struct attempt *attempt = core->attempts[core->free_attempts];
    core->free_attempts = attempt->next;
    return attempt;
}

static void link_to_worker(struct core *core, struct attempt *attempt, uint32_t slot)
{
    struct worker *worker = core->workers[attempt->worker];
    attempt->previous = NONE;
    attempt->next = worker->attempts;
    if (worker->attempts != NONE)
        core->attempts[worker->attempts]->previous = slot;
    worker->attempts = slot;
    if (attempt->lease_ms > 0 && attempt->lease_ms < worker->shortest_lease_ms)
        worker->shortest_lease_ms = attempt->lease_ms;
}

static void unlink_from_worker(struct core *core, struct attempt *attempt)
{
    struct worker *worker = core->workers[attempt->worker];
    if (attempt->previous != NONE)
        core->attempts[attempt->previous]->next = attempt->next;
    else
        worker->attempts = attempt->next;
    if (attempt->next != NONE)
        core->attempts[attempt->next]->previous = attempt->previous;
    if (worker->attempts == NONE)
        worker->shortest_lease_ms = UINT64_MAX;
}

/* What an attempt takes of its worker; an expired one takes nothing. */
static uint32_t *counter_of(const struct core *core, const struct attempt *attempt)
{
    struct worker *worker = core->workers[attempt->worker];
    if ((attempt->flags & ATTEMPT_FLAG_NOOP) != 0)
        return &worker->noops;
    return attempt->state == ATTEMPT_RUNNING ? &worker->running : &worker->in_hand;
}

/* The question whether it can be taken back is answered, or has died with its session. */
void attempt_clear_asked(struct core *core, struct attempt *attempt)
{
    core->asked -= (attempt->flags & ATTEMPT_FLAG_ASKED) != 0;
    attempt->flags &= (uint8_t)~ATTEMPT_FLAG_ASKED;
}

static void release(struct core *core, struct attempt *attempt)
{
    attempt_clear_asked(core, attempt);
    if ((attempt->flags & ATTEMPT_FLAG_EXPIRED) != 0)
        return;
    uint32_t *counter = counter_of(core, attempt);
    assert(*counter > 0);
    --*counter;
    worker_refresh(core, core->workers[attempt->worker]);
}

static struct attempt *make(
    struct core *core, struct run *run, uint32_t task, uint32_t number, uint32_t worker)
{
    uint32_t slot = 0;
    struct attempt *attempt = take_slot(core, &slot);
    const struct plan_task *plan = run_plan_task(run, task);
    *attempt = (struct attempt){
        .timer_kind = TIMER_ATTEMPT,
        .state = ATTEMPT_ASSIGNED,
        .flags = plan->kind == OPERATOR_NOOP ? ATTEMPT_FLAG_NOOP : 0,
        .in_use = true,
        .progress = {.done = -1, .total = -1},
        .run = run_slot(core, run),
        .task = task,
        .number = number,
        .worker = worker,
        .lease_ms = plan->lease_ms,
        .elder = NONE,
        .assigned_ms = core->now_ms,
    };
    link_to_worker(core, attempt, slot);
    run->tasks[task].live = slot;
    core->live_attempts++;
    ++*counter_of(core, attempt);
    worker_refresh(core, core->workers[worker]);
    return attempt;
}

void attempt_destroy(struct core *core, struct attempt *attempt)
{
    struct task *task = &core->runs[attempt->run].tasks[attempt->task];
    struct attempt *live = core->attempts[task->live];
    uint32_t slot = live == attempt ? task->live : live->elder;
    assert(slot != NONE && core->attempts[slot] == attempt);
    release(core, attempt);
    wheel_disarm(&core->wheel, &attempt->expiry);
    unlink_from_worker(core, attempt);
    if (live == attempt)
        task->live = attempt->elder;
    else
        live->elder = NONE;
    attempt->in_use = false;
    attempt->next = core->free_attempts;
    core->free_attempts = slot;
    core->live_attempts--;
    slice_free(&attempt->progress.text);
    worker_left(core, core->workers[attempt->worker]);
}

struct attempt *attempt_lookup(const struct core *core, const struct attempt_id *id)
{
    const struct run *run = run_by_key(core, id->run);
    if (run == NULL || id->task >= run->task_count || id->map != 0)
        return NULL;
    uint32_t live = run->tasks[id->task].live;
    uint32_t elder = live != NONE ? core->attempts[live]->elder : NONE;
    if (elder != NONE && core->attempts[elder]->number == id->attempt)
        return core->attempts[elder];
    if (live == NONE || (core->attempts[live]->number != id->attempt && !MUTANT(LATE_RESULT_TAKEN)))
        return NULL;
    return core->attempts[live];
}

struct attempt_id attempt_id_of(const struct core *core, const struct attempt *attempt)
{
    return (struct attempt_id){
        .run = core->runs[attempt->run].key, .task = attempt->task, .attempt = attempt->number};
}

/* ---- its row ---- */

struct attempt_row *attempt_add_row(
    struct core *core, const struct attempt *attempt, uint32_t state)
{
    struct attempt_row *row = &effects_add_fact(core->effects, FACT_ATTEMPT)->attempt;
    *row = (struct attempt_row){
        .id = attempt_id_of(core, attempt),
        .round = core->runs[attempt->run].tasks[attempt->task].round,
        .state = state,
        .worker = core->workers[attempt->worker]->number,
        .session = attempt->session,
        .epoch = attempt->epoch,
        .assigned_at = attempt->assigned_at,
        .started_at = attempt->started_at,
        .exit_code = -1,
    };
    return row;
}

static void add_lost_row(
    struct core *core, const struct attempt *attempt, enum reason reason, struct slice error)
{
    struct attempt_row *row = attempt_add_row(core, attempt, ATTEMPT_LOST);
    loss_count(&core->runs[attempt->run].tasks[attempt->task], reason);
    row->ended_at = core->now_wall;
    row->reason = reason;
    row->error = arena_copy(&core->effects->arena, error);
}

uint32_t attempt_next_number(const struct core *core, const struct run *run, uint32_t task)
{
    bool given = run->order <= core->restored_order && !MUTANT(RESTORE_NUMBERED);
    uint32_t from = given ? core->attempts_from : 0;
    uint32_t last = run->tasks[task].attempt;
    return (last > from ? last : from) + 1;
}

struct attempt *attempt_create(
    struct core *core, struct run *run, uint32_t index, struct worker *worker)
{
    struct task *task = &run->tasks[index];
    uint32_t before = task->live;
    if (before != NONE && (core->attempts[before]->flags & ATTEMPT_FLAG_EXPIRED) != 0) {
        attempt_bury(core, core->attempts[before]);
        before = NONE;
    }
    task->attempt = attempt_next_number(core, run, index);
    struct attempt *attempt = make(core, run, index, task->attempt, worker->number - 1);
    attempt->elder = before;
    attempt->session = worker->channel.session;
    attempt->held_in = attempt->session;
    attempt->epoch = core->epoch;
    attempt->instance = worker->instance;
    attempt->boot = hash_bytes(slice_make(worker->boot, BOOT_ID_BYTES));
    attempt->stamp = worker->session_stamp;
    attempt->assigned_at = core->now_wall;
    (void)attempt_add_row(core, attempt, ATTEMPT_ASSIGNED);
    task_move(core, run, index, TASK_EVENT_ASSIGN, REASON_NONE);
    task_show(core, run, index, (struct slice){0});
    return attempt;
}

struct attempt *attempt_restore(struct core *core, struct run *run, const struct attempt_row *row)
{
    struct attempt *attempt = make(core, run, row->id.task, row->id.attempt, row->worker - 1);
    uint64_t instance = 0;
    (void)table_get(&core->session_instances, row->session, &instance);
    (void)table_get(&core->session_boots, row->session, &attempt->boot);
    (void)table_get(&core->session_stamps, row->session, &attempt->stamp);
    attempt->session = row->session;
    attempt->epoch = row->epoch;
    attempt->instance = instance;
    attempt->assigned_at = row->assigned_at;
    attempt->started_at = row->started_at;
    if (row->reason == REASON_WORKER_LOST)
        attempt->flags |= ATTEMPT_FLAG_OVERDUE;
    return attempt;
}

void attempt_restore_elder(struct core *core, struct attempt *younger, struct attempt *elder)
{
    struct task *task = &core->runs[younger->run].tasks[younger->task];
    uint32_t slot = core->workers[elder->worker]->attempts;
    while (core->attempts[slot] != elder)
        slot = core->attempts[slot]->next;
    assert(core->attempts[task->live] == younger);
    elder->flags |= ATTEMPT_FLAG_DOUBTED;
    younger->elder = slot;
}

/* ---- what happens to it ---- */

void attempt_started(struct core *core, struct attempt *attempt, int64_t started_at)
{
    if (life_after(attempt, ATTEMPT_EVENT_START) != ATTEMPT_LIFE_RUNNING ||
        attempt->state == ATTEMPT_RUNNING)
        return;
    struct run *run = &core->runs[attempt->run];
    attempt_clear_asked(core, attempt);
    --*counter_of(core, attempt);
    attempt->state = ATTEMPT_RUNNING;
    ++*counter_of(core, attempt);
    attempt->started_at = started_at;
    if ((attempt->flags & ATTEMPT_FLAG_DOUBTED) != 0)
        return;
    task_move(core, run, attempt->task, TASK_EVENT_START, REASON_NONE);
    task_show(core, run, attempt->task, (struct slice){0});
}

static bool is_cancel_wished(const struct run *run, uint32_t task)
{
    return run->cancelled || (run->tasks[task].flags & TASK_FLAG_CANCEL) != 0;
}

/* What the end of an attempt means for its task. */
static enum task_event event_of_end(const struct run *run, uint32_t index, uint32_t state)
{
    const struct task *task = &run->tasks[index];
    if (state == ATTEMPT_SUCCESS)
        return TASK_EVENT_SUCCESS;
    if (is_cancel_wished(run, index) || state == ATTEMPT_CANCELLED)
        return TASK_EVENT_CANCEL;
    if (state == ATTEMPT_SKIPPED)
        return TASK_EVENT_SKIP;
    uint32_t tries = task->tries + (MUTANT(TRY_TOO_FEW) ? 1u : 0u);
    return tries <= run_plan_task(run, index)->retries ? TASK_EVENT_RETRY : TASK_EVENT_FAIL;
}

static void keep_leaving(struct run *run, uint32_t task, const struct msg_ended *ended)
{
    if (ended->outputs.length == 0 && ended->artifacts.length != HASH_BYTES)
        return;
    run_forget_leaving(run, task);
    struct leaving *leaving = run_leaving(run, task, true);
    if (ended->outputs.length > 0)
        leaving->outputs =
            json_loadb(ended->outputs.ptr, ended->outputs.length, JSON_ALLOW_NUL, NULL);
    leaving->has_manifest = ended->artifacts.length == HASH_BYTES;
    if (leaving->has_manifest)
        memcpy(leaving->manifest, ended->artifacts.ptr, HASH_BYTES);
}

static struct slice cut(struct slice text, size_t most)
{
    return slice_make(text.ptr, text.length < most ? text.length : most);
}

static struct attempt_row *add_end_row(
    struct core *core, struct attempt *attempt, uint32_t state, const struct msg_ended *ended)
{
    const struct worker *worker = core->workers[attempt->worker];
    struct arena *arena = &core->effects->arena;
    struct attempt_row *row = attempt_add_row(core, attempt, state);
    if (ended->started_at != 0)
        row->started_at = worker_wall(core, worker, ended->started_at);
    row->ended_at = worker_wall(core, worker, ended->ended_at);
    row->exit_code = ended->exit_code;
    row->signal = ended->signal;
    row->reason = ended->reason;
    row->error = arena_copy(arena, cut(ended->error, ATTEMPT_ERROR_MAX_BYTES));
    row->log_bytes = ended->log_bytes;
    if (state == ATTEMPT_SUCCESS) {
        row->outputs = arena_copy(arena, ended->outputs);
        row->artifacts = arena_copy(arena, ended->artifacts);
    }
    return row;
}

/* The worker says that its own runner ended it for no reason of ours, or lost it: that is no
 * failure of the task. */
static bool is_loss(const struct msg_ended *ended)
{
    return ended->state == ATTEMPT_LOST ||
           (ended->state != ATTEMPT_SUCCESS && ended->reason == REASON_LEASE);
}

/* One of two is over, and the other goes on. */
static void leave_to(struct core *core, struct attempt *attempt, struct attempt *twin)
{
    bool younger = !attempt_is_elder(core, attempt);
    attempt_destroy(core, attempt);
    if (younger)
        attempt_outlive(core, twin);
}

void attempt_ended(struct core *core, struct attempt *attempt, const struct msg_ended *ended)
{
    if (is_loss(ended)) {
        attempt_gone(core, attempt, ended->reason, ended->error);
        return;
    }
    (void)life_after(attempt, ATTEMPT_EVENT_END);
    struct run *run = &core->runs[attempt->run];
    uint32_t index = attempt->task;
    struct task *task = &run->tasks[index];
    struct worker *worker = core->workers[attempt->worker];
    worker->ended += (attempt->flags & ATTEMPT_FLAG_NOOP) == 0;
    worker_fit_hand(core, worker);
    uint32_t state = ended->state;
    bool own_end = state == ATTEMPT_SUCCESS || state == ATTEMPT_SKIPPED;
    if (!own_end && is_cancel_wished(run, index))
        state = ATTEMPT_CANCELLED;
    if (state == ATTEMPT_FAILED)
        task->tries++;
    enum task_event event = event_of_end(run, index, state);
    /* Its row alone would say at a restart that a try is left. */
    bool final = event == TASK_EVENT_RETRY && ended->no_retry;
    if (event == TASK_EVENT_CANCEL)
        state = ATTEMPT_CANCELLED;
    struct attempt_row *row = add_end_row(core, attempt, state, ended);
    if (state == ATTEMPT_SUCCESS)
        keep_leaving(run, index, ended);
    struct attempt *twin = attempt_twin(core, attempt);
    if (twin != NULL && event == TASK_EVENT_CANCEL) {
        /* The task goes by the other: this row alone would say at a restart that it was cancelled,
         * though nobody wished it, or a retry has taken the wish back since. */
        row->reason = REASON_SUPERSEDED;
        leave_to(core, attempt, twin);
        return;
    }
    if (twin != NULL)
        attempt_supersede(core, twin);
    attempt_destroy(core, attempt);
    if (final) {
        task_end(core, run, index, TASK_EVENT_FAIL,
            (struct cause){ended->reason, cut(ended->error, ATTEMPT_ERROR_MAX_BYTES)});
        run_check_end(core, run);
        return;
    }
    task_move(core, run, index, event, ended->reason);
    if (event == TASK_EVENT_RETRY)
        task_wait_until(
            core, run, index, task_retry_delay_ms(run_plan_task(run, index), task->tries));
    task_show(core, run, index, cut(ended->error, ATTEMPT_ERROR_MAX_BYTES));
    run_check_end(core, run);
}

void attempt_gone(
    struct core *core, struct attempt *attempt, enum reason reason, struct slice error)
{
    struct run *run = &core->runs[attempt->run];
    uint32_t task = attempt->task;
    (void)life_after(attempt, ATTEMPT_EVENT_GONE);
    add_lost_row(core, attempt, reason, cut(error, ATTEMPT_ERROR_MAX_BYTES));
    struct attempt *twin = attempt_twin(core, attempt);
    if (twin != NULL) {
        leave_to(core, attempt, twin);
        return;
    }
    attempt_destroy(core, attempt);
    if (is_cancel_wished(run, task)) {
        task_end(core, run, task, TASK_EVENT_CANCEL, (struct cause){REASON_CANCELLED, {0}});
        return;
    }
    loss_decide(core, run, task, reason, error);
}

static void arm_lease(struct core *core, struct attempt *attempt)
{
    if (attempt->lease_ends_ms > 0)
        wheel_arm(&core->wheel, &attempt->expiry, attempt->lease_ends_ms);
}

/* A restart counts neither its lease again nor it among what is active. */
static void add_expired_row(struct core *core, const struct attempt *attempt)
{
    struct attempt_row *row = attempt_add_row(core, attempt, ATTEMPT_ASSIGNED);
    row->reason = REASON_WORKER_LOST;
    row->error = slice_of(SILENT_TOO_LONG);
}

void attempt_expire(struct core *core, struct attempt *attempt)
{
    struct run *run = &core->runs[attempt->run];
    uint32_t task = attempt->task;
    enum loss verdict = loss_verdict(run, task, REASON_WORKER_LOST, run->tasks[task].losses + 1);
    if (attempt->lease_ends_ms == 0 || core->now_ms < attempt->lease_ends_ms) {
        if (!attempt_is_elder(core, attempt) && attempt_may_double(core, attempt))
            attempt_doubt(core, attempt);
        arm_lease(core, attempt);
        return;
    }
    if (attempt_twin(core, attempt) != NULL || is_cancel_wished(run, task) ||
        verdict == LOSS_FAIL || verdict == LOSS_TOO_MANY) {
        attempt_gone(core, attempt, REASON_WORKER_LOST, slice_of(SILENT_TOO_LONG));
        return;
    }
    (void)life_after(attempt, ATTEMPT_EVENT_EXPIRE);
    release(core, attempt);
    attempt->flags |= ATTEMPT_FLAG_EXPIRED;
    attempt->flags &= (uint8_t)~ATTEMPT_FLAG_DOUBTED;
    if ((attempt->flags & ATTEMPT_FLAG_OVERDUE) == 0)
        add_expired_row(core, attempt);
    attempt->flags &= (uint8_t)~ATTEMPT_FLAG_OVERDUE;
    enum task_event event = verdict == LOSS_HOLD ? TASK_EVENT_HOLD : TASK_EVENT_BACK;
    task_move(core, run, task, event, REASON_WORKER_LOST);
    task_show(core, run, task, (struct slice){0});
}

void attempt_revive(struct core *core, struct attempt *attempt)
{
    (void)life_after(attempt, ATTEMPT_EVENT_REVIVE);
    attempt->flags &= (uint8_t)~ATTEMPT_FLAG_EXPIRED;
    attempt->state = ATTEMPT_ASSIGNED;
    ++*counter_of(core, attempt);
    worker_refresh(core, core->workers[attempt->worker]);
    task_move(core, &core->runs[attempt->run], attempt->task, TASK_EVENT_REVIVE, REASON_NONE);
    task_show(core, &core->runs[attempt->run], attempt->task, (struct slice){0});
}

void attempt_bury(struct core *core, struct attempt *attempt)
{
    (void)life_after(attempt, ATTEMPT_EVENT_BURY);
    add_lost_row(core, attempt, REASON_WORKER_LOST, slice_of(SILENT_TOO_LONG));
    attempt_destroy(core, attempt);
}

void attempt_kill(struct core *core, struct attempt *attempt, enum reason reason)
{
    struct worker *worker = core->workers[attempt->worker];
    struct run *run = &core->runs[attempt->run];
    (void)life_after(attempt, ATTEMPT_EVENT_KILL);
    attempt->flags |= ATTEMPT_FLAG_KILL;
    if (worker->open) {
        struct msg_kill kill = {.id = attempt_id_of(core, attempt), .reason = reason};
        channel_add(&worker->channel, MESSAGE_kill, &kill);
        worker_mark_dirty(core, worker);
    }
    task_show(core, run, attempt->task, (struct slice){0});
}

void attempt_arm(struct core *core, struct attempt *attempt, uint64_t base_ms)
{
    if ((attempt->flags & ATTEMPT_FLAG_EXPIRED) != 0)
        return;
    if (MUTANT(UNLEASED_EXPIRES) && attempt->lease_ms == 0)
        attempt->lease_ms = LEASE_DEFAULT_MS / 10;
    uint64_t wait_ms = attempt->lease_ms + LEASE_MARGIN_MS(attempt->lease_ms);
    if (MUTANT(MARGIN_LEFT_OUT))
        wait_ms = attempt->lease_ms;
    else if (MUTANT(EXPIRED_EARLY))
        wait_ms = attempt->lease_ms - HEARTBEAT_INTERVAL_MS;
    attempt->unheard_ms = base_ms;
    attempt->lease_ends_ms = attempt->lease_ms > 0 ? base_ms + wait_ms : 0;
    if (!attempt_is_elder(core, attempt) && attempt_may_double(core, attempt))
        wheel_arm(&core->wheel, &attempt->expiry, base_ms + SILENT_AFTER_MS);
    else
        arm_lease(core, attempt);
}

bool attempt_is_unreachable(const struct core *core, const struct attempt *attempt)
{
    const struct worker *worker = core->workers[attempt->worker];
    return !worker_is_heard(worker) || attempt->held_in != worker->channel.session;
}

uint32_t attempt_shown_state(const struct core *core, const struct attempt *attempt)
{
    if (attempt_is_unreachable(core, attempt) || (attempt->flags & ATTEMPT_FLAG_EXPIRED) != 0)
        return ATTEMPT_UNREACHABLE;
    bool wished = is_cancel_wished(&core->runs[attempt->run], attempt->task);
    return wished ? ATTEMPT_CANCELLING : attempt->state;
}
