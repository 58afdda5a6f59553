/*
 * stop.h - `reeve-worker stop --now`: ends the worker of a folder, its tasks and its runner, and
 * waits until they are gone.
 */
#ifndef WORKER_IO_STOP_H
#define WORKER_IO_STOP_H

#include "worker/io/folder.h"
#include "worker/io/options.h"

/*
 * Tells a living agent to do it; where none lives, takes back what its runner holds and does it
 * itself. 0 also when nothing lives there. ERR_NOT_FOUND: it is no worker's folder.
 */
int stop_now(struct options *options, struct folder *folder, struct error *error);

#endif
