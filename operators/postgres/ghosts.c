/*
 * ghosts.c - PostgreSQL goes on with a query whose client is gone; what an earlier attempt left
 * there is found by its tag and ended, so that no attempt meets its own ghost.
 */
#include "operators/postgres/work.h"

#include "common/clock.h"
#include "common/tag.h"

#include <stdlib.h>

enum {
    GONE_WITHIN_MS = 60 * 1000, /* then the attempt fails: another try may find it gone */
    GONE_LOOK_MS = 50,          /* a backend's end is no event that another one could wait for */
    CHECK_INTERVAL_VERSION = 140000
};

/* What pg_stat_activity stands on, without the joins that cost a new session milliseconds. */
static const char FIND[] =
    "SELECT pid, application_name, usesysid::regrole FROM pg_stat_get_activity(NULL)"
    " WHERE left(application_name, %zu) = %s AND pid <> pg_backend_pid()";

/* A server notices within seconds that this host ended the connection, and within a minute or so
 * that it vanished. */
static void append_settings(struct work *work, struct buffer *text)
{
    const struct postgres_options *options = work->options;
    buffer_append_text(text, "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET "
                             "tcp_keepalives_count = 3; ");
    if (PQserverVersion(work->session.conn) >= CHECK_INTERVAL_VERSION)
        buffer_append_text(text, "SET client_connection_check_interval = '2s'; ");
    if (options->statement_timeout_ms > 0)
        buffer_printf(text, "SET statement_timeout = %llu; ",
            (unsigned long long)options->statement_timeout_ms);
    if (options->lock_timeout_ms > 0)
        buffer_printf(
            text, "SET lock_timeout = %llu; ", (unsigned long long)options->lock_timeout_ms);
}

/* The session's settings and the search, in one trip. */
static int look(struct work *work, PGresult **ret_found, struct failure *failure)
{
    const char *prefix = work->task->tag_prefix;
    struct buffer text = {0};
    char *literal = PQescapeLiteral(work->session.conn, prefix, strlen(prefix));
    if (literal == NULL)
        return session_lost(&work->session, failure);
    append_settings(work, &text);
    buffer_printf(&text, FIND, strlen(prefix), literal);
    PQfreemem(literal);
    int rc = session_run(&work->session, buffer_text(&text), ret_found, failure);
    buffer_fini(&text);
    if (rc != 0 && rc != ERR_AGAIN)
        (void)error_prefix(&failure->error, "earlier attempts' sessions cannot be looked for");
    return rc;
}

static int end_one(struct work *work, const PGresult *found, int row, struct failure *failure)
{
    const char *pid = PQgetvalue(found, row, 0);
    const char *name = PQgetvalue(found, row, 1);
    struct tag tag = {0};
    if (tag_parse(slice_of(name), &tag) && tag.attempt > work->task->id.attempt)
        return failure_set(failure, ERR_REFUSED,
            "attempt %u of this task is at work already, as backend %s", tag.attempt, pid);
    say("attempt %u left the backend %s; it is ended", tag.attempt, pid);
    const char *values[] = {pid, NULL};
    PGresult *result = NULL;
    int rc = work_query(work, "SELECT pg_terminate_backend($1::int)", values, &result, failure);
    PQclear(result);
    if (rc != 0 && rc != ERR_AGAIN)
        (void)error_prefix(&failure->error,
            "the backend %s of attempt %u (user %s) cannot be ended", pid, tag.attempt,
            PQgetvalue(found, row, 2));
    return rc;
}

static int end_all(struct work *work, const PGresult *found, struct failure *failure)
{
    int rc = 0;
    for (int row = 0; row < PQntuples(found) && rc == 0; row++)
        rc = end_one(work, found, row, failure);
    return rc;
}

int ghosts_end(struct work *work, struct failure *failure)
{
    PGresult *found = NULL;
    int rc = look(work, &found, failure);
    bool any = rc == 0 && PQntuples(found) > 0;
    if (any)
        rc = end_all(work, found, failure);
    uint64_t end = clock_boot_ms() + GONE_WITHIN_MS;
    while (rc == 0 && PQntuples(found) > 0) {
        if (clock_boot_ms() >= end) {
            rc = failure_passing(failure, ERR_TIMEOUT,
                "the backend %s of an earlier attempt is still there %d s after it was ended",
                PQgetvalue(found, 0, 0), GONE_WITHIN_MS / 1000);
            break;
        }
        rc = session_pause(&work->session, GONE_LOOK_MS, failure);
        PQclear(found);
        found = NULL;
        if (rc == 0)
            rc = look(work, &found, failure);
    }
    PQclear(found);
    if (rc == 0 && any)
        say("what earlier attempts left is gone");
    return rc;
}
