#include "operators/spark/earlier.h"

#include "operators/common/http.h"
#include "operators/spark/child.h"
#include "operators/spark/standalone.h"
#include "operators/spark/stop.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    COMMAND_MS = 120000,
    CLOCKS_APART_S = 3600, /* the cluster's clock and the master's may differ so much */
    GONE_POLLS = 60,
    LATE_POLLS_MAX = 5, /* in a row, of five seconds each */
};

/* What one earlier attempt noted. */
struct trace {
    int64_t attempt;
    const char *driver, *application, *pod, *at; /* NULL: not noted; `at`: when it was submitting */
    bool cluster;
};

static void take_note(struct trace *trace, const json_t *item)
{
    const json_t *note = json_object_get(item, "note");
    const char *state = json_text(note, "state"), *mode = json_text(note, "mode");
    if (state != NULL && strcmp(state, "submitting") == 0) {
        trace->at = json_text(item, "at");
        trace->cluster = mode != NULL && strcmp(mode, "cluster") == 0;
    }
    if (json_text(note, "driver") != NULL)
        trace->driver = json_text(note, "driver");
    if (json_text(note, "application") != NULL)
        trace->application = json_text(note, "application");
    if (json_text(note, "pod") != NULL)
        trace->pod = json_text(note, "pod");
}

/* The notes of the attempt that comes first from *index on. */
static bool next_trace(const json_t *notes, size_t *index, struct trace *ret)
{
    *ret = (struct trace){0};
    for (; *index < json_array_size(notes); ++*index) {
        const json_t *item = json_array_get(notes, *index);
        int64_t attempt = json_integer_value(json_object_get(item, "attempt"));
        if (ret->attempt != 0 && attempt != ret->attempt)
            break;
        ret->attempt = attempt;
        take_note(ret, item);
    }
    return ret->attempt != 0;
}

static int run_command(const struct trace *trace, struct words *command, struct error *error)
{
    int rc = child_run(command, COMMAND_MS, error);
    free(command->items);
    if (rc > 0)
        rc = error_set(error, ERR_REFUSED, "status %d", rc);
    if (rc < 0)
        (void)error_prefix(
            error, "what attempt %lld left cannot be ended", (long long)trace->attempt);
    return rc;
}

static int end_on_yarn(const struct trace *trace, struct error *error)
{
    struct words command = {0};
    words_add(&command, "yarn");
    words_add(&command, "application");
    words_add(&command, "-kill");
    words_add(&command, trace->application);
    return run_command(trace, &command, error);
}

static int end_on_kubernetes(struct job *job, const struct trace *trace, struct error *error)
{
    struct words command = {0};
    const char *space = job->namespace != NULL ? job->namespace : "default";
    words_add(&command, job->binary);
    words_add(&command, "--master");
    words_add(&command, job->master);
    words_add(&command, "--kill");
    words_add(&command, arena_printf(&job->arena, "%s:%s", space, trace->pod).ptr);
    return run_command(trace, &command, error);
}

static int look_at_driver(
    struct job *job, const struct trace *trace, char ret_driver[80], struct error *error)
{
    struct driver_view view;
    int rc = standalone_look(job, trace->driver, &view, error);
    if (rc == 0 && view.state == DRIVER_UNKNOWN)
        rc = error_set(error, ERR_NOT_FOUND, "the master does not know it");
    if (rc != 0) {
        (void)error_prefix(error, "whether %s of attempt %lld still runs cannot be found out",
            trace->driver, (long long)trace->attempt);
        return rc;
    }
    (void)printf("reeve-op-spark: %s of attempt %lld is %s\n", trace->driver,
        (long long)trace->attempt, view.word);
    (void)fflush(stdout);
    if (view.state != DRIVER_DEAD)
        (void)snprintf(ret_driver, 80, "%.79s", trace->driver);
    return 0;
}

/* Milliseconds since 1970, or -1. */
static int64_t time_of(const char *text)
{
    struct tm when = {0};
    const char *end = text != NULL ? strptime(text, "%Y-%m-%dT%H:%M:%S", &when) : NULL;
    return end != NULL ? (int64_t)timegm(&when) * 1000 : -1;
}

/* It was submitting, and its driver's id is not known: only when no driver began since can none be
 * its. */
static int exclude_driver(const struct job *job, const struct trace *trace, struct error *error)
{
    json_t *page = NULL;
    size_t index;
    const json_t *driver;
    int64_t since = time_of(trace->at) - (int64_t)CLOCKS_APART_S * 1000;
    int rc = standalone_page(job, &page, error);
    if (rc != 0) {
        (void)error_prefix(error,
            "attempt %lld was lost while it submitted, and whether its driver runs cannot be found "
            "out",
            (long long)trace->attempt);
        return rc;
    }
    json_array_foreach(json_object_get(page, "activedrivers"), index, driver)
    {
        const json_t *began = json_object_get(driver, "starttime");
        int64_t start = json_is_string(began) ? strtoll(json_string_value(began), NULL, 10)
                                              : json_integer_value(began);
        if (start < since)
            continue;
        rc = error_set(error, ERR_REFUSED,
            "attempt %lld was lost while it submitted, and %s, which runs, may be its: end it or "
            "let it finish, then retry",
            (long long)trace->attempt, json_text(driver, "id"));
        break;
    }
    json_decref(page);
    return rc;
}

static int settle_one(
    struct job *job, const struct trace *trace, char ret_driver[80], struct error *error)
{
    if (job->manager == MANAGER_STANDALONE && trace->driver != NULL)
        return look_at_driver(job, trace, ret_driver, error);
    if (job->manager == MANAGER_STANDALONE && trace->cluster)
        return exclude_driver(job, trace, error);
    if (job->manager == MANAGER_YARN && trace->application != NULL)
        return end_on_yarn(trace, error);
    if (job->manager == MANAGER_KUBERNETES && trace->pod != NULL)
        return end_on_kubernetes(job, trace, error);
    if ((job->manager == MANAGER_YARN || job->manager == MANAGER_KUBERNETES) && trace->cluster)
        return error_set(error, ERR_REFUSED,
            "attempt %lld was lost while it submitted, and what it started is not known: look for "
            "its tag, end it, then retry",
            (long long)trace->attempt);
    return 0;
}

/* Drivers in client mode die with their attempt; what is left of them on the master goes too. A
 * page that is slow is asked again. */
static int end_applications(struct job *job, const struct operator_task *task, struct error *error)
{
    int count = 1, late = 0;
    for (int i = 0; i < GONE_POLLS && count > 0 && !stop_wanted(); i++) {
        int rc = standalone_end_tagged(job, task->tag_prefix, &count, error);
        late = rc == ERR_TIMEOUT ? late + 1 : 0;
        if (rc != 0 && (late == 0 || late > LATE_POLLS_MAX)) {
            (void)printf(
                "reeve-op-spark: earlier applications are not looked for: %s\n", error->text);
            (void)fflush(stdout);
            return 0;
        }
        count = rc == 0 ? count : 1;
        if (count > 0)
            (void)poll(NULL, 0, 500);
    }
    return count == 0
               ? 0
               : error_set(error, ERR_REFUSED,
                     "an application of an earlier attempt does not end: %s…", task->tag_prefix);
}

int earlier_settle(
    struct job *job, const struct operator_task *task, char ret_driver[80], struct error *error)
{
    struct trace trace;
    size_t index = 0;
    bool client = false;
    ret_driver[0] = '\0';
    while (next_trace(task->notes, &index, &trace)) {
        client |= !trace.cluster;
        int rc = settle_one(job, &trace, ret_driver, error);
        if (rc != 0 || ret_driver[0] != '\0')
            return rc;
    }
    if (job->manager == MANAGER_STANDALONE && client)
        return end_applications(job, task, error);
    return 0;
}
