/*
 * Gives ready tasks to workers: the best lane's head to the worker with the most free slots, then,
 * in hand, to those that are full; no-ops in turn. And asks for in-hand tasks back when others
 * idle.
 */
#include "common/limits.h"
#include "master/core/state.h"

enum {
    /* In hand for less, a task is likely to start before the question arrives. */
    TAKE_BACK_AFTER_MS = 100,
    /* Bytes that a worker has not acknowledged: it gets no more before it has. */
    UNACKED_MAX_BYTES = CHANNEL_UNACKED_MAX_BYTES / 2,
};

static bool takes_work(const struct core *core, const struct worker *worker)
{
    return worker_is_fresh(core, worker) &&
           channel_unacked_bytes(&worker->channel) < UNACKED_MAX_BYTES;
}

/* The next in turn that has room for a no-op. */
static struct worker *pick_for_noop(struct core *core, struct queue *queue)
{
    for (size_t i = 0; i < queue->worker_count; i++) {
        queue->cursor = (uint32_t)((queue->cursor + 1) % queue->worker_count);
        struct worker *worker = core->workers[queue->workers[queue->cursor]];
        if (worker->noops < NOOPS_IN_FLIGHT_MAX && takes_work(core, worker))
            return worker;
    }
    return NULL;
}

/* It starts as many as it has slots at once, and tells of it a little later: the rest is in its
 * hand. */
static uint32_t taken(const struct worker *worker)
{
    return worker->running + worker->in_hand;
}

/* The one with the most free slots; when none has any, the one with the fewest in hand, at most as
 * many as its slots. */
static struct worker *pick_for_slot(struct core *core, const struct queue *queue)
{
    struct worker *best = NULL, *fullest = NULL;
    for (size_t i = 0; i < queue->worker_count; i++) {
        struct worker *worker = core->workers[queue->workers[i]];
        if (taken(worker) >= 2 * worker->slots || !takes_work(core, worker))
            continue;
        if (worker_free_slots(worker) > 0 &&
            (best == NULL || worker_free_slots(worker) > worker_free_slots(best)))
            best = worker;
        if (fullest == NULL || taken(worker) < taken(fullest))
            fullest = worker;
    }
    return best != NULL ? best : fullest;
}

static enum reason reason_of_error(int code)
{
    if (code == ERR_TOO_BIG)
        return REASON_TOO_BIG;
    return code == ERR_INVALID ? REASON_BAD_VALUE : REASON_MISSING_VALUE;
}

static void assign_to(struct core *core, struct run *run, uint32_t task, struct worker *worker)
{
    struct msg_assign message = {0};
    struct error error = {0};
    int code = assign_render(core, run, task, run->tasks[task].attempt + 1, &message, &error);
    if (code != 0) {
        if (run->tasks[task].live != NONE)
            attempt_bury(core, core->attempts[run->tasks[task].live]);
        task_end(core, run, task, TASK_EVENT_FAIL,
            (struct cause){reason_of_error(code), slice_of(error.text)});
        return;
    }
    struct attempt *attempt = attempt_create(core, run, task, worker);
    message.id = attempt_id_of(core, attempt);
    message.stamp = worker->heartbeat_stamp;
    channel_add(&worker->channel, MESSAGE_assign, &message);
    worker_mark_dirty(core, worker);
}

/* Gives out a queue's tasks while there are workers for them; *budget falls. */
static void dispatch_queue(struct core *core, struct queue *queue, uint32_t *budget)
{
    while (*budget > 0) {
        struct lane *lane = queue_top(core, queue);
        if (lane == NULL)
            return;
        struct worker *worker =
            queue->noop ? pick_for_noop(core, queue) : pick_for_slot(core, queue);
        if (worker == NULL) {
            queue->stuck = true;
            return;
        }
        --*budget;
        arena_reset(&core->scratch);
        assign_to(core, &core->runs[lane->run], lane->head, worker);
    }
}

void dispatch(struct core *core)
{
    core->dispatch_more = false;
    if (!core->loaded || core->fenced || core->ready_count == 0)
        return;
    uint32_t budget = STEP_TASKS_MAX;
    for (size_t i = 0; i < core->queue_count && budget > 0; i++) {
        if (core->queues[i].heap_count > 0 && !core->queues[i].stuck)
            dispatch_queue(core, &core->queues[i], &budget);
    }
    core->dispatch_more = budget == 0;
}

/* The newest task in the worker's hand that nobody asked for yet, or NULL. */
static struct attempt *newest_in_hand(const struct core *core, const struct worker *worker)
{
    for (uint32_t slot = worker->attempts; slot != NONE; slot = core->attempts[slot]->next) {
        struct attempt *attempt = core->attempts[slot];
        if (attempt->state == ATTEMPT_ASSIGNED && attempt->flags == 0)
            return attempt;
    }
    return NULL;
}

static void ask_back(struct core *core, struct worker *worker, struct attempt *attempt)
{
    struct msg_take_back message = {.id = attempt_id_of(core, attempt)};
    attempt->flags |= ATTEMPT_FLAG_ASKED;
    core->asked++;
    channel_add(&worker->channel, MESSAGE_take_back, &message);
    worker_mark_dirty(core, worker);
}

/* One question for each free slot of this queue; tasks in hand for a short time only arm the timer.
 */
static void rebalance_queue(struct core *core, const struct queue *queue)
{
    uint32_t idle = 0;
    for (size_t i = 0; i < queue->worker_count; i++) {
        const struct worker *worker = core->workers[queue->workers[i]];
        if (takes_work(core, worker))
            idle += worker_free_slots(worker);
    }
    idle -= idle < core->asked ? idle : core->asked;
    for (size_t i = 0; i < queue->worker_count && idle > 0; i++) {
        struct worker *worker = core->workers[queue->workers[i]];
        if (!worker->open || worker->running + worker->in_hand <= worker->slots)
            continue;
        struct attempt *attempt = newest_in_hand(core, worker);
        if (attempt == NULL)
            continue;
        if (core->now_ms < attempt->assigned_ms + TAKE_BACK_AFTER_MS) {
            if (!wheel_is_armed(&core->rebalance.timer))
                wheel_arm(&core->wheel, &core->rebalance.timer, core->now_ms + TAKE_BACK_AFTER_MS);
            continue;
        }
        ask_back(core, worker, attempt);
        idle--;
    }
}

void rebalance(struct core *core)
{
    if (!core->loaded || core->fenced)
        return;
    for (size_t i = 0; i < core->queue_count; i += 2) {
        if (core->queues[i].heap_count == 0 && core->queues[i].worker_count > 1)
            rebalance_queue(core, &core->queues[i]);
    }
}
