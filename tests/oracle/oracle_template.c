/*
 * Renders templates for tests/system/test_template_oracle.py: each line of stdin is a JSON object
 * with text, values, params, outputs and artifacts ({task: path}); each line of stdout is
 * {"value": …}, or {"error": its code's name, "text": …}.
 */
#include "common/dag/template.h"

#include <stdio.h>
#include <stdlib.h>

static const json_t *outputs(void *context, struct slice task)
{
    return json_object_getn(json_object_get(context, "outputs"), task.ptr, task.length);
}

static void artifacts(void *context, struct slice task, struct buffer *text)
{
    const json_t *path =
        json_object_getn(json_object_get(context, "artifacts"), task.ptr, task.length);
    if (json_is_string(path))
        buffer_append_text(text, json_string_value(path));
}

static json_t *render(json_t *wish)
{
    const json_t *text = json_object_get(wish, "text");
    const struct template_scope scope = {.values = json_object_get(wish, "values"),
        .params = json_object_get(wish, "params"),
        .outputs = outputs,
        .artifacts = artifacts,
        .context = wish};
    struct error error = {0};
    json_t *value = NULL;
    json_t *answer = json_object();
    int rc = template_render(
        slice_make(json_string_value(text), json_string_length(text)), &scope, &value, &error);
    if (rc == 0) {
        (void)json_object_set_new(answer, "value", value);
    } else {
        (void)json_object_set_new(answer, "error", json_string(error_name(rc)));
        (void)json_object_set_new(answer, "text", json_string(error.text));
    }
    return answer;
}

int main(void)
{
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, stdin) > 0) {
        json_t *wish = json_loads(line, 0, NULL);
        if (!json_is_string(json_object_get(wish, "text"))) {
            (void)fprintf(stderr, "not a wish: %s", line);
            return EXIT_FAILURE;
        }
        json_t *answer = render(wish);
        (void)json_dumpf(answer, stdout, JSON_COMPACT | JSON_REAL_PRECISION(17));
        (void)putchar('\n');
        json_decref(answer);
        json_decref(wish);
    }
    free(line);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
