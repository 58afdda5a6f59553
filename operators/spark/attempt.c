#include "operators/spark/attempt.h"

#include "operators/spark/earlier.h"
#include "operators/spark/progress.h"
#include "operators/spark/standalone.h"
#include "operators/spark/stop.h"

#include "common/clock.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum {
    POLL_MS = 1000,
    PROGRESS_MS = 2000,
    MISSED_POLLS_MAX = 10, /* in a row: then the cluster has lost it */
};

void say(const char *text)
{
    (void)printf("reeve-op-spark: %s\n", text);
    (void)fflush(stdout);
}

/* A note is durable when this returns 0. ERR_AGAIN: a signal came, and it is not known. */
static int note(struct attempt *attempt, json_t *note, struct error *error)
{
    int rc = operator_note(attempt->link, note, error);
    while (rc == ERR_AGAIN && !stop_wanted())
        rc = operator_note_wait(attempt->link, error);
    json_decref(note);
    return rc;
}

/* ---- spark-submit at work ---- */

static int note_ids(struct attempt *attempt, struct error *error)
{
    const struct scan *scan = &attempt->scan;
    const char *master = attempt->job.master != NULL ? attempt->job.master : "";
    if (scan->driver[0] != '\0' && attempt->job.cluster && !attempt->noted_driver) {
        attempt->noted_driver = true;
        return note(
            attempt, json_pack("{s:s, s:s}", "driver", scan->driver, "master", master), error);
    }
    if (scan->pod[0] != '\0' && !attempt->noted_pod) {
        attempt->noted_pod = true;
        return note(attempt, json_pack("{s:s, s:s}", "pod", scan->pod, "master", master), error);
    }
    if (scan->application[0] != '\0' && !attempt->noted_application) {
        attempt->noted_application = true;
        return note(attempt,
            json_pack("{s:s, s:s, s:s}", "application", scan->application, "master", master, "ui",
                scan->ui),
            error);
    }
    return 0;
}

static const char starved[] = "no worker of the cluster has taken it";

static void show_progress(struct attempt *attempt)
{
    const struct scan *scan = &attempt->scan;
    uint64_t now_ms = clock_boot_ms();
    if (scan->ui[0] == '\0' || scan->application[0] == '\0' || now_ms < attempt->progress_ms)
        return;
    attempt->progress_ms = now_ms + PROGRESS_MS;
    struct progress progress = progress_ask(scan->ui, scan->application);
    char text[PROGRESS_TEXT_BYTES];
    int64_t done = progress.stages > 0 ? progress.tasks_done : -1;
    int64_t total = progress.stages > 0 ? progress.tasks : -1;
    attempt->served |= progress.tasks_done > 0;
    if (scan->starved && !attempt->served)
        (void)snprintf(text, sizeof text, "%s, %.160s", starved, scan->ui);
    else
        progress_text(&progress, scan->ui, text);
    (void)operator_progress(attempt->link, text, done, total, NULL);
}

static int stopped(const struct attempt *attempt, struct error *error)
{
    bool waited = attempt->scan.starved && !attempt->served;
    return error_set(
        error, ERR_AGAIN, "stopped by a signal%s%s", waited ? "; " : "", waited ? starved : "");
}

/* Until it has ended; its ids are noted as they come. ERR_AGAIN: stopped. */
static int attend(struct attempt *attempt, struct error *error)
{
    bool told = false;
    for (;;) {
        bool over = child_wait(attempt->child, PROGRESS_MS);
        child_look(attempt->child, &attempt->scan);
        if (stop_wanted() && !told) {
            child_signal(attempt->child, SIGTERM);
            told = true;
        }
        int rc = told ? 0 : note_ids(attempt, error);
        if (rc != 0 && rc != ERR_AGAIN)
            return rc;
        if (over)
            return told ? stopped(attempt, error) : 0;
        if (!told)
            show_progress(attempt);
    }
}

static int submit(struct attempt *attempt, struct error *error)
{
    say(job_shown(&attempt->job));
    const char *mode = attempt->job.cluster ? "cluster" : "client";
    int rc = note(attempt,
        json_pack(
            "{s:s, s:s, s:s}", "state", "submitting", "mode", mode, "tag", attempt->task->tag),
        error);
    if (rc != 0)
        return rc;
    rc = child_start(&attempt->job.command, &attempt->job.env, &attempt->child, error);
    if (rc == ERR_NOT_FOUND)
        return error_set(error, ERR_NOT_FOUND,
            "%s: not found on this worker: install Spark, or set SPARK_HOME or PATH",
            attempt->job.binary);
    if (rc == 0)
        rc = attend(attempt, error);
    if (rc != 0)
        return rc;
    int status = child_status(attempt->child);
    if (status == 0)
        return 0;
    const char *reason = scan_reason(&attempt->scan);
    return error_set(error, ERR_REFUSED, "%.600s (spark-submit ended with %d)",
        reason[0] != '\0' ? reason : "it said nothing", status);
}

/* ---- a driver on a standalone cluster ---- */

/* One look. Those without an answer, or of a master that does not know it, are borne so many times
 * in a row, `missed`: the driver counts as live meanwhile, without a word. */
static int look(struct attempt *attempt, const char *driver, int *missed,
    struct driver_view *ret_view, struct error *error)
{
    int rc = standalone_look(&attempt->job, driver, ret_view, error);
    bool known = rc == 0 && ret_view->state != DRIVER_UNKNOWN;
    *missed = known ? 0 : *missed + 1;
    if (!known && *missed <= MISSED_POLLS_MAX) {
        *ret_view = (struct driver_view){.state = DRIVER_LIVE};
        return 0;
    }
    return rc == 0 ? 0 : error_prefix(error, "%s may still run", driver);
}

/* Ends it, and waits until it is over. */
static int end_driver(struct attempt *attempt, const char *driver, struct error *error)
{
    struct driver_view view = {.state = DRIVER_LIVE};
    int missed = 0;
    say("ending the driver");
    int rc = standalone_kill(&attempt->job, driver, error);
    if (rc != 0)
        return error_prefix(error, "%s may still run", driver);
    while (rc == 0 && view.state == DRIVER_LIVE) {
        rc = look(attempt, driver, &missed, &view, error);
        if (view.state == DRIVER_LIVE)
            (void)poll(NULL, 0, 200);
    }
    return rc != 0
               ? rc
               : error_set(error, ERR_AGAIN, "stopped by a signal; %s is %s", driver, view.word);
}

static int judge(const char *driver, const struct driver_view *view, struct error *error)
{
    if (view->state == DRIVER_FINISHED)
        return 0;
    return error_set(error, ERR_REFUSED, "%s is %s%s%s", driver, view->word,
        view->message[0] != '\0' ? ": " : "; its log is on the worker that ran it", view->message);
}

static int follow(struct attempt *attempt, const char *driver, struct error *error)
{
    int missed = 0;
    char last[40] = "";
    for (;;) {
        struct driver_view view;
        if (stop_wanted())
            return end_driver(attempt, driver, error);
        int rc = look(attempt, driver, &missed, &view, error);
        if (rc != 0)
            return rc;
        if (view.state == DRIVER_UNKNOWN)
            return error_set(error, ERR_NOT_FOUND, "%s: the master knows it no more", driver);
        if (view.state != DRIVER_LIVE)
            return judge(driver, &view, error);
        if (view.word[0] != '\0' && strcmp(last, view.word) != 0) {
            char text[160];
            (void)snprintf(last, sizeof last, "%s", view.word);
            (void)snprintf(text, sizeof text, "%.80s is %s", driver, view.word);
            say(text);
            (void)operator_progress(attempt->link, text, -1, -1, NULL);
        }
        (void)poll(NULL, 0, POLL_MS);
    }
}

/* ---- the attempt ---- */

int attempt_do(struct attempt *attempt, struct error *error)
{
    char driver[80] = "";
    const struct job *job = &attempt->job;
    int rc = job_read(&attempt->job, attempt->link, error);
    attempt->final = rc != 0;
    if (rc != 0)
        return rc;
    bool followed = job->manager == MANAGER_STANDALONE && job->cluster;
    rc = earlier_settle(&attempt->job, attempt->task, driver, error);
    if (rc != 0)
        return rc;
    if (driver[0] != '\0') {
        rc = note(attempt, json_pack("{s:s, s:s}", "driver", driver, "adopted", "true"), error);
        return rc != 0 ? rc : follow(attempt, driver, error);
    }
    rc = submit(attempt, error);
    bool named = attempt->scan.driver[0] != '\0';
    if (rc == ERR_AGAIN && followed && named)
        return end_driver(attempt, attempt->scan.driver, error);
    if (rc == ERR_REFUSED && followed && named) {
        /* The driver runs whatever became of spark-submit: nobody else would end it. */
        say(error->text);
        rc = 0;
    }
    if (rc != 0 || !followed)
        return rc;
    if (!named)
        return error_set(error, ERR_NOT_FOUND,
            "spark-submit ended with 0 and named no driver: look at the cluster before a retry");
    return follow(attempt, attempt->scan.driver, error);
}

void attempt_fini(struct attempt *attempt)
{
    child_free(attempt->child);
    job_fini(&attempt->job);
}
