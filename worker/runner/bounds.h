/*
 * bounds.h - by what a task's `memory` and `cpus` are bounded on this machine, and that it is done
 * before the task's first instruction; how many processes tasks may have is in pids.h. Of each the
 * first that works here:
 *
 *     cgroup      version 2: the whole tree, with no swap; what goes beyond is killed as a whole
 *     cgroup-v1   the whole tree; the kernel kills its largest process
 *     rlimit      memory: RLIMIT_DATA, so each process by itself, whose allocations fail then. Not
 *                 RLIMIT_AS: Java and threads reserve far more addresses than they ever use
 *     affinity    cpus: as many whole processors, those that the fewest other tasks were given
 */
#ifndef WORKER_RUNNER_BOUNDS_H
#define WORKER_RUNNER_BOUNDS_H

#include "worker/runner/cgroup_v1.h"
#include "worker/runner/core.h"
#include "worker/runner/spawn.h"

struct bounds {
    uint64_t instance;
    bool memory_v2, cpu_v2;
    int v1[CGROUP_V1_COUNT]; /* folders; -1: not used */
    int pids_v1;             /* the runner's; -1: not used */
    uint32_t made;
    uint16_t pinned[CPU_SETSIZE]; /* so many tasks run on each processor alone or with others */
};

/* What one attempt has of it, from bound_begin to bound_end. */
struct bound {
    uint32_t number;
    int v1[CGROUP_V1_COUNT]; /* its folders; -1: none */
    cpu_set_t *pinned;       /* owned; NULL: to none */
};

/* `cgroups`: those that attempts are born in, or none. `use_cgroups`: may have others. */
void bounds_init(struct bounds *bounds, const struct cgroups *cgroups, bool use_cgroups);
/* No attempt runs. */
void bounds_fini(struct bounds *bounds);
/* As runner_hello says it. */
struct runner_limits bounds_words(const struct bounds *bounds);

/*
 * Before spawn: bounds `cgroup` (NULL: it has none) by order->limits, or fills what the child does
 * itself. False and *ret_failure when it cannot be bounded as bounds_words said; bound_end in any
 * case.
 */
bool bound_begin(struct bounds *bounds, struct cgroup *cgroup, struct bound *bound,
    struct spawn_order *order, struct spawn_failure *ret_failure);
/* After spawn: the child has entered, or never will. */
void bound_entered(struct spawn_order *order);
struct memory_end bound_memory_end(const struct bound *bound, const struct cgroup *cgroup);
/* Nothing of it runs. */
void bound_end(struct bounds *bounds, struct bound *bound);

#endif
