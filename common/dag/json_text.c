#include "common/dag/json_text.h"

#include "common/memory.h"

#include <stdlib.h>

/* 17 digits always read back; 15 do for what people write. */
enum { SHORTEST_DIGITS = 15, EXACT_DIGITS = 17 };

static char *dump(const json_t *value, size_t digits)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits));
    /* A value that jansson itself made or parsed always dumps: NULL is lack of memory. */
    return text != NULL ? text : xstrdup("null");
}

static bool reads_back(const char *text, const json_t *value)
{
    json_t *again = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    bool same = again != NULL && json_equal(again, value);
    json_decref(again);
    return same;
}

static bool holds_reals(const json_t *value)
{
    return json_is_real(value) || json_is_array(value) || json_is_object(value);
}

void json_append_compact(const json_t *value, struct buffer *out)
{
    size_t digits = holds_reals(value) ? SHORTEST_DIGITS : EXACT_DIGITS;
    char *text = dump(value, digits);
    while (digits < EXACT_DIGITS && !reads_back(text, value)) {
        free(text);
        text = dump(value, ++digits);
    }
    buffer_append_text(out, text);
    free(text);
}

void json_append_plain(const json_t *value, struct buffer *out)
{
    if (json_is_string(value))
        buffer_append(out, json_string_value(value), json_string_length(value));
    else if (!json_is_null(value))
        json_append_compact(value, out);
}
