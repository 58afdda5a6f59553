/*
 * options.h - what stands under `postgres:`, checked (docs/operators/postgres.md). All is borrowed
 * from the task's document but the SQL of a file.
 */
#ifndef OPERATORS_POSTGRES_OPTIONS_H
#define OPERATORS_POSTGRES_OPTIONS_H

#include "operators/postgres/failure.h"

#include "common/slice.h"

#include <jansson.h>
#include <stdint.h>

enum {
    SQL_MAX_BYTES =
        64 * 1024 * 1024, /* of a file; a longer one is refused: data goes by copy_from */
    PARAMETERS_MAX = 1000,
    LOG_ROWS_MAX = 1000
};

enum retry_choice { RETRY_AUTO, RETRY_ALWAYS, RETRY_NEVER };

struct parameters {
    struct slice *names;
    const json_t **values;
    bool *used;
    size_t count;
};

/* A COPY between a file and the database; `file` is NULL where there is none. */
struct copy_options {
    const char *file, *table, *query, *format, *null, *delimiter;
    const json_t *columns; /* a list of texts, or NULL */
    bool header;
};

struct postgres_options {
    struct slice sql;       /* may be empty, when there is a copy */
    const char *sql_name;   /* "sql", or the file's name */
    struct buffer sql_file; /* its bytes */
    struct parameters parameters;
    struct copy_options copy_from, copy_to;
    bool autocommit, once;
    uint64_t statement_timeout_ms, lock_timeout_ms; /* 0: none */
    int64_t log_rows;
    enum retry_choice retry;
};

/* Reads and checks all that can be known before there is a connection: keys, types, statements,
 * parameters that nothing uses. */
int options_read(const json_t *with, struct postgres_options *ret_options, struct failure *failure);
void options_fini(struct postgres_options *options);

#endif
