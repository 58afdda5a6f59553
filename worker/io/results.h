/*
 * results.h - the journal of results that no master has made durable yet: private/results.
 *
 * Append-only records of encoded messages: `ended` is a result, `settled` says that it is one no
 * longer. A record is written at once, so that it outlives the agent; it is synced, for a power
 * cut, a little later, and not at all when it was settled by then: a result that is durable at the
 * master need not be so here. One sync, on a thread, is for all that was written before it. The
 * file is cut to nothing when no result is pending, and written anew without the settled ones when
 * they are most of it.
 *
 * A record names its group: where in the file the synced part ended when it was written. A damaged
 * record with a readable one behind it is a torn tail only when that one's group begins no later;
 * else synced bytes were lost, and that is refused.
 */
#ifndef WORKER_IO_RESULTS_H
#define WORKER_IO_RESULTS_H

#include "common/error.h"
#include "common/jobs.h"
#include "proto/proto.h"

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
/* How many bytes of a torn tail were cut off when it was opened. */
uint64_t results_torn_bytes(const struct results *results);
void results_each(const struct results *results, results_loaded_fn loaded, void *context);
void results_close(struct results *results);

/* `saved` is called, from results_write, when it is written. */
void results_save(struct results *results, const struct msg_ended *ended);
void results_drop(struct results *results, const struct attempt_id *id);
void results_on_saved(struct results *results, results_fn saved, void *context);
/* Writes what was appended. Call once a batch, after its last results_save. */
void results_write(struct results *results, uint64_t now_ms);
/* Begins a sync, a cut or a rewriting that is due. Call in every round. */
void results_flush(struct results *results, uint64_t now_ms);
/* When results_flush is wanted (boot time); UINT64_MAX: not at all. */
uint64_t results_due_ms(const struct results *results);

/*
 * 0; ERR_NO_SPACE: the disk is full, nothing was lost, and results_retry tries again; any other:
 * what is on disk is not known, only a restart mends it.
 */
int results_state(const struct results *results, struct error *error);
void results_retry(struct results *results);

#endif
