#include "common/limits.h"
#include "common/memory.h"
#include "proto/proto.h"
#include "proto/walk.h"

#include <inttypes.h>
#include <msgpack/unpack.h>
#include <stdlib.h>

/* Objects of a message of some forty values: one small block, which malloc hands out again at once.
 */
enum { ZONE_BYTES = 1000 };

/* What the lists of a message may take in memory for each byte of it. A record is at most 16 times
   its encoding, and some more when its sender knew fewer fields; a million empty records are no
   honest message. */
enum { GROWTH_MAX = 32 };

struct decoder {
    struct arena *arena;
    size_t budget; /* bytes that lists may still take */
    struct error *error;
};

static int decode_record(struct decoder *decoder, const struct record_shape *shape,
    const msgpack_object *object, char *record);

static int wrong_type(struct decoder *decoder, const struct field_shape *field, const char *wanted)
{
    return error_set(decoder->error, ERR_MALFORMED, "field %s is not %s", field->name, wanted);
}

static int decode_unsigned(struct decoder *decoder, const struct field_shape *field,
    const msgpack_object *object, uint64_t max, uint64_t *ret_number)
{
    if (object->type != MSGPACK_OBJECT_POSITIVE_INTEGER || object->via.u64 > max)
        return wrong_type(decoder, field,
            max > UINT32_MAX ? "an unsigned number" : "an unsigned number of 32 bits");
    *ret_number = object->via.u64;
    return 0;
}

static int decode_u32(struct decoder *decoder, const struct field_shape *field,
    const msgpack_object *object, uint32_t *ret_number)
{
    uint64_t number = 0;
    int result = decode_unsigned(decoder, field, object, UINT32_MAX, &number);
    if (result == 0)
        *ret_number = (uint32_t)number;
    return result;
}

static int decode_i64(struct decoder *decoder, const struct field_shape *field,
    const msgpack_object *object, int64_t *ret_number)
{
    if (object->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        *ret_number = object->via.i64;
    else if (object->type == MSGPACK_OBJECT_POSITIVE_INTEGER && object->via.u64 <= INT64_MAX)
        *ret_number = (int64_t)object->via.u64;
    else
        return wrong_type(decoder, field, "a number of 64 bits");
    return 0;
}

static int decode_bool(struct decoder *decoder, const struct field_shape *field,
    const msgpack_object *object, bool *ret_bool)
{
    if (object->type != MSGPACK_OBJECT_BOOLEAN)
        return wrong_type(decoder, field, "true or false");
    *ret_bool = object->via.boolean;
    return 0;
}

static int decode_text(struct decoder *decoder, const struct field_shape *field,
    const msgpack_object *object, struct slice *ret_text)
{
    if (object->type != MSGPACK_OBJECT_STR)
        return wrong_type(decoder, field, "text");
    *ret_text = slice_make(object->via.str.ptr, object->via.str.size);
    return 0;
}

static int decode_bytes(struct decoder *decoder, const struct field_shape *field,
    const msgpack_object *object, struct slice *ret_bytes)
{
    if (object->type != MSGPACK_OBJECT_BIN)
        return wrong_type(decoder, field, "bytes");
    *ret_bytes = slice_make(object->via.bin.ptr, object->via.bin.size);
    return 0;
}

/* Memory for the items of a list or of texts, once their number is known to be allowed. */
static int items_alloc(struct decoder *decoder, const struct field_shape *field,
    const msgpack_object *object, size_t item_size, void **ret_items)
{
    if (object->type != MSGPACK_OBJECT_ARRAY)
        return wrong_type(decoder, field, "a list");
    uint32_t count = object->via.array.size;
    if (count > field->max)
        return error_set(decoder->error, ERR_MALFORMED,
            "field %s has %" PRIu32 " items, at most %" PRIu32 " are allowed", field->name, count,
            field->max);
    if (count * item_size > decoder->budget)
        return error_set(decoder->error, ERR_MALFORMED,
            "field %s has %" PRIu32 " items that are nearly empty", field->name, count);
    decoder->budget -= count * item_size;
    *ret_items = count > 0 ? arena_alloc(decoder->arena, count * item_size) : NULL;
    return 0;
}

static int decode_list(struct decoder *decoder, const struct field_shape *field,
    const msgpack_object *object, void *value)
{
    size_t size = field->record->size;
    struct record_list list = {0};
    int result = items_alloc(decoder, field, object, size, &list.items);
    if (result < 0)
        return result;
    list.count = object->via.array.size;
    memcpy(value, &list, sizeof list);
    for (uint32_t i = 0; i < list.count; i++) {
        result = decode_record(
            decoder, field->record, &object->via.array.ptr[i], (char *)list.items + i * size);
        if (result < 0)
            return result;
    }
    return 0;
}

static int decode_texts(struct decoder *decoder, const struct field_shape *field,
    const msgpack_object *object, struct texts *texts)
{
    void *items;
    int result = items_alloc(decoder, field, object, sizeof(struct slice), &items);
    if (result < 0)
        return result;
    texts->items = items;
    texts->count = object->via.array.size;
    for (uint32_t i = 0; i < texts->count; i++) {
        result = decode_text(decoder, field, &object->via.array.ptr[i], &texts->items[i]);
        if (result < 0)
            return result;
    }
    return 0;
}

static int decode_field(struct decoder *decoder, const struct field_shape *field,
    const msgpack_object *object, void *value)
{
    switch (field->kind) {
    case FIELD_KIND_U32:
    case FIELD_KIND_RUN_STATE:
    case FIELD_KIND_TASK_STATE:
    case FIELD_KIND_ATTEMPT_STATE:
    case FIELD_KIND_WORKER_STATE:
    case FIELD_KIND_REASON:
    case FIELD_KIND_HOLDING:
        return decode_u32(decoder, field, object, value);
    case FIELD_KIND_U64:
        return decode_unsigned(decoder, field, object, UINT64_MAX, value);
    case FIELD_KIND_I64:
    case FIELD_KIND_WALL:
    case FIELD_KIND_CODE:
        return decode_i64(decoder, field, object, value);
    case FIELD_KIND_BOOL:
        return decode_bool(decoder, field, object, value);
    case FIELD_KIND_TEXT:
    case FIELD_KIND_OPTIONAL_TEXT:
        return decode_text(decoder, field, object, value);
    case FIELD_KIND_BYTES:
    case FIELD_KIND_SECRET:
        return decode_bytes(decoder, field, object, value);
    case FIELD_KIND_RECORD:
        return decode_record(decoder, field->record, object, value);
    case FIELD_KIND_LIST:
        return decode_list(decoder, field, object, value);
    case FIELD_KIND_TEXTS:
        return decode_texts(decoder, field, object, value);
    }
    return wrong_type(decoder, field, "of a known kind");
}

/* Fields that the sender did not know stay zero; those that it knew besides are passed over. */
static int decode_fields(struct decoder *decoder, const struct record_shape *shape,
    const msgpack_object *values, uint32_t count, char *record)
{
    if (count > shape->field_count)
        count = shape->field_count;
    for (uint32_t i = 0; i < count; i++) {
        const struct field_shape *field = &shape->fields[i];
        int result = decode_field(decoder, field, &values[i], record + field->offset);
        if (result < 0) {
            (void)error_prefix(decoder->error, "%s", shape->name);
            return result;
        }
    }
    return 0;
}

static int decode_record(struct decoder *decoder, const struct record_shape *shape,
    const msgpack_object *object, char *record)
{
    if (object->type != MSGPACK_OBJECT_ARRAY)
        return error_set(decoder->error, ERR_MALFORMED, "a %s is not an array", shape->name);
    return decode_fields(decoder, shape, object->via.array.ptr, object->via.array.size, record);
}

/* Unpacks one value that was walked. What it makes lives in `zone`. */
static int unpack_array(struct slice bytes, size_t *position, msgpack_zone *zone,
    msgpack_object_array *ret_array, struct error *error)
{
    msgpack_object object;
    msgpack_unpack_return result = msgpack_unpack(bytes.ptr, bytes.length, position, zone, &object);
    if (result == MSGPACK_UNPACK_NOMEM_ERROR)
        memory_exhausted("a message could not be unpacked");
    if (result != MSGPACK_UNPACK_SUCCESS && result != MSGPACK_UNPACK_EXTRA_BYTES)
        return error_set(error, ERR_MALFORMED, "not msgpack");
    if (object.type != MSGPACK_OBJECT_ARRAY || object.via.array.size == 0)
        return error_set(error, ERR_MALFORMED, "a header or message is not an array with a number");
    *ret_array = object.via.array;
    return 0;
}

/* header->version is the one that is understood. */
static int header_decode(
    struct decoder *decoder, const msgpack_object_array *array, struct frame_header *header)
{
    const msgpack_object *version = &array->ptr[0];
    if (version->type == MSGPACK_OBJECT_POSITIVE_INTEGER && version->via.u64 != header->version)
        return error_set(decoder->error, ERR_VERSION,
            "the peer speaks protocol version %" PRIu64
            ", this program version %u: update the older",
            version->via.u64, header->version);
    return decode_fields(decoder, frame_header_shape(), array->ptr, array->size, (char *)header);
}

static void zone_begin(msgpack_zone *zone)
{
    if (!msgpack_zone_init(zone, ZONE_BYTES))
        memory_exhausted("a message could not be unpacked");
}

static int open_frame(struct slice bytes, struct frame_reader reader,
    struct frame_reader *ret_reader, struct error *error)
{
    if (bytes.length > FRAME_MAX_BYTES)
        return error_set(error, ERR_MALFORMED, "a frame of %zu bytes, at most %d are allowed",
            bytes.length, FRAME_MAX_BYTES);
    size_t header_end = 0;
    int result = walk_value(bytes, &header_end, error);
    if (result < 0)
        return result;

    struct decoder decoder = {.arena = reader.arena, .error = error};
    msgpack_zone zone;
    msgpack_object_array array;
    zone_begin(&zone);
    size_t position = 0;
    result = unpack_array(slice_make(bytes.ptr, header_end), &position, &zone, &array, error);
    if (result == 0)
        result = header_decode(&decoder, &array, &reader.header);
    msgpack_zone_destroy(&zone);
    if (result < 0)
        return result;

    for (size_t end = header_end; end < bytes.length;) {
        result = walk_value(bytes, &end, error);
        if (result < 0)
            return result;
    }
    reader.rest = slice_make(bytes.ptr + header_end, bytes.length - header_end);
    *ret_reader = reader;
    return 0;
}

int frame_open(
    struct slice bytes, struct arena *arena, struct frame_reader *ret_reader, struct error *error)
{
    const struct frame_reader reader = {.arena = arena, .header.version = PROTOCOL_VERSION};
    return open_frame(bytes, reader, ret_reader, error);
}

int frame_open_host(
    struct slice bytes, struct arena *arena, struct frame_reader *ret_reader, struct error *error)
{
    const struct frame_reader reader = {.arena = arena, .header.version = PROTOCOL_HOST_VERSION};
    return open_frame(bytes, reader, ret_reader, error);
}

/* Only in a frame of numbered messages could an unknown one be numbered; skipping that one would
 * lose it for good. */
static int flow_check(const struct frame_header *header, uint64_t number,
    const struct message_shape *shape, struct error *error)
{
    if (shape == NULL && header->number != 0)
        return error_set(error, ERR_VERSION,
            "message %" PRIu64 " is not known to this program: update it", number);
    if (shape != NULL && shape->numbered && header->number == 0)
        return error_set(
            error, ERR_MALFORMED, "%s in a frame without a number", shape->record.name);
    return 0;
}

static int message_decode(struct frame_reader *reader, const msgpack_object_array *array,
    size_t bytes, struct message *message, struct error *error)
{
    if (array->ptr[0].type != MSGPACK_OBJECT_POSITIVE_INTEGER || array->ptr[0].via.u64 > UINT32_MAX)
        return error_set(error, ERR_MALFORMED, "a message does not begin with its number");
    uint32_t number = (uint32_t)array->ptr[0].via.u64;
    const struct message_shape *shape = message_shape(number);
    int result = flow_check(&reader->header, number, shape, error);
    if (result < 0)
        return result;
    *message = (struct message){.number = number};
    if (shape == NULL)
        return 0;
    struct decoder decoder = {.arena = reader->arena, .budget = bytes * GROWTH_MAX, .error = error};
    char *body = arena_alloc(reader->arena, shape->record.size);
    message->body = body;
    return decode_fields(&decoder, &shape->record, array->ptr + 1, array->size - 1, body);
}

int frame_next(struct frame_reader *reader, struct message *ret_message, struct error *error)
{
    if (reader->rest.length == 0)
        return 0;
    msgpack_zone zone;
    msgpack_object_array array;
    struct message message;
    zone_begin(&zone);
    size_t used = 0;
    int result = unpack_array(reader->rest, &used, &zone, &array, error);
    if (result == 0)
        result = message_decode(reader, &array, used, &message, error);
    msgpack_zone_destroy(&zone);
    if (result < 0)
        return result;
    reader->rest = slice_make(reader->rest.ptr + used, reader->rest.length - used);
    *ret_message = message;
    return 1;
}

int frame_next_number(struct frame_reader *reader, uint32_t *ret_number, struct error *error)
{
    uint64_t number;
    size_t used = 0;
    if (reader->rest.length == 0)
        return 0;
    int result = walk_value(reader->rest, &used, error);
    if (result < 0)
        return result;
    if (!walk_first_number(reader->rest, 0, &number) || number > UINT32_MAX)
        return error_set(error, ERR_MALFORMED, "a message does not begin with its number");
    reader->rest = slice_make(reader->rest.ptr + used, reader->rest.length - used);
    *ret_number = (uint32_t)number;
    return 1;
}

uint64_t frame_version(struct slice bytes)
{
    uint64_t version;
    return walk_first_number(bytes, 0, &version) ? version : 0;
}
