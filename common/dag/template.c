#include "common/dag/template.h"

#include "common/arena.h"
#include "common/dag/civil.h"
#include "common/dag/json_text.h"
#include "common/dag/template_parse.h"

bool template_is_dynamic(struct slice text)
{
    return text.length > 1 && memmem(text.ptr, text.length, "{{", 2) != NULL;
}

static json_t *text_value(struct slice text)
{
    /* The text comes from a checked file; a path of the host may be no UTF-8 and is kept as it is.
     */
    return json_stringn_nocheck(text.ptr != NULL ? text.ptr : "", text.length);
}

static int absent(const struct expression *expression, struct error *error)
{
    return error_set(error, ERR_NOT_FOUND, "%.*s has no value", SLICE_PRINT(expression->path));
}

static const json_t *object_member(const json_t *object, struct slice key)
{
    return json_object_getn(object, key.ptr, key.length);
}

/* Follows the steps into a value: NULL when one of them leads nowhere. */
static const json_t *walk(const json_t *value, const struct expression *expression)
{
    for (size_t i = 0; value != NULL && i < expression->step_count; i++) {
        const struct expression_step *step = &expression->steps[i];
        value = step->key.ptr != NULL ? object_member(value, step->key)
                                      : json_array_get(value, step->index);
    }
    return value;
}

static int find_value(const struct expression *expression, const struct template_scope *scope,
    json_t **ret_value, struct error *error)
{
    const json_t *value = NULL;
    if (expression->kind == EXPRESSION_VALUE)
        value = object_member(scope->values, expression->name);
    else if (expression->kind == EXPRESSION_PARAM)
        value = walk(object_member(scope->params, expression->name), expression);
    else if (scope->outputs != NULL)
        value = walk(scope->outputs(scope->context, expression->name), expression);
    if (value == NULL)
        return absent(expression, error);
    *ret_value = json_incref((json_t *)value);
    return 0;
}

static int find_artifacts(const struct expression *expression, const struct template_scope *scope,
    json_t **ret_value, struct error *error)
{
    struct buffer text = {0};
    if (scope->artifacts != NULL)
        scope->artifacts(scope->context, expression->name, &text);
    int result = 0;
    if (text.length == 0)
        result = absent(expression, error);
    else
        *ret_value = text_value(buffer_slice(&text));
    buffer_fini(&text);
    return result;
}

/* Reads the date that `value` holds; `what` names the filter or function that wants one. */
static int read_date(
    const json_t *value, const char *what, struct civil_time *ret_time, struct error *error)
{
    struct slice text = {0};
    if (json_is_string(value))
        text = slice_make(json_string_value(value), json_string_length(value));
    if (text.ptr != NULL && civil_parse(text, ret_time))
        return 0;
    struct buffer shown = {0};
    json_append_compact(value, &shown);
    int result = error_set(error, ERR_INVALID, "%s wants a date like 2026-11-21, not %.200s", what,
        buffer_text(&shown));
    buffer_fini(&shown);
    return result;
}

static int apply_filter(enum template_filter filter, json_t **value, struct error *error)
{
    if (filter == FILTER_TOJSON) {
        struct buffer text = {0};
        json_append_compact(*value, &text);
        json_decref(*value);
        *value = text_value(buffer_slice(&text));
        buffer_fini(&text);
        return 0;
    }
    struct civil_time time;
    int result = read_date(*value, "a date filter", &time, error);
    if (result != 0)
        return result;
    char text[CIVIL_TEXT_MAX];
    if (filter == FILTER_TS)
        civil_format_time(&time, text);
    else if (filter == FILTER_DS)
        civil_format_date(&time, text);
    else
        civil_format_compact(&time, filter == FILTER_TS_NODASH_WITH_TZ && time.has_offset, text);
    if (filter == FILTER_DS_NODASH)
        text[8] = '\0';
    json_decref(*value);
    *value = json_string(text);
    return 0;
}

static int add_days(json_t **value, int32_t days, struct error *error)
{
    struct civil_time time;
    int result = read_date(*value, "ds_add", &time, error);
    if (result != 0)
        return result;
    if (!civil_from_days(civil_days(time.year, time.month, time.day) + days, &time))
        return error_set(error, ERR_INVALID, "ds_add: %d days lead out of the calendar", days);
    char text[CIVIL_TEXT_MAX];
    civil_format_date(&time, text);
    json_decref(*value);
    *value = json_string(text);
    return 0;
}

/* The value itself, before its filters. */
static int evaluate_root(const struct expression *root, const struct template_scope *scope,
    json_t **ret_value, struct error *error)
{
    if (root->kind == EXPRESSION_TEXT) {
        *ret_value = text_value(root->name);
        return 0;
    }
    if (root->kind == EXPRESSION_ARTIFACT)
        return find_artifacts(root, scope, ret_value, error);
    return find_value(root, scope, ret_value, error);
}

/* Recursion is bounded by EXPRESSION_DEPTH_MAX. *ret_value is set on success only. */
static int evaluate(const struct expression *expression, const struct template_scope *scope,
    json_t **ret_value, struct error *error)
{
    json_t *value = NULL;
    int result = expression->kind == EXPRESSION_DS_ADD
                     ? evaluate(expression->argument, scope, &value, error)
                     : evaluate_root(expression, scope, &value, error);
    if (result == 0 && expression->kind == EXPRESSION_DS_ADD)
        result = add_days(&value, expression->days, error);
    for (size_t i = 0; result == 0 && i < expression->filter_count; i++)
        result = apply_filter(expression->filters[i], &value, error);
    if (result != 0) {
        json_decref(value);
        return result;
    }
    *ret_value = value;
    return 0;
}

/* Renders the pieces of a text into `out`; a text that is one expression alone goes to *ret_single
 * instead. */
static int render(struct slice text, const struct template_scope *scope, struct buffer *out,
    json_t **ret_single, struct error *error)
{
    struct arena arena = {0};
    struct template_reader reader = {.text = text, .arena = &arena};
    struct template_piece piece;
    int more;
    while ((more = template_next(&reader, &piece, error)) > 0) {
        if (piece.expression == NULL) {
            buffer_append_slice(out, piece.raw);
            continue;
        }
        json_t *value = NULL;
        more = evaluate(piece.expression, scope, &value, error);
        if (more != 0)
            break;
        if (piece.raw.length == text.length) {
            *ret_single = value;
        } else {
            json_append_plain(value, out);
            json_decref(value);
        }
    }
    arena_fini(&arena);
    return more;
}

int template_render(
    struct slice text, const struct template_scope *scope, json_t **ret_value, struct error *error)
{
    struct buffer out = {0};
    json_t *value = NULL;
    int result = render(text, scope, &out, &value, error);
    if (result == 0) {
        if (value == NULL)
            value = text_value(buffer_slice(&out));
        *ret_value = value;
    }
    buffer_fini(&out);
    return result;
}

int template_render_text(
    struct slice text, const struct template_scope *scope, struct buffer *out, struct error *error)
{
    if (!template_is_dynamic(text)) {
        buffer_append_slice(out, text);
        return 0;
    }
    json_t *value = NULL;
    int result = template_render(text, scope, &value, error);
    if (result == 0)
        json_append_plain(value, out);
    json_decref(value);
    return result;
}
