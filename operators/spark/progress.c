#include "operators/spark/progress.h"

#include "operators/common/http.h"

#include <stdio.h>
#include <string.h>

/* Spark's Int; what cannot be one counts for nothing. */
static int64_t count_of(const json_t *stage, const char *key)
{
    json_int_t count = json_integer_value(json_object_get(stage, key));
    return count > 0 && count <= INT32_MAX ? count : 0;
}

struct progress progress_of(const json_t *stages)
{
    struct progress progress = {0};
    size_t index;
    const json_t *stage;
    json_array_foreach(stages, index, stage)
    {
        const char *status = json_text(stage, "status");
        if (status == NULL || strcmp(status, "SKIPPED") == 0)
            continue;
        progress.stages++;
        progress.stages_done += strcmp(status, "COMPLETE") == 0;
        progress.tasks += count_of(stage, "numTasks");
        progress.tasks_done += count_of(stage, "numCompleteTasks");
    }
    return progress;
}

struct progress progress_ask(const char *ui, const char *application)
{
    char url[500];
    json_t *stages = NULL;
    (void)snprintf(url, sizeof url, "%.300s/api/v1/applications/%.80s/stages", ui, application);
    (void)http_json(url, false, &stages, NULL);
    struct progress progress = progress_of(stages);
    json_decref(stages);
    return progress;
}

void progress_text(
    const struct progress *progress, const char *ui, char ret_text[PROGRESS_TEXT_BYTES])
{
    if (progress->stages == 0)
        (void)snprintf(ret_text, PROGRESS_TEXT_BYTES, "%.200s", ui);
    else
        (void)snprintf(ret_text, PROGRESS_TEXT_BYTES, "%d of %d stages, %.200s",
            progress->stages_done, progress->stages, ui);
}
