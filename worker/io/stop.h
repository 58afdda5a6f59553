/*
 * stop.h - `reeve-worker stop`: ends the worker for good, once its work is done, or at once. The
 * agent does it where one lives; else this process takes its place, takes what runs back, and does
 * it itself.
 */
#ifndef WORKER_IO_STOP_H
#define WORKER_IO_STOP_H

#include "worker/io/folder.h"
#include "worker/io/options.h"

/* 0 when nothing of the worker runs any more, or the waiting was interrupted (*ret_status is not 0
 * then); what it waits for is told on stderr. ERR_TIMEOUT. */
int stop_worker(
    struct options *options, struct folder *folder, int *ret_status, struct error *error);

#endif
