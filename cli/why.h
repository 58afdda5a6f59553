/*
 * why.h - why a task or an attempt is as it is, and how far, on one line.
 */
#ifndef CLI_WHY_H
#define CLI_WHY_H

#include "common/buffer.h"
#include "proto/proto.h"

/* The error, made printable; else the reason's name, unless the state (its name) says it already.
 * May append nothing. */
void why_append(const char *state, uint32_t reason, struct slice error, struct buffer *out);

/* How far its operator says it is: "54 of 204, 1 of 3 stages". Nothing when it said nothing. */
void why_append_progress(struct slice text, int64_t done, int64_t total, struct buffer *out);

#endif
