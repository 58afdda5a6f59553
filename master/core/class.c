/*
 * What tasks ask of a worker, and who has it. Tasks that ask the same are one class, whatever their
 * runs; a worker has a seat in each class that it suits, while its session is open. The seats of a
 * class are a heap by the share of slots that are taken, so that a thousand workers cost no more
 * than ten comparisons a task.
 *
 * Whether a seat's worker takes tasks is known from the last look at it: what only time changes (a
 * heartbeat that does not come) is seen when it is about to be picked.
 */
#include "common/limits.h"
#include "common/memory.h"
#include "common/probe.h"
#include "master/core/state.h"

#include <stdlib.h>

/* Bytes that a worker has not acknowledged: it gets no more before it has. */
enum { UNACKED_MAX_BYTES = CHANNEL_UNACKED_MAX_BYTES / 2 };

bool worker_takes_work(const struct core *core, const struct worker *worker)
{
    bool up = worker->state == WORKER_UP || MUTANT(DRAIN_FORGOTTEN);
    return worker->open && up && !worker->full && !worker->resting &&
           core->now_ms - worker->heartbeat_ms < START_FRESH_MS &&
           channel_unacked_bytes(&worker->channel) < UNACKED_MAX_BYTES;
}

/* ---- seats ---- */

/* Of two that take tasks the one with the smaller share of its slots taken, then the larger one. */
static bool sits_before(const struct seat *a, const struct seat *b)
{
    if (a->takes != b->takes)
        return a->takes;
    uint64_t left = (uint64_t)a->taken * b->slots, right = (uint64_t)b->taken * a->slots;
    if (left != right)
        return left < right;
    return a->slots != b->slots ? a->slots > b->slots : a->worker < b->worker;
}

static void seat_place(struct core *core, uint32_t index, uint32_t position, struct seat seat)
{
    core->classes[index].seats[position] = seat;
    core->workers[seat.worker]->members[seat.member].position = position;
}

static void seat_up(struct core *core, uint32_t index, uint32_t position)
{
    const struct class *class = &core->classes[index];
    struct seat seat = class->seats[position];
    while (position > 0 && sits_before(&seat, &class->seats[(position - 1) / 2])) {
        seat_place(core, index, position, class->seats[(position - 1) / 2]);
        position = (position - 1) / 2;
    }
    seat_place(core, index, position, seat);
}

static void seat_down(struct core *core, uint32_t index, uint32_t position)
{
    const struct class *class = &core->classes[index];
    struct seat seat = class->seats[position];
    for (;;) {
        uint32_t child = position * 2 + 1;
        if (child >= class->seat_count)
            break;
        if (child + 1 < class->seat_count &&
            sits_before(&class->seats[child + 1], &class->seats[child]))
            child++;
        if (!sits_before(&class->seats[child], &seat))
            break;
        seat_place(core, index, position, class->seats[child]);
        position = child;
    }
    seat_place(core, index, position, seat);
}

static uint32_t seat_free(const struct seat *seat)
{
    return seat->takes && seat->taken < seat->slots ? seat->slots - seat->taken : 0;
}

/* No-ops take no slot: all have the same share of them in flight. */
static void seat_measure(const struct core *core, const struct class *class, struct seat *seat)
{
    const struct worker *worker = core->workers[seat->worker];
    seat->taken = class->noop ? worker->noops : worker->running + worker->in_hand;
    seat->slots = class->noop ? 1 : worker->slots;
    bool room =
        class->noop ? worker->noops < NOOPS_IN_FLIGHT_MAX : seat->taken < worker_holds_max(worker);
    seat->takes = room && worker_takes_work(core, worker);
}

/* Looks at the seat's worker again, and puts the seat where it belongs now. */
static void seat_refresh(struct core *core, uint32_t index, uint32_t position)
{
    struct class *class = &core->classes[index];
    struct seat *seat = &class->seats[position];
    uint32_t worker = seat->worker, member = seat->member;
    class->free_slots -= seat_free(seat);
    seat_measure(core, class, seat);
    class->free_slots += seat_free(seat);
    seat_up(core, index, position);
    seat_down(core, index, core->workers[worker]->members[member].position);
}

static void seat_add(struct core *core, uint32_t index, struct worker *worker)
{
    struct class *class = &core->classes[index];
    vector_reserve(&class->seats, class->seat_count, &class->seat_capacity);
    vector_reserve(&worker->members, worker->member_count, &worker->member_capacity);
    uint32_t position = (uint32_t) class->seat_count++;
    class->seats[position] =
        (struct seat){.worker = worker->number - 1, .member = (uint32_t)worker->member_count};
    worker->members[worker->member_count++] = (struct member){index, position};
    seat_refresh(core, index, position);
}

static void seat_remove(struct core *core, uint32_t index, uint32_t position)
{
    struct class *class = &core->classes[index];
    struct seat gone = class->seats[position];
    struct worker *worker = core->workers[gone.worker];
    class->free_slots -= seat_free(&gone);
    struct seat last = class->seats[--class->seat_count];
    if (position < class->seat_count) {
        seat_place(core, index, position, last);
        seat_up(core, index, position);
        seat_down(core, index, core->workers[last.worker]->members[last.member].position);
    }
    struct member moved = worker->members[--worker->member_count];
    if (gone.member < worker->member_count) {
        worker->members[gone.member] = moved;
        core->classes[moved.class].seats[moved.position].member = gone.member;
    }
}

struct worker *class_pick(struct core *core, struct class *class)
{
    uint32_t index = (uint32_t)(class - core->classes);
    while (class->seat_count > 0 && class->seats[0].takes) {
        struct worker *worker = core->workers[class->seats[0].worker];
        if (worker_takes_work(core, worker))
            return worker;
        seat_refresh(core, index, 0);
    }
    return NULL;
}

/* ---- workers ---- */

bool texts_hold(struct texts texts, struct slice text)
{
    for (uint32_t i = 0; i < texts.count; i++) {
        if (slice_equal(texts.items[i], text))
            return true;
    }
    return false;
}

const struct operator_line *worker_operator(const struct worker *worker, struct slice name)
{
    for (uint32_t i = 0; i < worker->operator_count; i++) {
        if (slice_equal(worker->operators[i].name, name))
            return &worker->operators[i];
    }
    return NULL;
}

static bool has_program(const struct class *class, const struct worker *worker)
{
    if (class->program.length == 0)
        return true;
    const struct operator_line *line = worker_operator(worker, class->program);
    return line != NULL && line->problem.length == 0;
}

bool class_suits(const struct class *class, const struct worker *worker)
{
    if (!texts_hold(worker->queues, class->queue))
        return false;
    if (class->run_as.length > 0 && !texts_hold(worker->users, class->run_as))
        return false;
    if (!has_program(class, worker))
        return false;
    for (uint32_t i = 0; i < class->labels.count; i++) {
        if (!texts_hold(worker->labels, class->labels.items[i]) && !MUTANT(LABELS_IGNORED))
            return false;
    }
    return true;
}

/* Those that hold more than they have slots, for rebalancing. */
static void list_over(struct core *core, struct worker *worker)
{
    bool over = worker->open && worker->running + worker->in_hand > worker->slots;
    if (over == (worker->over_at != NONE))
        return;
    if (over) {
        vector_reserve(&core->over, core->over_count, &core->over_capacity);
        worker->over_at = (uint32_t)core->over_count;
        core->over[core->over_count++] = worker->number - 1;
        return;
    }
    uint32_t last = core->over[--core->over_count];
    core->over[worker->over_at] = last;
    core->workers[last]->over_at = worker->over_at;
    worker->over_at = NONE;
}

void worker_refresh(struct core *core, struct worker *worker)
{
    for (size_t i = 0; i < worker->member_count; i++)
        seat_refresh(core, worker->members[i].class, worker->members[i].position);
    list_over(core, worker);
}

void worker_sit(struct core *core, struct worker *worker)
{
    for (uint32_t i = 0; i < core->class_count; i++) {
        if (core->classes[i].lanes > 0 && class_suits(&core->classes[i], worker))
            seat_add(core, i, worker);
    }
    list_over(core, worker);
}

void worker_stand(struct core *core, struct worker *worker)
{
    while (worker->member_count > 0) {
        struct member last = worker->members[worker->member_count - 1];
        seat_remove(core, last.class, last.position);
    }
    list_over(core, worker);
}

/* ---- classes ---- */

static void add_to_key(struct buffer *key, struct slice text)
{
    uint32_t length = (uint32_t)text.length;
    buffer_append(key, &length, sizeof length);
    buffer_append_slice(key, text);
}

/* Each text behind its length, the first a byte that is 1 for a no-op. */
static void make_key(const struct plan *plan, uint32_t task, struct buffer *key)
{
    const struct plan_task *asked = &plan->tasks[task];
    struct plan_list labels = plan_labels(plan, task);
    buffer_append(key, asked->kind == OPERATOR_NOOP ? "\1" : "\0", 1);
    add_to_key(key, plan_string(plan, asked->queue));
    add_to_key(key, plan_string(plan, plan_body(plan, task)->run_as));
    add_to_key(key, plan_program(plan, task));
    for (uint32_t i = 0; i < labels.count; i++)
        add_to_key(key, plan_string(plan, plan_items(plan, labels)[i]));
}

static struct slice next_of_key(struct slice *key)
{
    uint32_t length = 0;
    memcpy(&length, key->ptr, sizeof length);
    struct slice text = slice_make(key->ptr + sizeof length, length);
    *key = slice_make(text.ptr + length, key->length - sizeof length - length);
    return text;
}

static uint32_t class_create(struct core *core, struct slice key, uint32_t label_count)
{
    uint32_t index = core->free_classes;
    if (index == NONE) {
        vector_reserve(&core->classes, core->class_count, &core->class_capacity);
        index = (uint32_t)core->class_count++;
    } else {
        core->free_classes = core->classes[index].next_free;
    }
    struct class *class = &core->classes[index];
    *class = (struct class){.key = slice_keep(key), .noop = key.ptr[0] == '\1'};
    struct slice rest = slice_make(class->key.ptr + 1, key.length - 1);
    class->queue = next_of_key(&rest);
    class->run_as = next_of_key(&rest);
    class->program = next_of_key(&rest);
    class->labels.items = xcalloc(label_count, sizeof *class->labels.items);
    while (class->labels.count < label_count)
        class->labels.items[class->labels.count++] = next_of_key(&rest);
    names_set(&core->classes_by_key, key, index);
    for (size_t i = 0; i < core->worker_count; i++) {
        if (core->workers[i]->open && class_suits(class, core->workers[i]))
            seat_add(core, index, core->workers[i]);
    }
    return index;
}

uint32_t class_take(struct core *core, const struct plan *plan, uint32_t task)
{
    struct buffer key = {0};
    uint64_t index = 0;
    make_key(plan, task, &key);
    if (!names_get(&core->classes_by_key, buffer_slice(&key), &index))
        index = class_create(core, buffer_slice(&key), plan_labels(plan, task).count);
    core->classes[index].lanes++;
    buffer_fini(&key);
    return (uint32_t)index;
}

static void class_fini(struct class *class)
{
    slice_free(&class->key);
    free(class->labels.items);
    free(class->heap);
    free(class->seats);
}

void class_drop(struct core *core, uint32_t index)
{
    struct class *class = &core->classes[index];
    assert(class->lanes > 0);
    if (--class->lanes > 0)
        return;
    assert(class->heap_count == 0 && "ready lanes are lanes");
    while (class->seat_count > 0)
        seat_remove(core, index, (uint32_t) class->seat_count - 1);
    (void)names_remove(&core->classes_by_key, class->key);
    class_fini(class);
    *class = (struct class){.next_free = core->free_classes};
    core->free_classes = index;
}

void classes_fini(struct core *core)
{
    for (size_t i = 0; i < core->class_count; i++)
        class_fini(&core->classes[i]);
    free(core->classes);
    free(core->runnable);
    free(core->over);
    names_fini(&core->classes_by_key);
}
