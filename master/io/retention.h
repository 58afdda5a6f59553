/*
 * retention.h - what the master's disk need not keep: logs of runs that ended long ago, or that are
 * too many, the oldest first; and blobs that no run names. On a thread of its own, which reads the
 * rows by itself: it holds nobody up, and takes little of the disk's time.
 */
#ifndef MASTER_IO_RETENTION_H
#define MASTER_IO_RETENTION_H

#include "master/store/blob.h"
#include "master/store/history.h"

struct retention_config {
    const char *folder; /* the master's; borrowed, as the next */
    struct blob_store *blobs;
    uint64_t keep_logs_ms;   /* after the run's end; 0: for ever */
    uint64_t logs_max_bytes; /* of all runs together; 0: no matter how much */
};

struct retention;

int retention_start(
    const struct retention_config *config, struct retention **ret_retention, struct error *error);
/* Waits until what it does at this moment is done. NULL is fine. */
void retention_stop(struct retention *retention);

/* ---- its two steps, for tests ---- */

struct retention_result {
    uint64_t runs; /* whose logs went */
    uint64_t bytes;
    uint64_t left_bytes; /* of logs */
};
int retention_logs(const struct retention_config *config, struct history *history, int64_t now_wall,
    struct retention_result *ret_result, struct error *error);
int retention_blobs(const struct retention_config *config, struct history *history,
    bool (*go_on)(void *context), void *context, struct blob_swept *ret_swept);

#endif
