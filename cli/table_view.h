/*
 * table_view.h - rows in columns. The first rows are held until the widths are known; those of a
 * very long table go out at once after that, so that memory stays bounded.
 */
#ifndef CLI_TABLE_VIEW_H
#define CLI_TABLE_VIEW_H

#include "common/buffer.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { TABLE_COLUMNS_MAX = 20, TABLE_ROWS_HELD = 1000 };

struct table_view {
    FILE *stream;
    const char *const *titles; /* ends with NULL */
    size_t column_count;
    bool colour;
    size_t widths[TABLE_COLUMNS_MAX];
    struct buffer texts; /* of the held cells */
    size_t *ends;        /* where each held cell ends in `texts` */
    size_t end_count, end_capacity;
    bool flowing; /* widths are fixed, the titles are out */
};

/* `titles` is borrowed. */
void table_view_start(struct table_view *view, FILE *stream, const char *const *titles);
/* The next cell, row after row; control characters are made visible; empty shows as "-". */
void table_view_cell(struct table_view *view, struct slice text);
void table_view_text(struct table_view *view, const char *text);
void table_view_number(struct table_view *view, uint64_t number);
/* Writes what is held. The last row must be whole. */
void table_view_end(struct table_view *view);

#endif
