#include "proto/proto.h"

#include <assert.h>
#include <stddef.h>

/* One name for a record's struct and a message's struct, so that a FIELD need not know which it
 * belongs to. */
#define RECORD(name, doc) typedef struct name owner_##name;
#define END_RECORD(name)
#define MESSAGE(number, name, flow, doc) typedef struct msg_##name owner_##name;
#define END_MESSAGE(name)
#define FIELD(owner, kind, name, doc)
#define FIELD_RECORD(owner, record, name, doc)
#define FIELD_LIST(owner, record, name, max, doc)
#define FIELD_TEXTS(owner, name, max, doc)
#include "proto/messages.def"
#undef RECORD
#undef END_RECORD
#undef MESSAGE
#undef END_MESSAGE
#undef FIELD
#undef FIELD_RECORD
#undef FIELD_LIST
#undef FIELD_TEXTS

#define COUNT(array) (uint32_t)(sizeof(array) / sizeof *(array))

/* The fields of everything, and the shapes of the records; a record stands before its first use. */
#define RECORD(name, doc)                                                                          \
    static const char doc_##name[] = doc;                                                          \
    static const struct field_shape fields_##name[] = {
#define END_RECORD(name)                                                                           \
    }                                                                                              \
    ;                                                                                              \
    static const struct record_shape shape_##name = {                                              \
        #name, doc_##name, fields_##name, COUNT(fields_##name), sizeof(owner_##name)};
#define MESSAGE(number, name, flow, doc) static const struct field_shape fields_##name[] = {
#define END_MESSAGE(name)                                                                          \
    }                                                                                              \
    ;
#define FIELD(owner, kind, name, doc)                                                              \
    {#name, doc, FIELD_KIND_##kind, 0, offsetof(owner_##owner, name), NULL},
#define FIELD_RECORD(owner, record, name, doc)                                                     \
    {#name, doc, FIELD_KIND_RECORD, 0, offsetof(owner_##owner, name), &shape_##record},
#define FIELD_LIST(owner, record, name, max, doc)                                                  \
    {#name, doc, FIELD_KIND_LIST, max, offsetof(owner_##owner, name), &shape_##record},
#define FIELD_TEXTS(owner, name, max, doc)                                                         \
    {#name, doc, FIELD_KIND_TEXTS, max, offsetof(owner_##owner, name), NULL},
#include "proto/messages.def"
#undef RECORD
#undef END_RECORD
#undef MESSAGE
#undef END_MESSAGE
#undef FIELD
#undef FIELD_RECORD
#undef FIELD_LIST
#undef FIELD_TEXTS

#define FLOW_NUMBERED true
#define FLOW_PLAIN    false
#define RECORD(name, doc)
#define END_RECORD(name)
#define END_MESSAGE(name)
#define FIELD(owner, kind, name, doc)
#define FIELD_RECORD(owner, record, name, doc)
#define FIELD_LIST(owner, record, name, max, doc)
#define FIELD_TEXTS(owner, name, max, doc)

#define MESSAGE(number, name, flow, doc)                                                           \
    {number, FLOW_##flow, {#name, doc, fields_##name, COUNT(fields_##name), sizeof(owner_##name)}},
static const struct message_shape messages[] = {
#include "proto/messages.def"
};
#undef MESSAGE

/* A number's place in `messages`, plus one. */
enum place {
    PLACE_NONE,
#define MESSAGE(number, name, flow, doc) PLACE_##name,
#include "proto/messages.def"
#undef MESSAGE
};
static const unsigned char places[] = {
#define MESSAGE(number, name, flow, doc) [number] = PLACE_##name,
#include "proto/messages.def"
#undef MESSAGE
};
static_assert(sizeof messages / sizeof *messages < 256, "a place no longer fits in a byte");

const struct message_shape *message_shape(uint32_t number)
{
    if (number >= sizeof places || places[number] == PLACE_NONE)
        return NULL;
    return &messages[places[number] - 1];
}

const struct message_shape *message_shapes(size_t *ret_count)
{
    *ret_count = sizeof messages / sizeof *messages;
    return messages;
}

const struct record_shape *frame_header_shape(void)
{
    return &shape_frame_header;
}
