/*
 * walk.h - passes over msgpack without allocating: what stands here has the counts, lengths and
 * depth that it claims, so that an unpacker, which allocates by the claimed count, may be let loose
 * on it. For decode.c.
 */
#ifndef PROTO_WALK_H
#define PROTO_WALK_H

#include "common/error.h"
#include "common/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* Passes over one value that begins at *position, and moves it to the value's end. ERR_MALFORMED
   when it is cut off, claims more than there is, or is deeper than MESSAGE_DEPTH_MAX. */
int walk_value(struct slice bytes, size_t *position, struct error *error);

/* The first item of an array that begins at `position`, when it is an integer and not
   negative. False otherwise. */
bool walk_first_number(struct slice bytes, size_t position, uint64_t *ret_number);

#endif
