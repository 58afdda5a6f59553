/*
 * hash_file.h - the hash of a file that somebody may write meanwhile: read, not mapped, so that one
 * that becomes shorter is no fault.
 */
#ifndef COMMON_HASH_FILE_H
#define COMMON_HASH_FILE_H

#include "common/error.h"
#include "common/hash.h"

#include <stdint.h>

/* All of fd from its beginning; more than max_bytes are ERR_TOO_BIG. ERR_IO. */
int hash_descriptor(
    int fd, uint64_t max_bytes, struct hash *ret_hash, uint64_t *ret_bytes, struct error *error);

#endif
