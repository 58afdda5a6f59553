#include "operators/postgres/work.h"

#include "common/clock.h"

#include <stdarg.h>
#include <stdio.h>

enum {
    VALUES_MAX = 16,
    LOOK_UP_MS =
        60 * 1000, /* how long an answer to COMMIT is looked for; then the next attempt does */
    LOOK_UP_AGAIN_MS = 500
};

void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vprintf(format, arguments);
    va_end(arguments);
    (void)putchar('\n');
    (void)fflush(stdout);
}

int work_query(struct work *work, const char *text, const char *const *values,
    PGresult **ret_result, struct failure *failure)
{
    struct session *session = &work->session;
    PGresult *kept = NULL;
    int count = 0;
    while (count < VALUES_MAX && values[count] != NULL)
        count++;
    if (PQsendQueryParams(session->conn, text, count, NULL, values, NULL, NULL, 0) != 1)
        return session_lost(session, failure);
    int rc = session_flush(session, failure);
    while (rc == 0) {
        PGresult *result = NULL;
        rc = session_result(session, NULL, &result, failure);
        if (rc != 0 || result == NULL)
            break;
        PQclear(kept);
        kept = result;
    }
    if (rc == 0)
        *ret_result = kept;
    else
        PQclear(kept);
    return rc;
}

/* What the server says beside its results: RAISE NOTICE and the like. */
static void take_notice(void *context, const PGresult *notice)
{
    static const struct {
        int field;
        const char *name;
    } more[] = {{PG_DIAG_MESSAGE_DETAIL, "detail"}, {PG_DIAG_MESSAGE_HINT, "hint"}};
    (void)context;
    const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY);
    const char *text = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
    say("%s: %s", severity != NULL ? severity : "NOTICE", text != NULL ? text : "");
    for (size_t i = 0; i < 2; i++) {
        const char *field = PQresultErrorField(notice, more[i].field);
        if (field != NULL)
            say("    %s: %s", more[i].name, field);
    }
}

static int begin_session(struct work *work, struct failure *failure)
{
    struct session *session = &work->session;
    int rc = session_connect(session, work->connection, work->task->tag, failure);
    if (rc != 0)
        return rc;
    const char *host = PQhost(session->conn);
    say("connected to %s at %s port %s as %s, PostgreSQL %s, backend %d", PQdb(session->conn),
        host != NULL && host[0] != '\0' ? host : "the local socket", PQport(session->conn),
        PQuser(session->conn), PQparameterStatus(session->conn, "server_version"),
        PQbackendPID(session->conn));
    (void)PQsetNoticeReceiver(session->conn, take_notice, NULL);
    return ghosts_end(work, failure);
}

/* After the connection was lost with a COMMIT under way: 0 when it was committed. */
static int look_up(struct work *work, struct failure *failure)
{
    uint64_t end = clock_boot_ms() + LOOK_UP_MS;
    bool holds = false;
    int rc = ERR_UNREACHABLE;
    say("the answer to COMMIT was lost; it is looked up in reeve_once");
    while (rc != 0 && rc != ERR_AGAIN && clock_boot_ms() < end) {
        (void)session_end(&work->session, 0);
        rc = begin_session(work, failure);
        if (rc == 0)
            rc = fence_holds(work, &holds, failure);
        if (rc != 0 && session_pause(&work->session, LOOK_UP_AGAIN_MS, failure) != 0)
            rc = ERR_AGAIN;
    }
    if (rc == 0 && holds) {
        say("it was committed");
        return 0;
    }
    if (rc == 0)
        return failure_passing(failure, ERR_UNREACHABLE,
            "the connection was lost during COMMIT, and nothing was committed");
    return failure_passing(failure, ERR_UNREACHABLE,
        "the connection was lost during COMMIT; whether it was committed is for the next attempt "
        "to "
        "look up in reeve_once");
}

static int commit(struct work *work, struct failure *failure)
{
    PGresult *result = NULL;
    /* From here on a signal comes too late: the answer counts. */
    work->session.deaf = true;
    int rc = session_run(&work->session, "COMMIT", &result, failure);
    work->session.deaf = false;
    if (rc == 0 && strcmp(PQcmdStatus(result), "COMMIT") != 0)
        rc = failure_set(failure, ERR_REFUSED, "COMMIT was answered by %s", PQcmdStatus(result));
    PQclear(result);
    if (rc == ERR_UNREACHABLE && work->options->once)
        return look_up(work, failure);
    if (rc == ERR_UNREACHABLE)
        (void)error_prefix(&failure->error,
            "whether the work was committed is not known (once: true would look it up)");
    else if (rc != 0)
        (void)error_prefix(&failure->error, "COMMIT");
    return rc;
}

static int do_parts(struct work *work, struct failure *failure)
{
    int rc = statements_run(work, failure);
    if (rc == 0)
        rc = copy_in_run(work, failure);
    return rc == 0 ? copy_out_run(work, failure) : rc;
}

static int do_autocommit(struct work *work, struct failure *failure)
{
    int rc = do_parts(work, failure);
    if (rc == 0 && PQtransactionStatus(work->session.conn) != PQTRANS_IDLE)
        rc = failure_set(failure, ERR_INVALID,
            "the SQL began a transaction and did not end it: it is rolled back");
    return rc;
}

static int do_transaction(struct work *work, struct failure *failure)
{
    bool once = work->options->once;
    bool done = false;
    int rc = once ? fence_prepare(work, failure) : 0;
    if (rc == 0)
        rc = session_run(&work->session, "BEGIN", NULL, failure);
    if (rc == 0 && once)
        rc = fence_enter(work, &done, failure);
    if (rc == 0 && done)
        return session_run(&work->session, "ROLLBACK", NULL, failure);
    if (rc == 0)
        rc = do_parts(work, failure);
    if (rc == 0 && once)
        rc = fence_leave(work, failure);
    return rc == 0 ? commit(work, failure) : rc;
}

int work_do(struct work *work, struct failure *failure)
{
    int rc = copy_in_check(&work->options->copy_from, failure);
    if (rc == 0)
        rc = begin_session(work, failure);
    if (rc == 0)
        rc = work->options->autocommit ? do_autocommit(work, failure)
                                       : do_transaction(work, failure);
    return rc == 0 ? copy_out_keep(work, failure) : rc;
}
