/*
 * jobs.h - work that must not hold a loop up (syncs, copies, hashing, reading DAG files), done in
 * the order asked on threads of its own, with the end of it back in the loop. Belongs to the loop's
 * thread.
 */
#ifndef COMMON_JOBS_H
#define COMMON_JOBS_H

#include "common/loop.h"

#include <stdbool.h>

struct jobs;

typedef void (*job_fn)(void *context);

/* One thread with a small stack, started by the first job, so that an idle process has none. `loop`
 * is woken when a job has ended. */
struct jobs *jobs_create(struct loop *loop);
/* As jobs_create, but with `thread_count` threads of the system's stack, started here, so that a
 * machine that has no more is known at once: ERR_IO, "no thread to <purpose>". What runs on several
 * may end in another order. */
int jobs_start(struct loop *loop, int thread_count, const char *purpose, struct jobs **ret_jobs,
    struct error *error);
/* Waits for the jobs that run; those that wait, and the `done` of all, are never called. NULL is
 * fine. */
void jobs_destroy(struct jobs *jobs);

/* `work` runs on a thread, then `done` in jobs_take or jobs_next. With `done` NULL the context is
 * freed instead, also when the job never ran. */
void jobs_run(struct jobs *jobs, job_fn work, job_fn done, void *context);
/* `work` runs on a thread, then jobs_next gives the context back. jobs_destroy calls `drop` for one
 * that was not given back, whether it ran or not. */
void jobs_post(struct jobs *jobs, job_fn work, job_fn drop, void *context);

/* Calls what is done; call in every round. True when there was any. For jobs without jobs_post. */
bool jobs_take(struct jobs *jobs);
/* The context of the next posted job that is done, the caller's again, or NULL. Calls the `done` of
 * those between. */
void *jobs_next(struct jobs *jobs);

#endif
