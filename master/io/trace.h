/*
 * trace.h - REEVE_TRACE=1: each frame's messages as lines of the log. For people who look for a
 * mistake in reeve.
 */
#ifndef MASTER_IO_TRACE_H
#define MASTER_IO_TRACE_H

#include "common/slice.h"

#include <stdint.h>

/* `port` and `direction` ("<" came, ">" leaves) begin the line. */
void trace_frame(const char *port, uint64_t peer, const char *direction, struct slice frame);

#endif
