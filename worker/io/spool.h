/*
 * spool.h - the log of one attempt on this host's disk, until the master has kept it: the bytes of
 * the attempt's pipe, moved by splice(2), at their own offsets in one file.
 *
 * The file is made with the first byte. An offset in it is that of the whole stream, so that its
 * length is all that an agent needs to go on after a kill -9. Past the limit the middle is cut as
 * more arrives: the first half of the limit stays for good, the last half moves on, and what lies
 * between is given back to the disk (a hole). The file system knows the hole, so it too survives
 * the agent.
 *
 * Marks (when bytes arrived) are kept in memory only: bytes that a killed agent had not shipped get
 * the time at which they are seen next. One thread.
 */
#ifndef WORKER_IO_SPOOL_H
#define WORKER_IO_SPOOL_H

#include "common/buffer.h"
#include "common/error.h"
#include "proto/proto.h"

#include <stdbool.h>
#include <stdint.h>

struct spool {
    char *path;        /* owned */
    int fd;            /* -1: not open */
    uint64_t length;   /* of the stream so far */
    uint64_t limit;    /* 0: not known yet, nothing is cut */
    uint64_t head_end; /* bytes before it are never cut */
    uint64_t cut_end;  /* bytes from head_end to here are gone; 0: none */
    struct log_mark *marks;
    size_t mark_count, mark_capacity;
};

/* Takes up the file where it is there; makes none. */
int spool_open(
    struct spool *spool, const char *folder, const struct attempt_id *id, struct error *error);
/* Closes the file and frees; the file stays. */
void spool_close(struct spool *spool);
/* Removes the file. */
void spool_remove(struct spool *spool);
/* Gives the descriptor back until it is needed again. */
void spool_rest(struct spool *spool);

/* The attempt's log_limit; the first one counts. */
void spool_set_limit(struct spool *spool, uint64_t limit);

/* On disk: the stream less what was cut. */
uint64_t spool_bytes(const struct spool *spool);

enum spool_moved { SPOOL_EMPTY, SPOOL_MORE, SPOOL_END };
/*
 * Moves what the pipe holds, at most SPOOL_ROUND_BYTES: SPOOL_EMPTY when no more is there now,
 * SPOOL_MORE at the bound, SPOOL_END when every writer is gone (a pipe that never held a byte is
 * only ever empty). ERR_NO_SPACE: nothing was lost, what is left waits in the pipe. ERR_IO.
 */
enum { SPOOL_ROUND_BYTES = 1024 * 1024 };
int spool_take(struct spool *spool, int pipe, uint64_t now_ms, struct error *error);

/*
 * What may be read now from `offset` on: the stream's whole length once it has `ended`, else not
 * past the head, since what lies behind may yet be cut.
 */
uint64_t spool_readable(const struct spool *spool, bool ended);
/*
 * Appends up to `limit` bytes from offset, after *ret_skipped bytes that were cut there. 0 also
 * when nothing is to be read.
 */
int spool_read(struct spool *spool, uint64_t offset, size_t limit, struct buffer *out,
    uint64_t *ret_skipped, struct error *error);

/* The marks of [from, to): borrowed until the next spool_take. */
const struct log_mark *spool_marks(
    const struct spool *spool, uint64_t from, uint64_t to, uint32_t *ret_count);
/* Marks of bytes before `offset` are not asked for again. */
void spool_forget_marks(struct spool *spool, uint64_t offset);

#endif
