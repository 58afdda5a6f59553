/*
 * blob.h - what is too big for rows: plans, bundles' files, artifacts, by the hash of their
 * content; and logs, by attempt. A directory now (DIR/blobs, DIR/logs); with standbys a shared one
 * or an object store. Any thread may call; an upload belongs to one thread at a time. A failed sync
 * is not to be tried again: nobody knows then what reached the disk, before a restart.
 */
#ifndef MASTER_STORE_BLOB_H
#define MASTER_STORE_BLOB_H

#include "common/error.h"
#include "common/hash.h"
#include "proto/proto.h"

struct blob_store;

int blob_open(const char *folder, struct blob_store **ret_store, struct error *error);
void blob_close(struct blob_store *store);

/* ---- by content ---- */

enum { BLOB_PATH_MAX = 4096 };
/* Where the blob of this hash lies (or would lie). The layout is read by local workers: bundle.h of
 * common. */
void blob_path(const struct blob_store *store, const struct hash *hash, char path[BLOB_PATH_MAX]);
/* There, and to stay after a power cut. Whoever asks may rely on it for BLOB_GRACE_MS: it counts as
 * new since then. */
bool blob_has(const struct blob_store *store, const struct hash *hash, uint64_t *ret_bytes);
/* Stores bytes, synced with their folder before it returns; nothing is written when it is there. */
int blob_put(
    struct blob_store *store, struct slice bytes, struct hash *ret_hash, struct error *error);
/* Maps a blob read-only; file_unmap gives it back. ERR_NOT_FOUND, ERR_CORRUPT (the hash is
 * checked). */
int blob_map(const struct blob_store *store, const struct hash *hash, struct slice *ret_bytes,
    struct error *error);

struct blob_range {
    uint64_t offset;
    uint32_t limit; /* bytes at most */
};
/* Appends the range to out; nothing past the end. *ret_bytes is the size of the whole blob. */
int blob_read(const struct blob_store *store, const struct hash *hash,
    const struct blob_range *range, struct buffer *out, uint64_t *ret_bytes, struct error *error);

/* An upload by pieces; what came before a crash is gone on with. */
struct blob_upload;
/* A blob that is there already has *ret_offset = bytes and needs only the finish. Two of one hash
 * at once are fine: the later one begins at 0. */
int blob_upload_open(struct blob_store *store, const struct hash *hash, uint64_t bytes,
    struct blob_upload **ret_upload, uint64_t *ret_offset, struct error *error);
/* ERR_REFUSED at a wrong offset or past the end. */
int blob_upload_write(
    struct blob_upload *upload, uint64_t offset, struct slice data, struct error *error);
/* Checks the hash (ERR_CORRUPT, and the pieces are dropped), syncs, gives it its name. */
int blob_upload_finish(struct blob_upload *upload, struct error *error);
void blob_upload_close(struct blob_upload *upload);

/* ---- logs ---- */

/*
 * A log is one file of bytes and one of marks (when bytes arrived; gaps that a limit cut). Offsets
 * are of the whole stream, cut parts counted. Nothing is kept open between calls but in a small
 * cache.
 */
/* How many bytes of the stream are there; 0 when none. *ret_complete: log_finish was called, or the
 * log has expired: whoever has more of it may drop it. */
int log_length(struct blob_store *store, const struct attempt_id *id, uint64_t *ret_length,
    bool *ret_complete, struct error *error);

struct log_chunk {
    uint64_t offset;  /* must be the log's length: ERR_REFUSED */
    uint64_t skipped; /* bytes of the stream that were cut just before data */
    struct slice data;
    const struct log_mark *marks; /* wall time */
    uint32_t mark_count;
};
int log_append(struct blob_store *store, const struct attempt_id *id, const struct log_chunk *chunk,
    struct error *error);
/* The stream is complete and this long: synced with its folder before it returns. ERR_REFUSED when
 * bytes are missing. Readers go on meanwhile. An empty log (length 0) is noted and not synced: a
 * power cut may make it unknown again, and its attempt's log_bytes say enough. */
int log_finish(
    struct blob_store *store, const struct attempt_id *id, uint64_t length, struct error *error);

struct log_range {
    struct attempt_id id;
    uint64_t offset;
    uint32_t limit; /* bytes at most */
};
struct log_piece {
    uint64_t offset;  /* of data, in the stream; where a cut part lies before it, after that */
    uint64_t skipped; /* bytes that were cut just before data */
    uint64_t next;    /* the offset to go on from */
    bool known;       /* a byte of it has ever arrived, or it is finished */
    bool expired;     /* it was there, and was removed (log_expire) */
    bool complete;    /* nothing follows next */
    bool damaged;     /* the disk has changed some of data: it is not what was kept */
    struct log_mark *marks; /* in the arena */
    uint32_t mark_count;
};
/* Appends to out what there is of the range. */
int log_read(struct blob_store *store, const struct log_range *range, struct arena *arena,
    struct buffer *out, struct log_piece *ret_piece, struct error *error);
/* The offset at which the last `lines` lines before the present end begin. */
int log_tail_offset(struct blob_store *store, const struct attempt_id *id, uint64_t lines,
    uint64_t *ret_offset, struct error *error);

/* ---- what is kept, and what goes; each call takes as long as the disk likes ---- */

/* Calls visit for each run that has logs, with the bytes that they take on the disk. */
int log_each_run(struct blob_store *store,
    void (*visit)(void *context, uint64_t run, uint64_t bytes), void *context, struct error *error);
/* Removes the logs of a run that has ended. Those that were there are expired from then on: they
 * are not known, nothing is added to them, and what comes of them is complete. Attempts that come
 * later, by a retry, begin logs as ever. */
int log_expire(struct blob_store *store, uint64_t run, struct error *error);

enum { BLOB_GRACE_MS = 24 * 3600 * 1000 };
/* The hashes that something names. Zero-initialised is empty. */
struct named_blobs {
    uint64_t *prefixes; /* of the hashes: two that begin alike are both kept */
    size_t count, capacity;
    size_t sorted; /* so many of them are, and are different */
};
void named_blobs_add(struct named_blobs *named, const struct hash *hash);
/* A manifest, and all that it names; one that is not there names nothing. */
int named_blobs_add_manifest(struct named_blobs *named, const struct blob_store *store,
    const struct hash *manifest, struct error *error);
void named_blobs_fini(struct named_blobs *named);
/*
 * Removes the blobs that nobody names and that were neither put nor asked for in BLOB_GRACE_MS, and
 * pieces of uploads that nobody went on with for so long. Stops early when `go_on` says no. What is
 * named after `named` was made must have been asked for (blob_has) within the grace.
 */
struct blob_swept {
    uint64_t blobs, bytes; /* removed */
};
void blob_sweep(struct blob_store *store, struct named_blobs *named, bool (*go_on)(void *context),
    void *context, struct blob_swept *ret_swept);

#endif
