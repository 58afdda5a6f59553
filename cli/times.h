/*
 * times.h - spans of time as a person reads them.
 */
#ifndef CLI_TIMES_H
#define CLI_TIMES_H

#include "common/buffer.h"

#include <stdint.h>

/* "0.8s", "12s", "1m12s", "3h04m", "2d03h". Negative spans (clocks were set) are "0.0s". */
void times_append_span(int64_t ms, struct buffer *out);
/* From start to end, or to now when it has not ended; "-" when it has not started. WALL
 * milliseconds. */
void times_append_between(int64_t start, int64_t end, int64_t now, struct buffer *out);
/* RFC 3339 UTC with milliseconds, "-" for 0. */
void times_append_moment(int64_t wall_ms, struct buffer *out);

#endif
