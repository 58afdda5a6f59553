/* Any bytes as a template's text: a value or an error with a text; the parser always comes to the
 * end. */
#include "common/dag/template.h"
#include "common/dag/template_parse.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const json_t *some_outputs(void *context, struct slice task)
{
    return task.length % 2 == 0 ? context : NULL;
}

static void some_artifacts(void *context, struct slice task, struct buffer *text)
{
    (void)context;
    buffer_append_slice(text, task);
}

/* Each piece lies where the one before it ended. */
static void walk_pieces(struct slice text)
{
    struct arena arena = {0};
    struct template_reader reader = {.text = text, .arena = &arena};
    struct template_piece piece;
    struct error error;
    size_t before = 0;
    while (template_next(&reader, &piece, &error) != 0) {
        if (reader.at <= before || piece.raw.length == 0 || piece.raw.ptr != text.ptr + before)
            abort();
        before = reader.at;
    }
    if (before != text.length)
        abort();
    arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_make(data, size);
    json_t *values = json_pack("{s:s, s:s, s:s, s:i}", "ds", "2026-11-21", "ts",
        "2026-11-21T03:00:00+09:00", "run_id", "a/1", "attempt", 1);
    json_t *params = json_pack("{s:s, s:[i,f,{s:n}], s:b}", "a", "x", "b", 1, 0.1, "c", "d", 1);
    const struct template_scope scope = {.values = values,
        .params = params,
        .outputs = some_outputs,
        .artifacts = some_artifacts,
        .context = params};
    struct error error = {0};
    json_t *value = NULL;
    struct buffer out = {0};
    walk_pieces(text);
    int result = template_render(text, &scope, &value, &error);
    if ((result == 0) != (value != NULL) || (result != 0 && error.text[0] == '\0'))
        abort();
    if ((template_render_text(text, &scope, &out, NULL) == 0) != (result == 0))
        abort();
    json_decref(value);
    json_decref(values);
    json_decref(params);
    buffer_fini(&out);
    return 0;
}
