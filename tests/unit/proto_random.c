#include "proto_random.h"

#include <string.h>

static void random_list(struct random_source *random, const struct field_shape *field, void *value)
{
    struct record_list list = {0};
    list.count = (uint32_t)(random_next(random) % (random->items_max + 1));
    if (list.count > field->max)
        list.count = field->max;
    list.items = arena_alloc(random->arena, list.count * field->record->size);
    for (uint32_t i = 0; i < list.count; i++)
        random_record(random, field->record, (char *)list.items + i * field->record->size);
    memcpy(value, &list, sizeof list);
}

static void random_texts(
    struct random_source *random, const struct field_shape *field, struct texts *texts)
{
    texts->count = (uint32_t)(random_next(random) % (random->items_max + 1));
    if (texts->count > field->max)
        texts->count = field->max;
    texts->items = arena_alloc(random->arena, texts->count * sizeof *texts->items);
    for (uint32_t i = 0; i < texts->count; i++)
        texts->items[i] = random_bytes(random);
}

static void random_field(struct random_source *random, const struct field_shape *field, void *value)
{
    switch (field->kind) {
    case FIELD_KIND_U64:
        *(uint64_t *)value = random_number(random);
        break;
    case FIELD_KIND_I64:
    case FIELD_KIND_WALL:
    case FIELD_KIND_CODE:
        *(int64_t *)value = (int64_t)(random_number(random) >> 1);
        if (random_next(random) % 2 == 0)
            *(int64_t *)value = -*(int64_t *)value - 1;
        break;
    case FIELD_KIND_BOOL:
        *(bool *)value = random_next(random) % 2 == 0;
        break;
    case FIELD_KIND_TEXT:
    case FIELD_KIND_OPTIONAL_TEXT:
    case FIELD_KIND_BYTES:
    case FIELD_KIND_SECRET:
        *(struct slice *)value = random_bytes(random);
        break;
    case FIELD_KIND_RECORD:
        random_record(random, field->record, value);
        break;
    case FIELD_KIND_LIST:
        random_list(random, field, value);
        break;
    case FIELD_KIND_TEXTS:
        random_texts(random, field, value);
        break;
    default:
        *(uint32_t *)value = (uint32_t)random_number(random);
        break;
    }
}

void random_record(struct random_source *random, const struct record_shape *shape, char *record)
{
    memset(record, 0, shape->size);
    for (uint32_t i = 0; i < shape->field_count; i++)
        random_field(random, &shape->fields[i], record + shape->fields[i].offset);
}

static bool list_equal(const struct record_shape *shape, struct record_list a, struct record_list b)
{
    if (a.count != b.count)
        return false;
    for (uint32_t i = 0; i < a.count; i++)
        if (!record_equal(
                shape, (char *)a.items + i * shape->size, (char *)b.items + i * shape->size))
            return false;
    return true;
}

static bool texts_equal(const struct texts *a, const struct texts *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!slice_equal(a->items[i], b->items[i]))
            return false;
    return true;
}

static bool field_equal(const struct field_shape *field, const void *a, const void *b)
{
    switch (field->kind) {
    case FIELD_KIND_U64:
    case FIELD_KIND_I64:
    case FIELD_KIND_WALL:
    case FIELD_KIND_CODE:
        return memcmp(a, b, 8) == 0;
    case FIELD_KIND_BOOL:
        return *(const bool *)a == *(const bool *)b;
    case FIELD_KIND_TEXT:
    case FIELD_KIND_OPTIONAL_TEXT:
    case FIELD_KIND_BYTES:
    case FIELD_KIND_SECRET:
        return slice_equal(*(const struct slice *)a, *(const struct slice *)b);
    case FIELD_KIND_RECORD:
        return record_equal(field->record, a, b);
    case FIELD_KIND_LIST:
        return list_equal(field->record, record_list_read(a), record_list_read(b));
    case FIELD_KIND_TEXTS:
        return texts_equal(a, b);
    default:
        return *(const uint32_t *)a == *(const uint32_t *)b;
    }
}

bool record_equal(const struct record_shape *shape, const char *a, const char *b)
{
    for (uint32_t i = 0; i < shape->field_count; i++) {
        const struct field_shape *field = &shape->fields[i];
        if (!field_equal(field, a + field->offset, b + field->offset))
            return false;
    }
    return true;
}

bool record_is_zero_from(const struct record_shape *shape, const char *record, uint32_t first)
{
    char zero[4096] = {0};
    for (uint32_t i = first; i < shape->field_count; i++) {
        const struct field_shape *field = &shape->fields[i];
        if (!field_equal(field, record + field->offset, zero))
            return false;
    }
    return true;
}
