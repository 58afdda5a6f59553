/*
 * proto.h - the messages of messages.def: structs, encoder, decoder, printer. Pure.
 *
 * A frame is a frame_header followed by messages, all msgpack arrays, one after another. Decoded
 * texts and bytes borrow the frame, lists come from the arena. Before msgpack-c allocates anything,
 * frame_open has walked the frame: every count against the bytes that are left, depth, types; a bad
 * frame is ERR_MALFORMED, one of another protocol version ERR_VERSION with both versions named.
 */
#ifndef PROTO_PROTO_H
#define PROTO_PROTO_H

#include "common/arena.h"
#include "common/buffer.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

/* tests/next builds programs of another one. */
#ifndef REEVE_PROTOCOL_VERSION
#define REEVE_PROTOCOL_VERSION 1
#endif

enum {
    PROTOCOL_VERSION = REEVE_PROTOCOL_VERSION,
    /* Of frames that never leave a host: between an agent and its runner, and on the agent's disk.
       An agent takes over the runner and the files of an older one, so that this is never raised:
       there fields and messages are only added. */
    PROTOCOL_HOST_VERSION = 1,
};

/* In the texts of an assign: stands for the folder of the artifacts, which the agent alone knows
 * and puts in its place. */
#define ASSIGN_ARTIFACTS_MARK "\001reeve-artifacts\001"

enum run_state {
#define RUN_STATE(name, number, text) RUN_##name = number,
#include "proto/states.def"
#undef RUN_STATE
};
enum task_state {
#define TASK_STATE(name, number, text) TASK_##name = number,
#include "proto/states.def"
#undef TASK_STATE
};
enum attempt_state {
#define ATTEMPT_STATE(name, number, text) ATTEMPT_##name = number,
#include "proto/states.def"
#undef ATTEMPT_STATE
};
enum worker_state {
#define WORKER_STATE(name, number, text) WORKER_##name = number,
#include "proto/states.def"
#undef WORKER_STATE
};
enum reason {
#define REASON(name, number, text) REASON_##name = number,
#include "proto/states.def"
#undef REASON
};
enum holding {
#define HOLDING(name, number, text) HOLDING_##name = number,
#include "proto/states.def"
#undef HOLDING
};

/* "queued", "exit_code", …; "?" for a number that is not known. */
const char *run_state_name(uint32_t state);
const char *task_state_name(uint32_t state);
const char *attempt_state_name(uint32_t state);
const char *worker_state_name(uint32_t state);
const char *reason_name(uint32_t reason);
const char *holding_name(uint32_t holding);
/* The number of a name, or 0. */
uint32_t run_state_of(struct slice name);
uint32_t task_state_of(struct slice name);

/* Kinds of fields and what they are in a struct. Enums are uint32_t on the wire and in structs. */
enum field_kind {
    FIELD_KIND_U32,           /* uint32_t */
    FIELD_KIND_U64,           /* uint64_t */
    FIELD_KIND_I64,           /* int64_t */
    FIELD_KIND_BOOL,          /* bool */
    FIELD_KIND_TEXT,          /* struct slice: UTF-8 is not checked; whoever prints it escapes */
    FIELD_KIND_OPTIONAL_TEXT, /* struct slice; empty prints as null */
    FIELD_KIND_BYTES,         /* struct slice; prints as hex */
    FIELD_KIND_SECRET,        /* struct slice; only its length is ever printed */
    FIELD_KIND_WALL,          /* int64_t; prints as a time, 0 as null */
    FIELD_KIND_CODE,          /* int64_t; -1 prints as null */
    FIELD_KIND_RUN_STATE,     /* uint32_t; prints by name, as do the next five */
    FIELD_KIND_TASK_STATE,
    FIELD_KIND_ATTEMPT_STATE,
    FIELD_KIND_WORKER_STATE,
    FIELD_KIND_REASON,
    FIELD_KIND_HOLDING,
    FIELD_KIND_RECORD, /* the record's struct */
    FIELD_KIND_LIST,   /* struct { struct RECORD *items; uint32_t count; } */
    FIELD_KIND_TEXTS,  /* struct texts */
};

struct texts {
    struct slice *items;
    uint32_t count;
};

#define PROTO_TYPE_U32           uint32_t
#define PROTO_TYPE_U64           uint64_t
#define PROTO_TYPE_I64           int64_t
#define PROTO_TYPE_BOOL          bool
#define PROTO_TYPE_TEXT          struct slice
#define PROTO_TYPE_OPTIONAL_TEXT struct slice
#define PROTO_TYPE_BYTES         struct slice
#define PROTO_TYPE_SECRET        struct slice
#define PROTO_TYPE_WALL          int64_t
#define PROTO_TYPE_CODE          int64_t
#define PROTO_TYPE_RUN_STATE     uint32_t
#define PROTO_TYPE_TASK_STATE    uint32_t
#define PROTO_TYPE_ATTEMPT_STATE uint32_t
#define PROTO_TYPE_WORKER_STATE  uint32_t
#define PROTO_TYPE_REASON        uint32_t
#define PROTO_TYPE_HOLDING       uint32_t

/* struct attempt_id, struct held_attempt, … and for each message struct msg_NAME. */
#define RECORD(name, doc) struct name {
#define END_RECORD(name)                                                                           \
    }                                                                                              \
    ;
#define MESSAGE(number, name, flow, doc) struct msg_##name {
#define END_MESSAGE(name)                                                                          \
    }                                                                                              \
    ;
#define FIELD(owner, kind, name, doc)          PROTO_TYPE_##kind name;
#define FIELD_RECORD(owner, record, name, doc) struct record name;
#define FIELD_LIST(owner, record, name, max, doc)                                                  \
    struct {                                                                                       \
        struct record *items;                                                                      \
        uint32_t count;                                                                            \
    } name;
#define FIELD_TEXTS(owner, name, max, doc) struct texts name;
#include "proto/messages.def"
#undef RECORD
#undef END_RECORD
#undef MESSAGE
#undef END_MESSAGE
#undef FIELD
#undef FIELD_RECORD
#undef FIELD_LIST
#undef FIELD_TEXTS

enum message_id {
    MESSAGE_NONE = 0,
#define RECORD(name, doc)
#define END_RECORD(name)
#define MESSAGE(number, name, flow, doc) MESSAGE_##name = number,
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
};

/* The shape of a record or message, for generic code (printers, JSON, the protocol page). */
struct record_shape;
struct field_shape {
    const char *name;
    const char *doc;
    enum field_kind kind;
    uint32_t max;                      /* LIST, TEXTS: most items */
    size_t offset;                     /* in the struct */
    const struct record_shape *record; /* RECORD, LIST */
};
struct record_shape {
    const char *name;
    const char *doc;
    const struct field_shape *fields;
    uint32_t field_count;
    size_t size; /* of the struct */
};
struct message_shape {
    uint32_t number;
    bool numbered;
    struct record_shape record;
};

/* Any LIST field, for generic code. */
struct record_list {
    void *items;
    uint32_t count;
};
static inline struct record_list record_list_read(const void *field)
{
    struct record_list list;
    memcpy(&list, field, sizeof list);
    return list;
}

/* The shape of a message, or NULL for a number that is not known. */
const struct message_shape *message_shape(uint32_t number);
/* All, by number; *ret_count of them. */
const struct message_shape *message_shapes(size_t *ret_count);
const struct record_shape *frame_header_shape(void);
/* The name of a value of a kind that prints by name; NULL for other kinds. */
const char *field_enum_name(enum field_kind kind, uint32_t value);

/* "register", …; "?" when not known. */
const char *message_name(uint32_t number);

/* Appends a frame's header; messages follow by message_encode. Version 0 stands for
 * PROTOCOL_VERSION. */
void frame_begin(struct buffer *frame, const struct frame_header *header);
/* Appends one message; `body` is the struct msg_NAME of that number. */
void message_encode(struct buffer *frame, enum message_id number, const void *body);

struct message {
    uint32_t number;
    const void
        *body; /* the struct msg_NAME; NULL for a number that is not known (it was skipped) */
};

/* Walks the messages of one frame. */
struct frame_reader {
    struct frame_header header;
    struct slice rest;
    struct arena *arena;
};

/* Checks the whole frame and reads its header. `bytes` and `arena` outlive what is read. */
int frame_open(
    struct slice bytes, struct arena *arena, struct frame_reader *ret_reader, struct error *error);
/* Likewise, of a frame that was begun with PROTOCOL_HOST_VERSION. */
int frame_open_host(
    struct slice bytes, struct arena *arena, struct frame_reader *ret_reader, struct error *error);
/*
 * The next message: 1 and *ret_message, 0 at the end. ERR_MALFORMED when it does not have its shape
 * (a list too long, a field of the wrong type) or is numbered in a frame without a number;
 * ERR_VERSION for a number that is not known in a frame of numbered messages.
 */
int frame_next(struct frame_reader *reader, struct message *ret_message, struct error *error);

/*
 * The number of the next message of an opened frame, which is passed over and not decoded: 1 and
 * *ret_number, 0 at the end, ERR_MALFORMED. Allocates nothing. For who must know what a frame holds
 * before it is handed on; a copy of the reader leaves the reader where it is.
 */
int frame_next_number(struct frame_reader *reader, uint32_t *ret_number, struct error *error);
/* The protocol version that a frame claims, of its first bytes; 0 when none can be read there. */
uint64_t frame_version(struct slice bytes);

/* One line of text for logs and the simulator's story: "assign{id={run=…,task=3,…},…}"; texts
 * escaped and cut. */
void message_print(uint32_t number, const void *body, struct buffer *out);

#endif
