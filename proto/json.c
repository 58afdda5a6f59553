#include "proto/json.h"

#include "common/clock.h"
#include "common/hex.h"
#include "common/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* jansson answers NULL for lack of memory only, with what is given to it here. */
static json_t *or_abort(json_t *value)
{
    if (value == NULL)
        abort();
    return value;
}

/* The length of the UTF-8 character that begins at bytes[0], or 0 when none does. */
static size_t character_length(const unsigned char *bytes, size_t left)
{
    unsigned first = bytes[0];
    if (first < 0x80)
        return 1;
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || left < length)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    unsigned second = bytes[1];
    bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    bool surrogate = first == 0xed && second >= 0xa0;
    bool beyond = first == 0xf4 && second >= 0x90;
    return overlong || surrogate || beyond ? 0 : length;
}

static json_t *repaired_json(struct slice text)
{
    struct buffer repaired = {0};
    for (size_t at = 0; at < text.length;) {
        size_t length = character_length((const unsigned char *)text.ptr + at, text.length - at);
        if (length > 0)
            buffer_append(&repaired, text.ptr + at, length);
        else
            buffer_append_text(&repaired, "\xef\xbf\xbd");
        at += length > 0 ? length : 1;
    }
    json_t *json = or_abort(json_stringn(repaired.data, repaired.length));
    buffer_fini(&repaired);
    return json;
}

json_t *text_json(struct slice text)
{
    if (text.length == 0)
        return or_abort(json_stringn("", 0));
    json_t *json = json_stringn(text.ptr, text.length);
    return json != NULL ? json : repaired_json(text);
}

/* The object that the text holds, or NULL. */
static json_t *embedded_json(const struct field_shape *field, struct slice text)
{
    bool is_note = strcmp(field->name, "note") == 0 && field->kind == FIELD_KIND_TEXT;
    if (strcmp(field->name, "outputs") != 0 && strcmp(field->name, "params") != 0 && !is_note)
        return NULL;
    if (text.length == 0)
        return NULL;
    json_t *json = json_loadb(text.ptr, text.length, JSON_ALLOW_NUL, NULL);
    if (json_is_object(json))
        return json;
    json_decref(json);
    return NULL;
}

static json_t *text_field_json(const struct field_shape *field, struct slice text)
{
    if (field->kind == FIELD_KIND_OPTIONAL_TEXT && text.length == 0)
        return or_abort(json_null());
    json_t *embedded = embedded_json(field, text);
    return embedded != NULL ? embedded : text_json(text);
}

static json_t *bytes_json(struct slice bytes)
{
    if (bytes.length == 0)
        return or_abort(json_null());
    char *digits = xmalloc(HEX_TEXT_SIZE(bytes.length));
    hex_encode(bytes.ptr, bytes.length, digits);
    json_t *json = or_abort(json_string(digits));
    free(digits);
    return json;
}

static json_t *u64_json(const struct field_shape *field, uint64_t number)
{
    bool is_key = strcmp(field->name, "run") == 0 || strcmp(field->name, "key") == 0;
    if (!is_key && number <= INT64_MAX)
        return or_abort(json_integer((json_int_t)number));
    char text[24];
    (void)snprintf(text, sizeof text, is_key ? "%016" PRIx64 : "%" PRIu64, number);
    return or_abort(json_string(text));
}

static json_t *wall_json(int64_t wall_ms)
{
    if (wall_ms == 0)
        return or_abort(json_null());
    char text[CLOCK_TEXT_MAX];
    clock_format_wall(wall_ms, text);
    return or_abort(json_string(text));
}

static json_t *enum_json(enum field_kind kind, uint32_t value)
{
    if (kind == FIELD_KIND_REASON && value == REASON_NONE)
        return or_abort(json_null());
    return or_abort(json_string(field_enum_name(kind, value)));
}

static json_t *list_json(const struct record_shape *shape, struct record_list list)
{
    json_t *array = or_abort(json_array());
    for (uint32_t i = 0; i < list.count; i++)
        if (json_array_append_new(
                array, record_json(shape, (const char *)list.items + i * shape->size)) < 0)
            abort();
    return array;
}

static json_t *texts_json(const struct texts *texts)
{
    json_t *array = or_abort(json_array());
    for (uint32_t i = 0; i < texts->count; i++)
        if (json_array_append_new(array, text_json(texts->items[i])) < 0)
            abort();
    return array;
}

static json_t *field_json(const struct field_shape *field, const void *value)
{
    switch (field->kind) {
    case FIELD_KIND_U32:
        return or_abort(json_integer(*(const uint32_t *)value));
    case FIELD_KIND_U64:
        return u64_json(field, *(const uint64_t *)value);
    case FIELD_KIND_I64:
        return or_abort(json_integer(*(const int64_t *)value));
    case FIELD_KIND_BOOL:
        return or_abort(json_boolean(*(const bool *)value));
    case FIELD_KIND_TEXT:
    case FIELD_KIND_OPTIONAL_TEXT:
        return text_field_json(field, *(const struct slice *)value);
    case FIELD_KIND_BYTES:
        return bytes_json(*(const struct slice *)value);
    case FIELD_KIND_SECRET:
        return or_abort(json_null());
    case FIELD_KIND_WALL:
        return wall_json(*(const int64_t *)value);
    case FIELD_KIND_CODE:
        return or_abort(
            *(const int64_t *)value == -1 ? json_null() : json_integer(*(const int64_t *)value));
    case FIELD_KIND_RUN_STATE:
    case FIELD_KIND_TASK_STATE:
    case FIELD_KIND_ATTEMPT_STATE:
    case FIELD_KIND_WORKER_STATE:
    case FIELD_KIND_REASON:
    case FIELD_KIND_HOLDING:
        return enum_json(field->kind, *(const uint32_t *)value);
    case FIELD_KIND_RECORD:
        return record_json(field->record, value);
    case FIELD_KIND_LIST:
        return list_json(field->record, record_list_read(value));
    case FIELD_KIND_TEXTS:
        return texts_json(value);
    }
    abort();
}

json_t *record_json(const struct record_shape *shape, const void *body)
{
    json_t *object = or_abort(json_object());
    for (uint32_t i = 0; i < shape->field_count; i++) {
        const struct field_shape *field = &shape->fields[i];
        if (strcmp(field->name, "request") == 0)
            continue;
        const void *value = (const char *)body + field->offset;
        if (json_object_set_new_nocheck(object, field->name, field_json(field, value)) < 0)
            abort();
    }
    return object;
}
