/*
 * reeve-op-postgres - runs a task's SQL and copies in PostgreSQL. docs/operators/postgres.md is
 * what its users read, docs/operators.md how a worker talks to it.
 */
#include "operators/postgres/work.h"

#include <stdio.h>

/* Less than the grace, so that what it says last is still heard. */
enum { END_MARGIN_MS = 500 };

static int find_connection(
    const struct operator_link *link, const json_t **ret_connection, struct failure *failure)
{
    int rc = operator_connection(link, NULL, ret_connection, &failure->error);
    if (rc != 0)
        return rc;
    const char *type = json_string_value(json_object_get(*ret_connection, "type"));
    if (type != NULL && (strcmp(type, "postgres") == 0 || strcmp(type, "postgresql") == 0))
        return 0;
    return failure_set(failure, ERR_INVALID,
        "the connection \"%.100s\" is of type %.40s, not postgres",
        json_string_value(json_object_get(*ret_connection, "id")), type != NULL ? type : "none");
}

static bool may_retry(enum retry_choice choice, const struct failure *failure)
{
    return choice == RETRY_AUTO ? failure->retry : choice == RETRY_ALWAYS;
}

/* The session is over before anybody hears of the failure. */
static void report(struct work *work, struct failure *failure)
{
    uint64_t grace = work->task->kill_grace_ms;
    bool gone =
        session_end(&work->session, grace > END_MARGIN_MS ? (int)(grace - END_MARGIN_MS) : 0);
    if (!gone)
        (void)error_prefix(&failure->error, "its backend does not end");
    else if (failure->error.code == ERR_AGAIN)
        (void)error_set(
            &failure->error, ERR_AGAIN, "stopped by a signal; what it did in the database is over");
    bool retry = may_retry(work->options->retry, failure);
    (void)fputs(buffer_text(&failure->report), stdout);
    say("%s", failure->error.text);
    say("another try %s help", failure->retry ? "could" : "would not");
    struct error error;
    if (operator_fail(work->link, failure->error.text, retry, &error) != 0)
        say("%s", error.text);
}

static int attempt(struct work *work, struct failure *failure)
{
    int rc = session_init(&work->session, &failure->error);
    if (rc == 0)
        rc = options_read(work->task->with, work->options, failure);
    if (rc == 0)
        rc = find_connection(work->link, &work->connection, failure);
    if (rc == 0)
        rc = work_do(work, failure);
    if (rc != 0)
        copy_out_drop(work);
    if (rc == 0 && json_object_size(work->outputs) > 0)
        rc = operator_output(work->link, work->outputs, &failure->error);
    return rc;
}

int main(int argc, char **argv)
{
    struct operator_link *link = NULL;
    struct postgres_options options = {0};
    struct failure failure = {0};
    if (operator_describe(argc, argv, REEVE_VERSION, NULL))
        return 0;
    if (operator_open(OPERATOR_FD, &link, &failure.error) != 0) {
        (void)fprintf(stderr, "%s\n", failure.error.text);
        return 1;
    }
    struct work work = {.link = link,
        .task = operator_task(link),
        .options = &options,
        .outputs = json_object(),
        .session = {.signals = -1}};
    int rc = attempt(&work, &failure);
    if (rc != 0)
        report(&work, &failure);
    session_fini(&work.session);
    rows_fini(&work.rows);
    json_decref(work.outputs);
    options_fini(&options);
    failure_fini(&failure);
    operator_close(link);
    return rc == 0 ? OPERATOR_SUCCESS : 1;
}
