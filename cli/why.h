/*
 * why.h - why a task or an attempt is as it is, on one line.
 */
#ifndef CLI_WHY_H
#define CLI_WHY_H

#include "common/buffer.h"
#include "proto/proto.h"

/* The error, made printable; else the reason's name, unless the state (its name) says it already.
 * May append nothing. */
void why_append(const char *state, uint32_t reason, struct slice error, struct buffer *out);

#endif
