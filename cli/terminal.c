#include "cli/terminal.h"

#include "cli/printable.h"
#include "common/buffer.h"
#include "common/memory.h"

#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool terminal_is_tty(FILE *stream)
{
    return isatty(fileno(stream)) == 1;
}

bool terminal_is_live(FILE *stream)
{
    const char *term = getenv("TERM");
    return terminal_is_tty(stream) && term != NULL && term[0] != '\0' && strcmp(term, "dumb") != 0;
}

bool terminal_has_colour(FILE *stream)
{
    const char *no_colour = getenv("NO_COLOR");
    return terminal_is_live(stream) && (no_colour == NULL || no_colour[0] == '\0');
}

void terminal_size(FILE *stream, size_t *ret_columns, size_t *ret_rows)
{
    struct winsize size = {0};
    bool known = ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    *ret_columns = known ? size.ws_col : 80;
    *ret_rows = known && size.ws_row > 0 ? size.ws_row : 24;
}

const char *terminal_state_colour(struct slice state)
{
    static const struct {
        const char *state, *colour;
    } rows[] = {
        {"success", "\033[32m"},
        {"up", "\033[32m"},
        {"failed", "\033[31m"},
        {"upstream_failed", "\033[31m"},
        {"gone", "\033[31m"},
        {"lost", "\033[31m"},
        {"running", "\033[36m"},
        {"retrying", "\033[33m"},
        {"held", "\033[33m"},
        {"unreachable", "\033[33m"},
        {"silent", "\033[33m"},
        {"cancelled", "\033[35m"},
        {"cancelling", "\033[35m"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (slice_is(state, rows[i].state))
            return rows[i].colour;
    }
    return "";
}

static void say_line(struct slice text)
{
    struct buffer line = {0};
    buffer_append_text(&line, "reeve: ");
    printable_line(text, &line);
    buffer_append_text(&line, "\n");
    /* What was printed before stands before it, also when both go to one terminal. */
    (void)fflush(stdout);
    (void)fwrite(line.data, 1, line.length, stderr);
    buffer_fini(&line);
}

void terminal_say(const char *format, ...)
{
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    say_line(slice_of(text));
}

int terminal_fail(const struct error *error)
{
    const char *text = error->text[0] != '\0' ? error->text : error_text(error->code);
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");
        say_line(slice_make(text, length));
        text += length + (text[length] == '\n');
    }
    return error_exit_status(error->code);
}
