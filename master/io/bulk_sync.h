/*
 * bulk_sync.h - threads that make logs and uploads durable: a sync takes as long as the disk likes,
 * and several at a time share one journal commit. While a job is out its log or upload is the
 * thread's alone.
 */
#ifndef MASTER_IO_BULK_SYNC_H
#define MASTER_IO_BULK_SYNC_H

#include "common/loop.h"
#include "master/store/blob.h"

struct bulk_sync;

struct sync_job {
    struct blob_store *blobs; /* bulk_sync_post sets it */
    /* given */
    struct blob_upload *upload; /* or NULL: a log */
    struct attempt_id log;
    uint64_t length;  /* of the log */
    struct hash hash; /* of the upload */
    /* made */
    int code;
    struct error error;
};

int bulk_sync_create(
    struct blob_store *blobs, struct loop *loop, struct bulk_sync **ret_sync, struct error *error);
/* Waits for the jobs in progress, drops the others. */
void bulk_sync_destroy(struct bulk_sync *sync);
/* Takes the job; the loop is woken when it is done. */
void bulk_sync_post(struct bulk_sync *sync, struct sync_job *job);
/* A job that is done, the caller's to free, or NULL. */
struct sync_job *bulk_sync_take(struct bulk_sync *sync);

#endif
