#include "common/dag/scalar.h"

#include "common/memory.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_one_of(struct slice text, const char *const *words)
{
    for (size_t i = 0; words[i] != NULL; i++) {
        if (slice_is(text, words[i]))
            return true;
    }
    return false;
}

static size_t skip_digits(struct slice text, size_t at)
{
    while (at < text.length && is_digit(text.ptr[at]))
        at++;
    return at;
}

static bool has_only(struct slice text, size_t from, const char *allowed)
{
    return text.length > from && strspn(text.ptr + from, allowed) >= text.length - from;
}

/* [-+]?[0-9]+ | 0o[0-7]+ | 0x[0-9a-fA-F]+ */
static bool is_integer(struct slice text)
{
    if (text.length > 2 && text.ptr[0] == '0' && text.ptr[1] == 'o')
        return has_only(text, 2, "01234567");
    if (text.length > 2 && text.ptr[0] == '0' && text.ptr[1] == 'x')
        return has_only(text, 2, "0123456789abcdefABCDEF");
    size_t start = text.length > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+');
    return text.length > start && skip_digits(text, start) == text.length;
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool is_real(struct slice text)
{
    static const char *const special[] = {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF",
        "-.inf", "-.Inf", "-.INF", ".nan", ".NaN", ".NAN", NULL};
    if (is_one_of(text, special))
        return true;
    size_t at = text.length > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+');
    size_t whole = skip_digits(text, at) - at;
    at += whole;
    if (at < text.length && text.ptr[at] == '.') {
        size_t fraction = skip_digits(text, at + 1) - (at + 1);
        if (whole == 0 && fraction == 0)
            return false;
        at += 1 + fraction;
    } else if (whole == 0) {
        return false;
    }
    if (at < text.length && (text.ptr[at] == 'e' || text.ptr[at] == 'E')) {
        at++;
        at += at < text.length && (text.ptr[at] == '-' || text.ptr[at] == '+');
        size_t end = skip_digits(text, at);
        if (end == at)
            return false;
        at = end;
    }
    return at == text.length;
}

enum scalar_type scalar_type(const struct node *scalar)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const booleans[] = {"true", "True", "TRUE", "false", "False", "FALSE", NULL};
    if (!scalar->plain)
        return SCALAR_TEXT;
    if (is_one_of(scalar->text, nulls))
        return SCALAR_NULL;
    if (is_one_of(scalar->text, booleans))
        return SCALAR_BOOLEAN;
    if (is_integer(scalar->text))
        return SCALAR_INTEGER;
    return is_real(scalar->text) ? SCALAR_REAL : SCALAR_TEXT;
}

bool node_is_null(const struct node *node)
{
    return node->kind == NODE_SCALAR && scalar_type(node) == SCALAR_NULL;
}

const char *node_description(const struct node *node)
{
    if (node->kind == NODE_SEQUENCE)
        return "a list";
    if (node->kind == NODE_MAPPING)
        return "a mapping";
    switch (scalar_type(node)) {
    case SCALAR_NULL:
        return "nothing";
    case SCALAR_BOOLEAN:
        return "a boolean";
    case SCALAR_INTEGER:
    case SCALAR_REAL:
        return "a number";
    default:
        return "text";
    }
}

bool scalar_integer(const struct node *scalar, int64_t *ret_number)
{
    const char *text = scalar->text.ptr;
    int base = 10;
    if (scalar->text.length > 2 && text[0] == '0' && (text[1] == 'o' || text[1] == 'x')) {
        base = text[1] == 'o' ? 8 : 16;
        text += 2;
    }
    errno = 0;
    long long number = strtoll(text, NULL, base);
    *ret_number = number;
    return errno == 0;
}

bool scalar_is_true(const struct node *scalar)
{
    return scalar->text.ptr[0] == 't' || scalar->text.ptr[0] == 'T';
}

static json_t *real_to_json(const struct node *node, struct error *error)
{
    double number = strtod(node->text.ptr, NULL);
    if (strchr(node->text.ptr, '.') != NULL && strpbrk(node->text.ptr, "iInN") != NULL)
        number = INFINITY;
    if (isfinite(number))
        return json_real(number);
    (void)error_set(
        error, ERR_INVALID, "the number %.*s cannot be had as JSON", SLICE_PRINT(node->text));
    return NULL;
}

static json_t *scalar_to_json(const struct node *node, const char *type, struct error *error)
{
    int64_t number;
    enum scalar_type found = scalar_type(node);
    if (found == SCALAR_NULL)
        return json_null();
    if (found == SCALAR_TEXT || (type != NULL && strcmp(type, "string") == 0))
        return json_stringn(node->text.ptr, node->text.length);
    if (found == SCALAR_BOOLEAN)
        return json_boolean(scalar_is_true(node));
    if (found == SCALAR_INTEGER && scalar_integer(node, &number))
        return json_integer(number);
    return real_to_json(node, error);
}

static json_t *mapping_to_json(const struct node *node, struct error *error)
{
    json_t *object = json_object();
    node_each_pair(node, key)
    {
        json_t *value = node_to_json(key->next, NULL, error);
        if (value == NULL) {
            json_decref(object);
            return NULL;
        }
        (void)json_object_setn_new(object, key->text.ptr, key->text.length, value);
    }
    return object;
}

/* Recursion is bounded by YAML_DEPTH_MAX. */
json_t *node_to_json(const struct node *node, const char *type, struct error *error)
{
    if (node->kind == NODE_SCALAR)
        return scalar_to_json(node, type, error);
    if (node->kind == NODE_MAPPING)
        return mapping_to_json(node, error);
    json_t *array = json_array();
    node_each_item(node, item)
    {
        json_t *value = node_to_json(item, NULL, error);
        if (value == NULL) {
            json_decref(array);
            return NULL;
        }
        (void)json_array_append_new(array, value);
    }
    return array;
}
