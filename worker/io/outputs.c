#include "worker/io/outputs.h"

#include "common/limits.h"

#include <jansson.h>
#include <stdlib.h>

static int too_big(struct error *error)
{
    return error_set(error, ERR_TOO_BIG,
        "outputs: more than %d bytes; hand large data on as an artifact", OUTPUTS_MAX_BYTES);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_name(struct slice text)
{
    for (size_t i = 0; i < text.length; i++) {
        char c = text.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        bool later = (c >= '0' && c <= '9') || c == '-';
        if (!letter && (i == 0 || !later))
            return false;
    }
    return text.length > 0;
}

/* One line without its end, into the object. */
static int take_line(struct slice line, size_t number, json_t *object, struct error *error)
{
    const char *equals = line.length > 0 ? memchr(line.ptr, '=', line.length) : NULL;
    if (line.length == 0)
        return 0;
    if (equals == NULL)
        return error_set(error, ERR_INVALID,
            "outputs: line %zu is no name=value (nor is the whole one JSON object)", number);
    struct slice name = slice_make(line.ptr, (size_t)(equals - line.ptr));
    struct slice value = slice_make(equals + 1, line.length - name.length - 1);
    if (!is_name(name))
        return error_set(error, ERR_INVALID,
            "outputs: line %zu: a name is letters, digits, '_' and '-', and begins with no digit",
            number);
    json_t *text = memchr(value.ptr, '\0', value.length) == NULL
                       ? json_stringn(value.ptr, value.length)
                       : NULL;
    if (text == NULL || json_object_setn_new(object, name.ptr, name.length, text) != 0)
        return error_set(error, ERR_INVALID,
            "outputs: line %zu: the value of %.*s is no text: not UTF-8, or it holds a NUL byte",
            number, (int)(name.length < 100 ? name.length : 100), name.ptr);
    return 0;
}

static int parse_lines(struct slice text, json_t *object, struct error *error)
{
    size_t number = 1;
    int rc = 0;
    while (rc == 0 && text.length > 0) {
        const char *end = memchr(text.ptr, '\n', text.length);
        size_t length = end != NULL ? (size_t)(end - text.ptr) : text.length;
        rc = take_line(slice_make(text.ptr, length), number++, object, error);
        length += end != NULL;
        text = slice_make(text.ptr + length, text.length - length);
    }
    return rc;
}

static json_t *parse_json(struct slice text, struct error *error)
{
    json_error_t where;
    json_t *object = json_loadb(text.ptr, text.length, JSON_REJECT_DUPLICATES, &where);
    if (object == NULL)
        (void)error_set(
            error, ERR_INVALID, "outputs: line %d: not JSON: %s", where.line, where.text);
    return object;
}

static int write_json(const json_t *object, struct buffer *json, struct error *error)
{
    char *text = json_dumps(object, JSON_COMPACT);
    if (text == NULL)
        return error_set(error, ERR_INVALID, "outputs: cannot be written as JSON");
    size_t length = strlen(text);
    int rc = length > OUTPUTS_MAX_BYTES ? too_big(error) : 0;
    if (rc == 0 && json_object_size(object) > 0)
        buffer_append(json, text, length);
    free(text);
    return rc;
}

int outputs_parse(struct slice text, struct buffer *json, struct error *error)
{
    if (text.length > OUTPUTS_MAX_BYTES)
        return too_big(error);
    size_t first = 0;
    while (first < text.length && is_space(text.ptr[first]))
        first++;
    if (first == text.length)
        return 0;
    int rc = 0;
    json_t *object = NULL;
    if (text.ptr[first] == '{') {
        object = parse_json(text, error);
        rc = object == NULL ? ERR_INVALID : 0;
    } else {
        object = json_object();
        rc = parse_lines(text, object, error);
    }
    if (rc == 0)
        rc = write_json(object, json, error);
    json_decref(object);
    return rc;
}
