#include "cli/supervise.h"

#include "cli/descendants.h"
#include "cli/prefix.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/loop.h"
#include "common/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    WORKERS_END_MS = 20000, /* for `reeve-worker stop --now`; then they are killed */
    MASTER_END_MS = 10000,  /* for the master after SIGTERM */
    RESTART_MS = 1000,      /* who lived shorter waits so long for the next start */
    RESTART_STATUS = 75,    /* "start me again" */
    MASTER_DEATHS_MAX = 3,  /* in a row; a master that lived MASTER_STEADY_MS begins afresh */
    MASTER_STEADY_MS = 60000,
};

enum phase {
    PHASE_RUN,
    PHASE_WORKERS_END,
    PHASE_MASTER_ENDS,
    PHASE_OVER, /* what is left is killed */
};

struct child {
    pid_t pid; /* 0: not running */
    char name[24];
    int output_fd; /* where it prints: one for all its lives, since its runner outlives it */
    uint64_t started_ms;
    uint64_t due_ms; /* start it (again) then; 0: not wanted */
    struct prefix prefix;
};

struct supervision {
    const struct supervisor_order *order;
    const struct supervise_programs *programs;
    int order_fd, report_fd;
    struct loop *loop;
    enum phase phase;
    uint64_t phase_ends_ms;
    bool reported, told_to_end; /* to who ordered all this; by them */
    struct child master;
    bool served; /* the master was ready once */
    uint32_t master_deaths;
    struct child *workers;
    struct child *stoppers; /* `reeve-worker stop --now`, one a worker */
};

static void report(struct supervision *supervision, const char *name, const char *what, int number)
{
    char text[200];
    int length = snprintf(text, sizeof text, "%s %s %d\n", name, what, number);
    if (length > 0)
        (void)!write(supervision->report_fd, text, (size_t)length);
    supervision->reported = true;
}

/* In the new process: the standard streams, the signals, and away. */
static void become(const char *const *argv, int output)
{
    sigset_t none;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGHUP, SIG_DFL);
    (void)signal(SIGPIPE, SIG_DFL);
    /* Should the supervisor be killed, they end too. */
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(output, STDOUT_FILENO);
    (void)dup2(output, STDERR_FILENO);
    (void)execv(argv[0], (char *const *)argv);
    _exit(127);
}

static void on_output(void *context, int fd, uint32_t events)
{
    (void)fd;
    (void)events;
    prefix_read(context);
}

static int open_output(struct supervision *supervision, struct child *child)
{
    int fds[2];
    if (supervision->order->logs != NULL) {
        char *path = xasprintf("%s/%s.log", supervision->order->logs, child->name);
        child->output_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        free(path);
        return child->output_fd >= 0 ? 0 : ERR_IO;
    }
    if (pipe2(fds, O_CLOEXEC) != 0)
        return ERR_IO;
    child->output_fd = fds[1];
    prefix_open(&child->prefix, fds[0], child->name);
    return loop_watch(supervision->loop, fds[0], EPOLLIN, on_output, &child->prefix, NULL);
}

static void spawn(struct supervision *supervision, struct child *child, const char *const *argv)
{
    pid_t pid = fork();
    if (pid == 0)
        become(argv, child->output_fd);
    if (pid < 0)
        report(supervision, child->name, "cannot be started: errno", errno);
    child->due_ms = 0;
    child->started_ms = clock_boot_ms();
    child->pid = pid > 0 ? pid : 0;
}

static void start_master(struct supervision *supervision)
{
    const struct supervisor_order *order = supervision->order;
    const char **argv = xcalloc(order->dag_count * 2 + 6, sizeof *argv);
    size_t count = 0;
    argv[count++] = supervision->programs->master;
    argv[count++] = "--data";
    argv[count++] = order->master;
    if (order->listen != NULL) {
        argv[count++] = "--listen";
        argv[count++] = order->listen;
    }
    for (size_t i = 0; i < order->dag_count; i++) {
        argv[count++] = "--dags";
        argv[count++] = order->dags[i];
    }
    spawn(supervision, &supervision->master, argv);
    free(argv);
}

static void start_worker(struct supervision *supervision, struct child *child)
{
    const struct supervisor_order *order = supervision->order;
    const char **argv = xcalloc(order->queue_count * 2 + 10, sizeof *argv);
    char slots[16];
    size_t count = 0;
    char *data = xasprintf("%s/%s", order->workers, child->name);
    (void)snprintf(slots, sizeof slots, "%u", order->slots);
    const char *const words[] = {supervision->programs->worker, "--data", data, "--join",
        order->master, "--name", child->name, "--slots", slots};
    for (; count < sizeof words / sizeof words[0]; count++)
        argv[count] = words[count];
    for (size_t i = 0; i < order->queue_count; i++) {
        argv[count++] = "--queue";
        argv[count++] = order->queues[i];
    }
    spawn(supervision, child, argv);
    free(data);
    free(argv);
}

static void start_stopper(struct supervision *supervision, uint32_t index)
{
    char *data = xasprintf("%s/%s", supervision->order->workers, supervision->workers[index].name);
    const char *argv[] = {supervision->programs->worker, "stop", "--now", "--data", data, NULL};
    spawn(supervision, &supervision->stoppers[index], argv);
    free(data);
}

static void set_timer(struct supervision *supervision)
{
    uint64_t due = supervision->phase_ends_ms;
    uint64_t master = supervision->master.due_ms;
    if (supervision->phase == PHASE_RUN && master != 0 && master < due)
        due = master;
    for (uint32_t i = 0; i < supervision->order->worker_count; i++) {
        uint64_t start = supervision->workers[i].due_ms;
        if (supervision->phase == PHASE_RUN && start != 0 && start < due)
            due = start;
    }
    loop_set_timer(supervision->loop, due);
}

static void enter(struct supervision *supervision, enum phase phase, uint64_t at_most_ms)
{
    supervision->phase = phase;
    supervision->phase_ends_ms = clock_boot_ms() + at_most_ms;
    if (phase == PHASE_OVER)
        loop_stop(supervision->loop);
    set_timer(supervision);
}

static void end_master(struct supervision *supervision)
{
    if (supervision->phase >= PHASE_MASTER_ENDS)
        return;
    if (supervision->master.pid == 0) {
        enter(supervision, PHASE_OVER, 0);
        return;
    }
    (void)kill(supervision->master.pid, SIGTERM);
    enter(supervision, PHASE_MASTER_ENDS, MASTER_END_MS);
}

static void go_on_when_workers_ended(struct supervision *supervision)
{
    for (uint32_t i = 0; i < supervision->order->worker_count; i++) {
        if (supervision->workers[i].pid != 0 || supervision->stoppers[i].pid != 0)
            return;
    }
    end_master(supervision);
}

static void end_workers(struct supervision *supervision)
{
    if (supervision->phase != PHASE_RUN)
        return;
    enter(supervision, PHASE_WORKERS_END, WORKERS_END_MS);
    for (uint32_t i = 0; i < supervision->order->worker_count; i++) {
        /* One that ended of itself was perhaps refused: what works in its folder is not ours. */
        const struct child *worker = &supervision->workers[i];
        if (worker->pid != 0 || worker->due_ms != 0)
            start_stopper(supervision, i);
    }
    go_on_when_workers_ended(supervision);
}

static void start_soon(struct supervision *supervision, struct child *child)
{
    uint64_t now = clock_boot_ms();
    uint64_t soonest = child->started_ms + RESTART_MS;
    child->due_ms = soonest > now ? soonest : now;
    set_timer(supervision);
}

/* A worker ended though nobody asked: it is started again when it says so or was killed. */
static void worker_ended(struct supervision *supervision, struct child *child, int status)
{
    bool again = WIFSIGNALED(status) || WEXITSTATUS(status) == RESTART_STATUS;
    if (!again) {
        report(supervision, child->name, "ended with status", WEXITSTATUS(status));
        end_workers(supervision);
        return;
    }
    start_soon(supervision, child);
}

/*
 * A master that was killed, or ended because the disk failed it, is started again: it reads from
 * its disk how far it was, and the tasks go on meanwhile. One that never served, was refused
 * something, or dies again and again is reported, and everything ends.
 */
static void master_ended(struct supervision *supervision, int status)
{
    struct child *master = &supervision->master;
    bool signaled = WIFSIGNALED(status);
    int number = signaled ? WTERMSIG(status) : WEXITSTATUS(status);
    const char *what = signaled ? "was ended by signal" : "ended with status";
    if (clock_boot_ms() - master->started_ms >= MASTER_STEADY_MS)
        supervision->master_deaths = 0;
    bool again = supervision->served && (signaled || number == EXIT_FAILURE) &&
                 ++supervision->master_deaths <= MASTER_DEATHS_MAX;
    if (!again) {
        report(supervision, "reeve-master", what, number);
        end_workers(supervision);
        return;
    }
    if (supervision->order->logs == NULL)
        (void)dprintf(
            STDERR_FILENO, "reeve: reeve-master %s %d, and is started again\n", what, number);
    start_soon(supervision, master);
}

static void child_ended(struct supervision *supervision, pid_t pid, int status)
{
    if (pid == supervision->master.pid) {
        supervision->master.pid = 0;
        if (supervision->phase == PHASE_RUN)
            master_ended(supervision, status);
        else if (supervision->phase == PHASE_MASTER_ENDS)
            enter(supervision, PHASE_OVER, 0);
        return;
    }
    for (uint32_t i = 0; i < supervision->order->worker_count; i++) {
        struct child *worker = &supervision->workers[i], *stopper = &supervision->stoppers[i];
        if (pid == worker->pid) {
            worker->pid = 0;
            if (supervision->phase == PHASE_RUN)
                worker_ended(supervision, worker, status);
        }
        if (pid == stopper->pid) {
            stopper->pid = 0;
            /* It could not: the worker is asked the plain way, its tasks are killed at the end. */
            if (status != 0 && worker->pid != 0)
                (void)kill(worker->pid, SIGTERM);
        }
    }
    if (supervision->phase == PHASE_WORKERS_END)
        go_on_when_workers_ended(supervision);
}

static void on_signal(void *context, int signal)
{
    struct supervision *supervision = context;
    int status;
    pid_t pid;
    if (signal == SIGTERM)
        end_workers(supervision);
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        child_ended(supervision, pid, status);
}

static void on_timer(void *context)
{
    struct supervision *supervision = context;
    struct child *master = &supervision->master;
    uint64_t now = clock_boot_ms();
    if (supervision->phase == PHASE_RUN && master->due_ms != 0 && master->due_ms <= now)
        start_master(supervision);
    for (uint32_t i = 0; i < supervision->order->worker_count; i++) {
        struct child *worker = &supervision->workers[i];
        if (supervision->phase == PHASE_RUN && worker->due_ms != 0 && worker->due_ms <= now)
            start_worker(supervision, worker);
    }
    if (now < supervision->phase_ends_ms)
        set_timer(supervision);
    else if (supervision->phase == PHASE_WORKERS_END)
        end_master(supervision);
    else
        enter(supervision, PHASE_OVER, 0);
}

static void start_workers(struct supervision *supervision)
{
    supervision->served = true;
    for (uint32_t i = 0; supervision->phase == PHASE_RUN && i < supervision->order->worker_count;
         i++)
        start_worker(supervision, &supervision->workers[i]);
}

static void on_order(void *context, int fd, uint32_t events)
{
    struct supervision *supervision = context;
    char order = SUPERVISE_END;
    (void)events;
    ssize_t length = read(fd, &order, 1);
    if (length < 0)
        return;
    if (length == 0)
        loop_forget(supervision->loop, fd);
    if (length == 1 && order == SUPERVISE_START_WORKERS)
        start_workers(supervision);
    else if (length == 1 && order == SUPERVISE_END_NOW)
        enter(supervision, PHASE_OVER, 0);
    else
        end_workers(supervision);
    supervision->told_to_end = length == 0 || order != SUPERVISE_START_WORKERS;
}

static int prepare_child(struct supervision *supervision, struct child *child)
{
    child->output_fd = child->prefix.fd = -1;
    return open_output(supervision, child);
}

static int prepare_children(struct supervision *supervision)
{
    uint32_t count = supervision->order->worker_count;
    (void)snprintf(supervision->master.name, sizeof supervision->master.name, "master");
    int rc = prepare_child(supervision, &supervision->master);
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        struct child *worker = &supervision->workers[i], *stopper = &supervision->stoppers[i];
        (void)snprintf(worker->name, sizeof worker->name, "w%u", i + 1);
        (void)snprintf(stopper->name, sizeof stopper->name, "stop-w%u", i + 1);
        rc = prepare_child(supervision, worker);
        if (rc == 0)
            rc = prepare_child(supervision, stopper);
    }
    return rc;
}

static int prepare(struct supervision *supervision)
{
    static const int signals[] = {SIGCHLD, SIGTERM};
    (void)setsid();
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    supervision->phase_ends_ms = UINT64_MAX;
    int rc = loop_create(&supervision->loop, NULL);
    if (rc == 0)
        rc = loop_on_signals(supervision->loop, signals, 2, on_signal, supervision, NULL);
    if (rc == 0)
        rc = loop_watch(
            supervision->loop, supervision->order_fd, EPOLLIN, on_order, supervision, NULL);
    if (rc != 0)
        return rc;
    loop_on_timer(supervision->loop, on_timer, supervision);
    return prepare_children(supervision);
}

static void close_child(struct child *child)
{
    prefix_close(&child->prefix);
    if (child->output_fd >= 0)
        (void)close(child->output_fd);
}

static void finish(struct supervision *supervision)
{
    descendants_kill();
    close_child(&supervision->master);
    for (uint32_t i = 0; i < supervision->order->worker_count; i++) {
        close_child(&supervision->workers[i]);
        close_child(&supervision->stoppers[i]);
    }
    /* Who was told that something ended reads in its log why, before the folder goes. */
    while (supervision->reported && !supervision->told_to_end && supervision->order->remove != NULL)
        on_order(supervision, supervision->order_fd, 0);
    if (supervision->order->remove != NULL)
        (void)file_remove_tree(supervision->order->remove, NULL);
    loop_destroy(supervision->loop);
    free(supervision->workers);
    free(supervision->stoppers);
}

int supervise(const struct supervisor_order *order, const struct supervise_programs *programs,
    int order_fd, int report_fd)
{
    struct supervision supervision = {
        .order = order, .programs = programs, .order_fd = order_fd, .report_fd = report_fd};
    supervision.workers = xcalloc(order->worker_count, sizeof *supervision.workers);
    supervision.stoppers = xcalloc(order->worker_count, sizeof *supervision.stoppers);
    int rc = prepare(&supervision);
    if (rc == 0) {
        start_master(&supervision);
        loop_run(supervision.loop);
    }
    finish(&supervision);
    return rc == 0 ? 0 : 1;
}
