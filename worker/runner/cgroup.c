#include "worker/runner/cgroup.h"

#include "common/clock.h"
#include "common/memory.h"
#include "worker/runner/pids.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
    FREE_MAX = 64,  /* empty ones that are kept for the next attempts */
    MOVES_MAX = 10, /* readings of a container's processes: one may fork while it is moved */
};

static const char LEAF[] = "/reeve-worker";

int cgroup_write(int fd, const char *file, const char *format, ...)
{
    char text[64];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    int own = openat(fd, file, O_WRONLY | O_CLOEXEC);
    int code = own < 0 ? errno : 0;
    if (own >= 0 && write(own, text, (size_t)length) != length)
        code = errno;
    if (own >= 0)
        (void)close(own);
    return code;
}

void cgroup_name_instance(uint64_t instance, char name[CGROUP_NAME_MAX])
{
    (void)snprintf(name, CGROUP_NAME_MAX, "reeve-%016" PRIx64, instance);
}

/* Whether a line "4:memory,x:/path" of /proc/self/cgroup is the controller's; "0::" is version 2's.
 */
static bool line_is_of(const char *controllers, size_t length, const char *controller)
{
    if (controller == NULL)
        return length == 0;
    size_t wanted = strlen(controller);
    for (size_t at = 0; at < length;) {
        size_t word = strcspn(controllers + at, ",:");
        if (word == wanted && memcmp(controllers + at, controller, word) == 0)
            return true;
        at += word + 1;
    }
    return false;
}

bool cgroup_own_path(const char *controller, char *path)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (file == NULL)
        return false;
    bool found = false;
    char line[PATH_MAX + 128];
    while (!found && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *own = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (own == NULL || own[1] != '/' ||
            !line_is_of(controllers + 1, (size_t)(own - controllers - 1), controller))
            continue;
        (void)snprintf(path, PATH_MAX, "%.*s", PATH_MAX - 1, own + 1);
        found = true;
    }
    (void)fclose(file);
    return found;
}

/* Its parent, when it is the leaf that agent and runner were put into. */
static void leave_leaf(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash != NULL && strcmp(slash, LEAF) == 0)
        slash[slash == path] = '\0';
}

/* The caller's own cgroup, or what that is the leaf of; or -1. */
static int own_open(void)
{
    static const char *const roots[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    char path[PATH_MAX];
    if (!cgroup_own_path(NULL, path))
        return -1;
    leave_leaf(path);
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
    char name[CGROUP_NAME_MAX];
    cgroup_name_instance(instance, name);
    return openat(own, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool holds_no_process(int fd)
{
    char first;
    int file = openat(fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    bool empty = file >= 0 && read(file, &first, 1) == 0;
    if (file >= 0)
        (void)close(file);
    return empty;
}

static void move_all(int from, int to)
{
    char line[32];
    int fd = openat(from, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    FILE *file = fd >= 0 ? fdopen(fd, "re") : NULL;
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        (void)cgroup_write(to, "cgroup.procs", "%s", line);
    if (file != NULL)
        (void)fclose(file);
    else if (fd >= 0)
        (void)close(fd);
}

/*
 * A container with a cgroup namespace of its own: nobody else is in its root, which is none of the
 * host's. What runs there, this process and its agent among them, goes into the leaf, when that
 * gains something. Where the tree is read-only, as engines have it by default, nothing happens.
 */
static void container_enter_leaf(int base)
{
    char path[PATH_MAX];
    char offered[512] = "";
    int file = openat(base, "cgroup.controllers", O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        (void)!read(file, offered, sizeof offered - 1);
        (void)close(file);
    }
    if (!cgroup_own_path(NULL, path) || strcmp(path, "/") != 0 ||
        faccessat(base, "cgroup.type", F_OK, 0) != 0 || strstr(offered, "memory") == NULL)
        return;
    if (mkdirat(base, LEAF + 1, 0755) != 0 && errno != EEXIST)
        return;
    int leaf = openat(base, LEAF + 1, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; leaf >= 0 && i < MOVES_MAX && !holds_no_process(base); i++)
        move_all(base, leaf);
    if (leaf >= 0)
        (void)close(leaf);
}

/*
 * A cgroup that hands a controller on takes no process in any more, but for the root of all: then
 * systemd could not start an agent again beside its runner. Some would hand on cpu all the same.
 */
static bool may_give(int base)
{
    return holds_no_process(base) || faccessat(base, "cgroup.type", F_OK, 0) != 0;
}

/* To what will be made in the instance's folder. */
static bool controller_give(int base, int instance, const char *controller)
{
    return cgroup_write(base, "cgroup.subtree_control", "%s", controller) == 0 &&
           cgroup_write(instance, "cgroup.subtree_control", "%s", controller) == 0;
}

static bool pids_bound(int fd, uint64_t pids)
{
    return pids > 0 && cgroup_write(fd, "pids.max", "%" PRIu64, pids) == 0;
}

void cgroups_init(struct cgroups *cgroups, uint64_t instance)
{
    char name[CGROUP_NAME_MAX];
    int own = own_open();
    *cgroups = (struct cgroups){.fd = -1, .instance = instance};
    if (own < 0)
        return;
    container_enter_leaf(own);
    cgroup_name_instance(instance, name);
    if (mkdirat(own, name, 0755) == 0)
        cgroups->fd = instance_find(own, instance);
    /* cgroup.kill came with Linux 5.14; without it a cgroup is no better than the sweep. */
    bool usable = cgroups->fd >= 0 && faccessat(cgroups->fd, "cgroup.kill", W_OK, 0) == 0 &&
                  faccessat(own, "cgroup.procs", W_OK, 0) == 0;
    bool gives = usable && may_give(own);
    cgroups->memory = gives && controller_give(own, cgroups->fd, "+memory");
    cgroups->cpu = gives && controller_give(own, cgroups->fd, "+cpu");
    if (gives && controller_give(own, cgroups->fd, "+pids") &&
        pids_bound(cgroups->fd, pids_of_tasks()))
        cgroups->pids = pids_of_task();
    (void)close(own);
    if (!usable)
        cgroups_fini(cgroups);
}

static void instance_remove(uint64_t instance)
{
    char name[CGROUP_NAME_MAX];
    int own = own_open();
    if (own < 0)
        return;
    cgroup_name_instance(instance, name);
    (void)unlinkat(own, name, AT_REMOVEDIR);
    (void)close(own);
}

static void name_number(uint32_t number, char name[CGROUP_NAME_MAX])
{
    (void)snprintf(name, CGROUP_NAME_MAX, "%u", number);
}

static void cgroup_destroy(struct cgroups *cgroups, struct cgroup *cgroup)
{
    char name[CGROUP_NAME_MAX];
    (void)close(cgroup->events_fd);
    (void)close(cgroup->fd);
    name_number(cgroup->number, name);
    (void)unlinkat(cgroups->fd, name, AT_REMOVEDIR);
    free(cgroup);
}

void cgroups_fini(struct cgroups *cgroups)
{
    for (size_t i = 0; i < cgroups->free_count; i++)
        cgroup_destroy(cgroups, cgroups->free[i]);
    free(cgroups->free);
    if (cgroups->fd >= 0)
        (void)close(cgroups->fd);
    if (cgroups->instance != 0)
        instance_remove(cgroups->instance);
    *cgroups = (struct cgroups){.fd = -1};
}

/* The number after `name` in a file of "name number" lines; -1: not there. */
static int64_t number_find(const char *text, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) == 0 && line[length] == ' ')
            return strtoll(line + length, NULL, 10);
    }
    return -1;
}

int64_t cgroup_read_number(int fd, const char *file, const char *name)
{
    char text[1024];
    int own = openat(fd, file, O_RDONLY | O_CLOEXEC);
    if (own < 0)
        return -1;
    ssize_t length = read(own, text, sizeof text - 1);
    (void)close(own);
    text[length > 0 ? length : 0] = '\0';
    if (name != NULL)
        return number_find(text, name);
    return text[0] >= '0' && text[0] <= '9' ? strtoll(text, NULL, 10) : -1;
}

static int64_t oom_kills_read(int fd)
{
    return cgroup_read_number(fd, "memory.events", "oom_kill");
}

static struct cgroup *cgroup_create(struct cgroups *cgroups)
{
    char name[CGROUP_NAME_MAX];
    name_number(cgroups->made, name);
    if (mkdirat(cgroups->fd, name, 0755) != 0)
        return NULL;
    struct cgroup *cgroup = xcalloc(1, sizeof *cgroup);
    cgroup->number = cgroups->made++;
    cgroup->fd = openat(cgroups->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cgroup->events_fd = openat(cgroup->fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
    bool bounded = cgroups->pids == 0 || pids_bound(cgroup->fd, cgroups->pids);
    if (bounded && cgroup->fd >= 0 && cgroup->events_fd >= 0) {
        cgroup->oom_kills = oom_kills_read(cgroup->fd);
        return cgroup;
    }
    cgroup_destroy(cgroups, cgroup);
    return NULL;
}

struct cgroup *cgroup_take(struct cgroups *cgroups)
{
    if (cgroups->free_count == 0)
        return cgroup_create(cgroups);
    struct cgroup *cgroup = cgroups->free[--cgroups->free_count];
    if (cgroup->oom_kills >= 0)
        cgroup->oom_kills = oom_kills_read(cgroup->fd);
    return cgroup;
}

void cgroup_give_back(struct cgroups *cgroups, struct cgroup *cgroup)
{
    if (cgroup->killed || cgroup->limited || cgroups->free_count >= FREE_MAX) {
        cgroup_destroy(cgroups, cgroup);
        return;
    }
    vector_reserve(&cgroups->free, cgroups->free_count, &cgroups->free_capacity);
    cgroups->free[cgroups->free_count++] = cgroup;
}

static void kill_all(int fd)
{
    int file = openat(fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return;
    (void)!write(file, "1", 1);
    (void)close(file);
}

void cgroup_kill(struct cgroup *cgroup)
{
    cgroup->killed = true;
    kill_all(cgroup->fd);
}

static bool events_say_empty(int events_fd)
{
    char text[256];
    ssize_t length = pread(events_fd, text, sizeof text - 1, 0);
    text[length > 0 ? length : 0] = '\0';
    return number_find(text, "populated") == 0;
}

bool cgroup_is_empty(const struct cgroup *cgroup)
{
    return events_say_empty(cgroup->events_fd);
}

/* A file that this kernel lacks bounds nothing more than those it has. */
static int write_if_there(int fd, const char *file, const char *text)
{
    int code = cgroup_write(fd, file, "%s", text);
    return code == ENOENT ? 0 : code;
}

int cgroup_limit(struct cgroup *cgroup, uint64_t memory_bytes, uint32_t cpu_permille)
{
    int code = 0;
    cgroup->limited = true;
    if (memory_bytes > 0) {
        code = cgroup_write(cgroup->fd, "memory.max", "%" PRIu64, memory_bytes);
        if (code == 0)
            code = write_if_there(cgroup->fd, "memory.swap.max", "0");
        /* All of it, as the main process without its children is of no use, nor the reverse. */
        if (code == 0)
            code = write_if_there(cgroup->fd, "memory.oom.group", "1");
    }
    if (code == 0 && cpu_permille > 0)
        code = cgroup_write(cgroup->fd, "cpu.max", "%" PRIu64 " %d",
            (uint64_t)cpu_permille * CGROUP_CPU_PERIOD_US / 1000, CGROUP_CPU_PERIOD_US);
    return code;
}

struct memory_end cgroup_memory_end(const struct cgroup *cgroup)
{
    if (cgroup->oom_kills < 0)
        return (struct memory_end){0};
    int64_t peak = cgroup->limited ? cgroup_read_number(cgroup->fd, "memory.peak", NULL) : -1;
    bool killed = oom_kills_read(cgroup->fd) > cgroup->oom_kills;
    return (struct memory_end){
        .known = true,
        .killed = killed,
        .by_limit =
            killed && cgroup->limited && cgroup_read_number(cgroup->fd, "memory.events", "oom") > 0,
        .peak_bytes = peak > 0 ? (uint64_t)peak : 0,
    };
}

/* ---- a dead runner's ---- */

static bool wait_until_empty(int fd, uint64_t until_ms)
{
    int events_fd = openat(fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
    if (events_fd < 0)
        return false;
    bool empty = events_say_empty(events_fd);
    for (uint64_t now = clock_boot_ms(); !empty && now < until_ms; now = clock_boot_ms()) {
        /* The kernel tells of a change since the last read. */
        struct pollfd poller = {.fd = events_fd, .events = POLLPRI};
        (void)poll(&poller, 1, until_ms - now < 1000 ? (int)(until_ms - now) : 1000);
        empty = events_say_empty(events_fd);
    }
    (void)close(events_fd);
    return empty;
}

void cgroup_remove_below(int fd)
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
    kill_all(fd);
    if (!wait_until_empty(fd, until_ms))
        code = error_set(error, ERR_TIMEOUT,
            "processes in the cgroup of the ended runner %016" PRIx64 " cannot be killed",
            instance);
    cgroup_remove_below(fd);
    (void)close(fd);
    instance_remove(instance);
    return code;
}
