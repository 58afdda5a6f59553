/* reeve audit: who changed what, and who was refused. */
#include "cli/command.h"
#include "cli/document.h"
#include "cli/printable.h"
#include "cli/session.h"
#include "cli/table_view.h"
#include "cli/terminal.h"
#include "cli/times.h"
#include "common/hex.h"
#include "common/key_pair.h"
#include "common/random.h"

enum { LINES_DEFAULT = 50, LINES_MAX = 10000, KEY_SHOWN = 12 };

/* "refused: text", "text", "x 3: text". */
static void append_note(const struct audit_line *line, struct buffer *text)
{
    if (line->refused)
        buffer_append_text(text, "refused");
    if (line->count > 1)
        buffer_printf(text, "%s%u times", text->length > 0 ? " " : "", line->count);
    if (line->text.length > 0) {
        buffer_append_text(text, text->length > 0 ? ": " : "");
        buffer_append_slice(text, line->text);
    }
}

/* A key that has no name is cut: its beginning tells it from others. */
static void add_who(struct table_view *view, struct slice who)
{
    char text[KEY_SHOWN + 4];
    if (who.length != HEX_TEXT_SIZE(KEY_BYTES) - 1) {
        table_view_cell(view, who);
        return;
    }
    (void)snprintf(text, sizeof text, "%.*s…", KEY_SHOWN, who.ptr);
    table_view_text(view, text);
}

static void print_lines(const struct arguments *arguments, const void *body)
{
    static const char *const titles[] = {
        "AT", "WHO", "ROLE", "FROM", "ACTION", "TARGET", "NOTE", NULL};
    const struct msg_audit *audit = body;
    struct table_view view;
    struct buffer text = {0};
    if (document_wanted(arguments)) {
        document_print_list(MESSAGE_audit, body);
        return;
    }
    table_view_start(&view, stdout, titles);
    for (uint32_t i = 0; i < audit->lines.count; i++) {
        const struct audit_line *line = &audit->lines.items[i];
        times_append_moment(line->at, &text);
        table_view_cell(&view, buffer_slice(&text));
        add_who(&view, line->who);
        table_view_cell(&view, line->role);
        table_view_cell(&view, line->address);
        table_view_cell(&view, line->action);
        table_view_cell(&view, line->target);
        buffer_clear(&text);
        append_note(line, &text);
        table_view_cell(&view, buffer_slice(&text));
        buffer_clear(&text);
    }
    table_view_end(&view);
    buffer_fini(&text);
}

int cmd_audit(const struct arguments *arguments)
{
    struct error error = {0};
    const struct option_value *since = arguments_option(arguments, "since");
    const struct option_value *limit = arguments_option(arguments, "limit");
    struct msg_get_audit ask = {.request = random_id(), .limit = LINES_DEFAULT};
    if (limit->given && limit->number > LINES_MAX) {
        (void)error_set(&error, ERR_USAGE, "-n %s: at most %d", limit->text, LINES_MAX);
        return terminal_fail(&error);
    }
    if (limit->given)
        ask.limit = (uint32_t)limit->number;
    struct client *client = session_open(arguments, &error);
    if (client == NULL)
        return terminal_fail(&error);
    if (since->given)
        ask.since = session_now() - (int64_t)since->number;
    return session_show_on(client, arguments,
        &(struct session_request){MESSAGE_get_audit, &ask, MESSAGE_audit, print_lines});
}
