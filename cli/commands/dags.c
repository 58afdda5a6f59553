/* reeve dags: the DAGs that the master knows, by name. */
#include "cli/command.h"
#include "cli/document.h"
#include "cli/session.h"
#include "cli/table_view.h"
#include "cli/terminal.h"
#include "common/random.h"

static void print_dags(const struct arguments *arguments, const void *body)
{
    static const char *const titles[] = {
        "DAG", "TASKS", "SCHEDULE", "LAST RUN", "STATE", "DESCRIPTION", NULL};
    const struct msg_dags *dags = body;
    struct table_view view;
    if (document_wanted(arguments)) {
        document_print_list(MESSAGE_dags, body);
        return;
    }
    table_view_start(&view, stdout, titles);
    for (uint32_t i = 0; i < dags->dags.count; i++) {
        const struct dag_line *dag = &dags->dags.items[i];
        table_view_cell(&view, dag->dag);
        table_view_number(&view, dag->task_count);
        table_view_cell(&view, dag->schedule);
        table_view_cell(&view, dag->last_run);
        table_view_cell(&view, dag->last_state);
        table_view_cell(&view, dag->description);
    }
    table_view_end(&view);
    for (uint32_t i = 0; i < dags->dags.count; i++) {
        const struct dag_line *dag = &dags->dags.items[i];
        if (dag->error.length > 0)
            terminal_say("%.*s: %.*s", SLICE_PRINT(dag->dag), SLICE_PRINT(dag->error));
    }
}

int cmd_dags(const struct arguments *arguments)
{
    const struct msg_get_dags ask = {.request = random_id()};
    return session_show(
        arguments, &(struct session_request){MESSAGE_get_dags, &ask, MESSAGE_dags, print_dags});
}
