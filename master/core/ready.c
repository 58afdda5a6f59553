/*
 * Ready tasks: a lane for each run, queue and priority, first come first served; a heap of lanes
 * for each queue, by priority, then by the runs' order. No-ops have queues of their own, because
 * they need no slot and must not stand behind a task that does.
 */
#include "common/memory.h"
#include "master/core/state.h"

#include <stdlib.h>

/* ---- queues ---- */

uint32_t queue_get(struct core *core, struct slice name, bool noop)
{
    uint64_t pair = 0;
    if (!names_get(&core->queues_by_name, name, &pair)) {
        pair = core->queue_count / 2;
        for (int i = 0; i < 2; i++) {
            vector_reserve(&core->queues, core->queue_count, &core->queue_capacity);
            core->queues[core->queue_count++] =
                (struct queue){.name = slice_keep(name), .noop = i == 1};
        }
        names_set(&core->queues_by_name, name, pair);
    }
    return (uint32_t)pair * 2 + noop;
}

void queue_add_worker(struct core *core, struct slice name, uint32_t worker)
{
    for (int noop = 0; noop < 2; noop++) {
        uint32_t index = queue_get(core, name, noop == 1); /* may move the array */
        struct queue *queue = &core->queues[index];
        bool known = false;
        for (size_t i = 0; i < queue->worker_count; i++)
            known = known || queue->workers[i] == worker;
        queue->stuck = false;
        if (known)
            continue;
        vector_reserve(&queue->workers, queue->worker_count, &queue->worker_capacity);
        queue->workers[queue->worker_count++] = worker;
    }
}

void queue_remove_worker(struct core *core, uint32_t worker)
{
    for (size_t q = 0; q < core->queue_count; q++) {
        struct queue *queue = &core->queues[q];
        for (size_t i = 0; i < queue->worker_count; i++) {
            if (queue->workers[i] == worker) {
                queue->workers[i] = queue->workers[--queue->worker_count];
                break;
            }
        }
    }
}

void queues_unstick(struct core *core, const struct worker *worker)
{
    for (uint32_t i = 0; i < worker->queue_count; i++) {
        uint32_t index = queue_get(core, worker->queue_names[i], false);
        core->queues[index].stuck = false;
        core->queues[index + 1].stuck = false;
    }
}

/* ---- the heap of lanes ---- */

static struct lane *lane_of(const struct core *core, struct lane_ref ref)
{
    return &core->runs[ref.run].lanes[ref.lane];
}

static bool goes_before(const struct core *core, struct lane_ref a, struct lane_ref b)
{
    const struct lane *left = lane_of(core, a), *right = lane_of(core, b);
    if (left->priority != right->priority)
        return left->priority > right->priority;
    if (core->runs[a.run].order != core->runs[b.run].order)
        return core->runs[a.run].order < core->runs[b.run].order;
    return a.lane < b.lane;
}

static void heap_place(struct core *core, struct queue *queue, size_t position, struct lane_ref ref)
{
    queue->heap[position] = ref;
    lane_of(core, ref)->heap_position = (uint32_t)position;
}

static void heap_up(struct core *core, struct queue *queue, size_t position)
{
    struct lane_ref ref = queue->heap[position];
    while (position > 0 && goes_before(core, ref, queue->heap[(position - 1) / 2])) {
        heap_place(core, queue, position, queue->heap[(position - 1) / 2]);
        position = (position - 1) / 2;
    }
    heap_place(core, queue, position, ref);
}

static void heap_down(struct core *core, struct queue *queue, size_t position)
{
    struct lane_ref ref = queue->heap[position];
    for (;;) {
        size_t child = position * 2 + 1;
        if (child >= queue->heap_count)
            break;
        if (child + 1 < queue->heap_count &&
            goes_before(core, queue->heap[child + 1], queue->heap[child]))
            child++;
        if (!goes_before(core, queue->heap[child], ref))
            break;
        heap_place(core, queue, position, queue->heap[child]);
        position = child;
    }
    heap_place(core, queue, position, ref);
}

static void heap_add(struct core *core, struct run *run, uint32_t lane)
{
    struct queue *queue = &core->queues[run->lanes[lane].queue];
    vector_reserve(&queue->heap, queue->heap_count, &queue->heap_capacity);
    queue->heap[queue->heap_count++] = (struct lane_ref){run_slot(core, run), lane};
    heap_up(core, queue, queue->heap_count - 1);
}

static void heap_remove(struct core *core, struct lane *lane)
{
    struct queue *queue = &core->queues[lane->queue];
    size_t position = lane->heap_position;
    lane->heap_position = NONE;
    struct lane_ref last = queue->heap[--queue->heap_count];
    if (position == queue->heap_count)
        return;
    heap_place(core, queue, position, last);
    heap_up(core, queue, position);
    heap_down(core, queue, lane_of(core, last)->heap_position);
}

struct lane *queue_top(struct core *core, struct queue *queue)
{
    return queue->heap_count > 0 ? lane_of(core, queue->heap[0]) : NULL;
}

/* ---- lanes ---- */

static uint64_t lane_key(uint32_t queue, int32_t priority)
{
    return ((uint64_t)queue << 32) | (uint32_t)priority;
}

void lanes_create(struct core *core, struct run *run)
{
    struct table known = {0};
    struct table queues = {0}; /* string offset and noop -> queue: names are looked up once */
    size_t capacity = 0;
    for (uint32_t i = 0; i < run->task_count; i++) {
        const struct plan_task *plan = run_plan_task(run, i);
        bool noop = plan->kind == OPERATOR_NOOP;
        uint64_t queue_key = (uint64_t)plan->queue * 2 + noop;
        uint64_t queue = 0, lane = 0;
        if (!table_get(&queues, queue_key, &queue)) {
            queue = queue_get(core, plan_string(&run->plan, plan->queue), noop);
            table_set(&queues, queue_key, queue);
        }
        if (!table_get(&known, lane_key((uint32_t)queue, plan->priority_weight), &lane)) {
            vector_reserve(&run->lanes, run->lane_count, &capacity);
            lane = run->lane_count++;
            run->lanes[lane] = (struct lane){
                .run = run_slot(core, run),
                .queue = (uint32_t)queue,
                .priority = plan->priority_weight,
                .head = NONE,
                .tail = NONE,
                .heap_position = NONE,
            };
            table_set(&known, lane_key((uint32_t)queue, plan->priority_weight), lane);
        }
        run->tasks[i].lane = (uint32_t)lane;
    }
    table_fini(&known);
    table_fini(&queues);
}

void lanes_destroy(struct core *core, struct run *run)
{
    for (uint32_t i = 0; i < run->lane_count; i++) {
        if (run->lanes[i].heap_position != NONE)
            heap_remove(core, &run->lanes[i]);
    }
    free(run->lanes);
    run->lanes = NULL;
    run->lane_count = 0;
}

void lane_push(struct core *core, struct run *run, uint32_t index)
{
    struct task *task = &run->tasks[index];
    struct lane *lane = &run->lanes[task->lane];
    task->next = NONE;
    task->previous = lane->tail;
    if (lane->tail != NONE)
        run->tasks[lane->tail].next = index;
    else
        lane->head = index;
    lane->tail = index;
    lane->count++;
    core->ready_count++;
    if (lane->count == 1 && !run->parked)
        heap_add(core, run, task->lane);
}

void lane_remove(struct core *core, struct run *run, uint32_t index)
{
    struct task *task = &run->tasks[index];
    struct lane *lane = &run->lanes[task->lane];
    if (task->previous != NONE)
        run->tasks[task->previous].next = task->next;
    else
        lane->head = task->next;
    if (task->next != NONE)
        run->tasks[task->next].previous = task->previous;
    else
        lane->tail = task->previous;
    lane->count--;
    core->ready_count--;
    if (lane->count == 0 && lane->heap_position != NONE)
        heap_remove(core, lane);
}

void run_park(struct core *core, struct run *run)
{
    uint32_t cap = run->plan.header->max_active_tasks;
    bool parked = run->cancelled || (cap > 0 && run->active >= cap);
    if (parked == run->parked)
        return;
    run->parked = parked;
    for (uint32_t i = 0; i < run->lane_count; i++) {
        struct lane *lane = &run->lanes[i];
        if (parked && lane->heap_position != NONE)
            heap_remove(core, lane);
        else if (!parked && lane->count > 0)
            heap_add(core, run, i);
    }
}
