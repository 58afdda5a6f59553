#include "operators/postgres/rows.h"

#include "common/memory.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

/* Numbers of built-in types, fixed in pg_type. */
enum {
    TYPE_BOOL = 16,
    TYPE_INT8 = 20,
    TYPE_INT2 = 21,
    TYPE_INT4 = 23,
    TYPE_OID = 26,
    TYPE_JSON = 114,
    TYPE_FLOAT4 = 700,
    TYPE_FLOAT8 = 701,
    TYPE_NUMERIC = 1700,
    TYPE_JSONB = 3802
};

static bool is_integer(Oid type)
{
    return type == TYPE_INT8 || type == TYPE_INT2 || type == TYPE_INT4 || type == TYPE_OID;
}

static bool is_float(Oid type)
{
    return type == TYPE_FLOAT4 || type == TYPE_FLOAT8;
}

static json_t *text_value(const char *text, size_t length)
{
    json_t *value = json_stringn(text, length);
    /* Bytes of a database without an encoding. */
    return value != NULL ? value : json_string("(not UTF-8)");
}

json_t *rows_value(Oid type, const char *text, size_t length)
{
    char *end = NULL;
    json_t *value = NULL;
    errno = 0;
    if (type == TYPE_BOOL)
        return json_boolean(text[0] == 't');
    if (is_integer(type)) {
        long long number = strtoll(text, &end, 10);
        if (errno == 0 && *end == '\0')
            return json_integer(number);
    } else if (is_float(type)) {
        double number = strtod(text, &end);
        if (*end == '\0' && isfinite(number))
            return json_real(number);
    } else if (type == TYPE_JSON || type == TYPE_JSONB) {
        value = json_loadb(text, length, JSON_DECODE_ANY, NULL);
    }
    return value != NULL ? value : text_value(text, length);
}

static void forget_cells(struct rows *rows)
{
    for (size_t i = 0; i < rows->shown * (size_t)rows->columns; i++)
        free(rows->cells[i]);
    for (int i = 0; i < rows->columns; i++)
        free(rows->names[i]);
    free(rows->cells);
    free(rows->names);
    free(rows->right);
    json_decref(rows->items);
}

void rows_fini(struct rows *rows)
{
    forget_cells(rows);
    *rows = (struct rows){0};
}

/* What does not draw on one line is written as an escape; a long text is cut. */
static char *shown_cell(const char *text)
{
    struct buffer out = {0};
    size_t letters = 0;
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if ((c & 0xC0) != 0x80 && letters++ == CELL_SHOWN_MAX) {
            buffer_append_text(&out, "…");
            break;
        }
        if (c == '\n')
            buffer_append_text(&out, "\\n");
        else if (c < ' ' || c == 127)
            buffer_printf(&out, "\\x%02x", c);
        else
            buffer_append(&out, &c, 1);
    }
    char *cell = xstrdup(buffer_text(&out));
    buffer_fini(&out);
    return cell;
}

void rows_begin(struct rows *rows, const PGresult *result, size_t show_max)
{
    rows_fini(rows);
    size_t columns = (size_t)PQnfields(result);
    rows->columns = (int)columns;
    rows->show_max = show_max;
    rows->names = xcalloc(columns + 1, sizeof *rows->names);
    rows->right = xcalloc(columns + 1, sizeof *rows->right);
    rows->items = json_array();
    for (int i = 0; i < rows->columns; i++) {
        Oid type = PQftype(result, i);
        rows->names[i] = shown_cell(PQfname(result, i));
        rows->right[i] = is_integer(type) || is_float(type) || type == TYPE_NUMERIC;
    }
}

static void keep_cells(struct rows *rows, const PGresult *result, int row)
{
    size_t columns = (size_t)rows->columns;
    rows->cells = xreallocarray(rows->cells, (rows->shown + 1) * columns + 1, sizeof *rows->cells);
    char **cells = rows->cells + rows->shown * columns;
    for (int i = 0; i < rows->columns; i++)
        cells[i] = shown_cell(PQgetvalue(result, row, i));
    rows->shown++;
}

static void keep_item(struct rows *rows, const PGresult *result, int row)
{
    json_t *item = json_object();
    size_t bytes = 0;
    for (int i = 0; i < rows->columns && bytes <= ROWS_OUTPUT_MAX_BYTES; i++) {
        size_t length = (size_t)PQgetlength(result, row, i);
        bytes += length;
        if (bytes > ROWS_OUTPUT_MAX_BYTES)
            break;
        json_t *value = PQgetisnull(result, row, i)
                            ? json_null()
                            : rows_value(PQftype(result, i), PQgetvalue(result, row, i), length);
        (void)json_object_set_new(item, PQfname(result, i), value);
    }
    rows->item_bytes += bytes + json_dumpb(item, NULL, 0, JSON_COMPACT);
    (void)json_array_append_new(rows->items, item);
    if (rows->item_bytes > ROWS_OUTPUT_MAX_BYTES || rows->count > ROWS_OUTPUT_MAX) {
        json_decref(rows->items);
        rows->items = NULL;
    }
}

void rows_add(struct rows *rows, const PGresult *result, int row)
{
    rows->count++;
    if (rows->shown < rows->show_max)
        keep_cells(rows, result, row);
    if (rows->items != NULL)
        keep_item(rows, result, row);
}

static size_t letters_of(const char *text)
{
    size_t letters = 0;
    for (; *text != '\0'; text++)
        letters += ((unsigned char)*text & 0xC0) != 0x80;
    return letters;
}

static void pad(struct buffer *out, size_t count, const char *with)
{
    for (size_t i = 0; i < count; i++)
        buffer_append_text(out, with);
}

static void draw_line(
    const struct rows *rows, char *const *cells, const size_t *widths, struct buffer *out)
{
    for (int i = 0; i < rows->columns; i++) {
        size_t rest = widths[i] - letters_of(cells[i]);
        bool right = rows->right[i] && cells != rows->names;
        buffer_append_text(out, i > 0 ? " | " : " ");
        if (right)
            pad(out, rest, " ");
        buffer_append_text(out, cells[i]);
        if (!right && i + 1 < rows->columns)
            pad(out, rest, " ");
    }
    buffer_append_text(out, "\n");
}

void rows_draw(const struct rows *rows, struct buffer *out)
{
    size_t columns = (size_t)rows->columns;
    size_t *widths = xcalloc(columns + 1, sizeof *widths);
    for (size_t i = 0; i < (rows->shown + 1) * columns; i++) {
        const char *cell = i < columns ? rows->names[i] : rows->cells[i - columns];
        size_t letters = letters_of(cell);
        if (letters > widths[i % columns])
            widths[i % columns] = letters;
    }
    if (rows->show_max > 0 && columns > 0) {
        draw_line(rows, rows->names, widths, out);
        for (size_t i = 0; i < columns; i++) {
            buffer_append_text(out, i > 0 ? "+" : "");
            pad(out, widths[i] + 2, "-");
        }
        buffer_append_text(out, "\n");
        for (size_t i = 0; i < rows->shown; i++)
            draw_line(rows, rows->cells + i * columns, widths, out);
    }
    buffer_printf(
        out, "(%llu %s", (unsigned long long)rows->count, rows->count == 1 ? "row" : "rows");
    if (rows->shown < rows->count && rows->show_max > 0)
        buffer_printf(out, ", the first %zu shown", rows->shown);
    buffer_append_text(out, ")\n");
    free(widths);
}

void rows_output(const struct rows *rows, json_t *outputs)
{
    if (rows->items == NULL)
        return;
    (void)json_object_set(outputs, "rows", rows->items);
    if (rows->count == 1 && rows->columns == 1) {
        json_t *item = json_array_get(rows->items, 0);
        json_t *value = json_object_iter_value(json_object_iter(item));
        (void)json_object_set(outputs, "value", value);
    }
}
