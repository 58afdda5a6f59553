/* reeve workers: who works, how much, and when each was last heard. */
#include "cli/command.h"
#include "cli/document.h"
#include "cli/session.h"
#include "cli/table_view.h"
#include "cli/times.h"
#include "common/random.h"

static void add_queues(struct table_view *view, const struct texts *queues)
{
    struct buffer text = {0};
    for (uint32_t i = 0; i < queues->count; i++) {
        buffer_append_text(&text, i > 0 ? "," : "");
        buffer_append_slice(&text, queues->items[i]);
    }
    table_view_cell(view, buffer_slice(&text));
    buffer_fini(&text);
}

static void add_worker(struct table_view *view, const struct worker_line *worker)
{
    struct buffer text = {0};
    table_view_cell(view, worker->worker);
    table_view_text(view, worker_state_name(worker->state));
    table_view_number(view, worker->slots);
    table_view_number(view, worker->running);
    times_append_span((int64_t)worker->heartbeat_age_ms, &text);
    table_view_cell(view, buffer_slice(&text));
    table_view_cell(view, worker->host);
    add_queues(view, &worker->queues);
    table_view_cell(view, worker->note);
    buffer_fini(&text);
}

static void print_workers(const struct arguments *arguments, const void *body)
{
    static const char *const titles[] = {
        "WORKER", "STATE", "SLOTS", "RUNNING", "HEARD", "HOST", "QUEUES", "NOTE", NULL};
    const struct msg_workers *workers = body;
    struct table_view view;
    if (document_wanted(arguments)) {
        document_print_list(MESSAGE_workers, body);
        return;
    }
    table_view_start(&view, stdout, titles);
    for (uint32_t i = 0; i < workers->workers.count; i++)
        add_worker(&view, &workers->workers.items[i]);
    table_view_end(&view);
}

int cmd_workers(const struct arguments *arguments)
{
    const struct msg_get_workers ask = {.request = random_id()};
    return session_show(arguments, MESSAGE_get_workers, &ask, MESSAGE_workers, print_workers);
}
