/*
 * duration.h - "90s", "5m", "1h30m", "2d", "250ms" <-> milliseconds. A unit is always written;
 * units fall in order, each at most once (d h m s ms); the sum fits 10 years.
 */
#ifndef COMMON_DURATION_H
#define COMMON_DURATION_H

#include "common/error.h"
#include "common/slice.h"

#include <stdint.h>

/* ERR_INVALID with a text that shows the right way ("300" -> write 300s or 5m). */
int duration_parse(struct slice text, uint64_t *ret_ms, struct error *error);

enum { DURATION_TEXT_MAX = 40 };
/* The writing with the largest units first, "1m30s"; duration_parse reads it back to the same
 * number. 0 is "0s". */
void duration_format(uint64_t ms, char text[DURATION_TEXT_MAX]);
/* How long something takes, for people: 0.4s, 42s, 3m12s, 2h05m, 3d04h. */
void duration_format_short(uint64_t ms, char text[DURATION_TEXT_MAX]);

#endif
