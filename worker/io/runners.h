/*
 * runners.h - the runner of this folder: the live one, or a new one. What a dead one left is killed
 * first. Before any thread or socket of the agent exists; blocks.
 */
#ifndef WORKER_IO_RUNNERS_H
#define WORKER_IO_RUNNERS_H

#include "worker/io/identity.h"
#include "worker/runner_client.h"

/* How long what a dead runner left may take to die. */
enum { RUNNERS_SWEEP_MS = 30000 };

/*
 * Connects. A dead instance of this boot is remembered in `identity`. With `find_only` none is
 * started: ERR_NOT_FOUND when none lives. ERR_TIMEOUT: something of a dead runner does not die.
 */
int runners_open(struct identity *identity, const struct folder *folder, bool find_only,
    struct runner_client **ret_client, uint64_t *ret_instance, struct error *error);
/* It has died: kills what it left, and remembers it. Also later, by the agent that holds it. */
int runners_bury(
    struct identity *identity, const struct folder *folder, uint64_t instance, struct error *error);

#endif
