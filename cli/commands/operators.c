/* reeve operators: the operator programs that workers found, with versions, and what is wrong with
 * some. */
#include "cli/command.h"
#include "cli/document.h"
#include "cli/session.h"
#include "cli/table_view.h"
#include "common/memory.h"
#include "common/random.h"

#include <stdlib.h>

struct row {
    const struct operator_line *line;
    const struct worker_line *worker;
};

static int by_name(const void *a, const void *b)
{
    const struct row *one = a, *two = b;
    int order = slice_compare(one->line->name, two->line->name);
    return order != 0 ? order : slice_compare(one->worker->worker, two->worker->worker);
}

/* Those of workers that are there; by operator, then by worker. */
static struct row *list_rows(const struct msg_workers *workers, uint32_t *ret_count)
{
    uint32_t most = 0, count = 0;
    for (uint32_t i = 0; i < workers->workers.count; i++)
        most += workers->workers.items[i].operators.count;
    struct row *rows = xcalloc(most + 1, sizeof *rows);
    for (uint32_t i = 0; i < workers->workers.count; i++) {
        const struct worker_line *worker = &workers->workers.items[i];
        for (uint32_t j = 0; worker->state != WORKER_GONE && j < worker->operators.count; j++)
            rows[count++] = (struct row){&worker->operators.items[j], worker};
    }
    qsort(rows, count, sizeof *rows, by_name);
    *ret_count = count;
    return rows;
}

static json_t *optional(struct slice text)
{
    return text.length > 0 ? text_json(text) : json_null();
}

static json_t *document_of(const struct row *row)
{
    json_t *document = json_object();
    (void)json_object_set_new(document, "operator", text_json(row->line->name));
    (void)json_object_set_new(document, "worker", text_json(row->worker->worker));
    (void)json_object_set_new(
        document, "worker_state", json_string(worker_state_name(row->worker->state)));
    (void)json_object_set_new(document, "version", optional(row->line->version));
    (void)json_object_set_new(document, "problem", optional(row->line->problem));
    return document;
}

static void print_table(const struct row *rows, uint32_t count)
{
    static const char *const titles[] = {"OPERATOR", "VERSION", "WORKER", "STATE", "PROBLEM", NULL};
    struct table_view view;
    table_view_start(&view, stdout, titles);
    for (uint32_t i = 0; i < count; i++) {
        table_view_cell(&view, rows[i].line->name);
        table_view_cell(&view, rows[i].line->version);
        table_view_cell(&view, rows[i].worker->worker);
        table_view_text(&view, worker_state_name(rows[i].worker->state));
        table_view_cell(&view, rows[i].line->problem);
    }
    table_view_end(&view);
}

static void print_operators(const struct arguments *arguments, const void *body)
{
    uint32_t count = 0;
    struct row *rows = list_rows(body, &count);
    if (document_wanted(arguments)) {
        json_t *list = json_array();
        for (uint32_t i = 0; i < count; i++)
            (void)json_array_append_new(list, document_of(&rows[i]));
        document_print(list);
    } else {
        print_table(rows, count);
    }
    free(rows);
}

int cmd_operators(const struct arguments *arguments)
{
    const struct msg_get_workers ask = {.request = random_id()};
    return session_show(arguments,
        &(struct session_request){MESSAGE_get_workers, &ask, MESSAGE_workers, print_operators});
}
