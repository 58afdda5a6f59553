#include "worker/runner/cgroup.h"

#include "common/clock.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { NAME_TEXT_MAX = 80 };

static void name_instance(uint64_t instance, char name[NAME_TEXT_MAX])
{
    (void)snprintf(name, NAME_TEXT_MAX, "reeve-%016" PRIx64, instance);
}

static void name_attempt(const struct attempt_id *id, char name[NAME_TEXT_MAX])
{
    (void)snprintf(
        name, NAME_TEXT_MAX, "%016" PRIx64 "-%x-%x-%x", id->run, id->task, id->map, id->attempt);
}

/* The caller's path in the v2 hierarchy ("/" or "/a/b"); false: it is in none. */
static bool own_path(char path[PATH_MAX])
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (file == NULL)
        return false;
    bool found = false;
    char line[PATH_MAX + 8];
    while (!found && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "0::/", 4) != 0)
            continue;
        line[strcspn(line, "\n")] = '\0';
        (void)snprintf(path, PATH_MAX, "%.*s", PATH_MAX - 1, line + 3);
        found = true;
    }
    (void)fclose(file);
    return found;
}

/* The caller's own cgroup, or -1. */
static int own_open(void)
{
    static const char *const roots[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    char path[PATH_MAX];
    if (!own_path(path))
        return -1;
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
        struct statfs fs;
        char full[PATH_MAX + 32];
        if (statfs(roots[i], &fs) != 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
            continue;
        (void)snprintf(full, sizeof full, "%s%s", roots[i], path);
        return open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    return -1;
}

static int instance_find(int own, uint64_t instance)
{
    char name[NAME_TEXT_MAX];
    name_instance(instance, name);
    return openat(own, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int cgroup_open_instance(uint64_t instance)
{
    int own = own_open();
    if (own < 0)
        return -1;
    char name[NAME_TEXT_MAX];
    name_instance(instance, name);
    int fd = -1;
    if (mkdirat(own, name, 0755) == 0)
        fd = instance_find(own, instance);
    /* cgroup.kill came with Linux 5.14; without it a cgroup is no better than the sweep. */
    bool usable = fd >= 0 && faccessat(fd, "cgroup.kill", W_OK, 0) == 0 &&
                  faccessat(own, "cgroup.procs", W_OK, 0) == 0;
    if (fd >= 0 && !usable) {
        (void)close(fd);
        fd = -1;
        (void)unlinkat(own, name, AT_REMOVEDIR);
    }
    (void)close(own);
    return fd;
}

void cgroup_remove_instance(uint64_t instance)
{
    int own = own_open();
    if (own < 0)
        return;
    char name[NAME_TEXT_MAX];
    name_instance(instance, name);
    (void)unlinkat(own, name, AT_REMOVEDIR);
    (void)close(own);
}

int cgroup_open_attempt(int instance_fd, const struct attempt_id *id)
{
    char name[NAME_TEXT_MAX];
    name_attempt(id, name);
    if (mkdirat(instance_fd, name, 0755) != 0)
        return -1;
    int fd = openat(instance_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        (void)unlinkat(instance_fd, name, AT_REMOVEDIR);
    return fd;
}

void cgroup_remove_attempt(int instance_fd, const struct attempt_id *id)
{
    char name[NAME_TEXT_MAX];
    name_attempt(id, name);
    (void)unlinkat(instance_fd, name, AT_REMOVEDIR);
}

void cgroup_kill(int fd)
{
    int file = openat(fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return;
    (void)!write(file, "1", 1);
    (void)close(file);
}

/* The number after `name` in a file of "name number" lines; -1: not there. */
static int64_t number_read(int fd, const char *path, const char *name)
{
    int file = openat(fd, path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return -1;
    char text[1024];
    ssize_t length = read(file, text, sizeof text - 1);
    (void)close(file);
    text[length > 0 ? length : 0] = '\0';
    size_t name_length = strlen(name);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, name_length) == 0 && line[name_length] == ' ')
            return strtoll(line + name_length, NULL, 10);
    }
    return -1;
}

bool cgroup_is_empty(int fd)
{
    return number_read(fd, "cgroup.events", "populated") == 0;
}

int64_t cgroup_oom_kills(int fd)
{
    return number_read(fd, "memory.events", "oom_kill");
}

/* ---- a dead runner's ---- */

static bool wait_until_empty(int fd, uint64_t until_ms)
{
    int file = openat(fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
    while (file >= 0 && !cgroup_is_empty(fd) && clock_boot_ms() < until_ms) {
        char text[256];
        struct pollfd poller = {.fd = file, .events = POLLPRI};
        /* Each read arms the next notification. */
        (void)lseek(file, 0, SEEK_SET);
        (void)!read(file, text, sizeof text);
        if (cgroup_is_empty(fd))
            break;
        (void)poll(&poller, 1, 100);
    }
    if (file >= 0)
        (void)close(file);
    return cgroup_is_empty(fd);
}

static void remove_below(int fd)
{
    DIR *folder = fdopendir(dup(fd));
    struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            (void)unlinkat(fd, entry->d_name, AT_REMOVEDIR);
    }
    if (folder != NULL)
        (void)closedir(folder);
}

int cgroup_sweep(uint64_t instance, uint64_t until_ms, struct error *error)
{
    int own = own_open();
    int fd = own >= 0 ? instance_find(own, instance) : -1;
    int code = 0;
    if (own >= 0)
        (void)close(own);
    if (fd < 0)
        return 0;
    cgroup_kill(fd);
    if (!wait_until_empty(fd, until_ms))
        code = error_set(error, ERR_TIMEOUT,
            "processes in the cgroup of the ended runner %016" PRIx64 " cannot be killed",
            instance);
    remove_below(fd);
    (void)close(fd);
    cgroup_remove_instance(instance);
    return code;
}
