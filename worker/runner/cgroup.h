/*
 * cgroup.h - a cgroup v2 for each running attempt, below the runner's own, where the runner may
 * make one: then all that an attempt ever forked can be killed by one write, and it is known when
 * it is empty. No controller is enabled.
 *
 *     OWN/reeve-INSTANCE/N
 *
 * OWN is the cgroup in the v2 hierarchy of whoever calls, also in the hybrid layout
 * (/sys/fs/cgroup/unified). An agent that is to sweep for its runner must therefore live in the
 * same cgroup as it did. An emptied cgroup is used again for the next attempt: making and removing
 * one takes the kernel's one lock for them all, several times.
 */
#ifndef WORKER_RUNNER_CGROUP_H
#define WORKER_RUNNER_CGROUP_H

#include "common/error.h"
#include "proto/proto.h"

#include <stdbool.h>
#include <stdint.h>

struct cgroup {
    int fd;        /* of the folder */
    int events_fd; /* of its cgroup.events */
    uint32_t number;
    int64_t oom_kills; /* when it was taken; -1: its memory controller is off */
    bool killed;       /* not to be used again: Linux 6.18 kills what is born (CLONE_INTO_CGROUP) in
                          a cgroup that was ever killed */
};

struct cgroups {
    int fd; /* of the instance's folder; -1: there are none here */
    uint64_t instance;
    struct cgroup **free;
    size_t free_count, free_capacity;
    uint32_t made;
};

/* Makes the instance's cgroup; fd is -1 when there is no cgroup v2 here that it may use. */
void cgroups_init(struct cgroups *cgroups, uint64_t instance);
/* Removes all that is empty. None may be taken. */
void cgroups_fini(struct cgroups *cgroups);

/* An empty cgroup, or NULL when none can be made. */
struct cgroup *cgroup_take(struct cgroups *cgroups);
/* Takes it back, empty. */
void cgroup_give_back(struct cgroups *cgroups, struct cgroup *cgroup);

/* SIGKILL to all in it, also to what is being forked. */
void cgroup_kill(struct cgroup *cgroup);
/* Zombies do not count. */
bool cgroup_is_empty(const struct cgroup *cgroup);
/* Whether the kernel has killed in it for want of memory since it was taken: 1 or 0; -1: not known.
 */
int cgroup_ran_out_of_memory(const struct cgroup *cgroup);

/* Kills all in a dead instance's cgroup and removes it; 0 also when there is none. ERR_TIMEOUT as
 * sweep_instance. */
int cgroup_sweep(uint64_t instance, uint64_t until_ms, struct error *error);

#endif
