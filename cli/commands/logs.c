/* reeve logs: what tasks wrote. */
#include "cli/command.h"
#include "cli/document.h"
#include "cli/log_follow.h"
#include "cli/session.h"
#include "cli/terminal.h"

#include <stdlib.h>

enum { FAILED_TAIL = 100 };

struct logs {
    struct log_wish wish;
    struct log_job job;
    struct log_choices choices;
    char run[SELECTOR_RUN_MAX];
    uint32_t task_state;
    struct buffer unstarted; /* of tasks that failed without an attempt that did: a line each */
    bool incomplete;         /* the rest of a log did not come: no other is waited for */
};

static int read_tail(const char *text, uint64_t *ret_lines, struct error *error)
{
    char *end;
    if (strcmp(text, "all") == 0) {
        *ret_lines = 0;
        return 0;
    }
    unsigned long long lines = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || lines == 0 || lines > 1000000000)
        return error_set(error, ERR_USAGE, "--tail %s: write a number of lines, or `all`", text);
    *ret_lines = lines;
    return 0;
}

static int read_arguments(const struct arguments *arguments, struct logs *logs, struct error *error)
{
    struct log_wish *wish = &logs->wish;
    const char *tail = arguments_text(arguments, "tail");
    wish->failed = arguments_flag(arguments, "failed");
    int rc = selector_parse(
        arguments_item(arguments, 0), SELECTOR_TASKS | SELECTOR_ATTEMPTS, &wish->selector, error);
    if (rc != 0)
        return rc;
    if (wish->failed && arguments_flag(arguments, "follow"))
        return error_set(error, ERR_USAGE, "--failed looks back, -f ahead: take one of them");
    logs->job.style.safe = terminal_is_tty(stdout);
    logs->job.style.colour = terminal_has_colour(stdout);
    logs->job.style.times = arguments_flag(arguments, "times");
    logs->job.style.json = document_wanted(arguments);
    logs->job.style.names = wish->selector.task[0] == '\0' || wish->selector.all;
    logs->job.attempts = wish->selector.all;
    logs->job.stream = stdout;
    logs->job.run = logs->run;
    logs->job.tail = wish->failed ? FAILED_TAIL : 0;
    return tail != NULL ? read_tail(tail, &logs->job.tail, error) : 0;
}

static void say_unstarted(struct logs *logs)
{
    const char *line = buffer_text(&logs->unstarted);
    for (const char *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
        terminal_say("%.*s", (int)(end - line), line);
}

static int choose_page(
    void *context, const struct msg_run_info *page, uint32_t before, struct error *error)
{
    struct logs *logs = context;
    (void)before;
    (void)error;
    (void)snprintf(logs->run, sizeof logs->run, "%.*s", SLICE_PRINT(page->run));
    for (uint32_t i = 0; i < page->tasks.count; i++) {
        log_choices_add(&logs->choices, &logs->wish, page, &page->tasks.items[i], 0);
        if (logs->wish.selector.attempt == 0)
            log_append_unstarted(page, &page->tasks.items[i], &logs->unstarted);
        logs->task_state = page->tasks.items[i].state;
    }
    return 0;
}

/* An attempt that was named and is not there. */
static int explain_none(const struct logs *logs, struct error *error)
{
    const struct selector *selector = &logs->wish.selector;
    if (selector->attempt != 0)
        return error_set(error, ERR_NOT_FOUND, "%s/%s has no attempt %u", logs->run, selector->task,
            selector->attempt);
    if (logs->wish.failed)
        terminal_say("no task of %s has failed", logs->run);
    else if (selector->task[0] != '\0')
        terminal_say("%s/%s has not started: it is %s", logs->run, selector->task,
            task_state_name(logs->task_state));
    else
        terminal_say("no task of %s has started", logs->run);
    return 0;
}

/* What has ended is shown whole, where that can be had. */
static int await_rest(
    struct client *client, struct logs *logs, const struct log_choice *choice, struct error *error)
{
    bool whole = true;
    if (logs->incomplete || !log_choice_has_ended(choice) || choice->log_bytes == 0 ||
        choice->state == ATTEMPT_LOST)
        return 0;
    int rc = log_await(client, choice, &whole, error);
    if (rc == 0 && !whole) {
        logs->incomplete = true;
        terminal_say(
            "the rest of the log of %s/%s has not come from its worker yet (reeve workers)",
            logs->run, choice->task);
    }
    return rc;
}

static int print_all(struct client *client, struct logs *logs, struct error *error)
{
    int rc = session_read_run(
        client, logs->wish.selector.run, logs->wish.selector.task, choose_page, logs, error);
    if (rc == 0 && logs->choices.count == 0 && logs->unstarted.length == 0)
        return explain_none(logs, error);
    log_choices_sort(&logs->choices);
    for (size_t i = 0; rc == 0 && i < logs->choices.count && !ferror(stdout); i++) {
        const struct log_choice *choice = &logs->choices.items[i];
        bool silent = log_choice_has_ended(choice) && choice->log_bytes == 0;
        if (!silent)
            rc = await_rest(client, logs, choice, error);
        if (rc == 0 && !silent)
            rc = log_print(client, &logs->job, choice, error);
        if (rc == 0 && !log_choice_is_dull(choice, &logs->job.style))
            log_print_end(&logs->job, choice);
    }
    say_unstarted(logs);
    return rc;
}

static int follow(struct client *client, struct logs *logs, struct error *error)
{
    const struct msg_run_info *info;
    int rc = client_catch_signals(client, error);
    if (rc == 0)
        rc = session_read_head(client, logs->wish.selector.run, &info, error);
    if (rc != 0)
        return rc;
    (void)snprintf(logs->run, sizeof logs->run, "%.*s", SLICE_PRINT(info->run));
    return log_follow(client, &logs->job, &logs->wish, error);
}

int cmd_logs(const struct arguments *arguments)
{
    struct error error = {0};
    struct logs logs = {0};
    if (read_arguments(arguments, &logs, &error) != 0)
        return terminal_fail(&error);
    struct client *client = session_open(arguments, &error);
    if (client == NULL)
        return terminal_fail(&error);
    bool follows = arguments_flag(arguments, "follow");
    int rc = follows ? follow(client, &logs, &error) : print_all(client, &logs, &error);
    int status = STATUS_OK;
    if (rc == CLIENT_INTERRUPTED) {
        status = STATUS_SIGNAL + client_take_signal(client);
        terminal_say("come back with `reeve logs -f %s`", arguments_item(arguments, 0));
    } else if (rc != 0) {
        status = terminal_fail(&error);
    }
    log_choices_fini(&logs.choices);
    buffer_fini(&logs.unstarted);
    session_close(client);
    return status;
}
