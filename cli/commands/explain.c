/* reeve explain: what a run or a task waits for, since when, in sentences. */
#include "cli/command.h"
#include "cli/document.h"
#include "cli/printable.h"
#include "cli/selector.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "cli/times.h"
#include "common/random.h"

#include <stdlib.h>

/* "load (ready, for 3m12s): no live worker serves queue "gpu"" */
static void append_line(const struct explain_line *line, int64_t now, struct buffer *out)
{
    printable_line(line->task, out);
    buffer_printf(out, " (%s", task_state_name(line->state));
    if (line->since != 0) {
        buffer_append_text(out, ", for ");
        times_append_span(now - line->since, out);
    }
    buffer_append_text(out, "): ");
    printable_line(line->text, out);
    buffer_append_text(out, "\n");
}

static void append_run(const struct msg_explained *explained, struct buffer *out)
{
    printable_line(explained->run, out);
    buffer_printf(out, " (%s)", run_state_name(explained->state));
    if (explained->text.length > 0) {
        buffer_append_text(out, ": ");
        printable_line(explained->text, out);
    }
    buffer_append_text(out, "\n");
}

static void print_explained(const struct arguments *arguments, const void *body)
{
    const struct msg_explained *explained = body;
    struct buffer text = {0};
    if (document_wanted(arguments)) {
        document_print_message(MESSAGE_explained, body);
        return;
    }
    struct selector selector;
    /* A task is told of alone. */
    if (selector_parse(arguments_item(arguments, 0), SELECTOR_TASKS, &selector, NULL) == 0 &&
        selector.task[0] == '\0')
        append_run(explained, &text);
    else
        buffer_printf(&text, "%.*s/", SLICE_PRINT(explained->run));
    for (uint32_t i = 0; i < explained->lines.count; i++)
        append_line(&explained->lines.items[i], session_now(), &text);
    if (explained->more > 0)
        buffer_printf(&text, "and %u more task%s that wait%s\n", explained->more,
            explained->more == 1 ? "" : "s", explained->more == 1 ? "s" : "");
    (void)fwrite(text.data, 1, text.length, stdout);
    buffer_fini(&text);
}

int cmd_explain(const struct arguments *arguments)
{
    struct error error = {0};
    struct selector selector;
    if (selector_parse(arguments_item(arguments, 0), SELECTOR_TASKS, &selector, &error) != 0)
        return terminal_fail(&error);
    const struct msg_explain ask = {
        .request = random_id(), .run = slice_of(selector.run), .task = slice_of(selector.task)};
    return session_show(arguments,
        &(struct session_request){MESSAGE_explain, &ask, MESSAGE_explained, print_explained});
}
