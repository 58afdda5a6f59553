/*
 * cgroup.h - a cgroup v2 for each attempt, below the runner's own, where the runner may make one:
 * then all that an attempt ever forked can be killed by one write, and it is known when it is
 * empty. No controller is enabled.
 *
 *     OWN/reeve-INSTANCE/RUN-TASK-MAP-ATTEMPT
 *
 * OWN is the cgroup in the v2 hierarchy of whoever calls, also in the hybrid layout
 * (/sys/fs/cgroup/unified). An agent that is to sweep for its runner must therefore live in the
 * same cgroup as it did.
 */
#ifndef WORKER_RUNNER_CGROUP_H
#define WORKER_RUNNER_CGROUP_H

#include "common/error.h"
#include "proto/proto.h"

#include <stdbool.h>
#include <stdint.h>

/* Makes the instance's cgroup and returns it as a descriptor; -1: there is no cgroup v2 here that
 * it may use. */
int cgroup_open_instance(uint64_t instance);
/* Removes the instance's cgroup; what is not empty stays. */
void cgroup_remove_instance(uint64_t instance);

/* Makes the cgroup of an attempt below `instance_fd` and returns it as a descriptor (-1: failed).
 */
int cgroup_open_attempt(int instance_fd, const struct attempt_id *id);
void cgroup_remove_attempt(int instance_fd, const struct attempt_id *id);

/* SIGKILL to all in it, also to what is being forked. */
void cgroup_kill(int fd);
/* Zombies do not count. */
bool cgroup_is_empty(int fd);
/* How often the kernel killed in it for want of memory; -1: not known, its memory controller is
 * off. */
int64_t cgroup_oom_kills(int fd);

/* Kills all in a dead instance's cgroup and removes it; 0 also when there is none. ERR_TIMEOUT as
 * sweep_instance. */
int cgroup_sweep(uint64_t instance, uint64_t until_ms, struct error *error);

#endif
