/*
 * size.h - "256MiB", "256 MiB", "4096 B" <-> bytes. A unit is always written.
 */
#ifndef COMMON_SIZE_H
#define COMMON_SIZE_H

#include "common/error.h"
#include "common/slice.h"

#include <stdint.h>

/* ERR_INVALID with a text that shows the right way; at most 10^12 bytes. */
int size_parse(struct slice text, uint64_t *ret_bytes, struct error *error);

/* "256MiB": the largest unit that divides it; at most 24 bytes with the NUL. */
enum { SIZE_TEXT_MAX = 24 };
void size_format(uint64_t bytes, char text[SIZE_TEXT_MAX]);

#endif
