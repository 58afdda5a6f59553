#include "cli/table_view.h"

#include "cli/printable.h"
#include "cli/terminal.h"
#include "common/memory.h"

#include <assert.h>
#include <stdlib.h>

void table_view_start(struct table_view *view, FILE *stream, const char *const *titles)
{
    *view = (struct table_view){.stream = stream, .titles = titles};
    view->colour = terminal_has_colour(stream);
    while (titles[view->column_count] != NULL) {
        view->widths[view->column_count] = strlen(titles[view->column_count]);
        view->column_count++;
    }
    assert(view->column_count > 0 && view->column_count <= TABLE_COLUMNS_MAX);
}

static void write_cell(const struct table_view *view, struct slice text, size_t column)
{
    const char *colour = view->colour ? terminal_state_colour(text) : "";
    (void)fputs(colour, view->stream);
    (void)fwrite(text.ptr, 1, text.length, view->stream);
    if (colour[0] != '\0')
        (void)fputs(TERMINAL_PLAIN, view->stream);
    if (column + 1 == view->column_count) {
        (void)fputc('\n', view->stream);
        return;
    }
    size_t width = printable_width(text);
    size_t gap = width < view->widths[column] ? view->widths[column] - width + 2 : 2;
    (void)fprintf(view->stream, "%*s", (int)gap, "");
}

static void flush_held(struct table_view *view)
{
    size_t start = 0;
    if (!view->flowing) {
        for (size_t i = 0; i < view->column_count; i++)
            write_cell(view, slice_of(view->titles[i]), i);
        view->flowing = true;
    }
    for (size_t i = 0; i < view->end_count; i++) {
        write_cell(view, slice_make(view->texts.data + start, view->ends[i] - start),
            i % view->column_count);
        start = view->ends[i];
    }
    view->end_count = 0;
    buffer_clear(&view->texts);
}

void table_view_cell(struct table_view *view, struct slice text)
{
    size_t column = view->end_count % view->column_count;
    size_t start = view->texts.length;
    if (text.length == 0)
        text = slice_of("-");
    printable_line(text, &view->texts);
    vector_reserve(&view->ends, view->end_count, &view->end_capacity);
    view->ends[view->end_count++] = view->texts.length;
    size_t width =
        printable_width(slice_make(view->texts.data + start, view->texts.length - start));
    if (!view->flowing && width > view->widths[column])
        view->widths[column] = width;
    size_t rows = view->end_count / view->column_count;
    if (column + 1 == view->column_count && (view->flowing || rows >= TABLE_ROWS_HELD))
        flush_held(view);
}

void table_view_text(struct table_view *view, const char *text)
{
    table_view_cell(view, slice_of(text));
}

void table_view_number(struct table_view *view, uint64_t number)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    table_view_text(view, text);
}

void table_view_end(struct table_view *view)
{
    assert(view->end_count % view->column_count == 0);
    flush_held(view);
    free(view->ends);
    buffer_fini(&view->texts);
    *view = (struct table_view){0};
}
