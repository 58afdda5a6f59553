/*
 * blob_store.h - what the files of the blob store share; nobody else includes it.
 */
#ifndef MASTER_STORE_BLOB_STORE_H
#define MASTER_STORE_BLOB_STORE_H

#include "common/manifest.h"
#include "common/table.h"
#include "master/store/blob.h"

#include <pthread.h>

struct log_file;

struct seen_files;
struct blob_folders;

struct blob_store {
    char *blobs, *staging, *logs; /* DIR/blobs, DIR/blobs/tmp, DIR/logs */
    pthread_mutex_t mutex;        /* guards what follows */
    struct log_file **open_logs;
    size_t open_count, open_capacity;
    uint64_t uses;            /* ticks at each use of an open log, to find the one longest unused */
    struct table synced_runs; /* run keys whose folder of logs lasts in DIR/logs */
    struct blob_folders *folders; /* with a mutex of their own, as the next */
    struct seen_files *seen;      /* bundle_seen.h: what snapshots have read */
};

/* Sets the error of errno: "path: strerror". ERR_NO_SPACE, ERR_NOT_FOUND, ERR_DENIED or ERR_IO. */
int blob_fail(const char *path, struct error *error);

/*
 * Files on their way into the store, so that many share their syncs: up to BLOB_SYNC_EACH_MAX are
 * synced one by one, more by one sync of the file system. They are there once blob_stage_commit
 * returned 0, all of them on disk.
 */
enum { BLOB_SYNC_EACH_MAX = 8 };

struct blob_stage {
    struct blob_store *store;
    struct staged_blob {
        char *path;
        struct hash hash;
    } * items;
    size_t count, capacity;
    int fd; /* of the file system, opened before the first write, so that it sees every failed one
             */
};

int blob_stage_init(struct blob_stage *stage, struct blob_store *store, struct error *error);
int blob_stage_bytes(
    struct blob_stage *stage, struct slice bytes, struct hash *ret_hash, struct error *error);
/* All of fd, a regular file; more than max_bytes are ERR_TOO_BIG. */
int blob_stage_descriptor(struct blob_stage *stage, int fd, uint64_t max_bytes,
    struct manifest_file *ret_file, struct error *error);
int blob_stage_commit(struct blob_stage *stage, struct error *error);
/* Removes what was not committed. */
void blob_stage_fini(struct blob_stage *stage);

/* blob_folder.c */
struct blob_folders *blob_folders_create(void);
void blob_folders_destroy(struct blob_folders *folders);
/* Gives the file at `path`, which is on disk, its name by hash. Each success is to be followed by
 * blob_sync_names. */
int blob_name(
    struct blob_store *store, const char *path, const struct hash *hash, struct error *error);
/* Makes `names` names that blob_name gave in the folder of hashes that begin with `first` last. */
int blob_sync_names(
    struct blob_store *store, unsigned char first, uint32_t names, struct error *error);
/* While it is held no name is given, none is found to be there, and none is removed but by its
 * holder. */
void blob_names_lock(const struct blob_store *store);
void blob_names_unlock(const struct blob_store *store);
/* True when a blob that is there will be there after a power cut; syncs its folder if need be. */
bool blob_name_lasts(const struct blob_store *store, const struct hash *hash);

/* The hash of a whole file that nobody writes. */
int blob_hash_file(
    const char *path, struct hash *ret_hash, uint64_t *ret_bytes, struct error *error);

/* log_file.c */
void log_files_close(struct blob_store *store);

#endif
