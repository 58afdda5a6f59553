/*
 * What the judge knows to be durable, as of the moment in which somebody copied the store: when
 * that copy is restored for good, its rows count again, and what came later does not. What the
 * world has seen since (processes, results on disks) stays as it is.
 */
#include "common/memory.h"
#include "tests/sim/checker.h"

#include <stdlib.h>

struct backup {
    struct seen_run runs[SEEN_RUNS_MAX];
    struct seen_losses *losses[SEEN_RUNS_MAX];
    uint32_t run_count;
    bool draining[WORKERS_MAX], removed[WORKERS_MAX];
};

static void *copy_of(const void *items, size_t count, size_t size)
{
    void *copy = xcalloc(count + 1, size);
    if (count > 0)
        memcpy(copy, items, count * size);
    return copy;
}

void checker_keep(struct world *world)
{
    struct checker *checker = world->checker;
    struct backup *backup = xcalloc(1, sizeof *backup);
    backup->run_count = checker->run_count;
    memcpy(backup->draining, checker->draining, sizeof backup->draining);
    memcpy(backup->removed, checker->removed, sizeof backup->removed);
    for (uint32_t i = 0; i < checker->run_count; i++) {
        const struct seen_run *run = &checker->runs[i];
        uint32_t count = run->plan->task_count;
        backup->runs[i] = *run;
        backup->runs[i].tasks = copy_of(run->tasks, count, sizeof *run->tasks);
        backup->losses[i] = copy_of(run->plan->losses, count, sizeof *run->plan->losses);
        for (uint32_t t = 0; t < count; t++)
            backup->runs[i].tasks[t].attempts = copy_of(
                run->tasks[t].attempts, run->tasks[t].attempt_count, sizeof(struct seen_attempt));
    }
    checker_forget_backup(checker);
    checker->backup = backup;
}

void checker_forget_backup(struct checker *checker)
{
    struct backup *backup = checker->backup;
    for (uint32_t i = 0; backup != NULL && i < backup->run_count; i++) {
        for (uint32_t t = 0; t < backup->runs[i].plan->task_count; t++)
            free(backup->runs[i].tasks[t].attempts);
        free(backup->runs[i].tasks);
        free(backup->losses[i]);
    }
    free(backup);
    checker->backup = NULL;
}

static void attempts_go_back(struct seen_task *task, const struct seen_task *then)
{
    for (size_t i = 0; i < task->attempt_count; i++) {
        struct seen_attempt *attempt = &task->attempts[i];
        uint32_t state = then != NULL && i < then->attempt_count ? then->attempts[i].state : 0;
        attempt->undone = attempt->undone || attempt->state != state;
        attempt->state = state;
    }
}

static void task_goes_back(
    struct world *world, struct seen_task *task, const struct seen_task *then)
{
    attempts_go_back(task, then);
    task->end = then->end;
    task->round = then->round;
    task->failures = then->failures;
    task->ruled = then->ruled;
    task->cancel_wish = then->cancel_wish;
    task->cancel_ms = world->now_ms;
}

/* Its rows are gone: whatever runs of it is nobody's, and is to end as if it were cancelled. */
static void vanish(struct world *world, struct seen_run *run)
{
    struct sim_run *plan = workload_find(world, run->key);
    tell(world, "run %llx goes with the newer store", (unsigned long long)run->key);
    run->vanished = true;
    run->cancelled_ms = world->now_ms;
    for (uint32_t t = 0; t < plan->task_count; t++)
        attempts_go_back(&run->tasks[t], NULL);
    memset(plan->losses, 0, plan->task_count * sizeof *plan->losses);
    if (plan->acknowledged)
        plan->vanished = true;
    else
        plan->before = plan->key;
    if (!plan->acknowledged)
        plan->key = 0;
}

static void run_goes_back(struct world *world, struct seen_run *run, uint32_t index)
{
    const struct backup *backup = world->checker->backup;
    const struct seen_run *then = &backup->runs[index];
    run->state = then->state;
    run->cancelled = then->cancelled;
    run->cancelled_ms = world->now_ms;
    memcpy(run->plan->losses, backup->losses[index],
        run->plan->task_count * sizeof *run->plan->losses);
    for (uint32_t t = 0; t < run->plan->task_count; t++)
        task_goes_back(world, &run->tasks[t], &then->tasks[t]);
}

/* Runs are in the order in which they were seen, then as now. */
void checker_go_back(struct world *world)
{
    struct checker *checker = world->checker;
    const struct backup *backup = checker->backup;
    memcpy(checker->draining, backup->draining, sizeof backup->draining);
    memcpy(checker->removed, backup->removed, sizeof backup->removed);
    for (uint32_t i = 0; i < checker->run_count; i++) {
        if (i < backup->run_count)
            run_goes_back(world, &checker->runs[i], i);
        else
            vanish(world, &checker->runs[i]);
    }
}
