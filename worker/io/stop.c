#include "worker/io/stop.h"

#include "common/file.h"
#include "worker/io/host.h"
#include "worker/io/stop_port.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
    /* `--now`: the agent waits 5 s for the master to take the last results, and 20 s for its
     * runner.
     */
    AGENT_END_MS = 60000,
    /* An agent that was told may be killed and started again; not for ever. */
    TRIES_MAX = 20,
    STATUS_INTERRUPTED = 130,
};

/* How waiting for an agent came to its end. */
enum outcome {
    OUTCOME_AGAIN, /* it ended, but not as it was asked: another may live, or a runner */
    OUTCOME_STOPPED,
    OUTCOME_INTERRUPTED,
};

/* A live agent, while its wish is waited for. */
struct agent_process {
    pid_t pid;
    int pidfd;
    int port;      /* the connection, or -1 */
    int interrupt; /* a signalfd of SIGINT */
    enum outcome outcome;
};

static int read_pid(const char *path, pid_t *ret_pid, struct error *error)
{
    struct buffer text = {0};
    int rc = file_read(path, 64, &text, error);
    long pid = rc == 0 ? strtol(buffer_text(&text), NULL, 10) : 0;
    buffer_fini(&text);
    if (rc == 0 && pid <= 0)
        rc = error_set(error, ERR_CORRUPT, "%s: names no process", path);
    *ret_pid = (pid_t)pid;
    return rc;
}

/* The pid is that of the lock's holder as long as the lock is held after the descriptor was made.
 * *ret_ended: it has just ended. */
static int find_agent(
    const struct folder *folder, struct agent_process *agent, bool *ret_ended, struct error *error)
{
    int lock;
    int rc = read_pid(folder->lock, &agent->pid, error);
    if (rc != 0)
        return rc;
    agent->pidfd = pidfd_open(agent->pid, 0);
    if (agent->pidfd < 0 && errno != ESRCH)
        return error_set_errno(error, ERR_IO, errno, "process %d", (int)agent->pid);
    rc = file_lock(folder->lock, &lock, error);
    if (rc != 0 && rc != ERR_REFUSED)
        return rc;
    if (rc == 0)
        (void)close(lock);
    *ret_ended = rc == 0 || agent->pidfd < 0;
    return 0;
}

/* One that does not listen has not begun, or waits to join: it holds nothing back by ending, and
 * what its runner holds is taken over. */
static int tell(const struct options *options, const struct folder *folder,
    struct agent_process *agent, struct error *error)
{
    const struct stop_wish wish = {.now = options->now, .within_ms = options->within_ms};
    if (stop_port_wish(folder->agent, &wish, &agent->port, NULL) == 0)
        return 0;
    agent->port = -1;
    if (pidfd_send_signal(agent->pidfd, SIGTERM, NULL, 0) != 0 && errno != ESRCH)
        return error_set_errno(
            error, ERR_DENIED, errno, "process %d cannot be told", (int)agent->pid);
    return 0;
}

static void read_port(struct agent_process *agent)
{
    char text[STOP_TEXT_MAX];
    if (!stop_port_read(agent->port, text)) {
        (void)close(agent->port);
        agent->port = -1;
    } else if (strcmp(text, STOP_SAID) == 0) {
        agent->outcome = OUTCOME_STOPPED;
    } else {
        (void)fprintf(stderr, "%s\n", text);
    }
}

/* Taken, or it would end this process when it is no longer blocked. */
static void take_interrupt(struct agent_process *agent)
{
    struct signalfd_siginfo taken;
    if (read(agent->interrupt, &taken, sizeof taken) == (ssize_t)sizeof taken)
        agent->outcome = OUTCOME_INTERRUPTED;
}

/* Until the process has ended, or somebody does not want to wait. */
static int wait_for(const struct options *options, struct agent_process *agent, struct error *error)
{
    bool ended = false;
    while (!ended && agent->outcome != OUTCOME_INTERRUPTED) {
        struct pollfd pollers[] = {{.fd = agent->pidfd, .events = POLLIN},
            {.fd = agent->interrupt, .events = POLLIN}, {.fd = agent->port, .events = POLLIN}};
        int ready = poll(pollers, 3, options->now ? AGENT_END_MS : -1);
        if (ready < 0 && errno != EINTR)
            return error_set_errno(error, ERR_IO, errno, "poll");
        if (ready == 0)
            return error_set(error, ERR_TIMEOUT, "the worker, process %d, has not ended after %d s",
                (int)agent->pid, AGENT_END_MS / 1000);
        if (ready < 0)
            continue;
        /* Its last word comes before its end. */
        if (agent->port >= 0 && pollers[2].revents != 0)
            read_port(agent);
        else if (pollers[1].revents != 0)
            take_interrupt(agent);
        else
            ended = true;
    }
    return 0;
}

static int stop_agent(const struct options *options, const struct folder *folder,
    enum outcome *ret_outcome, struct error *error)
{
    struct agent_process agent = {.pidfd = -1, .port = -1, .interrupt = -1};
    sigset_t interrupt, before;
    bool ended = false;
    (void)sigemptyset(&interrupt);
    (void)sigaddset(&interrupt, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &interrupt, &before);
    agent.interrupt = signalfd(-1, &interrupt, SFD_CLOEXEC);
    int rc = find_agent(folder, &agent, &ended, error);
    if (rc == 0 && !ended)
        rc = tell(options, folder, &agent, error);
    if (rc == 0 && !ended)
        rc = wait_for(options, &agent, error);
    const int fds[] = {agent.pidfd, agent.port, agent.interrupt};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (fds[i] >= 0)
            (void)close(fds[i]);
    }
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    *ret_outcome = agent.outcome;
    return rc;
}

static int take_over(struct options *options, const struct folder *folder, struct error *error)
{
    int status = 0;
    int rc = options_complete(options, folder->join, error);
    if (rc == 0 && options->master == NULL && options->joined.address_count == 0)
        rc = error_set(error, ERR_NOT_FOUND, "%s: never joined a master", folder->path);
    if (rc == 0)
        rc = host_run(options, folder, &status, error);
    if (rc == 0 && status != 0)
        return error_set(error, ERR_IO, "could not be stopped; try again");
    return rc;
}

static int stop(
    struct options *options, struct folder *folder, enum outcome *ret_outcome, struct error *error)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < TRIES_MAX && *ret_outcome == OUTCOME_AGAIN; i++) {
        rc = file_lock(folder->lock, &folder->lock_fd, error);
        if (rc == ERR_REFUSED) {
            rc = stop_agent(options, folder, ret_outcome, error);
        } else if (rc == 0) {
            rc = take_over(options, folder, error);
            *ret_outcome = OUTCOME_STOPPED;
        }
    }
    /* Nothing lives there, which is what was wanted. */
    if (rc == ERR_NOT_FOUND)
        *ret_outcome = OUTCOME_STOPPED;
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

int stop_worker(
    struct options *options, struct folder *folder, int *ret_status, struct error *error)
{
    enum outcome outcome = OUTCOME_AGAIN;
    if (access(folder->secret, F_OK) != 0)
        return error_set_errno(error, ERR_NOT_FOUND, errno, "%s: no worker's folder", folder->path);
    int rc = stop(options, folder, &outcome, error);
    if (rc != 0)
        return rc;
    if (outcome == OUTCOME_AGAIN)
        return error_set(error, ERR_TIMEOUT,
            "%s: its agent was ended and started again and again while it was to be stopped",
            folder->path);
    if (outcome == OUTCOME_INTERRUPTED) {
        (void)fprintf(stderr,
            "the worker goes on to its stop; `reeve-worker stop --data %s` waits for it again, "
            "with --now it ends at once\n",
            folder->path);
        *ret_status = STATUS_INTERRUPTED;
        return 0;
    }
    (void)printf("stopped: nothing of the worker in %s runs\n", folder->path);
    return 0;
}
