#include "worker/runner/processes.h"

#include "common/clock.h"
#include "common/file.h"
#include "common/memory.h"
#include "worker/runner/order.h"
#include "worker/runner/task.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SWEEP_FIRST_MS = 2, /* what was killed is mostly gone by then; doubled each time */
    SWEEP_LONGEST_MS = 1000,
};

/* How often the kernel has killed for want of memory, anywhere on this machine; -1: it does not
 * say. */
static int64_t oom_kills_read(void)
{
    FILE *file = fopen("/proc/vmstat", "re");
    char line[128];
    int64_t count = -1;
    while (file != NULL && count < 0 && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "oom_kill ", 9) == 0)
            count = strtoll(line + 9, NULL, 10);
    }
    if (file != NULL)
        (void)fclose(file);
    return count;
}

/* Whether processes can be born in cgroups here is found out by trying. */
static void cgroups_try(struct processes *processes)
{
    cgroups_init(&processes->cgroups, processes->instance);
    if (processes->cgroups.fd < 0)
        return;
    struct cgroup *first = cgroup_take(&processes->cgroups);
    bool works = first != NULL && spawner_can_enter(&processes->spawner, first->fd);
    if (first != NULL)
        cgroup_give_back(&processes->cgroups, first);
    if (!works)
        cgroups_fini(&processes->cgroups);
}

struct processes *processes_create(uint64_t instance, bool use_cgroups)
{
    struct processes *processes = xcalloc(1, sizeof *processes);
    processes->instance = instance;
    processes->self = getpid();
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    spawner_init(&processes->spawner);
    processes->cgroups.fd = -1;
    if (use_cgroups)
        cgroups_try(processes);
    processes->cgroups.instance = instance;
    bounds_init(&processes->bounds, &processes->cgroups, use_cgroups);
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)processes->self);
    processes->children_fd = open(path, O_RDONLY | O_CLOEXEC);
    processes->oom_kills = oom_kills_read();
    return processes;
}

struct runner_limits processes_limits(const struct processes *processes)
{
    return bounds_words(&processes->bounds);
}

/* The task's ends go with it: what never ran writes nothing, and what ran has its own. */
static void birth_end(struct task *task)
{
    if (task->birth == NULL)
        return;
    if (task->birth->order.output >= 0)
        (void)close(task->birth->order.output);
    if (task->birth->order.channel >= 0)
        (void)close(task->birth->order.channel);
    arena_fini(&task->birth->arena);
    free(task->birth);
    task->birth = NULL;
}

/* On memory, so that nothing is waited for. Once. */
static void secrets_remove(struct task *task)
{
    if (task->secrets == NULL)
        return;
    (void)file_remove_tree(task->secrets, NULL);
    free(task->secrets);
    task->secrets = NULL;
}

static void task_free(struct task *task)
{
    free(task->secrets);
    birth_end(task);
    if (task->pipe >= 0)
        (void)close(task->pipe);
    if (task->output >= 0)
        (void)close(task->output);
    if (task->channel >= 0)
        (void)close(task->channel);
    if (task->failure_fd >= 0)
        (void)close(task->failure_fd);
    free(task);
}

void processes_destroy(struct processes *processes)
{
    if (processes == NULL)
        return;
    for (struct task *task = processes->tasks; task != NULL;) {
        struct task *next = task->next;
        if (!task->over)
            bound_end(&processes->bounds, &task->bound);
        if (task->cgroup != NULL)
            cgroup_give_back(&processes->cgroups, task->cgroup);
        task_free(task);
        task = next;
    }
    bounds_fini(&processes->bounds);
    cgroups_fini(&processes->cgroups);
    if (processes->children_fd >= 0)
        (void)close(processes->children_fd);
    processes_end_pipes(processes);
    free(processes->ended);
    census_fini(&processes->census);
    table_fini(&processes->by_session);
    table_fini(&processes->by_serial);
    table_fini(&processes->orphans);
    names_fini(&processes->by_id);
    mounts_fini(&processes->mounts);
    spawner_fini(&processes->spawner);
    free(processes);
}

static struct task *task_find(const struct processes *processes, struct attempt_id id)
{
    uint64_t value;
    if (!names_get(&processes->by_id, attempt_key(&id), &value))
        return NULL;
    return (struct task *)(uintptr_t)value;
}

static struct task *task_add(
    struct processes *processes, struct attempt_id id, const struct order_fds *fds)
{
    struct task *task = xcalloc(1, sizeof *task);
    task->id = id;
    task->bound = (struct bound){.v1 = {-1, -1}};
    task->pipe = fds->pipe[0];
    task->output = -1;
    task->channel = fds->channel[0];
    task->failure_fd = -1;
    task->over = true;
    scope_format(processes->instance, &id, task->scope);
    task->next = processes->tasks;
    if (processes->tasks != NULL)
        processes->tasks->previous = task;
    processes->tasks = task;
    names_set(&processes->by_id, attempt_key(&id), (uintptr_t)task);
    return task;
}

/* Something of it may run from now on. */
static void task_begin(struct processes *processes, struct task *task)
{
    assert(task->over);
    task->over = false;
    task->serial = ++processes->last_serial;
    table_set(&processes->by_serial, task->serial, (uintptr_t)task);
    processes->live++;
}

/* Nothing of it runs any more; its pipe stays until it is forgotten. */
static void task_end(struct processes *processes, struct task *task)
{
    assert(!task->over && task->pid == 0);
    secrets_remove(task);
    task->over = true;
    processes->live--;
    processes->clearing -= task->clearing;
    task->clearing = false;
    (void)table_remove(&processes->by_serial, task->serial);
    if (task_of_session(processes, task->session) == task)
        (void)table_remove(&processes->by_session, (uint64_t)task->session);
    bound_end(&processes->bounds, &task->bound);
    if (task->cgroup != NULL)
        cgroup_give_back(&processes->cgroups, task->cgroup);
    task->cgroup = NULL;
    if (task->output < 0)
        return;
    vector_reserve(&processes->ended, processes->ended_count, &processes->ended_capacity);
    processes->ended[processes->ended_count++] = task->output;
    task->output = -1;
}

/* ---- what the core asks ---- */

void processes_keep(
    struct processes *processes, const struct msg_runner_start *start, const struct order_fds *fds)
{
    struct task *task = task_add(processes, start->id, fds);
    struct birth_order *birth = xcalloc(1, sizeof *birth);
    task->birth = birth;
    birth->order.output = fds->pipe[1];
    birth->order.channel = fds->channel[1];
    birth->order.cgroup_fd = -1;
    birth->order.limits = (struct spawn_limits){start->memory_bytes, start->cpu_permille};
    if (start->secrets.length > 0)
        task->secrets = xstrndup(start->secrets.ptr, start->secrets.length);
    if (fds->pipe[0] < 0 || (start->operator&& fds->channel[1]<0)) {
        birth->failure.reason = REASON_WORKER_ERROR;
        (void)snprintf(birth->failure.text, sizeof birth->failure.text,
            "no %s came with the order to start", fds->pipe[0] < 0 ? "pipe" : "socket");
        return;
    }
    (void)order_make(start, task->scope, &birth->arena, &birth->order, &birth->failure);
}

static pid_t task_spawn(
    struct processes *processes, struct task *task, struct spawn_failure *ret_failure)
{
    struct spawn_order *order = &task->birth->order;
    *ret_failure = task->birth->failure;
    if (ret_failure->reason != REASON_NONE)
        return -1;
    mounts_refresh(&processes->mounts);
    order->may_hang =
        order_may_hang(order, &processes->mounts, &processes->searches, clock_boot_ms());
    if (processes->cgroups.fd >= 0)
        task->cgroup = cgroup_take(&processes->cgroups);
    if (task->cgroup != NULL)
        order->cgroup_fd = task->cgroup->fd;
    pid_t pid = -1;
    if (bound_begin(&processes->bounds, task->cgroup, &task->bound, order, ret_failure))
        pid = spawn(&processes->spawner, order, &task->failure_fd, ret_failure);
    bound_entered(order);
    return pid;
}

pid_t processes_spawn(
    struct processes *processes, struct attempt_id id, struct spawn_failure *ret_failure)
{
    struct task *task = task_find(processes, id);
    assert(task != NULL && task->birth != NULL);
    task_begin(processes, task);
    pid_t pid = task_spawn(processes, task, ret_failure);
    if (pid >= 0) {
        task->output = task->birth->order.output;
        task->birth->order.output = -1;
    }
    birth_end(task);
    if (pid < 0) {
        task_end(processes, task);
        return -1;
    }
    task->pid = pid;
    task->session = pid;
    table_set(&processes->by_session, (uint64_t)pid, (uintptr_t)task);
    return pid;
}

/* To the group of a main process that is not reaped, so that its number is still its own. After a
   fork the group may not be made yet. */
static void signal_group(const struct task *task, int signal)
{
    if (task->pid != 0 && kill(-task->pid, signal) != 0 && errno == ESRCH)
        (void)kill(task->pid, signal);
}

void processes_terminate(struct processes *processes, struct attempt_id id)
{
    const struct task *task = task_find(processes, id);
    if (task == NULL)
        return;
    signal_group(task, SIGTERM);
    signal_group(task, SIGCONT);
}

void processes_kill(struct processes *processes, struct attempt_id id)
{
    struct task *task = task_find(processes, id);
    if (task == NULL || task->over)
        return;
    processes->clearing += !task->clearing;
    task->clearing = true;
    task->killed = true;
    task->sweep_at = 0;
    task->sweeps = 0;
    signal_group(task, SIGKILL);
}

void processes_forget(struct processes *processes, struct attempt_id id)
{
    struct task *task = task_find(processes, id);
    if (task == NULL)
        return;
    assert(task->over);
    secrets_remove(task);
    (void)names_remove(&processes->by_id, attempt_key(&id));
    *(task->previous != NULL ? &task->previous->next : &processes->tasks) = task->next;
    if (task->next != NULL)
        task->next->previous = task->previous;
    task_free(task);
}

void processes_end_pipes(struct processes *processes)
{
    while (processes->ended_count > 0)
        (void)close(processes->ended[--processes->ended_count]);
}

int processes_pipe(const struct processes *processes, struct attempt_id id)
{
    const struct task *task = task_find(processes, id);
    return task != NULL ? task->pipe : -1;
}

int processes_channel(const struct processes *processes, struct attempt_id id)
{
    const struct task *task = task_find(processes, id);
    return task != NULL ? task->channel : -1;
}

/* ---- reaping ---- */

/* Did the kernel need memory? By the attempt's own cgroup when it counts that: then a failure that
   follows from a process that was killed below the main one counts too. Else for a SIGKILL that was
   not ours, by the machine's counter, which may have counted a stranger. */
static bool killed_for_memory(struct processes *processes, const struct task *task, int status,
    const struct memory_end *memory)
{
    if (status == 0 || task->killed)
        return false;
    if (memory->known && memory->by_limit)
        return true;
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        return false;
    if (memory->known)
        return memory->killed;
    int64_t before = processes->oom_kills;
    processes->oom_kills = oom_kills_read();
    return processes->oom_kills > before;
}

static uint64_t usage_cpu_us(const struct rusage *usage)
{
    return (uint64_t)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000 +
           (uint64_t)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
}

static void reap_main(
    struct processes *processes, struct task *task, process_event_fn callback, void *context)
{
    struct rusage usage;
    int status;
    struct spawn_failure failure;
    /* Before its number is free for others. */
    (void)kill(-task->pid, SIGKILL);
    (void)wait4(task->pid, &status, __WALL, &usage);
    task->pid = 0;
    const struct memory_end memory = bound_memory_end(&task->bound, task->cgroup);
    struct runner_event event = {
        .kind = RUNNER_EVENT_EXITED,
        .id = task->id,
        .status = status,
        .out_of_memory = killed_for_memory(processes, task, status, &memory),
        .over_limit = memory.by_limit,
        .memory_peak = memory.peak_bytes,
        .cpu_us = usage_cpu_us(&usage),
        .max_rss_kb = (uint64_t)usage.ru_maxrss,
    };
    if (task->failure_fd >= 0 && spawn_failure_read(task->failure_fd, &failure)) {
        event.kind = RUNNER_EVENT_SPAWN_FAILED;
        event.reason = failure.reason;
        event.text = slice_of(failure.text);
    }
    task->failure_fd = -1;
    callback(context, &event);
}

static void reap_orphan(struct processes *processes, pid_t pid)
{
    struct rusage usage;
    struct task *task = task_of_session(processes, getsid(pid));
    if (task == NULL)
        task = task_of_orphan(processes, pid);
    (void)table_remove(&processes->orphans, (uint64_t)pid);
    (void)wait4(pid, NULL, __WALL, &usage);
    if (task == NULL)
        return;
    task->cpu_us += usage_cpu_us(&usage);
    if ((uint64_t)usage.ru_maxrss > task->max_rss_kb)
        task->max_rss_kb = (uint64_t)usage.ru_maxrss;
}

void processes_reap(struct processes *processes, process_event_fn callback, void *context)
{
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) != 0 || info.si_pid == 0)
            return;
        struct task *task = task_of_session(processes, info.si_pid);
        if (task != NULL && task->pid == info.si_pid)
            reap_main(processes, task, callback, context);
        else
            reap_orphan(processes, info.si_pid);
    }
}

/* ---- clearing ---- */

/* A cgroup's kill takes all in it; /proc is read for those without one, and for those where that
 * was not enough. */
static void sweep(struct processes *processes, uint64_t now_ms)
{
    bool any = false;
    bool by_proc = false;
    for (struct task *task = processes->tasks; task != NULL; task = task->next) {
        if (!task->clearing || !task->left || task->sweep_at > now_ms)
            continue;
        any = true;
        if (task->cgroup != NULL)
            cgroup_kill(task->cgroup);
        by_proc |= task->cgroup == NULL || task->sweeps > 0;
    }
    if (!any)
        return;
    if (by_proc)
        census_kill(processes, now_ms);
    for (struct task *task = processes->tasks; task != NULL; task = task->next) {
        if (!task->clearing || !task->left || task->sweep_at > now_ms)
            continue;
        uint64_t delay = task->sweeps < 9 ? (uint64_t)SWEEP_FIRST_MS << task->sweeps : 0;
        task->sweeps++;
        task->sweep_at = now_ms + (delay != 0 ? delay : SWEEP_LONGEST_MS);
    }
}

void processes_clear(
    struct processes *processes, uint64_t now_ms, process_event_fn callback, void *context)
{
    if (processes->clearing == 0)
        return;
    census_look(processes);
    for (struct task *task = processes->tasks; task != NULL;) {
        struct task *next = task->next;
        if (task->clearing && !task->left) {
            struct runner_event event = {.kind = RUNNER_EVENT_EMPTY,
                .id = task->id,
                .cpu_us = task->cpu_us,
                .max_rss_kb = task->max_rss_kb};
            task_end(processes, task);
            callback(context, &event);
        }
        task = next;
    }
    if (processes->clearing > 0)
        sweep(processes, now_ms);
}

uint64_t processes_next_ms(const struct processes *processes)
{
    uint64_t next = UINT64_MAX;
    if (processes->clearing == 0)
        return next;
    for (const struct task *task = processes->tasks; task != NULL; task = task->next) {
        if (task->clearing && task->sweep_at < next)
            next = task->sweep_at;
    }
    return next;
}
