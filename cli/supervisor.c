#include "cli/supervisor.h"

#include "cli/supervise.h"
#include "common/beside.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/slice.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READY_WITHIN_MS = 60000 };

/* Beside this program, else in $PATH. */
static int find_program(const char *name, char path[PATH_MAX], struct error *error)
{
    if (path_beside(name, path, NULL) == 0 && access(path, X_OK) == 0)
        return 0;
    const char *search = getenv("PATH");
    while (search != NULL && *search != '\0') {
        size_t part = strcspn(search, ":");
        if (part > 0 && snprintf(path, PATH_MAX, "%.*s/%s", (int)part, search, name) < PATH_MAX &&
            access(path, X_OK) == 0)
            return 0;
        search += part + (search[part] == ':');
    }
    return error_set(
        error, ERR_NOT_FOUND, "%s is neither beside reeve nor in $PATH: install it there", name);
}

int supervisor_start(
    const struct supervisor_order *order, struct supervisor *ret_supervisor, struct error *error)
{
    struct supervise_programs programs;
    int orders[2], reports[2];
    int rc = find_program("reeve-master", programs.master, error);
    if (rc == 0)
        rc = find_program("reeve-worker", programs.worker, error);
    if (rc != 0)
        return rc;
    /* A socket: writing to one whose other end is closed can be kept from raising SIGPIPE. */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, orders) != 0)
        return error_set_errno(error, ERR_IO, errno, "a pipe cannot be made");
    if (pipe2(reports, O_CLOEXEC | O_NONBLOCK) != 0) {
        (void)close(orders[0]);
        (void)close(orders[1]);
        return error_set_errno(error, ERR_IO, errno, "a pipe cannot be made");
    }
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(orders[1]);
        (void)close(reports[0]);
        _exit(supervise(order, &programs, orders[0], reports[1]));
    }
    (void)close(orders[0]);
    (void)close(reports[1]);
    *ret_supervisor = (struct supervisor){pid, orders[1], reports[0]};
    if (pid > 0)
        return 0;
    rc = error_set_errno(error, ERR_IO, errno, "no process can be made");
    (void)close(orders[1]);
    (void)close(reports[0]);
    return rc;
}

/* What a program's exit status stands for. */
static int code_of(const char *report)
{
    static const char words[] = " ended with status ";
    static const int codes[] = {ERR_USAGE, ERR_UNSUPPORTED, ERR_DENIED, ERR_NOT_FOUND, ERR_REFUSED};
    const char *at = strstr(report, words);
    long status = at != NULL ? strtol(at + strlen(words), NULL, 10) : 0;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (error_exit_status(codes[i]) == status)
            return codes[i];
    }
    return ERR_IO;
}

int supervisor_read_report(const struct supervisor *supervisor, char *text, size_t size)
{
    ssize_t length;
    do {
        length = read(supervisor->report_fd, text, size - 1);
    } while (length < 0 && errno == EINTR);
    text[length > 0 ? length : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return code_of(text);
}

static int report_error(const struct supervisor *supervisor, struct error *error)
{
    char text[SUPERVISOR_REPORT_MAX];
    int code = supervisor_read_report(supervisor, text, sizeof text);
    return error_set(
        error, code, "%s", text[0] != '\0' ? text : "the supervisor of the processes ended");
}

static int wait_ready(
    const struct supervisor *supervisor, const char *socket, int notify, struct error *error)
{
    uint64_t until = clock_boot_ms() + READY_WITHIN_MS;
    while (access(socket, F_OK) != 0) {
        struct pollfd fds[] = {{notify, POLLIN, 0}, {supervisor->report_fd, POLLIN, 0}};
        uint64_t now = clock_boot_ms();
        if (now >= until)
            return error_set(error, ERR_TIMEOUT, "the master is not ready after %d s: no %s",
                READY_WITHIN_MS / 1000, socket);
        (void)poll(fds, 2, (int)(until - now));
        if (fds[1].revents != 0)
            return report_error(supervisor, error);
        char events[4096];
        (void)!read(notify, events, sizeof events);
    }
    return 0;
}

int supervisor_wait_ready(
    const struct supervisor *supervisor, const char *master, struct error *error)
{
    int notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (notify < 0 || inotify_add_watch(notify, master, IN_CREATE | IN_MOVED_TO) < 0) {
        int rc = error_set_errno(error, ERR_IO, errno, "%s cannot be watched", master);
        if (notify >= 0)
            (void)close(notify);
        return rc;
    }
    char *socket = xasprintf("%s/control.sock", master);
    int rc = wait_ready(supervisor, socket, notify, error);
    free(socket);
    (void)close(notify);
    return rc;
}

static void order(const struct supervisor *supervisor, char what)
{
    (void)send(supervisor->order_fd, &what, 1, MSG_NOSIGNAL);
}

void supervisor_start_workers(const struct supervisor *supervisor)
{
    order(supervisor, SUPERVISE_START_WORKERS);
}

/* The supervisor ends when the order pipe does; a signal makes it hurry. */
static void wait_for_end(struct supervisor *supervisor)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    struct pollfd fds[] = {{(int)syscall(SYS_pidfd_open, supervisor->pid, 0), POLLIN, 0},
        {signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), POLLIN, 0}};
    while (fds[0].fd >= 0 && (fds[0].revents & POLLIN) == 0) {
        struct signalfd_siginfo info;
        if (poll(fds, 2, -1) < 0)
            continue;
        if (read(fds[1].fd, &info, sizeof info) == (ssize_t)sizeof info)
            order(supervisor, SUPERVISE_END_NOW);
    }
    for (int i = 0; i < 2; i++) {
        if (fds[i].fd >= 0)
            (void)close(fds[i].fd);
    }
    while (waitpid(supervisor->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

void supervisor_end(struct supervisor *supervisor, bool now)
{
    order(supervisor, now ? SUPERVISE_END_NOW : SUPERVISE_END);
    wait_for_end(supervisor);
    (void)close(supervisor->order_fd);
    (void)close(supervisor->report_fd);
    *supervisor = (struct supervisor){0, -1, -1};
}
