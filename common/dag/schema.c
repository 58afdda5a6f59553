#include "common/dag/schema.h"

#include "common/buffer.h"
#include "common/dag/json_text.h"
#include "common/memory.h"

#include <errno.h>
#include <regex.h>
#include <string.h>

/* An expression is compiled into a machine whose size is the product of its counts: both are
 * bounded. */
enum { PATTERN_MAX_BYTES = 500, PATTERN_REPEATS_MAX = 1000 };

const char *const schema_types[] = {
    "string", "integer", "number", "boolean", "array", "object", NULL};

const char *schema_type(const json_t *schema)
{
    const char *type = json_string_value(json_object_get(schema, "type"));
    return type != NULL ? type : "string";
}

bool schema_type_fits(const char *type, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        return strcmp(type, "string") == 0;
    case JSON_INTEGER:
        return strcmp(type, "integer") == 0 || strcmp(type, "number") == 0;
    case JSON_REAL:
        return strcmp(type, "number") == 0;
    case JSON_TRUE:
    case JSON_FALSE:
        return strcmp(type, "boolean") == 0;
    case JSON_ARRAY:
        return strcmp(type, "array") == 0;
    case JSON_OBJECT:
        return strcmp(type, "object") == 0;
    default:
        return false;
    }
}

/* The counts of "{n}" and "{n,m}" multiplied; glibc would make that many copies. */
static unsigned long repeats_of(const char *pattern)
{
    unsigned long product = 1;
    for (const char *brace = strchr(pattern, '{'); brace != NULL; brace = strchr(brace + 1, '{')) {
        unsigned long most = 1;
        unsigned long number = 0;
        for (const char *c = brace + 1; (*c >= '0' && *c <= '9') || *c == ','; c++) {
            number = *c == ',' ? 0 : number * 10 + (unsigned long)(*c - '0');
            if (number > PATTERN_REPEATS_MAX)
                return number;
            most = number > most ? number : most;
        }
        product *= most;
        if (product > PATTERN_REPEATS_MAX)
            return product;
    }
    return product;
}

static bool has_back_reference(const char *pattern)
{
    for (const char *c = pattern; *c != '\0'; c++) {
        if (*c == '\\' && c[1] >= '1' && c[1] <= '9')
            return true;
        if (*c == '\\' && c[1] != '\0')
            c++;
    }
    return false;
}

static int compile_pattern(const char *pattern, regex_t *regex, struct error *error)
{
    if (strlen(pattern) > PATTERN_MAX_BYTES)
        return error_set(
            error, ERR_INVALID, "the pattern is longer than %d bytes", PATTERN_MAX_BYTES);
    if (repeats_of(pattern) > PATTERN_REPEATS_MAX)
        return error_set(
            error, ERR_INVALID, "the pattern repeats more than %d times", PATTERN_REPEATS_MAX);
    if (has_back_reference(pattern))
        return error_set(error, ERR_INVALID, "the pattern refers back to a group (\\1)");
    int failure = regcomp(regex, pattern, REG_EXTENDED | REG_NOSUB);
    if (failure == REG_ESPACE)
        memory_exhausted("a parameter's pattern");
    if (failure == 0)
        return 0;
    char reason[120];
    (void)regerror(failure, regex, reason, sizeof reason);
    return error_set(error, ERR_INVALID, "the pattern is no POSIX extended expression: %s", reason);
}

int schema_check_pattern(const char *pattern, struct error *error)
{
    regex_t regex;
    int result = compile_pattern(pattern, &regex, error);
    if (result == 0)
        regfree(&regex);
    return result;
}

/* "VALUE but LIMIT", both cut. */
static int misfit(const json_t *value, const char *but, const char *limit, struct error *error)
{
    struct buffer shown = {0};
    json_append_compact(value, &shown);
    int result = error_set(error, ERR_INVALID, "%.200s %s%.200s", buffer_text(&shown), but, limit);
    buffer_fini(&shown);
    return result;
}

static int misfit_json(
    const json_t *value, const char *but, const json_t *limit, struct error *error)
{
    struct buffer shown = {0};
    json_append_compact(limit, &shown);
    int result = misfit(value, but, buffer_text(&shown), error);
    buffer_fini(&shown);
    return result;
}

static int check_enum(const json_t *schema, const json_t *value, struct error *error)
{
    const json_t *choices = json_object_get(schema, "enum");
    if (!json_is_array(choices))
        return 0;
    size_t i;
    const json_t *choice;
    json_array_foreach(choices, i, choice)
    {
        if (json_equal(choice, value))
            return 0;
        if (json_is_number(choice) && json_is_number(value) &&
            json_number_value(choice) == json_number_value(value))
            return 0;
    }
    return misfit_json(value, "is none of ", choices, error);
}

static int check_number(const json_t *schema, const json_t *value, struct error *error)
{
    const json_t *limit = json_object_get(schema, "minimum");
    double number = json_number_value(value);
    if (limit != NULL && number < json_number_value(limit))
        return misfit_json(value, "is less than ", limit, error);
    limit = json_object_get(schema, "maximum");
    if (limit != NULL && number > json_number_value(limit))
        return misfit_json(value, "is more than ", limit, error);
    limit = json_object_get(schema, "exclusiveMinimum");
    if (limit != NULL && number <= json_number_value(limit))
        return misfit_json(value, "is not more than ", limit, error);
    limit = json_object_get(schema, "exclusiveMaximum");
    if (limit != NULL && number >= json_number_value(limit))
        return misfit_json(value, "is not less than ", limit, error);
    return 0;
}

static json_int_t characters(const json_t *text)
{
    json_int_t count = 0;
    const char *bytes = json_string_value(text);
    for (size_t i = 0; i < json_string_length(text); i++)
        count += ((unsigned char)bytes[i] & 0xc0) != 0x80;
    return count;
}

static int check_string(const json_t *schema, const json_t *value, struct error *error)
{
    const json_t *limit = json_object_get(schema, "minLength");
    if (limit != NULL && characters(value) < json_integer_value(limit))
        return misfit_json(value, "is too short: minLength is ", limit, error);
    limit = json_object_get(schema, "maxLength");
    if (limit != NULL && characters(value) > json_integer_value(limit))
        return misfit_json(value, "is too long: maxLength is ", limit, error);
    const char *pattern = json_string_value(json_object_get(schema, "pattern"));
    if (pattern == NULL)
        return 0;
    regex_t regex;
    int result = compile_pattern(pattern, &regex, error);
    if (result != 0)
        return result;
    errno = 0;
    int failure = regexec(&regex, json_string_value(value), 0, NULL, 0);
    /* glibc's says REG_NOMATCH for every failure. */
    if (failure != 0 && (failure == REG_ESPACE || errno == ENOMEM))
        memory_exhausted("a parameter's pattern");
    if (failure != 0)
        result = misfit(value, "does not match the pattern ", pattern, error);
    regfree(&regex);
    return result;
}

static int check_array(const json_t *schema, const json_t *value, struct error *error)
{
    json_int_t count = (json_int_t)json_array_size(value);
    const json_t *limit = json_object_get(schema, "minItems");
    if (limit != NULL && count < json_integer_value(limit))
        return misfit_json(value, "has too few items: minItems is ", limit, error);
    limit = json_object_get(schema, "maxItems");
    if (limit != NULL && count > json_integer_value(limit))
        return misfit_json(value, "has too many items: maxItems is ", limit, error);
    const json_t *items = json_object_get(schema, "items");
    if (items == NULL)
        return 0;
    size_t i;
    const json_t *item;
    json_array_foreach(value, i, item)
    {
        if (schema_check(items, item, error) != 0) {
            (void)error_prefix(error, "item %zu", i);
            return ERR_INVALID;
        }
    }
    return 0;
}

int schema_check(const json_t *schema, const json_t *value, struct error *error)
{
    if (json_is_null(value) && json_is_null(json_object_get(schema, "default")))
        return 0;
    const char *type = schema_type(schema);
    if (!schema_type_fits(type, value))
        return misfit(value, "is no ", type, error);
    int result = check_enum(schema, value, error);
    if (result == 0 && json_is_number(value))
        result = check_number(schema, value, error);
    if (result == 0 && json_is_string(value))
        result = check_string(schema, value, error);
    if (result == 0 && json_is_array(value))
        result = check_array(schema, value, error);
    return result;
}
