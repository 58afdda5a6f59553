/*
 * copy_in.c - copy_from: a file goes into a table by COPY FROM STDIN, in pieces of one size,
 * however long it is.
 */
#include "operators/postgres/work.h"

#include "common/clock.h"
#include "common/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE_BYTES = 128 * 1024, PROGRESS_MS = 1000 };

struct copying {
    struct work *work;
    int fd;
    int64_t done, total;
    uint64_t said_ms;
};

/* Opens it without waiting for a pipe's writer. */
static int open_file(const char *file, int *ret_fd, int64_t *ret_size, struct failure *failure)
{
    struct stat about;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return failure_set(failure, ERR_NOT_FOUND, "copy_from: %s: %s", file, strerror(errno));
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
        (void)close(fd);
        return failure_set(failure, ERR_INVALID, "copy_from: %s is no file", file);
    }
    *ret_fd = fd;
    *ret_size = about.st_size;
    return 0;
}

int copy_in_check(const struct copy_options *copy, struct failure *failure)
{
    int fd = -1;
    int64_t size = 0;
    if (copy->file == NULL)
        return 0;
    int rc = open_file(copy->file, &fd, &size, failure);
    if (rc == 0)
        (void)close(fd);
    return rc;
}

static void progress(struct copying *copying)
{
    uint64_t now = clock_boot_ms();
    if (now - copying->said_ms < PROGRESS_MS)
        return;
    copying->said_ms = now;
    /* What a person may see meanwhile; the copy does not depend on it. */
    (void)operator_progress(
        copying->work->link, "copy_from, bytes", copying->done, copying->total, NULL);
}

/* 1 as long as the server takes more; 0 when it does not, and its answer says why. */
static int put(struct copying *copying, const char *bytes, int length, struct failure *failure)
{
    struct session *session = &copying->work->session;
    if (PQputCopyData(session->conn, bytes, length) != 1)
        return 0;
    int rc = session_flush(session, failure);
    copying->done += length;
    progress(copying);
    return rc != 0 ? rc : 1;
}

static int pump(struct copying *copying, struct failure *failure)
{
    const char *file = copying->work->options->copy_from.file;
    char *piece = xmalloc(PIECE_BYTES);
    int rc = 1;
    while (rc == 1) {
        ssize_t got = read(copying->fd, piece, PIECE_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            rc = failure_passing(failure, ERR_IO, "copy_from: %s: %s", file, strerror(errno));
        if (got <= 0)
            break;
        rc = put(copying, piece, (int)got, failure);
    }
    free(piece);
    return rc < 0 ? rc : 0;
}

/* What COPY answers: its beginning, or its end. */
static int answers(struct work *work, bool *ret_begun, struct failure *failure)
{
    for (;;) {
        PGresult *result = NULL;
        int rc = session_result(&work->session, NULL, &result, failure);
        if (rc != 0) {
            if (rc == ERR_REFUSED)
                (void)error_prefix(&failure->error, "copy_from: %s", work->options->copy_from.file);
            return rc;
        }
        if (result == NULL)
            return 0;
        bool begun = PQresultStatus(result) == PGRES_COPY_IN;
        if (!begun) {
            long long rows = strtoll(PQcmdTuples(result), NULL, 10);
            (void)json_object_set_new(work->outputs, "row_count", json_integer(rows));
        }
        PQclear(result);
        if (begun) {
            *ret_begun = true;
            return 0;
        }
    }
}

static int copy_file(struct copying *copying, struct failure *failure)
{
    struct work *work = copying->work;
    struct session *session = &work->session;
    bool begun = false;
    int rc = answers(work, &begun, failure);
    if (rc == 0)
        rc = pump(copying, failure);
    /* It fails when the server has ended the copy already: its answer tells why. */
    if (rc == 0 && PQputCopyEnd(session->conn, NULL) == 1)
        rc = session_flush(session, failure);
    return rc == 0 ? answers(work, &begun, failure) : rc;
}

int copy_in_run(struct work *work, struct failure *failure)
{
    const struct copy_options *copy = &work->options->copy_from;
    struct copying copying = {.work = work, .fd = -1, .said_ms = clock_boot_ms()};
    uint64_t started_ms = clock_boot_ms();
    if (copy->file == NULL)
        return 0;
    struct buffer text = {0};
    buffer_append_text(&text, "COPY ");
    int rc = copy_statement(work->session.conn, copy, "FROM STDIN", &text, &failure->error);
    if (rc != 0)
        (void)error_prefix(&failure->error, "copy_from");
    else
        rc = open_file(copy->file, &copying.fd, &copying.total, failure);
    if (rc == 0)
        rc = session_send(&work->session, buffer_text(&text), failure);
    if (rc == 0)
        rc = copy_file(&copying, failure);
    if (copying.fd >= 0)
        (void)close(copying.fd);
    buffer_fini(&text);
    if (rc == 0)
        say("copy_from: %s: %lld bytes, %lld rows into %s (%llu ms)", copy->file,
            (long long)copying.done,
            (long long)json_integer_value(json_object_get(work->outputs, "row_count")), copy->table,
            (unsigned long long)(clock_boot_ms() - started_ms));
    return rc;
}
