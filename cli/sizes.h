/*
 * sizes.h - numbers of bytes as a person reads them. Pure.
 */
#ifndef CLI_SIZES_H
#define CLI_SIZES_H

#include "common/buffer.h"

#include <stdint.h>

/* "812 B", "4.0 KiB", "15.6 GiB". */
void sizes_append(uint64_t bytes, struct buffer *out);
/* "20% of 15.6 GiB"; nothing when the whole is 0: not known. */
void sizes_append_part(uint64_t part, uint64_t whole, struct buffer *out);

#endif
