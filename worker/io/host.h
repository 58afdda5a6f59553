/*
 * host.h - the agent around its core: runner, master and disk -> core -> effects. One loop, one
 * thread; copies and syncs have threads of their own, which begin when there is something to copy
 * or sync.
 */
#ifndef WORKER_IO_HOST_H
#define WORKER_IO_HOST_H

#include "worker/io/folder.h"
#include "worker/io/options.h"

/* The status by which whoever started the agent should start it again. */
enum { HOST_EXIT_AGAIN = 75 };

/*
 * Serves until a signal, `stop`, or until it has to be started afresh; *ret_status is the process's
 * then. The folder is open and stays the caller's. With options->stop it takes back what runs, ends
 * it and leaves.
 */
int host_run(const struct options *options, const struct folder *folder, int *ret_status,
    struct error *error);

#endif
