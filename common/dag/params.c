#include "common/dag/params.h"

#include "common/buffer.h"
#include "common/dag/json_text.h"
#include "common/dag/schema.h"
#include "common/memory.h"
#include "common/suggest.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

/* The mistakes found so far, a line each. */
struct mistakes {
    struct buffer text;
};

static void mistakes_add(struct mistakes *mistakes, const char *name, const char *what)
{
    if (mistakes->text.length > 0)
        buffer_append_text(&mistakes->text, "\n");
    buffer_printf(&mistakes->text, "parameter \"%s\": %s", name, what);
}

static json_t *read_integer(const char *text)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    bool plain = text[0] == '-' || text[0] == '+' || (text[0] >= '0' && text[0] <= '9');
    return plain && end != text && *end == '\0' && errno == 0 ? json_integer(number) : NULL;
}

static json_t *read_number(const char *text)
{
    json_t *integer = read_integer(text);
    if (integer != NULL || strspn(text, "+-.0123456789eE") != strlen(text))
        return integer;
    char *end;
    double number = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(number) ? json_real(number) : NULL;
}

static json_t *read_boolean(const char *text)
{
    if (strcmp(text, "true") == 0)
        return json_true();
    return strcmp(text, "false") == 0 ? json_false() : NULL;
}

/* A text as typed on a command line, read as the declared type. */
static int read_typed(
    const json_t *schema, const char *text, json_t **ret_value, struct error *error)
{
    const char *type = schema_type(schema);
    json_t *value = NULL;
    json_error_t json_error = {0};
    if (strcmp(type, "string") == 0)
        value = json_string(text);
    else if (strcmp(type, "integer") == 0)
        value = read_integer(text);
    else if (strcmp(type, "number") == 0)
        value = read_number(text);
    else if (strcmp(type, "boolean") == 0)
        value = read_boolean(text);
    else
        value = json_loads(text, JSON_REJECT_DUPLICATES, &json_error);
    if (value == NULL && json_error.text[0] != '\0')
        return error_set(
            error, ERR_INVALID, "%.100s is no JSON %s: %s", text, type, json_error.text);
    if (value == NULL && strcmp(type, "boolean") == 0)
        return error_set(error, ERR_INVALID, "\"%.100s\" is no boolean: write true or false", text);
    if (value == NULL)
        return error_set(error, ERR_INVALID, "\"%.100s\" is no %s", text, type);
    *ret_value = value;
    return 0;
}

/* The value that a declared parameter gets. */
static int resolve_one(
    const json_t *schema, const json_t *given, bool typed, json_t **ret_value, struct error *error)
{
    json_t *value = NULL;
    if (given == NULL) {
        json_t *fallback = json_object_get(schema, "default");
        if (fallback == NULL)
            return error_set(error, ERR_INVALID, "it has no default, give it with -p NAME=VALUE");
        *ret_value = json_incref(fallback);
        return 0;
    }
    if (json_is_string(given) && strlen(json_string_value(given)) != json_string_length(given))
        return error_set(
            error, ERR_INVALID, "it holds a NUL byte, which no environment and no argument takes");
    if (typed || !json_is_string(given)) {
        value = json_incref((json_t *)given);
    } else {
        int result = read_typed(schema, json_string_value(given), &value, error);
        if (result != 0)
            return result;
    }
    int result = schema_check(schema, value, error);
    if (result != 0) {
        json_decref(value);
        return result;
    }
    *ret_value = value;
    return 0;
}

static void find_undeclared(
    const json_t *declarations, const json_t *given, struct mistakes *mistakes)
{
    const char **names = xcalloc(json_object_size(declarations) + 1, sizeof *names);
    size_t count = 0;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)declarations, name, value) names[count++] = name;
    json_object_foreach((json_t *)given, name, value)
    {
        if (json_object_get(declarations, name) != NULL)
            continue;
        const char *near = suggest(slice_of(name), names);
        char *what = near != NULL ? xasprintf("this DAG has none; did you mean \"%s\"?", near)
                                  : xstrdup("this DAG has none of that name");
        mistakes_add(mistakes, name, what);
        free(what);
    }
    free(names);
}

int params_resolve(const json_t *declarations, const json_t *given, bool typed, json_t **ret_params,
    struct error *error)
{
    struct mistakes mistakes = {0};
    json_t *params = json_object();
    const char *name;
    json_t *schema;
    json_object_foreach((json_t *)declarations, name, schema)
    {
        struct error mistake = {0};
        json_t *value = NULL;
        if (resolve_one(schema, json_object_get(given, name), typed, &value, &mistake) == 0)
            (void)json_object_set_new(params, name, value);
        else
            mistakes_add(&mistakes, name, mistake.text);
    }
    find_undeclared(declarations, given, &mistakes);
    int result = 0;
    if (mistakes.text.length > 0) {
        result = error_set(error, ERR_USAGE, "%s", buffer_text(&mistakes.text));
        json_decref(params);
    } else {
        *ret_params = params;
    }
    buffer_fini(&mistakes.text);
    return result;
}

char *params_environment_text(const json_t *value)
{
    if (json_is_null(value))
        return NULL;
    struct buffer text = {0};
    json_append_plain(value, &text);
    char *copy = xstrndup(text.data, text.length);
    buffer_fini(&text);
    return copy;
}
