/*
 * Gives ready tasks to workers: the best lane's head to the worker with the smallest share of its
 * slots taken, up to a second task a slot in hand (more, where they end within milliseconds);
 * no-ops apart. And asks for in-hand tasks back when others idle.
 */
#include "common/limits.h"
#include "common/memory.h"
#include "master/core/state.h"

enum {
    /* In hand for less, a task is likely to start before the question arrives. So long, too, until
       the next look at who idles. */
    TAKE_BACK_AFTER_MS = 100
};

static enum reason reason_of_error(int code)
{
    if (code == ERR_TOO_BIG)
        return REASON_TOO_BIG;
    if (code == ERR_REFUSED)
        return REASON_CONNECTION;
    return code == ERR_INVALID ? REASON_BAD_VALUE : REASON_MISSING_VALUE;
}

/* Before the frame: the first byte of the log meets its mask. */
static void tell_of_connections(
    struct core *core, const struct run *run, const struct msg_assign *message)
{
    const struct plan_list list = plan_connections(&run->plan, message->id.task);
    struct handed_effect *handed = effects_add_handed(core->effects);
    handed->id = message->id;
    if (list.count == 0)
        return;
    handed->connections.items =
        arena_alloc(&core->effects->arena, list.count * sizeof *handed->connections.items);
    for (uint32_t i = 0; i < list.count; i++)
        handed->connections.items[handed->connections.count++] = arena_copy(
            &core->effects->arena, plan_string(&run->plan, plan_items(&run->plan, list)[i]));
}

static void assign_to(struct core *core, struct run *run, uint32_t task, struct worker *worker)
{
    struct msg_assign message = {0};
    struct error error = {0};
    int code =
        assign_render(core, run, task, attempt_next_number(core, run, task), &message, &error);
    if (code != 0) {
        if (run->tasks[task].live != NONE)
            attempt_dismiss(core, core->attempts[run->tasks[task].live]);
        task_end(core, run, task, TASK_EVENT_FAIL,
            (struct cause){reason_of_error(code), slice_of(error.text)});
        return;
    }
    struct attempt *attempt = attempt_create(core, run, task, worker);
    message.id = attempt_id_of(core, attempt);
    message.stamp = worker->heartbeat_stamp;
    if (message.kind != OPERATOR_NOOP && core->connections.count > 0)
        tell_of_connections(core, run, &message);
    channel_add(&worker->channel, MESSAGE_assign, &message);
    worker_mark_dirty(core, worker);
}

/* ---- which class comes next ---- */

static uint32_t demands(const struct class *class)
{
    return class->labels.count + (class->run_as.length > 0) + (class->program.length > 0);
}

/*
 * Classes share workers: the one whose best lane comes first is served first. Of two equal ones
 * that of fewer workers, then the one that asks for more: the other may go elsewhere.
 */
static bool class_goes_before(const struct core *core, uint32_t a, uint32_t b)
{
    const struct class *left = &core->classes[a], *right = &core->classes[b];
    int order = lanes_compare(core, class_top(left), class_top(right));
    if (order != 0)
        return order < 0;
    if (left->seat_count != right->seat_count)
        return left->seat_count < right->seat_count;
    return demands(left) != demands(right) ? demands(left) > demands(right) : a < b;
}

static bool class_is_runnable(const struct class *class)
{
    return class->heap_count > 0 && class->seat_count > 0 && class->seats[0].takes;
}

static void list_runnable(struct core *core)
{
    core->runnable_count = 0;
    for (uint32_t i = 0; i < core->class_count; i++) {
        if (!class_is_runnable(&core->classes[i]))
            continue;
        vector_reserve(&core->runnable, core->runnable_count, &core->runnable_capacity);
        core->runnable[core->runnable_count++] = i;
    }
}

/* Puts the first of the runnable at the front, and the one after it behind; drops those that are
 * not any more. False when none is left. */
static bool sort_runnable(struct core *core)
{
    uint32_t *list = core->runnable;
    for (size_t i = 0; i < core->runnable_count;) {
        if (!class_is_runnable(&core->classes[list[i]])) {
            list[i] = list[--core->runnable_count];
            continue;
        }
        for (size_t at = 0; at < 2 && at < i; at++) {
            if (class_goes_before(core, list[i], list[at])) {
                uint32_t better = list[i];
                list[i] = list[at];
                list[at] = better;
            }
        }
        i++;
    }
    return core->runnable_count > 0;
}

/* Gives out the first class's tasks while it is the first and there are workers for them. */
static void dispatch_first(struct core *core, uint32_t *budget)
{
    uint32_t first = core->runnable[0];
    while (*budget > 0 && core->classes[first].heap_count > 0) {
        if (core->runnable_count > 1 && core->classes[core->runnable[1]].heap_count > 0 &&
            !class_goes_before(core, first, core->runnable[1]))
            return;
        struct worker *worker = class_pick(core, &core->classes[first]);
        if (worker == NULL)
            return;
        --*budget;
        struct lane_ref top = class_top(&core->classes[first]);
        struct run *run = &core->runs[top.run];
        arena_reset(&core->scratch);
        assign_to(core, run, run->lanes[top.lane].head, worker);
    }
}

void dispatch(struct core *core)
{
    core->dispatch_more = false;
    if (!core->loaded || core->fenced || core->restoring || core->ready_count == 0)
        return;
    uint32_t budget = STEP_TASKS_MAX;
    /* A task that could not be rendered may have made way for others: looked at again. */
    for (list_runnable(core); core->runnable_count > 0 && budget > 0; list_runnable(core)) {
        while (budget > 0 && sort_runnable(core))
            dispatch_first(core, &budget);
    }
    core->dispatch_more = budget == 0;
}

/* ---- what others could do ---- */

void attempt_ask_back(struct core *core, struct attempt *attempt)
{
    struct worker *worker = core->workers[attempt->worker];
    struct msg_take_back message = {.id = attempt_id_of(core, attempt)};
    attempt->flags |= ATTEMPT_FLAG_ASKED;
    core->asked++;
    channel_add(&worker->channel, MESSAGE_take_back, &message);
    worker_mark_dirty(core, worker);
}

/* Whether workers of this class have slots for which nothing is ready, and which no question that
 * is under way may fill. */
static bool class_idles(const struct core *core, const struct class *class)
{
    return !class->noop && class->heap_count == 0 && class->free_slots > core->asked;
}

static bool any_idles(const struct core *core)
{
    for (size_t i = 0; i < core->class_count; i++) {
        if (class_idles(core, &core->classes[i]))
            return true;
    }
    return false;
}

/* Asks for the newest tasks in a worker's hand that others could start now. */
static void relieve(struct core *core, const struct worker *worker)
{
    uint32_t surplus = worker->running + worker->in_hand - worker->slots;
    uint32_t next = worker->attempts;
    while (next != NONE && surplus > 0) {
        struct attempt *attempt = core->attempts[next];
        next = attempt->next;
        const struct run *run = &core->runs[attempt->run];
        uint32_t class = run->lanes[run->tasks[attempt->task].lane].class;
        surplus -= (attempt->flags & ATTEMPT_FLAG_ASKED) != 0;
        if (attempt->state != ATTEMPT_ASSIGNED || attempt->flags != 0 ||
            !class_idles(core, &core->classes[class]))
            continue;
        if (core->now_ms < attempt->assigned_ms + TAKE_BACK_AFTER_MS)
            return;
        attempt_ask_back(core, attempt);
        surplus--;
    }
}

void rebalance(struct core *core)
{
    if (!core->loaded || core->fenced || core->over_count == 0 ||
        wheel_is_armed(&core->rebalance.timer) || !any_idles(core))
        return;
    for (size_t i = 0; i < core->over_count; i++)
        relieve(core, core->workers[core->over[i]]);
    wheel_arm(&core->wheel, &core->rebalance.timer, core->now_ms + TAKE_BACK_AFTER_MS);
}
