#include "proto/proto.h"

#include <assert.h>
#include <msgpack/pack.h>

static void pack_record(
    msgpack_packer *packer, const struct record_shape *shape, const char *record);

/* For msgpack-c; growing a buffer cannot fail. */
static int write_bytes(void *buffer, const char *bytes, size_t length)
{
    buffer_append(buffer, bytes, length);
    return 0;
}

static void pack_text(msgpack_packer *packer, const struct slice *text)
{
    assert(text->length <= UINT32_MAX);
    (void)msgpack_pack_str(packer, text->length);
    (void)msgpack_pack_str_body(packer, text->ptr, text->length);
}

static void pack_bytes(msgpack_packer *packer, const struct slice *bytes)
{
    assert(bytes->length <= UINT32_MAX);
    (void)msgpack_pack_bin(packer, bytes->length);
    (void)msgpack_pack_bin_body(packer, bytes->ptr, bytes->length);
}

static void pack_texts(msgpack_packer *packer, const struct texts *texts)
{
    (void)msgpack_pack_array(packer, texts->count);
    for (uint32_t i = 0; i < texts->count; i++)
        pack_text(packer, &texts->items[i]);
}

static void pack_list(
    msgpack_packer *packer, const struct field_shape *field, struct record_list list)
{
    assert(list.count <= field->max);
    (void)msgpack_pack_array(packer, list.count);
    for (uint32_t i = 0; i < list.count; i++)
        pack_record(packer, field->record, (const char *)list.items + i * field->record->size);
}

static void pack_field(msgpack_packer *packer, const struct field_shape *field, const void *value)
{
    switch (field->kind) {
    case FIELD_KIND_U32:
    case FIELD_KIND_RUN_STATE:
    case FIELD_KIND_TASK_STATE:
    case FIELD_KIND_ATTEMPT_STATE:
    case FIELD_KIND_WORKER_STATE:
    case FIELD_KIND_REASON:
    case FIELD_KIND_HOLDING:
        (void)msgpack_pack_uint32(packer, *(const uint32_t *)value);
        break;
    case FIELD_KIND_U64:
        (void)msgpack_pack_uint64(packer, *(const uint64_t *)value);
        break;
    case FIELD_KIND_I64:
    case FIELD_KIND_WALL:
    case FIELD_KIND_CODE:
        (void)msgpack_pack_int64(packer, *(const int64_t *)value);
        break;
    case FIELD_KIND_BOOL:
        (void)(*(const bool *)value ? msgpack_pack_true(packer) : msgpack_pack_false(packer));
        break;
    case FIELD_KIND_TEXT:
    case FIELD_KIND_OPTIONAL_TEXT:
        pack_text(packer, value);
        break;
    case FIELD_KIND_BYTES:
    case FIELD_KIND_SECRET:
        pack_bytes(packer, value);
        break;
    case FIELD_KIND_RECORD:
        pack_record(packer, field->record, value);
        break;
    case FIELD_KIND_LIST:
        pack_list(packer, field, record_list_read(value));
        break;
    case FIELD_KIND_TEXTS:
        assert(((const struct texts *)value)->count <= field->max);
        pack_texts(packer, value);
        break;
    }
}

static void pack_fields(
    msgpack_packer *packer, const struct record_shape *shape, const char *record)
{
    for (uint32_t i = 0; i < shape->field_count; i++)
        pack_field(packer, &shape->fields[i], record + shape->fields[i].offset);
}

static void pack_record(
    msgpack_packer *packer, const struct record_shape *shape, const char *record)
{
    (void)msgpack_pack_array(packer, shape->field_count);
    pack_fields(packer, shape, record);
}

void frame_begin(struct buffer *frame, const struct frame_header *header)
{
    struct frame_header whole = *header;
    if (whole.version == 0)
        whole.version = PROTOCOL_VERSION;
    msgpack_packer packer;
    msgpack_packer_init(&packer, frame, write_bytes);
    pack_record(&packer, frame_header_shape(), (const char *)&whole);
}

void message_encode(struct buffer *frame, enum message_id number, const void *body)
{
    const struct message_shape *shape = message_shape(number);
    assert(shape != NULL);
    msgpack_packer packer;
    msgpack_packer_init(&packer, frame, write_bytes);
    (void)msgpack_pack_array(&packer, shape->record.field_count + 1u);
    (void)msgpack_pack_uint32(&packer, shape->number);
    pack_fields(&packer, &shape->record, body);
}
