/* reeve runs: the newest runs, of all DAGs or of one. */
#include "cli/command.h"
#include "cli/document.h"
#include "cli/session.h"
#include "cli/table_view.h"
#include "cli/terminal.h"
#include "cli/times.h"
#include "common/random.h"
#include "common/suggest.h"

enum { RUNS_DEFAULT = 20, RUNS_MAX = 10000 };

static int read_state(const char *name, uint32_t *ret_state, struct error *error)
{
    static const char *const names[] = {
#define RUN_STATE(name, number, text) text,
#include "proto/states.def"
#undef RUN_STATE
        NULL};
    *ret_state = 0;
    if (name == NULL)
        return 0;
    *ret_state = run_state_of(slice_of(name));
    if (*ret_state != 0)
        return 0;
    const char *near = suggest(slice_of(name), names);
    return error_set(error, ERR_USAGE,
        "--state %s: a run is queued, running, success, failed or cancelled%s%s%s", name,
        near != NULL ? "; did you mean " : "", near != NULL ? near : "", near != NULL ? "?" : "");
}

static int read_arguments(
    const struct arguments *arguments, struct msg_get_runs *ask, struct error *error)
{
    const struct option_value *limit = arguments_option(arguments, "limit");
    ask->request = random_id();
    ask->dag = slice_of(arguments_item(arguments, 0));
    ask->limit = limit->given ? (uint32_t)limit->number : RUNS_DEFAULT;
    if (ask->limit > RUNS_MAX)
        return error_set(error, ERR_USAGE, "-n %u: at most %d", ask->limit, RUNS_MAX);
    if (ask->dag.length > 0 && memchr(ask->dag.ptr, '/', ask->dag.length) != NULL)
        return error_set(error, ERR_USAGE,
            "\"%s\" is no DAG's name; `reeve status %s` shows one run", ask->dag.ptr, ask->dag.ptr);
    return read_state(arguments_text(arguments, "state"), &ask->state, error);
}

static void print_runs(const struct arguments *arguments, const void *body)
{
    const struct msg_runs *runs = body;
    if (document_wanted(arguments)) {
        document_print_list(MESSAGE_runs, body);
        return;
    }
    static const char *const titles[] = {"RUN", "STATE", "TASKS", "SUBMITTED", "TOOK", NULL};
    struct table_view view;
    struct buffer text = {0};
    int64_t now = session_now();
    table_view_start(&view, stdout, titles);
    for (uint32_t i = 0; i < runs->runs.count; i++) {
        const struct run_line *run = &runs->runs.items[i];
        table_view_cell(&view, run->run);
        table_view_text(&view, run_state_name(run->state));
        table_view_number(&view, run->task_count);
        buffer_clear(&text);
        times_append_moment(run->submitted_at, &text);
        table_view_cell(&view, buffer_slice(&text));
        buffer_clear(&text);
        times_append_between(run->started_at, run->ended_at, now, &text);
        table_view_cell(&view, buffer_slice(&text));
    }
    table_view_end(&view);
    buffer_fini(&text);
}

int cmd_runs(const struct arguments *arguments)
{
    struct error error = {0};
    struct msg_get_runs ask = {0};
    const struct option_value *since = arguments_option(arguments, "since");
    if (read_arguments(arguments, &ask, &error) != 0)
        return terminal_fail(&error);
    struct client *client = session_open(arguments, &error);
    if (client == NULL)
        return terminal_fail(&error);
    if (since->given)
        ask.since = session_now() - (int64_t)since->number;
    return session_show_on(client, arguments,
        &(struct session_request){MESSAGE_get_runs, &ask, MESSAGE_runs, print_runs});
}
