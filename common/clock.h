/*
 * clock.h - the two clocks. Leases, timeouts and timers use boot time (it goes on while the machine
 * sleeps and does not jump); wall time is only for what a person reads and for a retry's due time.
 */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdint.h>

uint64_t clock_boot_ms(void); /* CLOCK_BOOTTIME */
int64_t clock_wall_ms(void);  /* CLOCK_REALTIME, since 1970 UTC */

enum { CLOCK_TEXT_MAX = 32 };
/* RFC 3339, UTC, milliseconds: 2026-11-21T03:00:00.000Z. "-" for 0. */
void clock_format_wall(int64_t wall_ms, char text[CLOCK_TEXT_MAX]);

#endif
