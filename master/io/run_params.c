#include "master/io/run_params.h"

#include "common/dag/json_text.h"
#include "common/dag/params.h"

#include <stdlib.h>

/* A value that a run has, as a person would type it: params_resolve reads it back by the declared
 * type. */
static json_t *as_typed(const json_t *value)
{
    char *text = params_environment_text(value);
    json_t *typed = text != NULL ? json_string(text) : NULL;
    free(text);
    return typed;
}

/* What an earlier round had; null is the default's and needs no typing. */
static json_t *given_before(const json_t *before)
{
    json_t *given = json_object();
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)before, name, value)
    {
        json_t *typed = as_typed(value);
        if (typed != NULL)
            (void)json_object_set_new(given, name, typed);
    }
    return given;
}

static int add_given(json_t *given, struct slice text, struct error *error)
{
    const char *equals = text.length > 0 ? memchr(text.ptr, '=', text.length) : NULL;
    if (equals == NULL || equals == text.ptr)
        return error_set(
            error, ERR_USAGE, "-p %.*s: write a parameter as name=value", SLICE_PRINT(text));
    size_t name_length = (size_t)(equals - text.ptr);
    json_t *value = json_stringn(equals + 1, text.length - name_length - 1);
    if (value == NULL)
        return error_set(
            error, ERR_USAGE, "-p %.*s: the value is not UTF-8", (int)name_length, text.ptr);
    if (json_object_setn_new(given, text.ptr, name_length, value) != 0)
        return error_set(error, ERR_USAGE, "-p: a parameter's name is not UTF-8");
    return 0;
}

int run_params_resolve(const struct plan *plan, const struct texts *given, const json_t *before,
    json_t **ret_params, struct error *error)
{
    struct slice declared = plan_string(plan, plan->header->params);
    json_t *declarations = json_loadb(declared.length > 0 ? declared.ptr : "{}",
        declared.length > 0 ? declared.length : 2, 0, NULL);
    if (declarations == NULL)
        return error_set(error, ERR_CORRUPT, "the plan's params are damaged");
    json_t *values = given_before(before);
    int rc = 0;
    for (uint32_t i = 0; i < given->count && rc == 0; i++)
        rc = add_given(values, given->items[i], error);
    if (rc == 0)
        rc = params_resolve(declarations, values, false, ret_params, error);
    json_decref(values);
    json_decref(declarations);
    return rc;
}

int run_context_write(const json_t *values, const json_t *params, struct arena *arena,
    struct slice *ret_context, struct error *error)
{
    struct buffer text = {0};
    buffer_append_text(&text, "{\"values\":");
    json_append_compact(values, &text);
    buffer_append_text(&text, ",\"params\":");
    json_append_compact(params, &text);
    buffer_append_text(&text, "}");
    int rc = 0;
    if (text.length > CONTEXT_MAX_BYTES)
        rc = error_set(error, ERR_TOO_BIG,
            "the run's params are %zu bytes, at most %d: put large values into a file", text.length,
            CONTEXT_MAX_BYTES);
    else
        *ret_context = arena_copy(arena, buffer_slice(&text));
    buffer_fini(&text);
    return rc;
}

int run_context_change(const struct plan *plan, struct slice context, const struct texts *given,
    struct arena *arena, struct slice *ret_context, struct error *error)
{
    json_t *old = json_loadb(context.ptr, context.length, 0, NULL);
    json_t *values = json_object_get(old, "values");
    json_t *params = NULL;
    if (values == NULL) {
        json_decref(old);
        return error_set(error, ERR_CORRUPT, "the run's context is damaged");
    }
    int rc = run_params_resolve(plan, given, json_object_get(old, "params"), &params, error);
    if (rc == 0)
        rc = run_context_write(values, params, arena, ret_context, error);
    json_decref(params);
    json_decref(old);
    return rc;
}

struct slice run_context_params(struct slice context, struct arena *arena)
{
    json_t *json = json_loadb(context.ptr, context.length, 0, NULL);
    const json_t *params = json_object_get(json, "params");
    struct buffer text = {0};
    if (json_is_object(params))
        json_append_compact(params, &text);
    struct slice result = arena_copy(arena, text.length > 0 ? buffer_slice(&text) : slice_of("{}"));
    buffer_fini(&text);
    json_decref(json);
    return result;
}
