/* reeve standalone: a master and local workers in the foreground, for a laptop. */
#include "cli/command.h"
#include "cli/find_master.h"
#include "cli/session.h"
#include "cli/supervisor.h"
#include "cli/terminal.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/memory.h"
#include "common/random.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { WORKERS_MAX = 64, ANSWER_WITHIN_MS = 60000 };

static int choose_folder(
    const struct arguments *arguments, char folder[PATH_MAX], struct error *error)
{
    const char *wish = arguments_text(arguments, "data");
    if (wish == NULL)
        wish = getenv("REEVE_DATA");
    char own[PATH_MAX];
    int rc = 0;
    if (wish == NULL || wish[0] == '\0') {
        rc = find_master_own_folder(own, error);
        wish = own;
    }
    if (rc == 0)
        rc = file_make_folder(wish, 0700, error);
    if (rc == 0 && realpath(wish, folder) == NULL)
        rc = error_set_errno(error, ERR_IO, errno, "%s", wish);
    return rc;
}

/* Until a signal comes (its number), or something of it ended by itself (0). */
static int stay(const struct supervisor *supervisor)
{
    sigset_t set;
    struct signalfd_siginfo info = {0};
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    int signals = signalfd(-1, &set, SFD_CLOEXEC);
    struct pollfd fds[] = {{signals, POLLIN, 0}, {supervisor->report_fd, POLLIN, 0}};
    while (fds[0].revents == 0 && fds[1].revents == 0)
        (void)poll(fds, 2, -1);
    if (fds[0].revents != 0)
        (void)!read(signals, &info, sizeof info);
    (void)close(signals);
    return (int)info.ssi_signo;
}

/* Waits for our master's first answer. An old socket may lie there, or another master may have the
 * folder. */
static int wait_answer(const struct supervisor *supervisor, const char *folder, int64_t started_at,
    struct error *error)
{
    const struct msg_ping ping = {.request = random_id()};
    const void *body;
    int rc = supervisor_wait_ready(supervisor, folder, error);
    if (rc != 0)
        return rc;
    struct client *client = session_open_folder(folder, error);
    if (client == NULL)
        return error->code;
    client_set_patience(client, ANSWER_WITHIN_MS);
    rc = client_break_on(client, supervisor->report_fd, error);
    if (rc == 0)
        rc = client_ask(client, MESSAGE_ping, &ping, MESSAGE_pong, &body, error);
    if (rc == 0 && ((const struct msg_pong *)body)->started_at < started_at)
        rc = error_set(error, ERR_REFUSED,
            "%s: a master that was there before has it: `reeve submit` uses that one as it is; "
            "else end it, or name another folder with --data",
            folder);
    session_close(client);
    return rc;
}

/* What it ended of itself, or with what signal; the exit status, which is a program's own where one
 * ended: that of a master whose port is taken, say. */
static int tell_end(const struct supervisor *supervisor, int signal)
{
    char report[SUPERVISOR_REPORT_MAX];
    int code = supervisor_read_report(supervisor, report, sizeof report);
    if (report[0] != '\0')
        terminal_say("%s", report);
    else
        terminal_say("ending the workers and the master; Ctrl-C again ends all at once");
    return signal != 0 ? STATUS_SIGNAL + signal : error_exit_status(code);
}

static int run(const struct supervisor_order *order, struct error *error)
{
    struct supervisor supervisor;
    int64_t started_at = clock_wall_ms();
    int status;
    if (supervisor_start(order, &supervisor, error) != 0)
        return terminal_fail(error);
    int rc = wait_answer(&supervisor, order->master, started_at, error);
    /* Only now: a master takes no folder that is not empty for a new one. */
    if (rc == 0)
        rc = file_make_folder(order->workers, 0711, error);
    if (rc == 0) {
        supervisor_start_workers(&supervisor);
        terminal_say("ready: master in %s, %u worker%s; try `reeve submit FILE` in another "
                     "terminal, Ctrl-C ends all",
            order->master, order->worker_count, order->worker_count == 1 ? "" : "s");
        status = tell_end(&supervisor, stay(&supervisor));
    } else if (rc == CLIENT_BROKEN) {
        status = tell_end(&supervisor, 0);
    } else {
        status = terminal_fail(error);
    }
    supervisor_end(&supervisor, false);
    return status;
}

int cmd_standalone(const struct arguments *arguments)
{
    struct error error = {0};
    char folder[PATH_MAX];
    const struct option_value *workers = arguments_option(arguments, "workers");
    const struct option_value *slots = arguments_option(arguments, "slots");
    const struct option_value *dags = arguments_option(arguments, "dags");
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    struct supervisor_order order = {.master = folder,
        .listen = arguments_text(arguments, "listen"),
        .dags = dags->texts,
        .dag_count = dags->count,
        .worker_count = workers->given ? (uint32_t)workers->number : 1,
        .slots = slots->given ? (uint32_t)slots->number : (uint32_t)(cpus > 0 ? cpus : 1)};
    int rc = 0;
    if (order.worker_count > WORKERS_MAX)
        rc = error_set(
            &error, ERR_USAGE, "--workers %u: at most %d", order.worker_count, WORKERS_MAX);
    if (rc == 0)
        rc = choose_folder(arguments, folder, &error);
    if (rc != 0)
        return terminal_fail(&error);
    char *folders = xasprintf("%s/workers", folder);
    order.workers = folders;
    int status = run(&order, &error);
    free(folders);
    return status;
}
