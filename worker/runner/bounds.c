#include "worker/runner/bounds.h"

#include "common/memory.h"
#include "worker/runner/pids.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void bounds_init(struct bounds *bounds, const struct cgroups *cgroups, bool use_cgroups)
{
    *bounds = (struct bounds){
        .instance = cgroups->instance,
        .memory_v2 = cgroups->fd >= 0 && cgroups->memory,
        .cpu_v2 = cgroups->fd >= 0 && cgroups->cpu,
        .v1 = {-1, -1},
        .pids_v1 = -1,
    };
    if (use_cgroups && !bounds->memory_v2)
        bounds->v1[CGROUP_V1_MEMORY] = cgroup_v1_open(CGROUP_V1_MEMORY, bounds->instance);
    if (use_cgroups && !bounds->cpu_v2)
        bounds->v1[CGROUP_V1_CPU] = cgroup_v1_open(CGROUP_V1_CPU, bounds->instance);
    if (use_cgroups && cgroups->pids == 0)
        bounds->pids_v1 = cgroup_v1_enter_pids(bounds->instance, pids_of_tasks());
}

void bounds_fini(struct bounds *bounds)
{
    if (bounds->pids_v1 >= 0)
        cgroup_v1_leave_pids(bounds->instance, bounds->pids_v1);
    bounds->pids_v1 = -1;
    for (int kind = 0; kind < CGROUP_V1_COUNT; kind++) {
        if (bounds->v1[kind] >= 0)
            cgroup_v1_remove_all((enum cgroup_v1_kind)kind, bounds->instance, bounds->v1[kind]);
        bounds->v1[kind] = -1;
    }
}

struct runner_limits bounds_words(const struct bounds *bounds)
{
    return (struct runner_limits){
        .memory_by = bounds->memory_v2                   ? "cgroup"
                     : bounds->v1[CGROUP_V1_MEMORY] >= 0 ? "cgroup-v1"
                                                         : "rlimit",
        .cpu_by = bounds->cpu_v2                   ? "cgroup"
                  : bounds->v1[CGROUP_V1_CPU] >= 0 ? "cgroup-v1"
                                                   : "affinity",
    };
}

static bool fail(struct spawn_failure *failure, const char *what, int number)
{
    failure->reason = REASON_WORKER_ERROR;
    (void)snprintf(failure->text, sizeof failure->text, "cannot limit its %s here: %s", what,
        strerrordesc_np(number));
    return false;
}

/* ---- version 1 ---- */

static bool v1_begin(struct bounds *bounds, struct bound *bound, struct spawn_order *order,
    enum cgroup_v1_kind kind, struct spawn_failure *failure)
{
    uint64_t limit =
        kind == CGROUP_V1_MEMORY ? order->limits.memory_bytes : order->limits.cpu_permille;
    const char *what = kind == CGROUP_V1_MEMORY ? "memory" : "cpus";
    if (limit == 0 || bounds->v1[kind] < 0)
        return true;
    bound->v1[kind] = cgroup_v1_make(kind, bounds->v1[kind], bound->number, limit);
    if (bound->v1[kind] < 0)
        return fail(failure, what, errno);
    int enter = openat(bound->v1[kind], "cgroup.procs", O_WRONLY | O_CLOEXEC);
    if (enter < 0)
        return fail(failure, what, errno);
    order->enter[order->enter_count++] = enter;
    return true;
}

void bound_entered(struct spawn_order *order)
{
    while (order->enter_count > 0)
        (void)close(order->enter[--order->enter_count]);
}

/* ---- processors ---- */

static int least_pinned(
    const struct bounds *bounds, const cpu_set_t *allowed, const cpu_set_t *taken)
{
    int least = -1;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, allowed) && !CPU_ISSET(cpu, taken) &&
            (least < 0 || bounds->pinned[cpu] < bounds->pinned[least]))
            least = cpu;
    }
    return least;
}

/* A task that may have all of them is bound to none. */
static void pin(struct bounds *bounds, struct bound *bound, struct spawn_order *order)
{
    cpu_set_t allowed;
    cpu_set_t taken;
    CPU_ZERO(&taken);
    uint32_t wanted = (order->limits.cpu_permille + 999) / 1000;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 ||
        wanted >= (uint32_t)CPU_COUNT(&allowed))
        return;
    for (uint32_t i = 0; i < wanted; i++) {
        int cpu = least_pinned(bounds, &allowed, &taken);
        bounds->pinned[cpu]++;
        CPU_SET(cpu, &taken);
    }
    bound->pinned = xmalloc(sizeof taken);
    *bound->pinned = taken;
    order->processors = bound->pinned;
}

/* ---- both ---- */

static bool v2_begin(const struct bounds *bounds, struct cgroup *cgroup,
    const struct spawn_order *order, struct spawn_failure *failure)
{
    uint64_t memory = bounds->memory_v2 ? order->limits.memory_bytes : 0;
    uint32_t cpu = bounds->cpu_v2 ? order->limits.cpu_permille : 0;
    if (memory == 0 && cpu == 0)
        return true;
    int number = cgroup != NULL ? cgroup_limit(cgroup, memory, cpu) : ENOSPC;
    return number == 0 || fail(failure, memory > 0 ? "memory" : "cpus", number);
}

bool bound_begin(struct bounds *bounds, struct cgroup *cgroup, struct bound *bound,
    struct spawn_order *order, struct spawn_failure *ret_failure)
{
    *bound = (struct bound){.number = bounds->made++, .v1 = {-1, -1}};
    if (!v2_begin(bounds, cgroup, order, ret_failure) ||
        !v1_begin(bounds, bound, order, CGROUP_V1_MEMORY, ret_failure) ||
        !v1_begin(bounds, bound, order, CGROUP_V1_CPU, ret_failure))
        return false;
    if (!bounds->memory_v2 && bounds->v1[CGROUP_V1_MEMORY] < 0)
        order->data_bytes = order->limits.memory_bytes;
    if (order->limits.cpu_permille > 0 && !bounds->cpu_v2 && bounds->v1[CGROUP_V1_CPU] < 0)
        pin(bounds, bound, order);
    return true;
}

struct memory_end bound_memory_end(const struct bound *bound, const struct cgroup *cgroup)
{
    if (bound->v1[CGROUP_V1_MEMORY] >= 0)
        return cgroup_v1_memory_end(bound->v1[CGROUP_V1_MEMORY]);
    return cgroup != NULL ? cgroup_memory_end(cgroup) : (struct memory_end){0};
}

void bound_end(struct bounds *bounds, struct bound *bound)
{
    for (int kind = 0; kind < CGROUP_V1_COUNT; kind++) {
        if (bound->v1[kind] >= 0)
            cgroup_v1_remove(bounds->v1[kind], bound->number, bound->v1[kind]);
        bound->v1[kind] = -1;
    }
    for (int cpu = 0; bound->pinned != NULL && cpu < CPU_SETSIZE; cpu++)
        bounds->pinned[cpu] = (uint16_t)(bounds->pinned[cpu] - CPU_ISSET(cpu, bound->pinned));
    free(bound->pinned);
    bound->pinned = NULL;
}
