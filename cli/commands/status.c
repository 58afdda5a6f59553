/* reeve status: one run, its tasks and their attempts; without a run, all at a glance. */
#include "cli/command.h"
#include "cli/document.h"
#include "cli/fleet.h"
#include "cli/printable.h"
#include "cli/selector.h"
#include "cli/session.h"
#include "cli/table_view.h"
#include "cli/terminal.h"
#include "cli/times.h"
#include "cli/why.h"

#include <stdlib.h>

/* Of a note, in a line. */
enum { NOTE_SHOWN_BYTES = 160 };

struct status {
    struct table_view view;
    struct selector selector;
    int64_t now;
    bool failed;         /* a task of it failed: a hint follows */
    struct buffer lates; /* lines that follow the table */
    char run[SELECTOR_RUN_MAX];
};

static void print_counts(const struct msg_run_info *info)
{
    (void)printf("%u task%s", info->task_count, info->task_count == 1 ? "" : "s");
    for (uint32_t i = 0; i < info->counts.count; i++) {
        const struct state_count *count = &info->counts.items[i];
        if (count->count > 0)
            (void)printf(
                "%s%u %s", i == 0 ? ": " : ", ", count->count, task_state_name(count->state));
    }
    (void)putchar('\n');
}

static void print_head(const struct msg_run_info *info, int64_t now)
{
    struct buffer line = {0};
    const char *state = run_state_name(info->state);
    bool colour = terminal_has_colour(stdout);
    printable_line(info->run, &line);
    buffer_printf(&line, "  %s%s%s%s", colour ? terminal_state_colour(slice_of(state)) : "", state,
        colour ? TERMINAL_PLAIN : "",
        info->cancelling && info->ended_at == 0 ? " (cancelling)" : "");
    buffer_append_text(&line, "  for ");
    times_append_moment(info->logical_date, &line);
    if (info->started_at != 0) {
        buffer_append_text(&line, "  started ");
        times_append_moment(info->started_at, &line);
        buffer_append_text(&line, info->ended_at != 0 ? "  took " : "  so far ");
        times_append_between(info->started_at, info->ended_at, now, &line);
    }
    buffer_append_text(&line, "\n");
    if (info->waits_for.length > 0) {
        buffer_append_text(&line, "waits: ");
        printable_line(info->waits_for, &line);
        buffer_append_text(&line, "\n");
    }
    (void)fwrite(line.data, 1, line.length, stdout);
    buffer_fini(&line);
    print_counts(info);
    (void)putchar('\n');
}

static void append_separator(struct buffer *text)
{
    buffer_append_text(text, text->length > 0 ? "; " : "");
}

/* What its operator noted last: where its work elsewhere is found. */
static void append_noted(const struct task_info *task, struct buffer *text)
{
    if (task->notes.count == 0)
        return;
    struct slice note = task->notes.items[task->notes.count - 1].note;
    append_separator(text);
    buffer_printf(text, "noted %.*s%s",
        (int)(note.length < NOTE_SHOWN_BYTES ? note.length : NOTE_SHOWN_BYTES), note.ptr,
        note.length > NOTE_SHOWN_BYTES ? "…" : "");
}

/* Why it is as it is, in a few words. */
static void append_note(const struct task_info *task, struct buffer *text)
{
    why_append(task_state_name(task->state), task->reason, task->error, text);
    if (task->state == TASK_RETRYING && task->due_at != 0) {
        buffer_append_text(text, text->length > 0 ? "; again at " : "again at ");
        times_append_moment(task->due_at, text);
    }
    if (task->progress.length > 0 || task->progress_done >= 0) {
        append_separator(text);
        why_append_progress(task->progress, task->progress_done, task->progress_total, text);
    }
    if (task->state != TASK_SUCCESS)
        append_noted(task, text);
}

static void print_row(struct status *status, const char *name, const char *state,
    const struct attempt_info *attempt, struct slice note)
{
    struct buffer text = {0};
    table_view_text(&status->view, name);
    table_view_text(&status->view, state);
    if (attempt != NULL)
        table_view_number(&status->view, attempt->attempt);
    else
        table_view_text(&status->view, "");
    table_view_cell(&status->view, attempt != NULL ? attempt->worker : slice_of(""));
    if (attempt != NULL)
        times_append_moment(attempt->started_at, &text);
    table_view_cell(&status->view, buffer_slice(&text));
    buffer_clear(&text);
    if (attempt != NULL)
        times_append_between(attempt->started_at, attempt->ended_at, status->now, &text);
    table_view_cell(&status->view, buffer_slice(&text));
    table_view_cell(&status->view, note);
    buffer_fini(&text);
}

/* A row has no room for it. Of a whole run only what ran beside another. */
static void add_late(
    struct status *status, const struct task_info *task, const struct attempt_info *attempt)
{
    bool one = status->selector.task[0] != '\0';
    if (attempt->late.length == 0 || (attempt->overlap.length == 0 && !one))
        return;
    buffer_printf(
        &status->lates, "%s/%.*s@%u: ", status->run, SLICE_PRINT(task->task), attempt->attempt);
    printable_line(attempt->late, &status->lates);
    buffer_append_text(&status->lates, "\n");
}

static void print_task(struct status *status, const struct task_info *task)
{
    struct buffer note = {0};
    char name[SELECTOR_TASK_MAX];
    uint32_t count = task->attempts.count;
    (void)snprintf(name, sizeof name, "%.*s", SLICE_PRINT(task->task));
    status->failed = status->failed || task->state == TASK_FAILED;
    /* Of one task every attempt is shown; of a whole run the last ones. */
    bool one = status->selector.task[0] != '\0';
    for (uint32_t i = 0; one && i + 1 < count; i++) {
        const struct attempt_info *attempt = &task->attempts.items[i];
        print_row(status, name, attempt_state_name(attempt->state), attempt, attempt->error);
    }
    for (uint32_t i = 0; i < count; i++)
        add_late(status, task, &task->attempts.items[i]);
    append_note(task, &note);
    print_row(status, name, task_state_name(task->state),
        count > 0 ? &task->attempts.items[count - 1] : NULL, buffer_slice(&note));
    buffer_fini(&note);
}

static int print_page(
    void *context, const struct msg_run_info *page, uint32_t before, struct error *error)
{
    static const char *const titles[] = {
        "TASK", "STATE", "ATTEMPT", "WORKER", "STARTED", "TOOK", "NOTE", NULL};
    struct status *status = context;
    (void)error;
    if (before == 0) {
        (void)snprintf(status->run, sizeof status->run, "%.*s", SLICE_PRINT(page->run));
        print_head(page, status->now);
        table_view_start(&status->view, stdout, titles);
    }
    for (uint32_t i = 0; i < page->tasks.count; i++)
        print_task(status, &page->tasks.items[i]);
    return 0;
}

static const struct record_shape *task_shape(void)
{
    const struct field_shape *field = message_shape(MESSAGE_run_info)->record.fields;
    while (strcmp(field->name, "tasks") != 0)
        field++;
    return field->record;
}

/* The run's own keys, open at its end: the tasks follow page by page. */
static void print_document_head(const struct msg_run_info *page)
{
    static const char *const left_out[] = {"tasks", "more", "key"};
    struct msg_run_info head = *page;
    head.tasks.count = 0;
    json_t *document = record_json(&message_shape(MESSAGE_run_info)->record, &head);
    for (size_t i = 0; i < sizeof left_out / sizeof left_out[0]; i++)
        (void)json_object_del(document, left_out[i]);
    char *text = json_dumps(document, JSON_COMPACT);
    (void)printf("%.*s,\"tasks\":[", (int)strlen(text) - 1, text);
    free(text);
    json_decref(document);
}

static int print_document_page(
    void *context, const struct msg_run_info *page, uint32_t before, struct error *error)
{
    (void)context;
    (void)error;
    if (before == 0)
        print_document_head(page);
    for (uint32_t i = 0; i < page->tasks.count; i++) {
        json_t *task = record_json(task_shape(), &page->tasks.items[i]);
        (void)fputs(before + i > 0 ? ",\n" : "\n", stdout);
        document_write(task);
        json_decref(task);
    }
    return 0;
}

static void end_table(struct status *status)
{
    if (status->view.titles == NULL)
        return;
    table_view_end(&status->view);
    if (status->lates.length > 0)
        (void)printf("\n%.*s", (int)status->lates.length, status->lates.data);
    buffer_fini(&status->lates);
    if (status->failed)
        terminal_say("see `reeve logs %s --failed`", status->run);
}

static int show_run(struct client *client, const struct arguments *arguments, struct status *status,
    struct error *error)
{
    bool json = document_wanted(arguments);
    status->now = session_now();
    int rc = session_read_run(client, status->selector.run, status->selector.task,
        json ? print_document_page : print_page, status, error);
    if (rc == 0 && json)
        (void)fputs("]}\n", stdout);
    end_table(status);
    return rc;
}

int cmd_status(const struct arguments *arguments)
{
    struct error error = {0};
    struct status status = {0};
    const char *item = arguments_item(arguments, 0);
    if (item != NULL && selector_parse(item, SELECTOR_TASKS, &status.selector, &error) != 0)
        return terminal_fail(&error);
    struct client *client = session_open(arguments, &error);
    if (client == NULL)
        return terminal_fail(&error);
    int rc = item != NULL ? show_run(client, arguments, &status, &error)
                          : fleet_show(client, arguments, &error);
    session_close(client);
    return rc == 0 ? STATUS_OK : terminal_fail(&error);
}
