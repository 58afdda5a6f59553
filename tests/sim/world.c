/*
 * The clock, the queue of what will happen, and the dice.
 */
#include "tests/sim/world.h"

#include "common/memory.h"
#include "common/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void dice_throw(struct world *world)
{
    for (uint32_t i = 0; i < DICE_COUNT; i++)
        world->dice[i] = hash_mix(world->seed * 0x9e3779b97f4a7c15u + i);
}

uint64_t draw(struct world *world, enum dice dice)
{
    world->dice[dice] += 0x9e3779b97f4a7c15u;
    return hash_mix(world->dice[dice]);
}

uint32_t draw_below(struct world *world, enum dice dice, uint32_t below)
{
    return below == 0 ? 0 : (uint32_t)(draw(world, dice) % below);
}

bool draw_percent(struct world *world, enum dice dice, uint32_t percent)
{
    return draw_below(world, dice, 100) < percent;
}

bool is_kept(struct world *world)
{
    uint32_t item = world->items++;
    return item >= world->left_out_count || !world->left_out[item];
}

bool dies_here(struct world *world)
{
    return world_is_bad(world) && world->faults.split_percent > 0 &&
           draw_below(world, DICE_FAULTS, 10000) < world->faults.split_percent;
}

bool world_is_bad(const struct world *world)
{
    return world->now_ms < world->faults.end_ms;
}

/* Somewhere in 2026, and a clock that a person sets wrong does no harm. */
int64_t wall_of(const struct world *world)
{
    return 1780000000000 + (int64_t)world->now_ms + world->wall_jump_ms;
}

static bool before(const struct due *a, const struct due *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static struct happening *new_happening(struct world *world)
{
    struct happening *happening =
        world->past_count > 0 ? world->past[--world->past_count] : xmalloc(sizeof *happening);
    *happening = (struct happening){0};
    return happening;
}

struct happening *plan_ahead(struct world *world, uint64_t delay_ms, happening_fn happen)
{
    vector_reserve(&world->heap, world->heap_count, &world->heap_capacity);
    struct due new = {world->now_ms + delay_ms, world->order++, new_happening(world)};
    size_t at = world->heap_count++;
    while (at > 0 && before(&new, &world->heap[(at - 1) / 2])) {
        world->heap[at] = world->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    world->heap[at] = new;
    new.happening->happen = happen;
    return new.happening;
}

void alarm_set(
    struct world *world, struct alarm *alarm, uint64_t at_ms, const struct happening *happening)
{
    alarm->at_ms = at_ms;
    if (at_ms == UINT64_MAX || (alarm->planned_ms != 0 && alarm->planned_ms <= at_ms))
        return;
    struct happening *planned = plan_ahead(world, at_ms - world->now_ms, happening->happen);
    planned->host = happening->host;
    planned->number = ++alarm->number;
    alarm->planned_ms = at_ms;
}

bool alarm_rings(struct world *world, struct alarm *alarm, const struct happening *happening)
{
    if (happening->number != alarm->number)
        return false;
    alarm->planned_ms = 0;
    if (alarm->at_ms <= world->now_ms)
        return true;
    alarm_set(world, alarm, alarm->at_ms, happening);
    return false;
}

bool world_next(struct world *world, struct happening *ret_happening)
{
    if (world->heap_count == 0)
        return false;
    struct due first = world->heap[0], last = world->heap[--world->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= world->heap_count)
            break;
        if (child + 1 < world->heap_count && before(&world->heap[child + 1], &world->heap[child]))
            child++;
        if (!before(&world->heap[child], &last))
            break;
        world->heap[at] = world->heap[child];
        at = child;
    }
    world->heap[at] = last;
    world->now_ms = first.at_ms;
    *ret_happening = *first.happening;
    vector_reserve(&world->past, world->past_count, &world->past_capacity);
    world->past[world->past_count++] = first.happening;
    return true;
}

void world_forget_happenings(struct world *world)
{
    for (size_t i = 0; i < world->heap_count; i++) {
        free(world->heap[i].happening->bytes);
        free(world->heap[i].happening);
    }
    for (size_t i = 0; i < world->past_count; i++)
        free(world->past[i]);
    free(world->heap);
    free(world->past);
}

void tell(struct world *world, const char *format, ...)
{
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    world->hash = hash_mix(world->hash ^ hash_bytes(slice_of(text)) ^ world->now_ms);
    if (world->story)
        (void)printf("%8llu.%03llu  %s\n", (unsigned long long)(world->now_ms / 1000),
            (unsigned long long)(world->now_ms % 1000), text);
}

void violated(struct world *world, const char *format, ...)
{
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    (void)fflush(stdout);
    (void)fprintf(stderr, "VIOLATION at %llu ms: %s\n  replay: tests/sim/replay %llu\n",
        (unsigned long long)world->now_ms, text, (unsigned long long)world->seed);
    exit(1);
}
