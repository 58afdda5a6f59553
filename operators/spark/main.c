/*
 * reeve-op-spark - runs a task's application by spark-submit. docs/operators/spark.md is what its
 * users read, docs/operators.md how a worker talks to it.
 */
#include "operators/spark/attempt.h"
#include "operators/spark/stop.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STOPPED = 143, PROBE_MS = 3000 };

static const char *problem_here(void)
{
    static const char script[] =
        "[ -x \"$SPARK_HOME/bin/spark-submit\" ] || command -v spark-submit >/dev/null ||"
        " command -v spark3-submit >/dev/null || command -v spark2-submit >/dev/null";
    static const char *const probe[] = {"sh", "-c", script};
    struct words command = {0};
    for (size_t i = 0; i < sizeof probe / sizeof *probe; i++)
        words_add(&command, probe[i]);
    int rc = child_run(&command, PROBE_MS, NULL);
    free(command.items);
    return rc == 0 ? NULL : "spark-submit is not in PATH, and SPARK_HOME has none";
}

int main(int argc, char **argv)
{
    static struct attempt attempt;
    struct error error = {0};
    if (argc == 2 && strcmp(argv[1], "--describe") == 0)
        return operator_describe(argc, argv, REEVE_VERSION, problem_here()) ? 0 : 1;
    if (operator_open(OPERATOR_FD, &attempt.link, &error) != 0) {
        (void)fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    attempt.task = operator_task(attempt.link);
    stop_init();
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
    int rc = attempt_do(&attempt, &error);
    if (rc != 0) {
        say(error.text);
        (void)operator_fail(attempt.link, error.text, !attempt.final, NULL);
    }
    attempt_fini(&attempt);
    curl_global_cleanup();
    operator_close(attempt.link);
    return rc == 0 ? OPERATOR_SUCCESS : rc == ERR_AGAIN ? STOPPED : 1;
}
