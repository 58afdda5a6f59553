#include "proto/proto.h"

#include "common/hex.h"

#include <inttypes.h>

enum {
    TEXT_SHOWN_MAX = 80,  /* bytes of a text */
    BYTES_SHOWN_MAX = 16, /* of bytes, as hex */
    ITEMS_SHOWN_MAX = 8,  /* of a list */
};

static void print_record(const struct record_shape *shape, const char *record, struct buffer *out);

/* Escapes all that is not printable ASCII: the line goes to logs and terminals. */
static void print_text(struct slice text, struct buffer *out)
{
    size_t shown = text.length < TEXT_SHOWN_MAX ? text.length : TEXT_SHOWN_MAX;
    buffer_append(out, "\"", 1);
    for (size_t i = 0; i < shown; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];
        if (byte == '"' || byte == '\\')
            buffer_printf(out, "\\%c", byte);
        else if (byte == '\n')
            buffer_append(out, "\\n", 2);
        else if (byte < 0x20 || byte >= 0x7f)
            buffer_printf(out, "\\x%02x", byte);
        else
            buffer_append(out, &text.ptr[i], 1);
    }
    buffer_append(out, "\"", 1);
    if (shown < text.length)
        buffer_printf(out, "+%zu", text.length - shown);
}

static void print_bytes(struct slice bytes, struct buffer *out)
{
    size_t shown = bytes.length < BYTES_SHOWN_MAX ? bytes.length : BYTES_SHOWN_MAX;
    char digits[HEX_TEXT_SIZE(BYTES_SHOWN_MAX)];
    hex_encode(bytes.ptr, shown, digits);
    buffer_printf(out, "<%s>", digits);
    if (shown < bytes.length)
        buffer_printf(out, "+%zu", bytes.length - shown);
}

static void print_texts(const struct texts *texts, struct buffer *out)
{
    buffer_append(out, "[", 1);
    for (uint32_t i = 0; i < texts->count && i < ITEMS_SHOWN_MAX; i++) {
        if (i > 0)
            buffer_append(out, ",", 1);
        print_text(texts->items[i], out);
    }
    buffer_append(out, "]", 1);
    if (texts->count > ITEMS_SHOWN_MAX)
        buffer_printf(out, "+%" PRIu32, texts->count - ITEMS_SHOWN_MAX);
}

static void print_list(
    const struct record_shape *shape, struct record_list list, struct buffer *out)
{
    buffer_append(out, "[", 1);
    for (uint32_t i = 0; i < list.count && i < ITEMS_SHOWN_MAX; i++) {
        if (i > 0)
            buffer_append(out, ",", 1);
        print_record(shape, (const char *)list.items + i * shape->size, out);
    }
    buffer_append(out, "]", 1);
    if (list.count > ITEMS_SHOWN_MAX)
        buffer_printf(out, "+%" PRIu32, list.count - ITEMS_SHOWN_MAX);
}

static void print_enum(enum field_kind kind, uint32_t value, struct buffer *out)
{
    const char *name = field_enum_name(kind, value);
    if (strcmp(name, "?") == 0)
        buffer_printf(out, "?%" PRIu32, value);
    else
        buffer_append_text(out, name[0] != '\0' ? name : "-");
}

static void print_field(const struct field_shape *field, const void *value, struct buffer *out)
{
    switch (field->kind) {
    case FIELD_KIND_U32:
        buffer_printf(out, "%" PRIu32, *(const uint32_t *)value);
        break;
    case FIELD_KIND_U64:
        buffer_printf(out, "%" PRIu64, *(const uint64_t *)value);
        break;
    case FIELD_KIND_I64:
    case FIELD_KIND_WALL:
    case FIELD_KIND_CODE:
        buffer_printf(out, "%" PRId64, *(const int64_t *)value);
        break;
    case FIELD_KIND_BOOL:
        buffer_append_text(out, *(const bool *)value ? "true" : "false");
        break;
    case FIELD_KIND_TEXT:
    case FIELD_KIND_OPTIONAL_TEXT:
        print_text(*(const struct slice *)value, out);
        break;
    case FIELD_KIND_BYTES:
        print_bytes(*(const struct slice *)value, out);
        break;
    case FIELD_KIND_SECRET:
        buffer_printf(out, "<secret>+%zu", ((const struct slice *)value)->length);
        break;
    case FIELD_KIND_RUN_STATE:
    case FIELD_KIND_TASK_STATE:
    case FIELD_KIND_ATTEMPT_STATE:
    case FIELD_KIND_WORKER_STATE:
    case FIELD_KIND_REASON:
    case FIELD_KIND_HOLDING:
        print_enum(field->kind, *(const uint32_t *)value, out);
        break;
    case FIELD_KIND_RECORD:
        print_record(field->record, value, out);
        break;
    case FIELD_KIND_LIST:
        print_list(field->record, record_list_read(value), out);
        break;
    case FIELD_KIND_TEXTS:
        print_texts(value, out);
        break;
    }
}

static void print_record(const struct record_shape *shape, const char *record, struct buffer *out)
{
    buffer_append(out, "{", 1);
    for (uint32_t i = 0; i < shape->field_count; i++) {
        const struct field_shape *field = &shape->fields[i];
        buffer_printf(out, "%s%s=", i > 0 ? "," : "", field->name);
        print_field(field, record + field->offset, out);
    }
    buffer_append(out, "}", 1);
}

void message_print(uint32_t number, const void *body, struct buffer *out)
{
    const struct message_shape *shape = message_shape(number);
    if (shape == NULL || body == NULL) {
        buffer_printf(out, "?%" PRIu32 "{}", number);
        return;
    }
    buffer_append_text(out, shape->record.name);
    print_record(&shape->record, body, out);
}
