/*
 * rows.h - what a query gave, kept only as far as it is shown: the first rows as a table for the
 * log, a small set as JSON for the tasks below, and always their number.
 */
#ifndef OPERATORS_POSTGRES_ROWS_H
#define OPERATORS_POSTGRES_ROWS_H

#include "common/buffer.h"

#include <jansson.h>
#include <libpq-fe.h>
#include <stdint.h>

enum {
    /* More, or longer ones, are not given to the tasks below. */
    ROWS_OUTPUT_MAX = 100,
    ROWS_OUTPUT_MAX_BYTES = 32768,
    CELL_SHOWN_MAX = 80 /* characters of a cell in the log */
};

/* Zero-initialised is empty. */
struct rows {
    uint64_t count;
    int columns;
    char **names;
    char **cells; /* of the first `shown` rows, one after another */
    bool *right;  /* a column of numbers */
    size_t shown, show_max;
    json_t *items; /* a list of objects; NULL when they are too many */
    size_t item_bytes;
};

/* Forgets what was there and begins a result with these columns. */
void rows_begin(struct rows *rows, const PGresult *result, size_t show_max);
void rows_add(struct rows *rows, const PGresult *result, int row);
void rows_fini(struct rows *rows);

/* The table, as psql draws it, and the number of rows below. */
void rows_draw(const struct rows *rows, struct buffer *out);
/* `rows`, and `value` when it is one row of one column; nothing when they are too many. */
void rows_output(const struct rows *rows, json_t *outputs);

/* A value by its type: integers, floats, booleans and json as such, null as null, else text
 * (numeric too, which JSON's numbers would round). */
json_t *rows_value(Oid type, const char *text, size_t length);

#endif
