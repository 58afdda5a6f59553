/*
 * pids.h - how many processes and threads tasks may have, so that one that forks without end takes
 * neither its host, nor the agent and the runner that are to end it.
 *
 * What a worker may have is the least of kernel.threads-max, kernel.pid_max and pids.max of the
 * cgroups that it is in (its unit's, its container's). Of that all tasks of a runner together have
 * three quarters, and one of them a half, where cgroups can count:
 *
 *     cgroup v2   all, and each (cgroup.c)
 *     cgroup v1   all, and the runner with them (bounds.c)
 *
 * Everywhere RLIMIT_NPROC of a task is three quarters of its runner's own, of which threads-max and
 * pid_max are the least: the kernel counts all processes of a user by it, and not those of root.
 * pids.max says nothing about that: another container may have processes of the same user.
 */
#ifndef WORKER_RUNNER_PIDS_H
#define WORKER_RUNNER_PIDS_H

#include <stdint.h>
#include <sys/resource.h>

/* All tasks of the caller together; 0: it is not known. */
uint64_t pids_of_tasks(void);
/* One of them. */
uint64_t pids_of_task(void);
/* RLIMIT_NPROC of a task. */
struct rlimit pids_of_user(void);

#endif
