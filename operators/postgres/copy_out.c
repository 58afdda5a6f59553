/*
 * copy_out.c - copy_to: a table or a query goes into a file by COPY TO STDOUT. The file has its
 * name only when all of it is there and the transaction is committed.
 */
#include "operators/postgres/bind.h"
#include "operators/postgres/work.h"

#include "common/clock.h"
#include "common/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { WRITE_BYTES = 256 * 1024 };

/* "orders.csv.part", owned. */
static char *part_name(const struct work *work)
{
    return xasprintf("%s.part", work->options->copy_to.file);
}

static int file_failure(const struct work *work, int errno_value, struct failure *failure)
{
    const char *file = work->options->copy_to.file;
    if (errno_value == ENOSPC || errno_value == EDQUOT || errno_value == EIO)
        return failure_passing(failure, ERR_IO, "copy_to: %s: %s", file, strerror(errno_value));
    return failure_set(failure, ERR_IO, "copy_to: %s: %s", file, strerror(errno_value));
}

/* The query with its parameters, which PostgreSQL cannot bind in a COPY. */
static int append_query(struct work *work, struct buffer *out, struct error *error)
{
    const struct postgres_options *options = work->options;
    struct slice query = slice_of(options->copy_to.query);
    struct sql_scan scan = {
        .text = query, .names = options->parameters.names, .name_count = options->parameters.count};
    struct sql_statement statement;
    struct sql_statement other;
    struct sent sent = {0};
    int more = sql_next_statement(&scan, &statement, error);
    if (more < 0)
        return more;
    if (more == 0 || sql_next_statement(&scan, &other, NULL) != 0)
        return error_set(error, ERR_INVALID, "query must be one statement");
    statement.way = SQL_LITERAL;
    int rc =
        bind_statement(work->session.conn, query, &statement, &options->parameters, &sent, error);
    buffer_append_text(out, "COPY (");
    buffer_append_slice(out, buffer_slice(&sent.text));
    sent_fini(&sent);
    return rc;
}

/* Rows into the file until the server has said all. */
static int pump(struct work *work, FILE *file, long long *ret_bytes, struct failure *failure)
{
    PGconn *conn = work->session.conn;
    for (;;) {
        char *row = NULL;
        int length = PQgetCopyData(conn, &row, 1);
        if (length > 0) {
            size_t written = fwrite(row, 1, (size_t)length, file);
            PQfreemem(row);
            *ret_bytes += length;
            if (written != (size_t)length)
                return file_failure(work, errno, failure);
            continue;
        }
        if (length < 0)
            return 0; /* the end, or an error: the result says which */
        int rc = session_wait(&work->session, POLLIN, failure);
        if (rc != 0)
            return rc;
        if (PQconsumeInput(conn) != 1)
            return session_lost(&work->session, failure);
    }
}

static int last_answer(struct work *work, long long *ret_rows, struct failure *failure)
{
    for (;;) {
        PGresult *result = NULL;
        int rc = session_result(&work->session, NULL, &result, failure);
        if (rc != 0 || result == NULL)
            return rc;
        *ret_rows = strtoll(PQcmdTuples(result), NULL, 10);
        PQclear(result);
    }
}

static int copy_all(struct work *work, const char *text, FILE *file, struct failure *failure)
{
    long long bytes = 0;
    long long rows = 0;
    uint64_t started_ms = clock_boot_ms();
    PGresult *result = NULL;
    int rc = session_send(&work->session, text, failure);
    if (rc == 0)
        rc = session_result(&work->session, NULL, &result, failure);
    PQclear(result);
    if (rc == 0)
        rc = pump(work, file, &bytes, failure);
    if (rc == 0)
        rc = last_answer(work, &rows, failure);
    if (rc != 0)
        return rc == ERR_REFUSED ? error_prefix(&failure->error, "copy_to") : rc;
    (void)json_object_set_new(work->outputs, "row_count", json_integer(rows));
    say("copy_to: %s: %lld bytes, %lld rows (%llu ms)", work->options->copy_to.file, bytes, rows,
        (unsigned long long)(clock_boot_ms() - started_ms));
    return 0;
}

static int copy_into(struct work *work, const char *text, struct failure *failure)
{
    char *part = part_name(work);
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    free(part);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (file == NULL)
        return file_failure(work, errno, failure);
    char *memory = xmalloc(WRITE_BYTES);
    (void)setvbuf(file, memory, _IOFBF, WRITE_BYTES);
    int rc = copy_all(work, text, file, failure);
    if (fclose(file) != 0 && rc == 0)
        rc = file_failure(work, errno, failure);
    free(memory);
    return rc;
}

int copy_out_run(struct work *work, struct failure *failure)
{
    const struct copy_options *copy = &work->options->copy_to;
    if (copy->file == NULL)
        return 0;
    struct buffer text = {0};
    int rc = 0;
    if (copy->query != NULL)
        rc = append_query(work, &text, &failure->error);
    else
        buffer_append_text(&text, "COPY ");
    if (rc == 0)
        rc = copy_statement(work->session.conn, copy, "TO STDOUT", &text, &failure->error);
    if (rc != 0)
        (void)error_prefix(&failure->error, "copy_to");
    else
        rc = copy_into(work, buffer_text(&text), failure);
    buffer_fini(&text);
    return rc;
}

int copy_out_keep(const struct work *work, struct failure *failure)
{
    if (work->options->copy_to.file == NULL)
        return 0;
    char *part = part_name(work);
    int rc =
        rename(part, work->options->copy_to.file) != 0 ? file_failure(work, errno, failure) : 0;
    free(part);
    return rc;
}

void copy_out_drop(const struct work *work)
{
    if (work->options->copy_to.file == NULL)
        return;
    char *part = part_name(work);
    (void)unlink(part);
    free(part);
}
