/*
 * option.c - an operator's options by key and type.
 */
#include "operators/common/operator.h"

#include "common/suggest.h"

static const char *description(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "a mapping";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "text";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    default:
        return "null";
    }
}

static int wrong(const char *key, const char *wanted, const json_t *value, struct error *error)
{
    return error_set(
        error, ERR_INVALID, "\"%.100s\" must be %s, not %s", key, wanted, description(value));
}

/* The key's value, or NULL where it is absent or null. */
static const json_t *given(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

int option_text(const json_t *object, const char *key, const char **ret_value, struct error *error)
{
    const json_t *value = given(object, key);
    if (value == NULL)
        return 0;
    if (!json_is_string(value))
        return wrong(key, "text", value, error);
    *ret_value = json_string_value(value);
    return 0;
}

int option_bool(const json_t *object, const char *key, bool *ret_value, struct error *error)
{
    const json_t *value = given(object, key);
    if (value == NULL)
        return 0;
    if (!json_is_boolean(value))
        return wrong(key, "true or false", value, error);
    *ret_value = json_is_true(value);
    return 0;
}

int option_integer(const json_t *object, const char *key, int64_t *ret_value, struct error *error)
{
    const json_t *value = given(object, key);
    if (value == NULL)
        return 0;
    if (!json_is_integer(value))
        return wrong(key, "an integer", value, error);
    *ret_value = json_integer_value(value);
    return 0;
}

int option_object(
    const json_t *object, const char *key, const json_t **ret_value, struct error *error)
{
    const json_t *value = given(object, key);
    if (value == NULL)
        return 0;
    if (!json_is_object(value))
        return wrong(key, "a mapping", value, error);
    *ret_value = value;
    return 0;
}

int option_array(
    const json_t *object, const char *key, const json_t **ret_value, struct error *error)
{
    const json_t *value = given(object, key);
    if (value == NULL)
        return 0;
    if (!json_is_array(value))
        return wrong(key, "a list", value, error);
    *ret_value = value;
    return 0;
}

static bool is_known(const char *key, const char *const *known)
{
    for (; *known != NULL; known++) {
        if (strcmp(key, *known) == 0)
            return true;
    }
    return false;
}

int option_check(const json_t *object, const char *const *known, struct error *error)
{
    void *at = json_object_iter((json_t *)(uintptr_t)object);
    for (; at != NULL; at = json_object_iter_next((json_t *)(uintptr_t)object, at)) {
        const char *key = json_object_iter_key(at);
        if (is_known(key, known))
            continue;
        const char *near = suggest(slice_of(key), known);
        return error_set(error, ERR_INVALID, "unknown option \"%.100s\"%s%s%s", key,
            near != NULL ? "; did you mean \"" : "", near != NULL ? near : "",
            near != NULL ? "\"?" : "");
    }
    return 0;
}

int operator_connection(const struct operator_link *link, const char *id,
    const json_t **ret_connection, struct error *error)
{
    json_t *all = (json_t *)(uintptr_t)operator_task(link)->connections;
    if (id == NULL && json_object_size(all) != 1)
        return error_set(error, ERR_NOT_FOUND, "the task names %s connection",
            json_object_size(all) == 0 ? "no" : "more than one");
    *ret_connection =
        id != NULL ? json_object_get(all, id) : json_object_iter_value(json_object_iter(all));
    if (*ret_connection == NULL)
        return error_set(error, ERR_NOT_FOUND, "the task has no connection \"%.100s\"", id);
    return 0;
}
