/*
 * join.h - how a worker becomes one of a cluster: by a token's one-time key it tells its own public
 * key, until the master says that it belongs to the cluster, or why not.
 */
#ifndef WORKER_IO_JOIN_H
#define WORKER_IO_JOIN_H

#include "worker/io/folder.h"
#include "worker/io/options.h"

/*
 * Joins by options->token when there is one and the folder belongs to no cluster yet, and remembers
 * in folder->join all that the next start needs. The token is wiped in any case. A master that is
 * away is waited for. Blocks, with a loop of its own and ZeroMQ started inside. What the master
 * refuses is ERR_DENIED. *ret_joined: it was done now, and join_restart is next.
 */
int join_if_wanted(
    struct options *options, const struct folder *folder, bool *ret_joined, struct error *error);
/*
 * Begins this program anew, with the same words but for the join: a runner is forked by a process
 * that has never started ZeroMQ, and what it starts cannot find the token in its memory either.
 * Returns only when that fails.
 */
int join_restart(char **argv, struct error *error);

#endif
