/*
 * The judge of losses: by what is durable, a task with on_lost fail or hold never starts again by
 * itself, one that lost max_losses workers never again, and none ends so without having lost them.
 */
#include "tests/sim/world.h"

static void check_assigned(
    struct world *world, const struct sim_run *run, const struct attempt_row *row)
{
    const struct sim_task *task = &run->tasks[row->id.task];
    const struct seen_losses *seen = &run->losses[row->id.task];
    if (seen->lost && task->on_lost != ON_LOST_RERUN)
        violated(world, "%s of run %llx was lost, is on_lost: %s, and is assigned again",
            task->name, (unsigned long long)run->key, on_lost_name((int)task->on_lost));
    if (task->max_losses != 0 && seen->workers >= task->max_losses)
        violated(world, "%s of run %llx lost %u workers, and is assigned again", task->name,
            (unsigned long long)run->key, seen->workers);
}

void losses_see_attempt(struct world *world, const struct attempt_row *row)
{
    const struct sim_run *run = workload_find(world, row->id.run);
    struct seen_losses *seen = &run->losses[row->id.task];
    if (row->state == ATTEMPT_ASSIGNED)
        check_assigned(world, run, row);
    if (row->state != ATTEMPT_LOST || row->reason == REASON_NOT_STARTED)
        return;
    seen->lost = true;
    seen->workers += row->reason != REASON_WORKER_STOPPED;
}

void losses_see_span(struct world *world, const struct span_row *row, uint32_t index)
{
    const struct sim_run *run = workload_find(world, row->run);
    const struct sim_task *task = &run->tasks[index];
    struct seen_losses *seen = &run->losses[index];
    bool by_loss = row->reason == REASON_WORKER_LOST || row->reason == REASON_LEASE ||
                   row->reason == REASON_WORKER_STOPPED;
    if (row->state == SPAN_RESET)
        *seen = (struct seen_losses){0};
    if (row->state == TASK_FAILED && by_loss && (!seen->lost || task->on_lost != ON_LOST_FAIL))
        violated(world, "%s of run %llx failed by a loss that is none", task->name,
            (unsigned long long)run->key);
    if (row->state == TASK_FAILED && row->reason == REASON_QUARANTINED &&
        (task->max_losses == 0 || seen->workers < task->max_losses))
        violated(world, "%s of run %llx is quarantined after %u losses", task->name,
            (unsigned long long)run->key, seen->workers);
}
