/*
 * jobs.h - work that must not hold the loop up (syncs, copies, hashing), one after another on a
 * thread of its own. The thread is started by the first job, so that an idle worker has none.
 * Belongs to the loop's thread.
 */
#ifndef WORKER_IO_JOBS_H
#define WORKER_IO_JOBS_H

#include "common/loop.h"

#include <stdbool.h>

struct jobs;

typedef void (*job_fn)(void *context);

/* `loop` is woken when a job has ended. */
struct jobs *jobs_create(struct loop *loop);
/* Waits for the job that runs; those that wait, and the `done` of all, are never called. NULL is
 * fine. */
void jobs_destroy(struct jobs *jobs);

/* `work` runs on the thread, then `done` in jobs_take. With `done` NULL the context is freed
 * instead, also when the job never ran. */
void jobs_run(struct jobs *jobs, job_fn work, job_fn done, void *context);
/* Calls what is done; call in every round. True when there was any. */
bool jobs_take(struct jobs *jobs);

#endif
