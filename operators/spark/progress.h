/*
 * progress.h - how far an application is, from its driver's REST server.
 */
#ifndef OPERATORS_SPARK_PROGRESS_H
#define OPERATORS_SPARK_PROGRESS_H

#include <jansson.h>
#include <stdint.h>

struct progress {
    int stages, stages_done;
    int64_t tasks, tasks_done;
};

/* Of the list that /api/v1/applications/ID/stages gives. */
struct progress progress_of(const json_t *stages);
/* Asks; all is 0 when nobody answers, or nothing has begun. */
struct progress progress_ask(const char *ui, const char *application);

/* "1 of 3 stages, http://spark.example.com:4040"; the page alone before anything has begun. */
enum { PROGRESS_TEXT_BYTES = 250 };
void progress_text(
    const struct progress *progress, const char *ui, char ret_text[PROGRESS_TEXT_BYTES]);

#endif
