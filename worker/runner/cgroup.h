/*
 * cgroup.h - a cgroup v2 for each running attempt, below the runner's own, where the runner may
 * make one: then all that an attempt ever forked can be killed by one write, and it is known when
 * it is empty, and its limits are its cgroup's.
 *
 *     BASE/reeve-INSTANCE/N
 *
 * BASE is OWN, or its parent when OWN is called "reeve-worker" (systemd's DelegateSubgroup): a
 * cgroup that holds processes cannot give its children the memory controller, so whoever wants
 * that keeps agent and runner in such a leaf; in a container the runner does it itself. Controllers
 * are asked for and may be refused.
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

enum { CGROUP_NAME_MAX = 80, CGROUP_CPU_PERIOD_US = 100000 };

struct cgroup {
    int fd;        /* of the folder */
    int events_fd; /* of its cgroup.events */
    uint32_t number;
    int64_t oom_kills; /* when it was taken; -1: its memory controller is off */
    bool limited;      /* not to be used again: its limits and its peak are one attempt's */
    bool killed;       /* not to be used again: Linux 6.18 kills what is born (CLONE_INTO_CGROUP) in
                          a cgroup that was ever killed */
};

struct cgroups {
    int fd; /* of the instance's folder; -1: there are none here */
    uint64_t instance;
    bool memory, cpu; /* its children have these controllers */
    uint64_t pids;    /* so many processes and threads one may hold; 0: it does not count them */
    struct cgroup **free;
    size_t free_count, free_capacity;
    uint32_t made;
};

/* Makes the instance's cgroup, and bounds the pids of all that will be in it; fd is -1 when there
 * is no cgroup v2 here that it may use. */
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
/* Bounds all that will ever run in it, which must be empty; 0: none. 0, or an errno. */
int cgroup_limit(struct cgroup *cgroup, uint64_t memory_bytes, uint32_t cpu_permille);

/* What became of an attempt's memory. */
struct memory_end {
    bool known;          /* its cgroup counts memory at all */
    bool killed;         /* the kernel has killed in it for want of memory */
    bool by_limit;       /* its own limit's, not the machine's */
    uint64_t peak_bytes; /* 0: not known */
};
/* Since it was taken. */
struct memory_end cgroup_memory_end(const struct cgroup *cgroup);

/* Kills all in a dead instance's cgroup and removes it; 0 also when there is none. ERR_TIMEOUT as
 * sweep_instance. */
int cgroup_sweep(uint64_t instance, uint64_t until_ms, struct error *error);

/* ---- for both versions ---- */

void cgroup_name_instance(uint64_t instance, char name[CGROUP_NAME_MAX]);
/* The caller's path in that controller's hierarchy ("/" or "/a/b"), of version 2 with NULL; false:
 * it is in none. `path` has PATH_MAX bytes. */
bool cgroup_own_path(const char *controller, char *path);
/* Writes one short text into a file of the folder; 0, or an errno. */
int cgroup_write(int fd, const char *file, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The number after `name` in a file of "name number" lines, or alone in it (NULL); -1: not there.
 */
int64_t cgroup_read_number(int fd, const char *file, const char *name);
/* Removes its empty subfolders. */
void cgroup_remove_below(int fd);

#endif
