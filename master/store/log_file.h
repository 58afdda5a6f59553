/*
 * log_file.h - one attempt's log on disk.
 *
 * DIR/logs/RUN/TASK.MAP.ATTEMPT.log holds the bytes as they came. While its mode is 0600 it grows;
 * log_finish takes the right to write away (0400) and then appends a trailer with the stream's
 * length, in this order: a read-only file with a true trailer is complete, one without is what a
 * crash interrupted, and up to a trailer's length is cut off it, which the worker still has. One
 * fsync makes it all last.
 *
 * ….idx comes to be when a second mark or a cut gap arrives; a task that prints a line has none.
 * Its one mark, the time of its first byte, lies in the trailer, and until then in memory, or after
 * a restart in the file's mtime, which is near. The index is a magic and records of equal size,
 * each with a check; a torn tail is cut off. Marks may be lost with their tail. A gap may not, or
 * the bytes after it would stand at wrong offsets: what comes before it, then the gap, is synced
 * before a byte after it is written.
 *
 * A checksum for each LOG_SUM_BYTES of the file is a record too, written with the marks of the
 * append that filled them; that of the last, shorter stretch lies in the trailer, and until then in
 * memory. Sums that a torn tail took along are made again from the file.
 */
#ifndef MASTER_STORE_LOG_FILE_H
#define MASTER_STORE_LOG_FILE_H

#include "master/store/blob_store.h"
#include "master/store/log_sum.h"

#include <assert.h>

struct log_gap {
    uint64_t offset; /* in the stream, where the cut part begins */
    uint64_t skipped;
};

enum log_record_kind { LOG_RECORD_MARK = 1, LOG_RECORD_GAP = 2, LOG_RECORD_SUM = 3 };

struct log_record {
    uint64_t offset; /* in the stream; a sum's: where its bytes end */
    uint64_t value;  /* a mark: wall time; a gap: bytes skipped; a sum: itself */
    uint32_t kind;
    uint32_t check;
};

static_assert(sizeof(struct log_record) == 24, "log_record is on disk");

struct log_trailer {
    char magic[8];
    uint64_t length; /* of the stream */
    int64_t first_at;
    uint64_t sum; /* of the bytes behind the last whole LOG_SUM_BYTES */
    uint64_t check;
};

static_assert(sizeof(struct log_trailer) == 40, "log_trailer is on disk");

enum { LOG_INDEX_HEAD_BYTES = 8 };

struct log_file {
    struct attempt_id id;
    pthread_mutex_t mutex; /* held by whoever acquired it, but for a sync */
    char *path;            /* without ".log" */
    int log_fd, index_fd;  /* index_fd: -1 when there is none */
    uint64_t bytes;        /* of data in the file */
    uint64_t skipped;      /* in all gaps */
    struct log_gap *gaps;  /* ascending */
    size_t gap_count, gap_capacity;
    uint64_t index_bytes;
    uint64_t *sums; /* of the file's stretches that stand in the index, in their order */
    size_t sum_count, sum_capacity;
    struct log_record *new_sums; /* that do not stand there yet */
    size_t new_sum_count, new_sum_capacity;
    struct log_sum tail; /* of what follows them, while it grows */
    uint64_t tail_sum;   /* likewise, when it is complete */
    uint64_t marked;     /* offset of the last mark */
    int64_t first_at;    /* wall time of the first byte; 0: none came */
    bool complete, synced;
    uint32_t users; /* under the store's mutex, as last_use and removed */
    bool removed;   /* it is not among the open logs any more */
    uint64_t last_use;
};

static inline uint64_t log_file_length(const struct log_file *file)
{
    return file->bytes + file->skipped;
}

/*
 * The log, opened and made consistent; given back by log_file_release. ERR_NOT_FOUND when it is not
 * there and `make` is false.
 */
int log_file_acquire(struct blob_store *store, const struct attempt_id *id, bool make,
    struct log_file **ret_file, struct error *error);
/* Whether it was there, and retention removed it. Costs an open when none of the run's has. */
bool log_is_expired(const struct blob_store *store, const struct attempt_id *id);
/* Removes its files; who has it open keeps what it has. */
void log_file_remove(struct blob_store *store, const struct attempt_id *id);
void log_file_release(struct blob_store *store, struct log_file *file);

/* Takes bytes that were appended to the file into its checksums. */
void log_file_sum(struct log_file *file, struct slice data);
/* Whether bytes of the file, LOG_SUM_BYTES from the start of a stretch or fewer at its end, are
 * what was written. True where no sum stands for them. */
bool log_file_is_true(const struct log_file *file, uint64_t at, struct slice bytes);
/* The offset in the stream of a byte of the file. */
uint64_t log_file_stream_offset(const struct log_file *file, uint64_t at);

/* Appends marks, and the sums that came with their bytes, to the index, which is made if need be.
 */
int log_file_add_marks(
    struct log_file *file, const struct log_mark *marks, uint32_t count, struct error *error);
/* Appends a gap at the present end, synced. */
int log_file_add_gap(
    struct blob_store *store, struct log_file *file, uint64_t skipped, struct error *error);
/* Takes the right to write away and appends the trailer; not synced. */
int log_file_seal(struct log_file *file, struct error *error);
/* Makes all of a sealed log last, its name too; may be called without the log's mutex. */
int log_file_sync(struct blob_store *store, struct log_file *file, struct error *error);

/* Record number i of the index. False at its end. */
bool log_file_record(const struct log_file *file, uint64_t i, struct log_record *ret_record);
uint64_t log_file_record_count(const struct log_file *file);

#endif
