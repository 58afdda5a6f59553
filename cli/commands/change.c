/* reeve cancel, retry, mark: durable wishes about a run or a task. */
#include "cli/command.h"
#include "cli/params.h"
#include "cli/printable.h"
#include "cli/selector.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "common/random.h"

#include <stdlib.h>

/* "salaries/17: 5 tasks go again", unless the master has a better sentence. */
static void print_change(const struct arguments *arguments, const struct msg_done *done,
    const char *one, const char *many)
{
    struct buffer line = {0};
    printable_line(slice_of(arguments_item(arguments, 0)), &line);
    buffer_append_text(&line, ": ");
    if (done->text.length > 0)
        printable_line(done->text, &line);
    else
        buffer_printf(&line, "%u task%s", done->tasks, done->tasks == 1 ? one : many);
    (void)puts(buffer_text(&line));
    buffer_fini(&line);
}

static void print_cancelled(const struct arguments *arguments, const void *body)
{
    print_change(arguments, body, " is cancelled", "s are cancelled");
}

static void print_retried(const struct arguments *arguments, const void *body)
{
    print_change(arguments, body, " goes again", "s go again");
}

static void print_marked(const struct arguments *arguments, const void *body)
{
    print_change(arguments, body, " is marked", "s are marked");
}

static int read_target(
    const struct arguments *arguments, struct selector *ret_selector, struct error *error)
{
    return selector_parse(
        arguments_item(arguments, 0), SELECTOR_CHANGES | SELECTOR_TASKS, ret_selector, error);
}

int cmd_cancel(const struct arguments *arguments)
{
    struct error error = {0};
    struct selector target;
    if (read_target(arguments, &target, &error) != 0)
        return terminal_fail(&error);
    const struct msg_cancel ask = {
        .request = random_id(), .run = slice_of(target.run), .task = slice_of(target.task)};
    return session_show(
        arguments, &(struct session_request){MESSAGE_cancel, &ask, MESSAGE_done, print_cancelled});
}

int cmd_retry(const struct arguments *arguments)
{
    struct error error = {0};
    struct selector target;
    struct params params = {0};
    bool only = arguments_flag(arguments, "only");
    int rc = read_target(arguments, &target, &error);
    if (rc == 0 && only && target.task[0] == '\0')
        rc = error_set(&error, ERR_USAGE, "--only is for one task: %s/TASK", target.run);
    if (rc == 0)
        rc = params_read(arguments_option(arguments, "param"), &params, &error);
    int status = 0;
    if (rc == 0) {
        const struct msg_retry ask = {.request = random_id(),
            .run = slice_of(target.run),
            .task = slice_of(target.task),
            .only = only,
            .params = params.texts};
        status = session_show(
            arguments, &(struct session_request){MESSAGE_retry, &ask, MESSAGE_done, print_retried});
    }
    params_fini(&params);
    return rc == 0 ? status : terminal_fail(&error);
}

int cmd_mark(const struct arguments *arguments)
{
    struct error error = {0};
    struct selector target;
    const char *word = arguments_item(arguments, 1);
    uint32_t state = task_state_of(slice_of(word));
    int rc = read_target(arguments, &target, &error);
    if (rc == 0 && target.task[0] == '\0')
        rc = error_set(&error, ERR_USAGE, "mark is for one task: %s/TASK", target.run);
    if (rc == 0 && state != TASK_SUCCESS && state != TASK_SKIPPED && state != TASK_FAILED)
        rc = error_set(
            &error, ERR_USAGE, "\"%s\": a task is marked success, skipped or failed", word);
    if (rc != 0)
        return terminal_fail(&error);
    const struct msg_mark ask = {.request = random_id(),
        .run = slice_of(target.run),
        .task = slice_of(target.task),
        .state = state,
        .note = slice_of(arguments_text(arguments, "note"))};
    return session_show(
        arguments, &(struct session_request){MESSAGE_mark, &ask, MESSAGE_done, print_marked});
}
