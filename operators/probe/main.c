/*
 * reeve-op-probe: opens the one connection that its task names, and says what it reached: a login
 * in PostgreSQL, a Spark master with its version, a web server's status. Run by
 * `reeve connections test`; any DAG may use it to wait for nothing in vain.
 */
#include "operators/common/operator.h"
#include "operators/probe/answer.h"
#include "operators/probe/login.h"
#include "operators/probe/probe.h"

#include <stdio.h>
#include <stdlib.h>

enum { TIMEOUT_MS = 10000 };

struct finding {
    struct buffer reached;
    bool retry; /* another try could help */
};

/* What answers there, beyond an open port. */
static int ask(const struct operator_link *link, const json_t *object,
    const struct connection *connection, struct finding *finding, struct error *error)
{
    char host[PROBE_HOST_BYTES];
    int rc = probe_connection(connection, TIMEOUT_MS, &finding->reached, host, error);
    finding->retry = rc == ERR_TIMEOUT || rc == ERR_UNREACHABLE;
    if (rc != 0)
        return rc;
    switch (connection_kind(connection->type)) {
    case CONNECTION_POSTGRES:
        return login_try(link, object, &finding->reached, &finding->retry, error);
    case CONNECTION_SPARK:
        if (connection->host.length > 8 && memcmp(connection->host.ptr, "spark://", 8) == 0)
            answer_of_spark(connection, host, &finding->reached);
        return 0;
    case CONNECTION_HTTP:
        return answer_of_http(connection, &finding->reached, error);
    default:
        return 0;
    }
}

static int probe(struct operator_link *link, struct finding *finding, struct error *error)
{
    static const char *const known[] = {"connection", NULL};
    const struct operator_task *task = operator_task(link);
    const json_t *object = NULL;
    const char *name = NULL;
    struct arena arena = {0};
    struct connection connection;
    int rc = option_check(task->with, known, error);
    if (rc == 0)
        rc = option_text(task->with, "connection", &name, error);
    if (rc == 0)
        rc = operator_connection(link, name, &object, error);
    if (rc == 0)
        rc = connection_from_json(object, &arena, &connection, error);
    if (rc == 0)
        rc = ask(link, object, &connection, finding, error);
    arena_fini(&arena);
    return rc;
}

static int tell(struct operator_link *link, struct buffer *reached, struct error *error)
{
    (void)puts(buffer_text(reached));
    json_t *outputs = json_pack("{s:s}", "reached", buffer_text(reached));
    int rc = outputs != NULL ? operator_output(link, outputs, error) : 0;
    json_decref(outputs);
    return rc;
}

int main(int argc, char **argv)
{
    struct operator_link *link = NULL;
    struct finding finding = {.retry = false};
    struct error error = {0};
    if (operator_describe(argc, argv, REEVE_VERSION, NULL))
        return 0;
    int rc = operator_open(OPERATOR_FD, &link, &error);
    if (rc != 0) {
        (void)fprintf(stderr, "reeve-op-probe: %s\n", error.text);
        return 1;
    }
    rc = probe(link, &finding, &error);
    if (rc == 0)
        rc = tell(link, &finding.reached, &error);
    if (rc != 0) {
        (void)puts(error.text);
        (void)fflush(stdout);
        (void)operator_fail(link, error.text, finding.retry, NULL);
    }
    operator_close(link);
    buffer_fini(&finding.reached);
    return rc == 0 ? OPERATOR_SUCCESS : 1;
}
