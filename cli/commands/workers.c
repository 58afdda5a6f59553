/* reeve workers: who works, how much, and when each was last heard; or one of them is given up. */
#include "cli/command.h"
#include "cli/document.h"
#include "cli/done.h"
#include "cli/session.h"
#include "cli/sizes.h"
#include "cli/table_view.h"
#include "cli/terminal.h"
#include "cli/times.h"
#include "common/hex.h"
#include "common/random.h"

/* So much of a key tells two workers of one name apart. */
enum { KEY_SHOWN_BYTES = 6 };

static void add_texts(struct table_view *view, const struct texts *texts)
{
    struct buffer text = {0};
    for (uint32_t i = 0; i < texts->count; i++) {
        buffer_append_text(&text, i > 0 ? "," : "");
        buffer_append_slice(&text, texts->items[i]);
    }
    table_view_cell(view, buffer_slice(&text));
    buffer_fini(&text);
}

static void add_load(struct table_view *view, const struct worker_line *worker)
{
    struct buffer text = {0};
    if (worker->cpus > 0)
        buffer_printf(&text, "%u%% of %u", (worker->cpu_permille + 5) / 10, worker->cpus);
    table_view_cell(view, buffer_slice(&text));
    buffer_clear(&text);
    sizes_append_part(worker->memory_used, worker->memory_bytes, &text);
    table_view_cell(view, buffer_slice(&text));
    buffer_clear(&text);
    sizes_append_part(worker->disk_bytes - worker->disk_free, worker->disk_bytes, &text);
    table_view_cell(view, buffer_slice(&text));
    buffer_fini(&text);
}

static void add_head(struct table_view *view, const struct worker_line *worker)
{
    struct buffer text = {0};
    table_view_cell(view, worker->worker);
    table_view_text(view, worker_state_name(worker->state));
    table_view_number(view, worker->slots);
    table_view_number(view, worker->running);
    times_append_span((int64_t)worker->heartbeat_age_ms, &text);
    table_view_cell(view, buffer_slice(&text));
    buffer_fini(&text);
}

static void add_wide(struct table_view *view, const struct worker_line *worker)
{
    struct buffer text = {0};
    char key[HEX_TEXT_SIZE(KEY_SHOWN_BYTES)] = "";
    table_view_number(view, worker->in_hand);
    add_texts(view, &worker->users);
    table_view_cell(view, worker->address);
    table_view_cell(view, worker->software);
    times_append_moment(worker->registered_at, &text);
    table_view_cell(view, buffer_slice(&text));
    if (worker->key.length >= KEY_SHOWN_BYTES)
        hex_encode(worker->key.ptr, KEY_SHOWN_BYTES, key);
    table_view_text(view, key);
    buffer_fini(&text);
}

static void print_workers(const struct arguments *arguments, const void *body)
{
    static const char *const titles[] = {"WORKER", "STATE", "SLOTS", "RUNNING", "HEARD", "CPU",
        "MEMORY", "DISK", "HOST", "QUEUES", "LABELS", "NOTE", NULL};
    static const char *const wide_titles[] = {"WORKER", "STATE", "SLOTS", "RUNNING", "HEARD", "CPU",
        "MEMORY", "DISK", "HOST", "QUEUES", "LABELS", "IN HAND", "RUN AS", "ADDRESS", "VERSION",
        "REGISTERED", "KEY", "NOTE", NULL};
    const struct msg_workers *workers = body;
    bool wide = document_is(arguments, "wide");
    struct table_view view;
    if (document_wanted(arguments)) {
        document_print_list(MESSAGE_workers, body);
        return;
    }
    table_view_start(&view, stdout, wide ? wide_titles : titles);
    for (uint32_t i = 0; i < workers->workers.count; i++) {
        const struct worker_line *worker = &workers->workers.items[i];
        add_head(&view, worker);
        add_load(&view, worker);
        table_view_cell(&view, worker->host);
        add_texts(&view, &worker->queues);
        add_texts(&view, &worker->labels);
        if (wide)
            add_wide(&view, worker);
        table_view_cell(&view, worker->note);
    }
    table_view_end(&view);
}

static void print_removed(const struct arguments *arguments, const void *body)
{
    done_print(arguments, body, arguments_text(arguments, "remove"),
        " is removed: what runs there goes on until its lease is over, and starts elsewhere then");
}

static void print_lost(const struct arguments *arguments, const void *body)
{
    done_print(arguments, body, arguments_text(arguments, "lost"), " is given up");
}

int cmd_workers(const struct arguments *arguments)
{
    struct error error = {0};
    const char *name = arguments_text(arguments, "remove");
    const char *lost = arguments_text(arguments, "lost");
    if (name != NULL && lost != NULL) {
        (void)error_set(&error, ERR_USAGE, "--remove or --lost: one of them");
        return terminal_fail(&error);
    }
    if (lost != NULL) {
        const struct msg_lost_worker ask = {.request = random_id(), .worker = slice_of(lost)};
        return session_show(arguments,
            &(struct session_request){MESSAGE_lost_worker, &ask, MESSAGE_done, print_lost});
    }
    if (name != NULL) {
        const struct msg_remove_worker ask = {.request = random_id(), .worker = slice_of(name)};
        return session_show(arguments,
            &(struct session_request){MESSAGE_remove_worker, &ask, MESSAGE_done, print_removed});
    }
    const struct msg_get_workers ask = {.request = random_id()};
    return session_show(arguments,
        &(struct session_request){MESSAGE_get_workers, &ask, MESSAGE_workers, print_workers});
}
