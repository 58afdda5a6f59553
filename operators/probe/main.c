/*
 * reeve-op-probe: opens the one connection that its task names, and says what it reached. Run by
 * `reeve connections test`; any DAG may use it to wait for nothing in vain.
 */
#include "operators/common/operator.h"
#include "operators/probe/probe.h"

#include <stdio.h>
#include <stdlib.h>

enum { TIMEOUT_MS = 10000 };

static int probe(struct operator_link *link, struct buffer *reached, struct error *error)
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
        rc = probe_connection(&connection, TIMEOUT_MS, reached, error);
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
    struct buffer reached = {0};
    struct error error = {0};
    if (operator_describe(argc, argv, REEVE_VERSION, NULL))
        return 0;
    int rc = operator_open(OPERATOR_FD, &link, &error);
    if (rc != 0) {
        (void)fprintf(stderr, "reeve-op-probe: %s\n", error.text);
        return 1;
    }
    rc = probe(link, &reached, &error);
    if (rc == 0)
        rc = tell(link, &reached, &error);
    if (rc != 0) {
        (void)puts(error.text);
        (void)fflush(stdout);
        (void)operator_fail(link, error.text, rc == ERR_TIMEOUT || rc == ERR_UNREACHABLE, NULL);
    }
    operator_close(link);
    buffer_fini(&reached);
    return rc == 0 ? OPERATOR_SUCCESS : 1;
}
