/*
 * results_file.h - the format of the journal of results: a first line, then records of {mark,
 * length, group, checksum} and the bytes of a frame, in native order (the file never leaves its
 * host). See results.h. Pure.
 */
#ifndef WORKER_IO_RESULTS_FILE_H
#define WORKER_IO_RESULTS_FILE_H

#include "common/buffer.h"
#include "common/error.h"

#include <stdint.h>

/* Bytes of the first line. */
enum { RESULTS_FILE_HEAD = 16 };

/* Appends the first line. */
void results_file_begin(struct buffer *out);
/* Appends one record, to be sealed. */
void results_file_append(struct buffer *out, struct slice frame);
/* Seals the records from `from` on; `group` is where, in the file, what is synced ends before they
 * are written. */
void results_file_seal(struct buffer *bytes, size_t from, uint64_t group);

/*
 * Calls `take` for each record; *ret_length is where the readable part ends (what follows was never
 * synced). ERR_CORRUPT when synced bytes are damaged, ERR_VERSION for another first line, or take's
 * error.
 */
int results_file_read(struct slice bytes,
    int (*take)(void *context, struct slice frame, struct error *error), void *context,
    size_t *ret_length, struct error *error);

#endif
