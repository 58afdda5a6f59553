#include "worker/runner/sweep.h"

#include "common/clock.h"
#include "common/memory.h"
#include "worker/runner/cgroup_v1.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <unistd.h>

void scope_format(uint64_t instance, const struct attempt_id *id, char text[SCOPE_TEXT_MAX])
{
    (void)snprintf(text, SCOPE_TEXT_MAX, "%016" PRIx64 ":%016" PRIx64 "-%x-%x-%x", instance,
        id->run, id->task, id->map, id->attempt);
}

/* "INSTANCE:", what all scopes of a runner begin with. */
static void format_instance(uint64_t instance, char text[SCOPE_TEXT_MAX])
{
    (void)snprintf(text, SCOPE_TEXT_MAX, "%016" PRIx64 ":", instance);
}

/* ---- /proc/PID/stat ---- */

static bool stat_read(pid_t pid, struct process *ret_process)
{
    char path[64];
    char text[1024];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t length = read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (length <= 0)
        return false;
    text[length] = '\0';
    /* The name in parentheses may hold anything, parentheses too; the last one ends it. */
    const char *rest = strrchr(text, ')');
    struct process process = {.pid = pid};
    if (rest == NULL ||
        sscanf(rest + 1,
            " %c %d %*d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %" SCNu64,
            &process.state, &process.parent, &process.session, &process.started) != 4)
        return false;
    *ret_process = process;
    return true;
}

static int compare_pids(const void *a, const void *b)
{
    pid_t left = ((const struct process *)a)->pid;
    pid_t right = ((const struct process *)b)->pid;
    return (left > right) - (left < right);
}

void process_list_read(struct process_list *list)
{
    list->count = 0;
    DIR *folder = opendir("/proc");
    if (folder == NULL)
        return;
    struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);
        struct process process;
        if (*end != '\0' || pid <= 0 || !stat_read((pid_t)pid, &process))
            continue;
        vector_reserve(&list->items, list->count, &list->capacity);
        list->items[list->count++] = process;
    }
    (void)closedir(folder);
    if (list->count > 0)
        qsort(list->items, list->count, sizeof *list->items, compare_pids);
}

void process_list_fini(struct process_list *list)
{
    free(list->items);
    *list = (struct process_list){0};
}

const struct process *process_find(const struct process_list *list, pid_t pid)
{
    struct process key = {.pid = pid};
    if (list->count == 0)
        return NULL;
    return bsearch(&key, list->items, list->count, sizeof *list->items, compare_pids);
}

/* ---- the mark ---- */

/* Appends the whole of /proc/PID/environ. */
static void environ_read(pid_t pid, struct buffer *out)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    for (;;) {
        ssize_t got = read(fd, buffer_reserve(out, 16 * 1024), 16 * 1024);
        if (got <= 0)
            break;
        out->length += (size_t)got;
    }
    (void)close(fd);
}

struct slice process_scope(pid_t pid, struct buffer *scratch)
{
    static const char name[] = SCOPE_VARIABLE "=";
    buffer_clear(scratch);
    environ_read(pid, scratch);
    const char *at = scratch->data;
    const char *end = at != NULL ? at + scratch->length : NULL;
    while (at < end) {
        size_t length = strnlen(at, (size_t)(end - at));
        if (length >= sizeof name - 1 && memcmp(at, name, sizeof name - 1) == 0)
            return slice_make(at + sizeof name - 1, length - (sizeof name - 1));
        at += length + 1;
    }
    return slice_make(NULL, 0);
}

/* A descriptor of exactly this process, or -1 when it is gone. */
static int process_open(const struct process *process)
{
    int fd = pidfd_open(process->pid, 0);
    if (fd < 0)
        return -1;
    /* The pid may have been given to another since the list was read: the descriptor is of whoever
     * has it now. */
    struct process now;
    if (stat_read(process->pid, &now) && now.started == process->started)
        return fd;
    (void)close(fd);
    return -1;
}

bool process_signal(const struct process *process, int signal)
{
    int fd = process_open(process);
    if (fd < 0)
        return false;
    bool sent = pidfd_send_signal(fd, signal, NULL, 0) == 0;
    (void)close(fd);
    return sent;
}

/* ---- a dead runner's processes ---- */

struct sweep {
    struct process_list list;
    bool *marked; /* beside list */
    size_t marked_capacity;
    struct buffer scratch;
    struct slice prefix;
};

static bool is_alive(const struct process *process)
{
    return process->state != 'Z' && process->state != 'X';
}

/* Marks who carries the prefix, and then, as long as it finds more, the children of who is marked.
 */
static size_t sweep_mark(struct sweep *sweep)
{
    size_t count = 0;
    process_list_read(&sweep->list);
    if (sweep->list.count > sweep->marked_capacity) {
        sweep->marked = xreallocarray(sweep->marked, sweep->list.count, sizeof *sweep->marked);
        sweep->marked_capacity = sweep->list.count;
    }
    for (size_t i = 0; i < sweep->list.count; i++) {
        const struct process *process = &sweep->list.items[i];
        struct slice scope = {0};
        if (is_alive(process) && process->pid != getpid())
            scope = process_scope(process->pid, &sweep->scratch);
        sweep->marked[i] = scope.length > sweep->prefix.length &&
                           memcmp(scope.ptr, sweep->prefix.ptr, sweep->prefix.length) == 0;
        count += sweep->marked[i];
    }
    for (bool more = count > 0; more;) {
        more = false;
        for (size_t i = 0; i < sweep->list.count; i++) {
            const struct process *process = &sweep->list.items[i];
            const struct process *parent = process_find(&sweep->list, process->parent);
            if (sweep->marked[i] || parent == NULL || !is_alive(process) ||
                process->pid == getpid() || !sweep->marked[parent - sweep->list.items])
                continue;
            sweep->marked[i] = true;
            more = true;
            count++;
        }
    }
    return count;
}

static void wait_for_death(int fd, uint64_t until_ms)
{
    uint64_t now = clock_boot_ms();
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    if (now < until_ms)
        (void)poll(&poller, 1, until_ms - now < 1000 ? (int)(until_ms - now) : 1000);
}

/* Stops all of them first, so that none forks while the others die; then kills, then waits for
 * each. */
static void sweep_kill(struct sweep *sweep, uint64_t until_ms)
{
    for (size_t i = 0; i < sweep->list.count; i++) {
        if (sweep->marked[i])
            (void)process_signal(&sweep->list.items[i], SIGSTOP);
    }
    for (size_t i = 0; i < sweep->list.count; i++) {
        if (sweep->marked[i])
            (void)process_signal(&sweep->list.items[i], SIGKILL);
    }
    for (size_t i = 0; i < sweep->list.count; i++) {
        int fd = sweep->marked[i] ? process_open(&sweep->list.items[i]) : -1;
        if (fd < 0)
            continue;
        wait_for_death(fd, until_ms);
        (void)close(fd);
    }
}

int sweep_instance(uint64_t instance, uint64_t timeout_ms, struct error *error)
{
    char prefix[SCOPE_TEXT_MAX];
    format_instance(instance, prefix);
    struct sweep sweep = {.prefix = slice_of(prefix)};
    uint64_t until_ms = clock_boot_ms() + timeout_ms;
    int code = cgroup_sweep(instance, until_ms, error);
    for (;;) {
        size_t left = sweep_mark(&sweep);
        if (left == 0)
            break;
        if (clock_boot_ms() >= until_ms) {
            code = error_set(error, ERR_TIMEOUT,
                "%zu processes of the ended runner %016" PRIx64 " cannot be killed", left,
                instance);
            break;
        }
        sweep_kill(&sweep, until_ms);
    }
    cgroup_v1_sweep(instance);
    process_list_fini(&sweep.list);
    free(sweep.marked);
    buffer_fini(&sweep.scratch);
    return code;
}
