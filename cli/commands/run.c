/*
 * reeve run: one run of a DAG file, here: a master and a worker in a process tree of their own,
 * with a private folder that goes with them.
 */
#include "cli/command.h"
#include "cli/dag_file.h"
#include "cli/follow.h"
#include "cli/log_print.h"
#include "cli/run_output.h"
#include "cli/session.h"
#include "cli/submission.h"
#include "cli/supervisor.h"
#include "cli/terminal.h"
#include "common/dag/plan.h"
#include "common/file.h"
#include "common/random.h"
#include "common/table.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    IN_SIGHT_LINES = 40,    /* of output, that need not be shown again */
    SHOWN_FAILURES_MAX = 3, /* failed tasks whose last lines are shown */
    SHOWN_LINES = 20,
    ANSWER_WITHIN_MS = 60000, /* the master's first answer, on a busy machine */
    QUEUES_MAX = 64,          /* that a worker serves */
    LOG_WAIT_MS = 15000,      /* the master answers a waiting read within 10 s */
    FOLDER_MAX_BYTES = 60,    /* socket paths below it have at most 107 */
};

struct local {
    char folder[FOLDER_MAX_BYTES + 1];
    char master[FOLDER_MAX_BYTES + 16], workers[FOLDER_MAX_BYTES + 16], logs[FOLDER_MAX_BYTES + 16];
    struct supervisor supervisor;
    struct client *client;
};

static int make_folder(struct local *local, struct error *error)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    bool fits = runtime != NULL && runtime[0] == '/' &&
                strlen(runtime) + sizeof "/reeve-XXXXXX" <= FOLDER_MAX_BYTES;
    const char *base = fits && access(runtime, W_OK | X_OK) == 0 ? runtime : "/tmp";
    (void)snprintf(local->folder, sizeof local->folder, "%s/reeve-XXXXXX", base);
    if (mkdtemp(local->folder) == NULL)
        return error_set_errno(error, ERR_IO, errno, "%s: no folder can be made", base);
    (void)snprintf(local->master, sizeof local->master, "%s/master", local->folder);
    (void)snprintf(local->workers, sizeof local->workers, "%s/workers", local->folder);
    (void)snprintf(local->logs, sizeof local->logs, "%s/logs", local->folder);
    int rc = file_make_folder(local->master, 0700, error);
    /* Tasks may run as other users: they pass through here. */
    if (rc == 0)
        rc = file_make_folder(local->workers, 0711, error);
    if (rc == 0)
        rc = file_make_folder(local->logs, 0700, error);
    if (rc != 0)
        (void)file_remove_tree(local->folder, NULL);
    return rc;
}

static uint32_t slot_count(const struct arguments *arguments)
{
    const struct option_value *slots = arguments_option(arguments, "slots");
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    if (slots->given)
        return (uint32_t)slots->number;
    return cpus > 0 ? (uint32_t)cpus : 1;
}

/* The last lines of what a program printed: why it did not start. A full disk takes no log either.
 */
static void show_log(const struct local *local, const char *name)
{
    struct buffer text = {0};
    char path[sizeof local->logs + 32];
    (void)snprintf(path, sizeof path, "%s/%s.log", local->logs, name);
    if (file_read(path, 1024 * 1024, &text, NULL) == 0) {
        size_t at = text.length, lines = 0;
        while (at > 0 && (text.data[at - 1] != '\n' || lines++ < 5))
            at--;
        for (size_t end; at < text.length; at = end + 1) {
            const char *newline = memchr(text.data + at, '\n', text.length - at);
            end = newline != NULL ? (size_t)(newline - text.data) : text.length;
            terminal_say("%s: %.*s", name, (int)(end - at), text.data + at);
        }
    }
    if (text.length == 0)
        terminal_say("%s left no log in %s: is that disk full? $XDG_RUNTIME_DIR names another",
            name, local->logs);
    buffer_fini(&text);
}

/* Why the processes are no more. */
static int broken(const struct local *local, struct error *error)
{
    char report[SUPERVISOR_REPORT_MAX];
    int code = supervisor_read_report(&local->supervisor, report, sizeof report);
    show_log(local, "master");
    show_log(local, "w1");
    return error_set(error, code, "%s", report[0] != '\0' ? report : "its processes ended");
}

/* Every queue that a task of the plan names: the one worker serves them all. Strings of the plan.
 */
static int list_queues(const struct dag_file *file, const char *queues[QUEUES_MAX],
    size_t *ret_count, struct error *error)
{
    struct plan plan;
    struct names seen = {0};
    size_t count = 0;
    int rc = plan_open(buffer_slice(&file->plan), &plan, error);
    for (uint32_t i = 0; rc == 0 && i < plan_task_count(&plan); i++) {
        struct slice queue = plan_string(&plan, plan.tasks[i].queue);
        if (names_get(&seen, queue, NULL))
            continue;
        names_set(&seen, queue, 1);
        if (count == QUEUES_MAX)
            rc = error_set(error, ERR_REFUSED,
                "its tasks name more than %d queues: more than one worker serves", QUEUES_MAX);
        else
            queues[count++] = queue.ptr;
    }
    names_fini(&seen);
    *ret_count = count;
    return rc;
}

/* Starts all of it, and leaves a client that catches signals. */
static int start(struct local *local, const struct arguments *arguments,
    const struct dag_file *file, struct error *error)
{
    const char *queues[QUEUES_MAX];
    size_t queue_count;
    int rc = list_queues(file, queues, &queue_count, error);
    const struct supervisor_order order = {.master = local->master,
        .workers = local->workers,
        .logs = local->logs,
        .remove = arguments_flag(arguments, "keep") ? NULL : local->folder,
        .queues = queues,
        .queue_count = queue_count,
        .worker_count = 1,
        .slots = slot_count(arguments)};
    if (rc == 0)
        rc = supervisor_start(&order, &local->supervisor, error);
    if (rc != 0) {
        (void)file_remove_tree(local->folder, NULL);
        return rc;
    }
    rc = supervisor_wait_ready(&local->supervisor, local->master, error);
    if (rc != 0) {
        show_log(local, "master");
        return rc;
    }
    supervisor_start_workers(&local->supervisor);
    local->client = session_open_folder(local->master, error);
    if (local->client == NULL)
        return error->code;
    client_set_patience(local->client, ANSWER_WITHIN_MS);
    rc = client_catch_signals(local->client, error);
    if (rc == 0)
        rc = client_break_on(local->client, local->supervisor.report_fd, error);
    return rc;
}

struct failures {
    struct log_choices choices;
    struct log_wish wish;
};

static int choose_failed(
    void *context, const struct msg_run_info *page, uint32_t before, struct error *error)
{
    struct failures *failures = context;
    (void)before;
    (void)error;
    for (uint32_t i = 0; i < page->tasks.count && failures->choices.count < SHOWN_FAILURES_MAX; i++)
        log_choices_add(&failures->choices, &failures->wish, page, &page->tasks.items[i], 0);
    return 0;
}

/* The last lines of the tasks that failed: with a private folder nobody can ask for them later. */
static void show_failures(struct local *local, const char *run)
{
    struct failures failures = {.wish = {.failed = true}};
    struct error error = {0};
    const struct log_job job = {.run = run,
        .style = {.safe = true, .names = true},
        .tail = SHOWN_LINES,
        .stream = stderr,
        .wait = true};
    client_set_repeat(local->client, LOG_WAIT_MS);
    int rc = session_read_run(local->client, run, "", choose_failed, &failures, &error);
    for (size_t i = 0; rc == 0 && i < failures.choices.count; i++) {
        rc = log_print(local->client, &job, &failures.choices.items[i], &error);
        if (rc == 0)
            log_print_end(&job, &failures.choices.items[i]);
    }
    if (rc < 0)
        (void)terminal_fail(&error);
    log_choices_fini(&failures.choices);
}

static int cancel(struct local *local, const char *run, struct error *error)
{
    const struct msg_cancel ask = {.request = random_id(), .run = slice_of(run)};
    const void *body;
    return client_ask(local->client, MESSAGE_cancel, &ask, MESSAGE_done, &body, error);
}

/*
 * Follows the run to its end: 0. The first signal cancels it and goes on, the next one is
 * CLIENT_INTERRUPTED. *ret_signal is the last signal, 0 without one.
 */
static int follow_to_end(struct local *local, struct follow *follow, const char *run,
    int *ret_signal, struct error *error)
{
    *ret_signal = 0;
    for (;;) {
        int rc = follow_wait(follow, UINT64_MAX, error);
        if (rc != CLIENT_INTERRUPTED)
            return rc;
        int before = *ret_signal;
        *ret_signal = client_take_signal(local->client);
        if (before != 0)
            return CLIENT_INTERRUPTED;
        follow_hide(follow);
        terminal_say("cancelling %s; %s ends it at once", run,
            *ret_signal == SIGINT ? "Ctrl-C again" : "another signal");
        rc = cancel(local, run, error);
        /* It ended by itself meanwhile. */
        if (rc == ERR_REFUSED)
            rc = 0;
        if (rc != 0)
            return rc;
    }
}

static int follow_run(struct local *local, const char *run, bool quiet, bool *ret_now)
{
    struct error error = {0};
    int signal;
    struct follow *follow = follow_create(local->client, run, true, false);
    struct run_output *output = quiet ? NULL : run_output_create(local->client, follow, run);
    int rc = follow_to_end(local, follow, run, &signal, &error);
    bool in_sight = output != NULL && run_output_lines(output) <= IN_SIGHT_LINES;
    run_output_destroy(output);
    int status = STATUS_OK;
    if (rc == 0) {
        status = follow_conclude(follow, NULL);
        if (follow_state(follow) == RUN_FAILED && !in_sight)
            show_failures(local, run);
        if (follow_state(follow) == RUN_CANCELLED && signal != 0)
            status = STATUS_SIGNAL + signal;
    } else if (rc == CLIENT_INTERRUPTED) {
        follow_hide(follow);
        *ret_now = true;
        status = STATUS_SIGNAL + (signal != 0 ? signal : client_take_signal(local->client));
    } else {
        follow_hide(follow);
        if (rc == CLIENT_BROKEN)
            (void)broken(local, &error);
        status = terminal_fail(&error);
    }
    follow_destroy(follow);
    return status;
}

static int run_here(const struct arguments *arguments, const struct submission *submission,
    const struct dag_file *file, struct error *error)
{
    struct local local = {0};
    char run[SELECTOR_RUN_MAX];
    bool now = false;
    int rc = make_folder(&local, error);
    if (rc != 0)
        return terminal_fail(error);
    rc = start(&local, arguments, file, error);
    if (rc == 0)
        rc = submission_send(local.client, submission, run, NULL, error);
    int status;
    if (rc == CLIENT_BROKEN)
        rc = broken(&local, error);
    if (rc == 0)
        status = follow_run(&local, run, arguments_flag(arguments, "quiet"), &now);
    else if (rc == CLIENT_INTERRUPTED)
        status = STATUS_SIGNAL + client_take_signal(local.client);
    else
        status = terminal_fail(error);
    session_close(local.client);
    if (local.supervisor.pid > 0)
        supervisor_end(&local.supervisor, now);
    if (arguments_flag(arguments, "keep") && local.supervisor.order_fd < 0)
        terminal_say(
            "kept in %s; `reeve-master --data %s` shows it again", local.folder, local.master);
    return status;
}

int cmd_run(const struct arguments *arguments)
{
    struct error error = {0};
    struct params params = {0};
    struct dag_file file = {0};
    char path[PATH_MAX];
    const struct submission submission = {
        .file = path, .params = &params, .date = arguments_text(arguments, "date")};
    int rc = params_read(arguments_option(arguments, "param"), &params, &error);
    if (rc == 0)
        rc = dag_file_check(arguments_item(arguments, 0), path, &file, &error);
    int status = rc == 0 ? run_here(arguments, &submission, &file, &error) : terminal_fail(&error);
    dag_file_fini(&file);
    params_fini(&params);
    return status;
}
