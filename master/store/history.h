/*
 * history.h - the store's rows as whoever tidies up needs them: a connection of its own that only
 * reads, on a thread of its own, so that going through all of history holds nobody up.
 */
#ifndef MASTER_STORE_HISTORY_H
#define MASTER_STORE_HISTORY_H

#include "common/error.h"
#include "common/hash.h"

#include <stdbool.h>
#include <stdint.h>

struct history;

/* `folder` is that of an open store. */
int history_open(const char *folder, struct history **ret_history, struct error *error);
void history_close(struct history *history);

/* When a run ended (wall time), or 0: it has not. ERR_NOT_FOUND: there is no such run. */
int history_run_end(
    struct history *history, uint64_t run, int64_t *ret_ended_at, struct error *error);

/* Calls visit for each plan, bundle and artifacts' manifest that a row names, each once; a negative
 * answer ends it. What is committed meanwhile may be missing. */
enum history_kind { HISTORY_PLAN, HISTORY_MANIFEST };
typedef int (*history_fn)(void *context, enum history_kind kind, const struct hash *hash);
int history_each_blob(
    struct history *history, history_fn visit, void *context, struct error *error);

#endif
