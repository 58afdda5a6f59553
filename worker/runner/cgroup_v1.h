/*
 * cgroup_v1.h - limits where memory and cpu still belong to hierarchies of version 1, a folder of
 * their own for each attempt that has such a limit:
 *
 *     /sys/fs/cgroup/CONTROLLER/OWN/reeve-INSTANCE/N
 *
 * Nothing is killed by them: that is cgroup.h's, or the sweep's. An attempt enters before it
 * becomes its program. When its memory is short the kernel kills the largest process, not the whole
 * tree.
 *
 * Processes are counted in one folder for them all, where the runner itself lives, so that they are
 * born in it: to enter another makes the kernel wait for milliseconds.
 */
#ifndef WORKER_RUNNER_CGROUP_V1_H
#define WORKER_RUNNER_CGROUP_V1_H

#include "worker/runner/cgroup.h"

/* What an attempt may have a folder of, and, last, what the runner has one of. */
enum cgroup_v1_kind {
    CGROUP_V1_MEMORY,
    CGROUP_V1_CPU,
    CGROUP_V1_COUNT,
    CGROUP_V1_PIDS = CGROUP_V1_COUNT
};

/* The instance's folder of that controller, made if need be; -1: there is none that may be used. */
int cgroup_v1_open(enum cgroup_v1_kind kind, uint64_t instance);
/* Removes the folders that a runner left, and closes `fd` (or -1). Nothing may run in them. */
void cgroup_v1_remove_all(enum cgroup_v1_kind kind, uint64_t instance, int fd);
/* Those of every controller that a dead runner left. */
void cgroup_v1_sweep(uint64_t instance);

/* The caller goes into its instance's folder, in which so many processes and threads may live;
 * returns the folder, or -1: it stays where it is. */
int cgroup_v1_enter_pids(uint64_t instance, uint64_t pids);
/* It goes back, closes the folder and removes it. */
void cgroup_v1_leave_pids(uint64_t instance, int fd);

/* A folder N for an attempt with its limit (bytes, or thousandths of a processor); -1 and errno. */
int cgroup_v1_make(enum cgroup_v1_kind kind, int fd, uint32_t number, uint64_t limit);
/* Closes it and removes it. */
void cgroup_v1_remove(int fd, uint32_t number, int own_fd);

/* Of a memory folder. */
struct memory_end cgroup_v1_memory_end(int fd);

#endif
