/*
 * The life of a task: the table, and the one function that changes a task's state and every count
 * that follows.
 */
#include "common/memory.h"
#include "common/probe.h"
#include "master/core/state.h"

#include <stdlib.h>

enum {
    WAI = TASK_WAITING,
    REA = TASK_READY,
    ASS = TASK_ASSIGNED,
    RUN = TASK_RUNNING,
    RET = TASK_RETRYING,
    HEL = TASK_HELD,
    SUC = TASK_SUCCESS,
    FAI = TASK_FAILED,
    SKI = TASK_SKIPPED,
    UPS = TASK_UPSTREAM_FAILED,
    CAN = TASK_CANCELLED,
    ___ = 0 /* illegal */
};

/*
 * state x event -> next state. A READY task takes the ends of an attempt too: one that expired and
 * still comes back before another is assigned. What a HELD one waits for is a person, or word of
 * its attempt after all: its end, that it is here, that it never started, or that it is surely
 * gone.
 */
/* clang-format off */
static const uint8_t transitions[TASK_CANCELLED + 1][TASK_EVENT_COUNT] = {
    /*                    ready assig start succ skip fail retry back due  upst canc reset m-succ m-skip m-fail hold revive */
    [TASK_WAITING]     = {REA,  ___,  ___,  ___, SKI, ___, ___,  ___, ___, UPS, CAN, ___,  SUC,   SKI,   FAI,   ___,  ___},
    [TASK_READY]       = {___,  ASS,  ___,  SUC, SKI, FAI, RET,  REA, ___, ___, CAN, WAI,  SUC,   SKI,   FAI,   ___,  ASS},
    [TASK_ASSIGNED]    = {___,  ___,  RUN,  SUC, SKI, FAI, RET,  REA, ___, ___, CAN, ___,  ___,   ___,   ___,   HEL,  ___},
    [TASK_RUNNING]     = {___,  ___,  ___,  SUC, SKI, FAI, RET,  REA, ___, ___, CAN, ___,  ___,   ___,   ___,   HEL,  ___},
    [TASK_RETRYING]    = {___,  ___,  ___,  ___, ___, ___, ___,  ___, REA, ___, CAN, WAI,  SUC,   SKI,   FAI,   ___,  ___},
    [TASK_HELD]        = {___,  ___,  ___,  SUC, SKI, FAI, RET,  REA, ___, ___, CAN, WAI,  SUC,   SKI,   FAI,   HEL,  ASS},
    [TASK_SUCCESS]     = {___,  ___,  ___,  ___, ___, ___, ___,  ___, ___, ___, ___, WAI,  SUC,   SKI,   FAI,   ___,  ___},
    [TASK_FAILED]      = {___,  ___,  ___,  ___, ___, ___, ___,  ___, ___, ___, ___, WAI,  SUC,   SKI,   FAI,   ___,  ___},
    [TASK_SKIPPED]     = {___,  ___,  ___,  ___, ___, ___, ___,  ___, ___, ___, ___, WAI,  SUC,   SKI,   FAI,   ___,  ___},
    [TASK_UPSTREAM_FAILED] =
                         {___,  ___,  ___,  ___, ___, ___, ___,  ___, ___, ___, ___, WAI,  SUC,   SKI,   FAI,   ___,  ___},
    [TASK_CANCELLED]   = {___,  ___,  ___,  ___, ___, ___, ___,  ___, ___, ___, ___, WAI,  SUC,   SKI,   FAI,   ___,  ___},
};
/* clang-format on */

uint32_t task_next_state(uint32_t state, enum task_event event)
{
    assert(state >= TASK_WAITING && state <= TASK_CANCELLED && event < TASK_EVENT_COUNT);
    return transitions[state][event];
}

bool task_state_is_end(uint32_t state)
{
    return state >= TASK_SUCCESS && state <= TASK_CANCELLED;
}

static bool is_fatal(const struct run *run, uint32_t task, uint32_t state)
{
    return (state == TASK_FAILED || state == TASK_CANCELLED) &&
           (run_plan_task(run, task)->flags & PLAN_TASK_ALLOW_FAILURE) == 0;
}

static bool is_active(uint32_t state)
{
    return state == TASK_ASSIGNED || state == TASK_RUNNING;
}

static void stop_waiting(struct core *core, struct run *run, uint32_t task)
{
    uint64_t value = 0;
    if (!table_get(&run->waits, task, &value))
        return;
    struct retry_wait *wait = (struct retry_wait *)(uintptr_t)value;
    wheel_disarm(&core->wheel, &wait->timer);
    (void)table_remove(&run->waits, task);
    free(wait);
}

static void leave_state(struct core *core, struct run *run, uint32_t task)
{
    uint32_t state = run->tasks[task].state;
    assert(run->counts[state] > 0);
    run->counts[state]--;
    run->fatal -= is_fatal(run, task, state);
    run->active -= is_active(state);
    if (state == TASK_READY)
        lane_remove(core, run, task);
    else if (state == TASK_RETRYING)
        stop_waiting(core, run, task);
}

enum { TENTH_MS = 100 };

static void note_move(struct run *run, uint32_t task, int64_t at)
{
    int64_t tenths = (at - run->submitted_at) / TENTH_MS + 1;
    run->moved_ds[task] = at == 0 || tenths < 1 || tenths > UINT32_MAX ? 0 : (uint32_t)tenths;
}

int64_t task_moved_at(const struct run *run, uint32_t task)
{
    uint32_t tenths = run->moved_ds[task];
    return tenths == 0 ? 0 : run->submitted_at + ((int64_t)tenths - 1) * TENTH_MS;
}

static void enter_state(struct core *core, struct run *run, uint32_t task, uint32_t state)
{
    run->tasks[task].state = (uint8_t)state;
    run->counts[state]++;
    run->fatal += is_fatal(run, task, state);
    run->active += is_active(state);
    note_move(run, task, core->now_wall);
    if (state == TASK_READY)
        lane_push(core, run, task);
}

/* A new round: fresh tries, attempt numbers go on. */
static void begin_round(struct run *run, uint32_t index)
{
    struct task *task = &run->tasks[index];
    task->round++;
    task->tries = 0;
    task->losses = 0;
    task->flags &= (uint8_t)~TASK_FLAG_CANCEL;
    run_forget_leaving(run, index);
}

void task_move(
    struct core *core, struct run *run, uint32_t index, enum task_event event, enum reason reason)
{
    struct task *task = &run->tasks[index];
    uint32_t from = task->state;
    uint32_t to = task_next_state(from, event);
    assert(to != 0 && "the event is legal in this state");
    REACHED(TASK, from, event);
    leave_state(core, run, index);
    enter_state(core, run, index, to);
    task->reason = (uint8_t)reason;
    if (event == TASK_EVENT_RESET)
        begin_round(run, index);
    run_park(core, run);
    uint32_t end_before = task_state_is_end(from) ? from : 0;
    uint32_t end_now = task_state_is_end(to) ? to : 0;
    if (end_before != end_now)
        work_add_spread(core, run, index, end_before, end_now);
}

void task_place(struct run *run, uint32_t index, uint32_t state, int64_t at)
{
    assert(run->tasks[index].state == TASK_WAITING);
    run->counts[TASK_WAITING]--;
    run->tasks[index].state = (uint8_t)state;
    run->counts[state]++;
    run->fatal += is_fatal(run, index, state);
    run->active += is_active(state);
    note_move(run, index, at);
}

void task_end(
    struct core *core, struct run *run, uint32_t task, enum task_event event, struct cause cause)
{
    task_move(core, run, task, event, cause.reason);
    span_add(core, run, task, run->tasks[task].state, cause);
    task_show(core, run, task, cause.error);
    run_check_end(core, run);
}

uint32_t task_shown_state(const struct core *core, const struct run *run, uint32_t index)
{
    const struct task *task = &run->tasks[index];
    if (!is_active(task->state))
        return task->state;
    if (attempt_is_unreachable(core, core->attempts[task->live]))
        return TASK_UNREACHABLE;
    if (run->cancelled || (task->flags & TASK_FLAG_CANCEL) != 0)
        return TASK_CANCELLING;
    return task->state;
}

void task_show(struct core *core, const struct run *run, uint32_t index, struct slice error)
{
    if (core->loading)
        return;
    const struct task *task = &run->tasks[index];
    struct change_effect *change = effects_add_change(core->effects);
    change->run = run->key;
    change->task = index;
    change->state = task_shown_state(core, run, index);
    change->attempt = task->attempt;
    change->reason = task->reason;
    change->error = arena_copy(&core->effects->arena, error);
    change->at = core->now_wall;
    change->progress_done = change->progress_total = -1;
    if (task->live == NONE)
        return;
    const struct attempt *attempt = core->attempts[task->live];
    change->worker = core->workers[attempt->worker]->number;
    change->progress = arena_copy(&core->effects->arena, attempt->progress.text);
    change->progress_done = attempt->progress.done;
    change->progress_total = attempt->progress.total;
}

/* A tenth more or less, by the hash of the try: the same at each restart, different between tasks
 * of a herd. */
uint64_t task_retry_delay_ms(const struct plan_task *plan, uint32_t tries)
{
    uint64_t delay = plan->retry_delay_ms;
    if ((plan->flags & PLAN_TASK_EXPONENTIAL_BACKOFF) != 0) {
        for (uint32_t i = 1; i < tries && delay < plan->max_retry_delay_ms; i++)
            delay *= 2;
        uint64_t spread = delay / 10;
        if (spread > 0)
            delay += hash_mix(((uint64_t)plan->name << 32) | tries) % (2 * spread + 1) - spread;
    }
    return delay < plan->max_retry_delay_ms ? delay : plan->max_retry_delay_ms;
}

void task_wait_until(struct core *core, struct run *run, uint32_t task, uint64_t delay_ms)
{
    assert(run->tasks[task].state == TASK_RETRYING);
    struct retry_wait *wait = xcalloc(1, sizeof *wait);
    wait->timer_kind = TIMER_RETRY;
    wait->run = run_slot(core, run);
    wait->task = task;
    wait->due_wall = core->now_wall + (int64_t)delay_ms;
    table_set(&run->waits, task, (uint64_t)(uintptr_t)wait);
    wheel_arm(&core->wheel, &wait->timer, core->now_ms + delay_ms);
}

void span_flush(struct core *core)
{
    if (core->span.run == 0)
        return;
    effects_add_fact(core->effects, FACT_SPAN)->span = core->span;
    core->span = (struct span_row){0};
}

void span_add(struct core *core, struct run *run, uint32_t task, uint32_t state, struct cause cause)
{
    struct span_row *span = &core->span;
    if (span->run == run->key && span->last + 1 == task && span->state == state &&
        span->reason == cause.reason && slice_equal(span->error, cause.error)) {
        span->last = task;
        return;
    }
    span_flush(core);
    *span = (struct span_row){
        .run = run->key,
        .order = run->next_span++,
        .first = task,
        .last = task,
        .state = state,
        .reason = cause.reason,
        .error = arena_copy(&core->effects->arena, cause.error),
        .at = core->now_wall,
    };
}
