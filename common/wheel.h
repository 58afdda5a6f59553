/*
 * wheel.h - timers in a hierarchical timing wheel (Varghese and Lauck, 1987): add and remove in
 * constant time, 6 levels of 64 slots over ticks of 8 ms (17 years; later ones wait on the last
 * level). Reads no clock: the caller says what time it is, and it never goes back. A timer fires at
 * or up to one tick after its due time, never before. Timers are embedded; the owner keeps them
 * alive while armed.
 */
#ifndef COMMON_WHEEL_H
#define COMMON_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

enum { WHEEL_TICK_MS = 8, WHEEL_LEVELS = 6, WHEEL_SLOTS = 64 };
#define WHEEL_NEVER UINT64_MAX

struct wheel_timer {
    struct wheel_timer *next, *previous; /* NULL while not armed */
    uint64_t due_ms;
};

struct wheel {
    uint64_t tick; /* the last tick that was run */
    uint64_t armed;
    uint64_t busy[WHEEL_LEVELS];                         /* a bit a slot: it is not empty */
    struct wheel_timer slots[WHEEL_LEVELS][WHEEL_SLOTS]; /* list heads */
};

void wheel_init(struct wheel *wheel, uint64_t now_ms);
/*
 * Arms, or arms again, for due_ms. A past time fires at the next tick, so that who arms while
 * popping cannot spin in one tick.
 */
void wheel_arm(struct wheel *wheel, struct wheel_timer *timer, uint64_t due_ms);
/* No effect when it is not armed. */
void wheel_disarm(struct wheel *wheel, struct wheel_timer *timer);
static inline bool wheel_is_armed(const struct wheel_timer *timer)
{
    return timer->next != (void *)0;
}
/* The next timer due at now_ms, disarmed, or NULL when none is left. Call until NULL. */
struct wheel_timer *wheel_pop(struct wheel *wheel, uint64_t now_ms);
/*
 * A time not after the first at which wheel_pop has a timer to give, WHEEL_NEVER when nothing is
 * armed. It may have none then (a far timer has to be moved nearer); after a pop that gave NULL it
 * lies in the future.
 */
uint64_t wheel_next_ms(const struct wheel *wheel);

#endif
