/*
 * results.h - the journal of results that no master has made durable yet: private/results.
 *
 * Append-only records of encoded messages: `ended` is a result, `settled` says that it is one no
 * longer. Appends gather while a sync is under way on a thread, and the next sync is for all of
 * them. The file is cut to nothing when no result is pending, and written anew without the settled
 * ones when they are most of it.
 *
 * A record names where its group (what was written in one go) begins in the file: a damaged record
 * with a readable one behind it is a torn tail only when that one is of the same group; else synced
 * bytes were lost, and that is refused.
 */
#ifndef WORKER_IO_RESULTS_H
#define WORKER_IO_RESULTS_H

#include "common/error.h"
#include "proto/proto.h"
#include "worker/io/jobs.h"

struct results;

typedef void (*results_fn)(void *context, const struct attempt_id *id);
typedef void (*results_loaded_fn)(void *context, const struct msg_ended *ended);

/*
 * Opens or makes the file, calls `loaded` for each pending result in the order they were saved, and
 * cuts a torn tail off. ERR_CORRUPT names the byte at which the file is damaged. `path` and `jobs`
 * are borrowed.
 */
int results_open(
    const char *path, struct jobs *jobs, struct results **ret_results, struct error *error);
void results_each(const struct results *results, results_loaded_fn loaded, void *context);
void results_close(struct results *results);

/* `saved` is called, from jobs_take, when it is on disk. */
void results_save(struct results *results, const struct msg_ended *ended);
void results_drop(struct results *results, const struct attempt_id *id);
void results_on_saved(struct results *results, results_fn saved, void *context);
/* Begins a sync of what was appended, unless one is under way (then it follows). Call once a batch.
 */
void results_flush(struct results *results);
bool results_has(const struct results *results, const struct attempt_id *id);

/*
 * 0; ERR_NO_SPACE: the disk is full, nothing was lost, and results_retry tries again; any other:
 * what is on disk is not known, only a restart mends it.
 */
int results_state(const struct results *results, struct error *error);
void results_retry(struct results *results);

#endif
