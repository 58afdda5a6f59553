/*
 * The judge of losses: by what is durable, a task with on_lost fail or hold never starts again by
 * itself, one that lost max_losses workers never again, and none ends so without having lost them.
 * And of doubles: an idempotent task has two attempts at most, and the second only after the host
 * of the first was silent.
 */
#include "tests/sim/checker.h"

#include "common/limits.h"

enum { TRUSTED_AGE_MS = 20000 };

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
    if (run->tasks[row->id.task].unleased && row->reason == REASON_LEASE)
        violated(world, "%s of run %llx has no lease, and was lost by it",
            run->tasks[row->id.task].name, (unsigned long long)run->key);
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

/* ---- two at once ---- */

/* An assignment is known by its row, which says when it was decided, unless somebody has set the
 * clock since. */
static bool decided_at(const struct world *world, const struct attempt_row *row, uint64_t *ret_ms)
{
    int64_t age_ms = wall_of(world) - row->assigned_at;
    if (age_ms < 0 || age_ms > TRUSTED_AGE_MS)
        return false;
    *ret_ms = world->now_ms - (uint64_t)age_ms;
    return true;
}

void losses_see_double(struct world *world, const struct attempt_row *row, const struct host *host)
{
    const struct sim_run *run = workload_find(world, row->id.run);
    const struct sim_task *task = &run->tasks[row->id.task];
    uint64_t decided_ms = 0;
    if (!task->idempotent)
        violated(world, "%s of run %llx has a second attempt, and is not idempotent", task->name,
            (unsigned long long)run->key);
    if (host == NULL || joins_may_bar(world, host) || !decided_at(world, row, &decided_ms))
        return;
    if (host->acked_at_ms < decided_ms && host->acked_at_ms + SILENT_AFTER_MS > decided_ms)
        violated(world, "%s of run %llx has a second attempt, %llu ms after its host was heard",
            task->name, (unsigned long long)run->key,
            (unsigned long long)(decided_ms - host->acked_at_ms));
}

void losses_see_sent(struct world *world, uint64_t peer, struct slice frame)
{
    if (!world->has_idempotent)
        return;
    struct arena arena = {0};
    struct frame_reader reader;
    struct message message;
    if (frame_open(arena_copy(&arena, frame), &arena, &reader, NULL) == 0 &&
        frame_next(&reader, &message, NULL) == 1 && message.number == MESSAGE_heartbeat_ack)
        world->hosts[peer % HOSTS_MAX].acked_at_ms = world->now_ms;
    arena_fini(&arena);
}
