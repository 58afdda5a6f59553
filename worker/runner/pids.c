#include "worker/runner/pids.h"

#include "worker/runner/cgroup.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static void bound_by(uint64_t *least, const char *path)
{
    int64_t number = cgroup_read_number(AT_FDCWD, path, NULL);
    if (number > 0 && (uint64_t)number < *least)
        *least = (uint64_t)number;
}

static uint64_t pids_of_host(void)
{
    uint64_t least = UINT64_MAX;
    bound_by(&least, "/proc/sys/kernel/threads-max");
    bound_by(&least, "/proc/sys/kernel/pid_max");
    return least;
}

/* By the caller's cgroup in that hierarchy, and all above it that can be seen. */
static void bound_by_cgroups(uint64_t *least, const char *root, const char *controller)
{
    char path[PATH_MAX];
    char file[PATH_MAX + 64];
    if (!cgroup_own_path(controller, path))
        return;
    for (;;) {
        (void)snprintf(file, sizeof file, "%s%s/pids.max", root, path);
        bound_by(least, file);
        char *slash = strrchr(path, '/');
        if (slash == NULL)
            return;
        *slash = '\0';
    }
}

static uint64_t pids_of_worker(void)
{
    uint64_t least = pids_of_host();
    bound_by_cgroups(&least, "/sys/fs/cgroup", NULL);
    bound_by_cgroups(&least, "/sys/fs/cgroup/unified", NULL);
    bound_by_cgroups(&least, "/sys/fs/cgroup/pids", "pids");
    return least;
}

/* At least one: 0 would be "not known". */
static uint64_t share(uint64_t whole, uint64_t quarters)
{
    if (whole == UINT64_MAX)
        return 0;
    uint64_t part = whole / 4 * quarters + whole % 4 * quarters / 4;
    return part > 0 ? part : 1;
}

uint64_t pids_of_tasks(void)
{
    return share(pids_of_worker(), 3);
}

uint64_t pids_of_task(void)
{
    return share(pids_of_worker(), 2);
}

struct rlimit pids_of_user(void)
{
    struct rlimit own = {RLIM_INFINITY, RLIM_INFINITY};
    (void)getrlimit(RLIMIT_NPROC, &own);
    uint64_t least = pids_of_host();
    if (own.rlim_cur < least)
        least = own.rlim_cur;
    uint64_t part = share(least, 3);
    return part > 0 ? (struct rlimit){part, part} : own;
}
