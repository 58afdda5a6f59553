/*
 * copy.h - a file's bytes into another file, shared where the file system can (reflink), else
 * copied in the kernel, else by hand. Never a hard link: who writes one of them does not change the
 * other.
 */
#ifndef COMMON_COPY_H
#define COMMON_COPY_H

#include "common/error.h"

#include <stdint.h>

/*
 * Copies all of `from`, from its beginning, into `to`, which is empty and at its beginning.
 * *ret_bytes (may be NULL) is how many there were; more than max_bytes are ERR_TOO_BIG.
 * ERR_NO_SPACE, ERR_IO.
 */
int copy_descriptor(int from, int to, uint64_t max_bytes, uint64_t *ret_bytes, struct error *error);

#endif
