/*
 * Ready tasks: a lane for each run, class and priority, first come first served; a heap of lanes
 * for each class, by priority, then by the runs' order.
 */
#include "common/memory.h"
#include "common/probe.h"
#include "master/core/state.h"

#include <stdlib.h>

/* ---- the heap of lanes ---- */

static struct lane *lane_of(const struct core *core, struct lane_ref ref)
{
    return &core->runs[ref.run].lanes[ref.lane];
}

int lanes_compare(const struct core *core, struct lane_ref a, struct lane_ref b)
{
    const struct lane *left = lane_of(core, a), *right = lane_of(core, b);
    if (left->priority != right->priority)
        return left->priority > right->priority ? -1 : 1;
    uint64_t before = core->runs[a.run].order, after = core->runs[b.run].order;
    return (before > after) - (before < after);
}

static bool goes_before(const struct core *core, struct lane_ref a, struct lane_ref b)
{
    int order = lanes_compare(core, a, b);
    return order != 0 ? order < 0 : a.lane < b.lane;
}

static void heap_place(struct core *core, struct class *class, size_t position, struct lane_ref ref)
{
    class->heap[position] = ref;
    lane_of(core, ref)->heap_position = (uint32_t)position;
}

static void heap_up(struct core *core, struct class *class, size_t position)
{
    struct lane_ref ref = class->heap[position];
    while (position > 0 && goes_before(core, ref, class->heap[(position - 1) / 2])) {
        heap_place(core, class, position, class->heap[(position - 1) / 2]);
        position = (position - 1) / 2;
    }
    heap_place(core, class, position, ref);
}

static void heap_down(struct core *core, struct class *class, size_t position)
{
    struct lane_ref ref = class->heap[position];
    for (;;) {
        size_t child = position * 2 + 1;
        if (child >= class->heap_count)
            break;
        if (child + 1 < class->heap_count &&
            goes_before(core, class->heap[child + 1], class->heap[child]))
            child++;
        if (!goes_before(core, class->heap[child], ref))
            break;
        heap_place(core, class, position, class->heap[child]);
        position = child;
    }
    heap_place(core, class, position, ref);
}

static void heap_add(struct core *core, struct run *run, uint32_t lane)
{
    struct class *class = &core->classes[run->lanes[lane].class];
    vector_reserve(&class->heap, class->heap_count, &class->heap_capacity);
    class->heap[class->heap_count++] = (struct lane_ref){run_slot(core, run), lane};
    heap_up(core, class, class->heap_count - 1);
}

static void heap_remove(struct core *core, struct lane *lane)
{
    struct class *class = &core->classes[lane->class];
    size_t position = lane->heap_position;
    lane->heap_position = NONE;
    struct lane_ref last = class->heap[--class->heap_count];
    if (position == class->heap_count)
        return;
    heap_place(core, class, position, last);
    heap_up(core, class, position);
    heap_down(core, class, lane_of(core, last)->heap_position);
}

struct lane_ref class_top(const struct class *class)
{
    assert(class->heap_count > 0);
    return class->heap[0];
}

/* ---- lanes ---- */

/* Classes and lanes of a run, found by what tells them apart in its plan, so that texts are
 * compared once for each. */
struct lane_maker {
    struct core *core;
    struct run *run;
    struct table classes; /* string offsets -> class */
    struct table known;   /* class and priority -> lane */
    size_t capacity;
};

/* Tasks alike in this have one class. The offset of a body is above 1. */
static uint64_t demand_key(const struct plan *plan, uint32_t task)
{
    const struct plan_task *asked = &plan->tasks[task];
    bool plain = plan_labels(plan, task).count == 0 && plan_body(plan, task)->run_as == 0 &&
                 plan_program(plan, task).length == 0;
    uint32_t rest = plain ? asked->kind == OPERATOR_NOOP : asked->body;
    return ((uint64_t)asked->queue << 32) | rest;
}

static uint32_t make_lane(struct lane_maker *maker, uint32_t class, int32_t priority)
{
    struct run *run = maker->run;
    vector_reserve(&run->lanes, run->lane_count, &maker->capacity);
    run->lanes[run->lane_count] = (struct lane){
        .run = run_slot(maker->core, run),
        .class = class,
        .priority = priority,
        .head = NONE,
        .tail = NONE,
        .heap_position = NONE,
    };
    return run->lane_count++;
}

static uint32_t lane_for(struct lane_maker *maker, uint32_t task)
{
    const struct plan *plan = &maker->run->plan;
    int32_t priority = plan->tasks[task].priority_weight;
    uint64_t demand = demand_key(plan, task), class = 0, lane = 0;
    bool taken = false;
    if (!table_get(&maker->classes, demand, &class)) {
        class = class_take(maker->core, plan, task);
        taken = true;
        table_set(&maker->classes, demand, class);
    }
    uint64_t key = (class << 32) | (uint32_t)priority;
    if (!table_get(&maker->known, key, &lane)) {
        if (!taken)
            maker->core->classes[class].lanes++;
        lane = make_lane(maker, (uint32_t) class, priority);
        table_set(&maker->known, key, lane);
    } else if (taken) {
        class_drop(maker->core, (uint32_t) class);
    }
    return (uint32_t)lane;
}

void lanes_create(struct core *core, struct run *run)
{
    struct lane_maker maker = {.core = core, .run = run};
    for (uint32_t i = 0; i < run->task_count; i++)
        run->tasks[i].lane = lane_for(&maker, i);
    table_fini(&maker.classes);
    table_fini(&maker.known);
}

void lanes_destroy(struct core *core, struct run *run)
{
    for (uint32_t i = 0; i < run->lane_count; i++) {
        if (run->lanes[i].heap_position != NONE)
            heap_remove(core, &run->lanes[i]);
        class_drop(core, run->lanes[i].class);
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
    bool capped = cap > 0 && run->active >= cap && !MUTANT(TASKS_UNCAPPED);
    bool parked = run->cancelled || capped;
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
