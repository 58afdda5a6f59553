/*
 * The tables of the master's core.
 */
#include "common/probe.h"
#include "master/core/state.h"
#include "tests/sim/probes.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const char *const run_states[] = {
    [RUN_QUEUED] = "queued",
    [RUN_RUNNING] = "running",
    [RUN_SUCCESS] = "success",
    [RUN_FAILED] = "failed",
    [RUN_CANCELLED] = "cancelled",
};
static const char *const run_events[] = {"queue", "start", "succeed", "fail", "cancel"};
static_assert(COUNT(run_events) == RUN_EVENT_COUNT, "each event has a name");

static bool run_is_legal(uint32_t state, uint32_t event)
{
    return run_next_state(state, (enum run_event)event) != 0;
}

struct lifecycle_table reach_run(void)
{
    return (struct lifecycle_table){
        "run", run_states, COUNT(run_states), run_events, RUN_EVENT_COUNT, run_is_legal};
}

static const char *const task_states[] = {
    [TASK_WAITING] = "waiting",
    [TASK_READY] = "ready",
    [TASK_ASSIGNED] = "assigned",
    [TASK_RUNNING] = "running",
    [TASK_RETRYING] = "retrying",
    [TASK_HELD] = "held",
    [TASK_SUCCESS] = "success",
    [TASK_FAILED] = "failed",
    [TASK_SKIPPED] = "skipped",
    [TASK_UPSTREAM_FAILED] = "upstream_failed",
    [TASK_CANCELLED] = "cancelled",
};
static const char *const task_events[] = {"ready", "assign", "start", "success", "skip", "fail",
    "retry", "back", "due", "upstream", "cancel", "reset", "mark success", "mark skipped",
    "mark failed", "hold", "revive"};
static_assert(COUNT(task_events) == TASK_EVENT_COUNT, "each event has a name");
static_assert((int)TASK_EVENT_COUNT <= (int)PROBE_EVENTS, "the probe counts them all");

static bool task_is_legal(uint32_t state, uint32_t event)
{
    return task_next_state(state, (enum task_event)event) != 0;
}

struct lifecycle_table reach_task(void)
{
    return (struct lifecycle_table){
        "task", task_states, COUNT(task_states), task_events, TASK_EVENT_COUNT, task_is_legal};
}

static const char *const attempt_lives[] = {
    [ATTEMPT_LIFE_ASSIGNED] = "assigned",
    [ATTEMPT_LIFE_RUNNING] = "running",
    [ATTEMPT_LIFE_EXPIRED] = "expired",
};
static const char *const attempt_events[] = {
    "start", "end", "gone", "expire", "revive", "bury", "kill"};
static_assert(COUNT(attempt_events) == ATTEMPT_EVENT_COUNT, "each event has a name");

/* Only a worker that says it of an attempt that it does not hold could cause this: what expired is
 * not kept by its registration. */
static bool attempt_is_foreign(uint32_t life, uint32_t event)
{
    return life == ATTEMPT_LIFE_EXPIRED && event == ATTEMPT_EVENT_START;
}

static bool attempt_is_legal(uint32_t state, uint32_t event)
{
    return !attempt_is_foreign(state, event) &&
           attempt_next_life(state, (enum attempt_event)event) != 0;
}

struct lifecycle_table reach_attempt(void)
{
    return (struct lifecycle_table){"attempt", attempt_lives, COUNT(attempt_lives), attempt_events,
        ATTEMPT_EVENT_COUNT, attempt_is_legal};
}

static const char *const worker_states[] = {
    [WORKER_UP] = "up",
    [WORKER_DRAINING] = "draining",
    [WORKER_SILENT] = "silent",
    [WORKER_GONE] = "gone",
};
static const char *const worker_events[] = {
    "register", "traffic", "silence", "close", "gone", "drain", "undrain"};
static_assert(COUNT(worker_events) == WORKER_EVENT_COUNT, "each event has a name");

static bool worker_is_legal(uint32_t state, uint32_t event)
{
    return worker_next_state(state, (enum worker_event)event) != 0;
}

struct lifecycle_table reach_worker(void)
{
    return (struct lifecycle_table){"worker", worker_states, COUNT(worker_states), worker_events,
        WORKER_EVENT_COUNT, worker_is_legal};
}
