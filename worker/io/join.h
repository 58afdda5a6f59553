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
 * away is waited for. Blocks, with a loop of its own and ZeroMQ started and ended inside, so that a
 * runner can be forked afterwards. What the master refuses is ERR_DENIED.
 */
int join_if_wanted(struct options *options, const struct folder *folder, struct error *error);

#endif
