#include "cli/fleet.h"

#include "cli/document.h"
#include "cli/printable.h"
#include "cli/selector.h"
#include "cli/session.h"
#include "cli/table_view.h"
#include "cli/times.h"
#include "common/random.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    DAY_MS = 24 * 60 * 60 * 1000,
    RUNS_MAX = 10000, /* that a master lists at once */
    /* Of runs that are not over, and of workers that need a look, so many fit a screen. */
    ACTIVE_SHOWN = 12,
    WORKERS_SHOWN = 6,
    RUN_STATES = 8,
    WORKER_STATES = 8,
};

struct fleet {
    struct client *client;
    bool json;
    json_t *document;
    struct buffer text;
    char active[ACTIVE_SHOWN][SELECTOR_RUN_MAX];
    uint32_t active_count, not_over; /* of the first, all */
};

static void append_count(
    struct buffer *out, const char **separator, uint32_t count, const char *name)
{
    if (count == 0)
        return;
    buffer_printf(out, "%s%u %s", *separator, count, name);
    *separator = ", ";
}

/* ---- the master ---- */

static int read_master(struct fleet *fleet, struct error *error)
{
    const struct msg_ping ping = {.request = random_id()};
    const void *body;
    int rc = client_ask(fleet->client, MESSAGE_ping, &ping, MESSAGE_pong, &body, error);
    if (rc != 0)
        return rc;
    const struct msg_pong *pong = body;
    const struct joined *joined = client_joined(fleet->client);
    (void)json_object_set_new(
        fleet->document, "master", record_json(&message_shape(MESSAGE_pong)->record, pong));
    buffer_append_text(&fleet->text, "master   ");
    if (joined != NULL)
        buffer_printf(&fleet->text, "%s, ", joined->name);
    buffer_append_text(&fleet->text, "up ");
    times_append_between(pong->started_at, 0, session_now(), &fleet->text);
    buffer_append_text(&fleet->text, " since ");
    times_append_moment(pong->started_at, &fleet->text);
    buffer_printf(&fleet->text, ", epoch %llu, reeve ", (unsigned long long)pong->epoch);
    printable_line(pong->software, &fleet->text);
    buffer_append_text(&fleet->text, "\n");
    return 0;
}

/* ---- workers ---- */

/* "w3       silent for 12s, 4 tasks there": one that needs a look. */
static void append_worker(const struct worker_line *worker, struct buffer *out)
{
    buffer_append_text(out, "         ");
    printable_line(worker->worker, out);
    buffer_printf(out, " is %s", worker_state_name(worker->state));
    if (worker->state == WORKER_SILENT) {
        buffer_append_text(out, " for ");
        times_append_span((int64_t)worker->heartbeat_age_ms, out);
    }
    if (worker->running > 0)
        buffer_printf(out, ", %u task%s there", worker->running, worker->running == 1 ? "" : "s");
    if (worker->note.length > 0) {
        buffer_append_text(out, ": ");
        printable_line(worker->note, out);
    }
    buffer_append_text(out, "\n");
}

static void append_workers(const struct msg_workers *workers, struct buffer *out)
{
    uint32_t slots = 0, running = 0, counts[WORKER_STATES] = {0}, shown = 0;
    struct buffer troubles = {0};
    const char *separator = "";
    for (uint32_t i = 0; i < workers->workers.count; i++) {
        const struct worker_line *worker = &workers->workers.items[i];
        bool up = worker->state == WORKER_UP;
        if (worker->state < WORKER_STATES)
            counts[worker->state]++;
        if (up || worker->state == WORKER_DRAINING)
            slots += worker->slots;
        running += worker->running;
        bool look = worker->state != WORKER_GONE && (!up || worker->note.length > 0);
        if (look && shown++ < WORKERS_SHOWN)
            append_worker(worker, &troubles);
    }
    buffer_append_text(out, "workers  ");
    for (uint32_t state = WORKER_UP; state <= WORKER_GONE; state++)
        append_count(out, &separator, counts[state], worker_state_name(state));
    if (separator[0] == '\0')
        buffer_append_text(out, "none; `reeve-worker --data DIR --join …` starts one");
    else
        buffer_printf(out, "; %u of %u slots in use", running, slots);
    buffer_append_text(out, "\n");
    buffer_append_slice(out, buffer_slice(&troubles));
    if (shown > WORKERS_SHOWN)
        buffer_printf(out, "         and %u more: `reeve workers`\n", shown - WORKERS_SHOWN);
    buffer_fini(&troubles);
}

static int read_workers(struct fleet *fleet, struct error *error)
{
    const struct msg_get_workers ask = {.request = random_id()};
    const void *body;
    int rc = client_ask(fleet->client, MESSAGE_get_workers, &ask, MESSAGE_workers, &body, error);
    if (rc != 0)
        return rc;
    json_t *document = record_json(&message_shape(MESSAGE_workers)->record, body);
    (void)json_object_update(fleet->document, document);
    json_decref(document);
    append_workers(body, &fleet->text);
    return 0;
}

/* ---- runs ---- */

static int list_runs(struct fleet *fleet, uint32_t state, int64_t since,
    const struct msg_runs **ret_runs, struct error *error)
{
    const struct msg_get_runs ask = {
        .request = random_id(), .state = state, .since = since, .limit = RUNS_MAX};
    const void *body;
    int rc = client_ask(fleet->client, MESSAGE_get_runs, &ask, MESSAGE_runs, &body, error);
    if (rc == 0)
        *ret_runs = body;
    return rc;
}

/* Runs of this state, however old. */
static int read_active(
    struct fleet *fleet, uint32_t state, uint32_t *ret_count, struct error *error)
{
    const struct msg_runs *runs;
    int rc = list_runs(fleet, state, 0, &runs, error);
    if (rc != 0)
        return rc;
    *ret_count = runs->runs.count;
    fleet->not_over += runs->runs.count;
    for (uint32_t i = 0; i < runs->runs.count && fleet->active_count < ACTIVE_SHOWN; i++)
        (void)snprintf(fleet->active[fleet->active_count++], SELECTOR_RUN_MAX, "%.*s",
            SLICE_PRINT(runs->runs.items[i].run));
    return 0;
}

static int read_runs(struct fleet *fleet, struct error *error)
{
    uint32_t counts[RUN_STATES] = {0};
    const struct msg_runs *runs;
    const char *separator = "";
    json_t *document = json_object();
    int rc = list_runs(fleet, 0, session_now() - DAY_MS, &runs, error);
    for (uint32_t i = 0; rc == 0 && i < runs->runs.count; i++)
        counts[runs->runs.items[i].state % RUN_STATES]++;
    if (rc == 0)
        rc = read_active(fleet, RUN_RUNNING, &counts[RUN_RUNNING], error);
    if (rc == 0)
        rc = read_active(fleet, RUN_QUEUED, &counts[RUN_QUEUED], error);
    for (uint32_t state = RUN_QUEUED; state <= RUN_CANCELLED; state++)
        (void)json_object_set_new(document, run_state_name(state), json_integer(counts[state]));
    (void)json_object_set_new(fleet->document, "runs", document);
    buffer_append_text(&fleet->text, "runs     ");
    append_count(&fleet->text, &separator, counts[RUN_RUNNING], "running");
    append_count(&fleet->text, &separator, counts[RUN_QUEUED], "queued");
    if (separator[0] == '\0')
        buffer_append_text(&fleet->text, "none running");
    separator = "; submitted in the last 24 h: ";
    for (uint32_t state = RUN_SUCCESS; state <= RUN_CANCELLED; state++)
        append_count(&fleet->text, &separator, counts[state], run_state_name(state));
    buffer_append_text(&fleet->text, "\n");
    return rc;
}

/* ---- runs that are not over ---- */

static uint32_t tasks_over(const struct msg_run_info *info)
{
    uint32_t over = 0;
    for (uint32_t i = 0; i < info->counts.count; i++) {
        uint32_t state = info->counts.items[i].state;
        if (state == TASK_SUCCESS || state == TASK_FAILED || state == TASK_SKIPPED ||
            state == TASK_UPSTREAM_FAILED || state == TASK_CANCELLED)
            over += info->counts.items[i].count;
    }
    return over;
}

static void add_row(struct table_view *view, const struct msg_run_info *info)
{
    struct buffer text = {0};
    table_view_cell(view, info->run);
    table_view_text(view, info->cancelling ? "cancelling" : run_state_name(info->state));
    buffer_printf(&text, "%u of %u", tasks_over(info), info->task_count);
    table_view_cell(view, buffer_slice(&text));
    buffer_clear(&text);
    times_append_between(info->submitted_at, info->ended_at, session_now(), &text);
    table_view_cell(view, buffer_slice(&text));
    table_view_cell(view, info->waits_for);
    buffer_fini(&text);
}

static json_t *row_document(const struct msg_run_info *info)
{
    static const char *const left_out[] = {"tasks", "more", "key", "params"};
    json_t *document = record_json(&message_shape(MESSAGE_run_info)->record, info);
    for (size_t i = 0; i < sizeof left_out / sizeof left_out[0]; i++)
        (void)json_object_del(document, left_out[i]);
    return document;
}

static int read_waits(struct fleet *fleet, struct table_view *view, struct error *error)
{
    json_t *list = json_array();
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < fleet->active_count; i++) {
        const struct msg_run_info *info;
        rc = session_read_head(fleet->client, fleet->active[i], &info, error);
        if (rc != 0)
            break;
        (void)json_array_append_new(list, row_document(info));
        if (!fleet->json)
            add_row(view, info);
    }
    (void)json_object_set_new(fleet->document, "active", list);
    return rc;
}

static int print(struct fleet *fleet, struct error *error)
{
    static const char *const titles[] = {"RUN", "STATE", "DONE", "SO FAR", "WAITS FOR", NULL};
    struct table_view view = {0};
    if (!fleet->json) {
        (void)fwrite(fleet->text.data, 1, fleet->text.length, stdout);
        (void)fputs(fleet->active_count > 0 ? "\n" : "", stdout);
    }
    if (!fleet->json && fleet->active_count > 0)
        table_view_start(&view, stdout, titles);
    int rc = read_waits(fleet, &view, error);
    if (view.titles != NULL)
        table_view_end(&view);
    if (rc == 0 && fleet->json)
        document_print(json_incref(fleet->document));
    if (rc == 0 && !fleet->json && fleet->not_over > fleet->active_count)
        (void)printf("and %u more: `reeve runs --state running`, `--state queued`\n",
            fleet->not_over - fleet->active_count);
    return rc;
}

int fleet_show(struct client *client, const struct arguments *arguments, struct error *error)
{
    struct fleet fleet = {
        .client = client, .json = document_wanted(arguments), .document = json_object()};
    int rc = read_master(&fleet, error);
    if (rc == 0)
        rc = read_workers(&fleet, error);
    if (rc == 0)
        rc = read_runs(&fleet, error);
    if (rc == 0)
        rc = print(&fleet, error);
    json_decref(fleet.document);
    buffer_fini(&fleet.text);
    return rc;
}
