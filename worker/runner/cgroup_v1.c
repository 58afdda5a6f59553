#include "worker/runner/cgroup_v1.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char *controller;
    const char *limit; /* what a folder must have */
} kinds[] = {
    [CGROUP_V1_MEMORY] = {"memory", "memory.limit_in_bytes"},
    [CGROUP_V1_CPU] = {"cpu", "cpu.cfs_quota_us"},
    [CGROUP_V1_PIDS] = {"pids", "pids.max"},
};

/* The kernel charges pages by the batch: so far below its limit a cgroup may be full. */
enum { CHARGE_SPARE_BYTES = 1024 * 1024 };

/* The caller's own folder of that hierarchy, or -1. */
static int own_open(enum cgroup_v1_kind kind)
{
    char path[PATH_MAX];
    char full[PATH_MAX + 64];
    if (!cgroup_own_path(kinds[kind].controller, path))
        return -1;
    (void)snprintf(full, sizeof full, "/sys/fs/cgroup/%s%s", kinds[kind].controller, path);
    return open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int cgroup_v1_open(enum cgroup_v1_kind kind, uint64_t instance)
{
    char name[CGROUP_NAME_MAX];
    int own = own_open(kind);
    int fd = -1;
    if (own < 0)
        return -1;
    cgroup_name_instance(instance, name);
    if (mkdirat(own, name, 0755) == 0 || errno == EEXIST)
        fd = openat(own, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && faccessat(fd, kinds[kind].limit, W_OK, 0) != 0) {
        (void)close(fd);
        (void)unlinkat(own, name, AT_REMOVEDIR);
        fd = -1;
    }
    (void)close(own);
    return fd;
}

void cgroup_v1_remove_all(enum cgroup_v1_kind kind, uint64_t instance, int fd)
{
    char name[CGROUP_NAME_MAX];
    int own = own_open(kind);
    if (own >= 0) {
        cgroup_name_instance(instance, name);
        int folder = fd >= 0 ? fd : openat(own, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder >= 0) {
            cgroup_remove_below(folder);
            (void)close(folder);
            (void)unlinkat(own, name, AT_REMOVEDIR);
        }
        (void)close(own);
    } else if (fd >= 0) {
        (void)close(fd);
    }
}

void cgroup_v1_sweep(uint64_t instance)
{
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++)
        cgroup_v1_remove_all((enum cgroup_v1_kind)kind, instance, -1);
}

int cgroup_v1_enter_pids(uint64_t instance, uint64_t pids)
{
    int fd = pids > 0 ? cgroup_v1_open(CGROUP_V1_PIDS, instance) : -1;
    if (fd < 0)
        return -1;
    if (cgroup_write(fd, "pids.max", "%" PRIu64, pids) == 0 &&
        cgroup_write(fd, "cgroup.procs", "0") == 0)
        return fd;
    cgroup_v1_remove_all(CGROUP_V1_PIDS, instance, fd);
    return -1;
}

void cgroup_v1_leave_pids(uint64_t instance, int fd)
{
    (void)cgroup_write(fd, "../cgroup.procs", "0");
    cgroup_v1_remove_all(CGROUP_V1_PIDS, instance, fd);
}

static int limit_memory(int fd, uint64_t bytes)
{
    int code = cgroup_write(fd, "memory.limit_in_bytes", "%" PRIu64, bytes);
    /* Memory and swap together; a kernel that does not count swap has no such file. */
    int swap = code == 0 ? cgroup_write(fd, "memory.memsw.limit_in_bytes", "%" PRIu64, bytes) : 0;
    return code != 0 ? code : swap == ENOENT ? 0 : swap;
}

static int limit_cpu(int fd, uint64_t permille)
{
    int code = cgroup_write(fd, "cpu.cfs_period_us", "%d", CGROUP_CPU_PERIOD_US);
    if (code == 0)
        code = cgroup_write(
            fd, "cpu.cfs_quota_us", "%" PRIu64, permille * CGROUP_CPU_PERIOD_US / 1000);
    return code;
}

int cgroup_v1_make(enum cgroup_v1_kind kind, int fd, uint32_t number, uint64_t limit)
{
    char name[CGROUP_NAME_MAX];
    (void)snprintf(name, sizeof name, "%u", number);
    if (mkdirat(fd, name, 0755) != 0)
        return -1;
    int own = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int code = own < 0                    ? errno
               : kind == CGROUP_V1_MEMORY ? limit_memory(own, limit)
                                          : limit_cpu(own, limit);
    if (code == 0)
        return own;
    if (own >= 0)
        (void)close(own);
    (void)unlinkat(fd, name, AT_REMOVEDIR);
    errno = code;
    return -1;
}

void cgroup_v1_remove(int fd, uint32_t number, int own_fd)
{
    char name[CGROUP_NAME_MAX];
    (void)snprintf(name, sizeof name, "%u", number);
    (void)close(own_fd);
    (void)unlinkat(fd, name, AT_REMOVEDIR);
}

struct memory_end cgroup_v1_memory_end(int fd)
{
    int64_t kills = cgroup_read_number(fd, "memory.oom_control", "oom_kill");
    int64_t limit = cgroup_read_number(fd, "memory.limit_in_bytes", NULL);
    int64_t peak = cgroup_read_number(fd, "memory.max_usage_in_bytes", NULL);
    return (struct memory_end){
        .known = kills >= 0,
        .killed = kills > 0,
        /* Not by its failcnt, which late kernels leave at 0 where swap is counted. */
        .by_limit = kills > 0 && peak + CHARGE_SPARE_BYTES >= limit,
        .peak_bytes = peak > 0 ? (uint64_t)peak : 0,
    };
}
