#include "common/wheel.h"

#include <assert.h>
#include <stddef.h>

enum { SLOT_BITS = 6, SLOT_MASK = WHEEL_SLOTS - 1 };
static_assert(1 << SLOT_BITS == WHEEL_SLOTS, "a level is a power of two");

static void list_init(struct wheel_timer *head)
{
    head->next = head;
    head->previous = head;
}

static void list_remove(struct wheel_timer *timer)
{
    timer->next->previous = timer->previous;
    timer->previous->next = timer->next;
    timer->next = NULL;
    timer->previous = NULL;
}

static void list_append(struct wheel_timer *head, struct wheel_timer *timer)
{
    timer->next = head;
    timer->previous = head->previous;
    head->previous->next = timer;
    head->previous = timer;
}

void wheel_init(struct wheel *wheel, uint64_t now_ms)
{
    wheel->tick = now_ms / WHEEL_TICK_MS;
    wheel->armed = 0;
    for (int level = 0; level < WHEEL_LEVELS; level++) {
        wheel->busy[level] = 0;
        for (int slot = 0; slot < WHEEL_SLOTS; slot++)
            list_init(&wheel->slots[level][slot]);
    }
}

/* The tick that is wholly past the due time: firing is never early. */
static uint64_t tick_of(uint64_t due_ms)
{
    return due_ms / WHEEL_TICK_MS + (due_ms % WHEEL_TICK_MS != 0);
}

/*
 * A tick belongs to the lowest level on which it differs from the wheel's tick by less than one
 * turn. One that is farther than the last level's turn lies there in the slot of its own digit, and
 * is put anew each time that slot comes round.
 */
static void put(struct wheel *wheel, struct wheel_timer *timer, uint64_t tick)
{
    uint64_t differing = tick ^ wheel->tick;
    int level = 0;
    while (level < WHEEL_LEVELS - 1 && (differing >> (SLOT_BITS * (level + 1))) != 0)
        level++;
    uint64_t slot = (tick >> (SLOT_BITS * level)) & SLOT_MASK;
    list_append(&wheel->slots[level][slot], timer);
    wheel->busy[level] |= (uint64_t)1 << slot;
}

/* The last of a list leaves its head alone. */
static void take(struct wheel *wheel, struct wheel_timer *timer)
{
    struct wheel_timer *head = timer->next == timer->previous ? timer->next : NULL;
    list_remove(timer);
    if (head == NULL)
        return;
    size_t slot = (size_t)(head - wheel->slots[0]);
    wheel->busy[slot / WHEEL_SLOTS] &= ~((uint64_t)1 << slot % WHEEL_SLOTS);
}

static uint64_t not_before_next(const struct wheel *wheel, uint64_t tick)
{
    return tick <= wheel->tick ? wheel->tick + 1 : tick;
}

void wheel_arm(struct wheel *wheel, struct wheel_timer *timer, uint64_t due_ms)
{
    wheel_disarm(wheel, timer);
    timer->due_ms = due_ms;
    put(wheel, timer, not_before_next(wheel, tick_of(due_ms)));
    wheel->armed++;
}

void wheel_disarm(struct wheel *wheel, struct wheel_timer *timer)
{
    if (!wheel_is_armed(timer))
        return;
    take(wheel, timer);
    wheel->armed--;
}

/* Moves the timers of the upper levels' slots that begin at the wheel's tick down to where they now
 * belong. */
static void cascade(struct wheel *wheel)
{
    for (int level = 1; level < WHEEL_LEVELS; level++) {
        uint64_t below = ((uint64_t)1 << (SLOT_BITS * level)) - 1;
        if ((wheel->tick & below) != 0)
            return;
        struct wheel_timer *head =
            &wheel->slots[level][(wheel->tick >> (SLOT_BITS * level)) & SLOT_MASK];
        struct wheel_timer moved;
        list_init(&moved);
        while (head->next != head) {
            struct wheel_timer *timer = head->next;
            take(wheel, timer);
            list_append(&moved, timer);
        }
        while (moved.next != &moved) {
            struct wheel_timer *timer = moved.next;
            list_remove(timer);
            uint64_t tick = tick_of(timer->due_ms);
            put(wheel, timer, tick < wheel->tick ? wheel->tick : tick);
        }
    }
}

/*
 * The first tick after the wheel's at which some slot has to be looked at; WHEEL_NEVER when all are
 * empty. Whatever lies on a level begins before all that lies on the levels above: a timer goes up
 * a level only because it is past the end of the current turn of the level below.
 */
static uint64_t next_busy_tick(const struct wheel *wheel)
{
    for (int level = 0; level < WHEEL_LEVELS; level++) {
        uint64_t unit = wheel->tick >> (SLOT_BITS * level);
        /* From the slot after the current one; one whole turn ahead is the current one again, where
         * on the last level far timers lie. */
        uint64_t from = (unit + 1) & SLOT_MASK, busy = wheel->busy[level];
        uint64_t turned = from == 0 ? busy : busy >> from | busy << (WHEEL_SLOTS - from);
        if (turned != 0)
            return (unit + 1 + (uint64_t)__builtin_ctzll(turned)) << (SLOT_BITS * level);
    }
    return WHEEL_NEVER;
}

struct wheel_timer *wheel_pop(struct wheel *wheel, uint64_t now_ms)
{
    uint64_t now_tick = now_ms / WHEEL_TICK_MS;
    for (;;) {
        struct wheel_timer *head = &wheel->slots[0][wheel->tick & SLOT_MASK];
        if (head->next != head) {
            struct wheel_timer *timer = head->next;
            take(wheel, timer);
            wheel->armed--;
            return timer;
        }
        if (wheel->tick >= now_tick)
            return NULL;
        uint64_t next = wheel->armed > 0 ? next_busy_tick(wheel) : WHEEL_NEVER;
        wheel->tick = next < now_tick ? next : now_tick;
        cascade(wheel);
    }
}

uint64_t wheel_next_ms(const struct wheel *wheel)
{
    if (wheel->armed == 0)
        return WHEEL_NEVER;
    const struct wheel_timer *head = &wheel->slots[0][wheel->tick & SLOT_MASK];
    if (head->next != head)
        return wheel->tick * WHEEL_TICK_MS;
    return next_busy_tick(wheel) * WHEEL_TICK_MS;
}
