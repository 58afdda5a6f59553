#include "cli/live.h"

#include "cli/printable.h"

/* The line without its colours: ESC [ … m takes no column. */
static size_t line_width(struct slice line)
{
    size_t width = 0, start = 0;
    for (size_t i = 0; i < line.length; i++) {
        if (line.ptr[i] != '\033')
            continue;
        width += printable_width(slice_make(line.ptr + start, i - start));
        while (i < line.length && line.ptr[i] != 'm')
            i++;
        start = i + 1;
    }
    if (start < line.length)
        width += printable_width(slice_make(line.ptr + start, line.length - start));
    return width;
}

/* How many rows of the terminal the block takes at this width. */
static size_t rows_of(struct slice block, size_t columns)
{
    size_t rows = 0, start = 0;
    for (size_t i = 0; i < block.length; i++) {
        if (block.ptr[i] != '\n')
            continue;
        size_t width = line_width(slice_make(block.ptr + start, i - start));
        rows += width > columns ? (width + columns - 1) / columns : 1;
        start = i + 1;
    }
    return rows;
}

void live_draw(struct live *live, struct slice block, size_t columns, struct buffer *out)
{
    size_t rows = rows_of(buffer_slice(&live->drawn), columns > 0 ? columns : 1);
    if (rows > 0)
        buffer_printf(out, "\033[%zuA", rows);
    /* Erase to the end of the screen: the old block may have been longer. */
    buffer_append_text(out, "\r\033[J");
    buffer_append_slice(out, block);
    buffer_clear(&live->drawn);
    buffer_append_slice(&live->drawn, block);
}

void live_fini(struct live *live)
{
    buffer_fini(&live->drawn);
}
