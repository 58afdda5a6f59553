/*
 * What follows from a task's end: its successors count it and are evaluated. And whatever else
 * walks over many tasks. It is done in slices of STEP_TASKS_MAX from a queue, first come first
 * served: after a crash nothing of the queue is needed, because counts, readiness and the rest of a
 * cancel are derived anew from the rows.
 */
#include "common/limits.h"
#include "common/memory.h"
#include "master/core/state.h"
#include "master/core/trigger.h"

#include <stdlib.h>

static struct work *add(struct core *core)
{
    if (core->work_count == core->work_capacity) {
        size_t capacity = core->work_capacity == 0 ? 64 : core->work_capacity * 2;
        struct work *ring = xreallocarray(NULL, capacity, sizeof *ring);
        for (size_t i = 0; i < core->work_count; i++)
            ring[i] = core->work[(core->work_head + i) & (core->work_capacity - 1)];
        free(core->work);
        core->work = ring;
        core->work_head = 0;
        core->work_capacity = capacity;
    }
    return &core->work[(core->work_head + core->work_count++) & (core->work_capacity - 1)];
}

void work_add(struct core *core, enum work_kind kind, struct run *run)
{
    *add(core) = (struct work){
        .kind = (uint8_t)kind, .run = run_slot(core, run), .life = run->life, .task = NONE};
}

void work_add_spread(struct core *core, struct run *run, uint32_t task, uint32_t from, uint32_t to)
{
    uint32_t first = run->plan.successor_starts[task];
    if (first == run->plan.successor_starts[task + 1])
        return;
    *add(core) = (struct work){
        .kind = WORK_SPREAD,
        .from = (uint8_t)from,
        .to = (uint8_t)to,
        .run = run_slot(core, run),
        .life = run->life,
        .task = task,
        .cursor = first,
    };
}

void task_evaluate(struct core *core, struct run *run, uint32_t index)
{
    const struct task *task = &run->tasks[index];
    if (task->state != TASK_WAITING || run->state != RUN_RUNNING || run->cancelled)
        return;
    const uint32_t *starts = run->plan.predecessor_starts;
    struct upstream_counts counts = {
        .total = starts[index + 1] - starts[index],
        .success = task->success,
        .failed = task->failed,
        .skipped = task->skipped,
        .upstream_failed = task->upstream_failed,
    };
    switch (trigger_verdict(run_plan_task(run, index)->trigger_rule, &counts)) {
    case VERDICT_WAIT:
        return;
    case VERDICT_READY:
        task_move(core, run, index, TASK_EVENT_READY, REASON_NONE);
        return;
    case VERDICT_SKIP:
        task_end(core, run, index, TASK_EVENT_SKIP, (struct cause){REASON_UPSTREAM, {0}});
        return;
    case VERDICT_UPSTREAM_FAILED:
        task_end(core, run, index, TASK_EVENT_UPSTREAM, (struct cause){REASON_UPSTREAM, {0}});
        return;
    }
}

/* The counter of an end, or NULL for none. A cancelled predecessor counts as failed. */
static uint32_t *counter_of(struct task *task, uint32_t end)
{
    switch (end) {
    case TASK_SUCCESS:
        return &task->success;
    case TASK_FAILED:
    case TASK_CANCELLED:
        return &task->failed;
    case TASK_SKIPPED:
        return &task->skipped;
    case TASK_UPSTREAM_FAILED:
        return &task->upstream_failed;
    default:
        return NULL;
    }
}

/* A predecessor that has no end any more only lowers a count: what waits is evaluated by the one
 * who reset it. */
static void count_end(
    struct core *core, struct run *run, uint32_t successor, const struct work *work)
{
    struct task *task = &run->tasks[successor];
    uint32_t *before = counter_of(task, work->from);
    uint32_t *now = counter_of(task, work->to);
    if (before != NULL) {
        assert(*before > 0);
        --*before;
    }
    if (now != NULL) {
        ++*now;
        task_evaluate(core, run, successor);
    }
}

static void cancel_task(struct core *core, struct run *run, uint32_t index)
{
    const struct task *task = &run->tasks[index];
    if (task_state_is_end(task->state))
        return;
    struct attempt *live = task->live != NONE ? core->attempts[task->live] : NULL;
    if (live != NULL && (live->flags & ATTEMPT_FLAG_EXPIRED) == 0) {
        attempt_cancel(core, live);
        return;
    }
    if (live != NULL)
        attempt_bury(core, live);
    task_end(core, run, index, TASK_EVENT_CANCEL, (struct cause){REASON_CANCELLED, {0}});
}

/* Goes on with one piece of work for at most *budget tasks; true when it is finished. */
static bool go_on(struct core *core, struct work *work, uint32_t *budget)
{
    struct run *run = &core->runs[work->run];
    if (run->life != work->life)
        return true;
    uint32_t end =
        work->kind == WORK_SPREAD ? run->plan.successor_starts[work->task + 1] : run->task_count;
    /* Callees may add work and so move the ring: the cursor is kept here. */
    struct work copy = *work;
    while (copy.cursor<end && * budget> 0) {
        --*budget;
        uint32_t at = copy.cursor++;
        if (copy.kind == WORK_SPREAD)
            count_end(core, run, run->plan.successors[at], &copy);
        else if (copy.kind == WORK_START)
            task_evaluate(core, run, at);
        else if (run->cancelled)
            cancel_task(core, run, at);
    }
    core->work[core->work_head].cursor = copy.cursor;
    return copy.cursor >= end;
}

void work_go_on(struct core *core)
{
    uint32_t budget = STEP_TASKS_MAX;
    while (core->work_count > 0 && budget > 0) {
        if (!go_on(core, &core->work[core->work_head], &budget))
            return;
        core->work_head = (core->work_head + 1) & (core->work_capacity - 1);
        core->work_count--;
    }
}
