#include "worker/runner/task.h"

#include "common/memory.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* Rounds of stopping before the killing begins whatever is still being forked; the next sweep finds
 * the rest. */
enum { STOP_ROUNDS_MAX = 8 };

struct task *task_of_session(const struct processes *processes, pid_t session)
{
    uint64_t value;
    if (session <= 0 || !table_get(&processes->by_session, (uint64_t)session, &value))
        return NULL;
    return (struct task *)(uintptr_t)value;
}

struct task *task_of_orphan(const struct processes *processes, pid_t pid)
{
    uint64_t serial;
    uint64_t value;
    if (!table_get(&processes->orphans, (uint64_t)pid, &serial) ||
        !table_get(&processes->by_serial, serial, &value))
        return NULL;
    return (struct task *)(uintptr_t)value;
}

static struct task *task_of_scope(const struct processes *processes, struct slice scope)
{
    if (scope.length == 0)
        return NULL;
    for (struct task *task = processes->tasks; task != NULL; task = task->next) {
        if (!task->over && slice_is(scope, task->scope))
            return task;
    }
    return NULL;
}

static bool is_alive(const struct process *process)
{
    return process->state != 'Z' && process->state != 'X';
}

/* The child of the runner that this process is, or descends from; NULL: it does not. */
static const struct process *top_of(
    const struct processes *processes, const struct process *process)
{
    const struct process_list *list = &processes->census.list;
    /* Bounded: the list is not of one moment, and reused pids could make it circular. */
    for (size_t steps = 0; process != NULL && steps <= list->count; steps++) {
        if (process->parent == processes->self)
            return process;
        process = process_find(list, process->parent);
    }
    return NULL;
}

/* The owner as one process itself shows it. */
static struct task *owner_shown(struct processes *processes, const struct process *process)
{
    struct task *task = task_of_session(processes, process->session);
    if (task != NULL || !is_alive(process))
        return task;
    return task_of_scope(processes, process_scope(process->pid, &processes->census.scratch));
}

/* Nobody's orphan belongs to the only attempt that lives. */
static struct task *owner_of_stray(const struct processes *processes)
{
    for (struct task *task = processes->tasks; processes->live == 1 && task != NULL;
         task = task->next) {
        if (!task->over)
            return task;
    }
    return NULL;
}

/* First the runner's own children, by what they or one of their descendants show; then all by their
 * topmost ancestor. */
static void owners_find(struct processes *processes)
{
    struct census *census = &processes->census;
    for (size_t i = 0; i < census->list.count; i++) {
        const struct process *process = &census->list.items[i];
        const struct process *top = top_of(processes, process);
        if (top == NULL || census->owners[top - census->list.items] != NULL)
            continue;
        census->owners[top - census->list.items] = owner_shown(processes, process);
    }
    for (size_t i = 0; i < census->list.count; i++) {
        const struct process *process = &census->list.items[i];
        const struct process *top = top_of(processes, process);
        if (top == NULL)
            continue;
        struct task *owner = census->owners[top - census->list.items];
        if (owner == NULL)
            owner = owner_of_stray(processes);
        census->owners[i] = owner;
        if (process == top && owner != NULL && process->pid != owner->pid)
            table_set(&processes->orphans, (uint64_t)process->pid, owner->serial);
    }
}

/* Reads who is whose now. */
static void census_read(struct processes *processes)
{
    struct census *census = &processes->census;
    process_list_read(&census->list);
    if (census->list.count > census->capacity) {
        census->owners = xreallocarray(census->owners, census->list.count, sizeof *census->owners);
        census->capacity = census->list.count;
    }
    if (census->list.count > 0)
        memset(census->owners, 0, census->list.count * sizeof *census->owners);
    owners_find(processes);
}

void census_fini(struct census *census)
{
    process_list_fini(&census->list);
    free(census->owners);
    buffer_fini(&census->scratch);
}

/* ---- looking ---- */

/* A child of the runner that is no main process: known, or one reading of /proc tells whose it is.
 */
static void orphan_look(struct processes *processes, pid_t pid, bool *census_is_fresh)
{
    struct task *task = task_of_session(processes, pid);
    if (task != NULL && task->pid == pid)
        return;
    task = task_of_orphan(processes, pid);
    if (task == NULL && !*census_is_fresh) {
        census_read(processes);
        *census_is_fresh = true;
        task = task_of_orphan(processes, pid);
    }
    if (task != NULL)
        task->left = true;
}

/* By the kernel's list of our children. Nobody but us reaps them, so none is passed over. */
static void look_at_children(struct processes *processes)
{
    struct buffer text = {0};
    bool census_is_fresh = false;
    for (;;) {
        ssize_t got =
            pread(processes->children_fd, buffer_reserve(&text, 4096), 4096, (off_t)text.length);
        if (got <= 0)
            break;
        text.length += (size_t)got;
    }
    const char *at = buffer_text(&text);
    char *end;
    for (long pid; (pid = strtol(at, &end, 10)) > 0; at = end)
        orphan_look(processes, (pid_t)pid, &census_is_fresh);
    buffer_fini(&text);
}

static void look_at_all(struct processes *processes)
{
    const struct census *census = &processes->census;
    census_read(processes);
    for (size_t i = 0; i < census->list.count; i++) {
        const struct process *process = &census->list.items[i];
        if (process->parent == processes->self && census->owners[i] != NULL &&
            census->owners[i]->pid != process->pid)
            census->owners[i]->left = true;
    }
}

void census_look(struct processes *processes)
{
    for (struct task *task = processes->tasks; task != NULL; task = task->next) {
        if (task->clearing)
            task->left = task->pid != 0 || (task->cgroup != NULL && !cgroup_is_empty(task->cgroup));
    }
    if (processes->children_fd >= 0)
        look_at_children(processes);
    else if (processes->cgroups.fd < 0)
        look_at_all(processes);
}

/* ---- killing ---- */

static bool is_due(const struct task *task, uint64_t now_ms)
{
    return task != NULL && task->clearing && task->left && task->sweep_at <= now_ms;
}

/* Stops whoever is not stopped yet; true when there was one. */
static bool stop_round(struct processes *processes, uint64_t now_ms)
{
    const struct census *census = &processes->census;
    bool any = false;
    for (size_t i = 0; i < census->list.count; i++) {
        const struct process *process = &census->list.items[i];
        if (!is_due(census->owners[i], now_ms) || !is_alive(process) || process->state == 'T')
            continue;
        any |= process_signal(process, SIGSTOP);
    }
    return any;
}

void census_kill(struct processes *processes, uint64_t now_ms)
{
    const struct census *census = &processes->census;
    for (int round = 0; round < STOP_ROUNDS_MAX; round++) {
        census_read(processes);
        if (!stop_round(processes, now_ms))
            break;
    }
    for (size_t i = 0; i < census->list.count; i++) {
        if (is_due(census->owners[i], now_ms) && is_alive(&census->list.items[i]))
            (void)process_signal(&census->list.items[i], SIGKILL);
    }
}
