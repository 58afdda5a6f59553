/*
 * store_column.h - values of C into a statement's parameters and out of its columns; for
 * store_rows.c and its like.
 *
 * Bindings fail only by a wrong index or out of memory; the step that follows would then write NULL
 * into a column that refuses it, or fail itself. So their results are not looked at one by one.
 */
#ifndef MASTER_STORE_STORE_COLUMN_H
#define MASTER_STORE_STORE_COLUMN_H

#include "common/arena.h"
#include "common/error.h"
#include "common/slice.h"

#include <sqlite3.h>
#include <stdint.h>

/* Texts and bytes are borrowed until the statement is reset; empty ones are NULL. */
void bind_number(sqlite3_stmt *statement, int index, int64_t number);
void bind_id(sqlite3_stmt *statement, int index, uint64_t id);
void bind_slice(sqlite3_stmt *statement, int index, struct slice text);
void bind_bytes(sqlite3_stmt *statement, int index, struct slice bytes);

/* The bytes of a column, copied into the arena; NULL for an empty value. */
struct slice read_slice(sqlite3_stmt *statement, int column, struct arena *arena);

/* Reads a row's columns one after another, and remembers whether one of them can be no value of
 * ours. */
struct row_reader {
    sqlite3_stmt *statement;
    struct arena *arena;
    int column;
    bool bad;
};

int64_t take_number(struct row_reader *reader);
uint64_t take_id(struct row_reader *reader);
uint32_t take_u32(struct row_reader *reader, uint32_t min, uint32_t max);
bool take_flag(struct row_reader *reader);
struct slice take_slice(struct row_reader *reader);
/* Exactly so many. */
void take_bytes(struct row_reader *reader, void *bytes, int length);
/* A hash or nothing. */
struct slice take_hash(struct row_reader *reader);
/* ERR_CORRUPT, naming `what`, when a column was bad. */
int check_row(const struct row_reader *reader, const char *what, struct error *error);

#endif
