#include "common/limits.h"
#include "common/memory.h"
#include "proto/proto.h"
#include "proto_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <msgpack/pack.h>

enum { ROUNDS = 40 };

static int write_bytes(void *buffer, const char *bytes, size_t length)
{
    buffer_append(buffer, bytes, length);
    return 0;
}

static void header_append(struct buffer *frame, uint64_t number)
{
    struct frame_header header = {
        .epoch = 3, .leader = 4, .session = 5, .number = number, .ack = 9};
    frame_begin(frame, &header);
}

static void bytes_append(struct buffer *frame, const char *bytes, size_t length)
{
    header_append(frame, 0);
    buffer_append(frame, bytes, length);
}

/* Reads all of a frame from memory of exactly its size, so that a sanitizer sees a step beyond it.
 */
static int frame_read(const char *bytes, size_t length, struct error *error)
{
    char *exact = xmalloc(length);
    memcpy(exact, bytes, length);
    struct arena arena = {0};
    struct frame_reader reader;
    int result = frame_open(slice_make(exact, length), &arena, &reader, error);
    while (result >= 0) {
        struct message message;
        result = frame_next(&reader, &message, error);
        if (result <= 0)
            break;
        struct buffer text = {0};
        message_print(message.number, message.body, &text);
        assert_true(text.length > 0);
        buffer_fini(&text);
    }
    arena_fini(&arena);
    free(exact);
    return result;
}

static int raw_read(const char *bytes, size_t length, struct error *error)
{
    struct buffer frame = {0};
    bytes_append(&frame, bytes, length);
    int result = frame_read(frame.data, frame.length, error);
    buffer_fini(&frame);
    return result;
}

/* A frame of one random message of this shape. */
static char *random_frame(
    struct random_source *random, const struct message_shape *shape, struct buffer *frame)
{
    char *body = arena_alloc(random->arena, shape->record.size);
    random_record(random, &shape->record, body);
    buffer_clear(frame);
    header_append(frame, shape->numbered ? 1 : 0);
    message_encode(frame, shape->number, body);
    return body;
}

static void proto_shapes_by_number_are_found(void **state)
{
    (void)state;
    size_t count;
    const struct message_shape *shapes = message_shapes(&count);
    assert_true(count > 50);
    for (size_t i = 0; i < count; i++) {
        assert_true(i == 0 || shapes[i - 1].number < shapes[i].number);
        assert_ptr_equal(message_shape(shapes[i].number), &shapes[i]);
        assert_string_equal(message_name(shapes[i].number), shapes[i].record.name);
    }
    assert_null(message_shape(0));
    assert_null(message_shape(9));
    assert_null(message_shape(4000000000u));
    assert_string_equal(message_name(9), "?");
    assert_true(message_shape(MESSAGE_assign)->numbered);
    assert_false(message_shape(MESSAGE_heartbeat)->numbered);
}

static void proto_names_of_states_are_read_back(void **state)
{
    (void)state;
    assert_string_equal(run_state_name(RUN_QUEUED), "queued");
    assert_string_equal(task_state_name(TASK_UPSTREAM_FAILED), "upstream_failed");
    assert_string_equal(attempt_state_name(ATTEMPT_LOST), "lost");
    assert_string_equal(worker_state_name(WORKER_GONE), "gone");
    assert_string_equal(reason_name(REASON_NONE), "");
    assert_string_equal(reason_name(REASON_SKIP_CODE), "skip_code");
    assert_string_equal(holding_name(HOLDING_IN_HAND), "in_hand");
    assert_string_equal(task_state_name(99), "?");
    for (uint32_t i = TASK_WAITING; i <= TASK_CANCELLING; i++)
        assert_int_equal(task_state_of(slice_of(task_state_name(i))), i);
    assert_int_equal(run_state_of(slice_of("cancelled")), RUN_CANCELLED);
    assert_int_equal(run_state_of(slice_of("succes")), 0);
    assert_int_equal(task_state_of(slice_of("")), 0);
}

static void proto_random_messages_come_back_equal(void **state)
{
    (void)state;
    size_t count;
    const struct message_shape *shapes = message_shapes(&count);
    for (size_t i = 0; i < count * ROUNDS; i++) {
        const struct message_shape *shape = &shapes[i % count];
        struct arena arena = {0};
        struct random_source random = {.state = i, .items_max = 5, .arena = &arena};
        struct buffer frame = {0};
        char *body = random_frame(&random, shape, &frame);
        struct error error = {0};
        struct frame_reader reader;
        struct message message;
        assert_int_equal(frame_open(buffer_slice(&frame), &arena, &reader, &error), 0);
        assert_int_equal(reader.header.version, PROTOCOL_VERSION);
        assert_int_equal(reader.header.session, 5);
        assert_int_equal(reader.header.ack, 9);
        if (frame_next(&reader, &message, &error) != 1)
            fail_msg("%s, seed %zu: %s", shape->record.name, i, error.text);
        assert_int_equal(message.number, shape->number);
        if (!record_equal(&shape->record, body, message.body))
            fail_msg("%s, seed %zu: came back different", shape->record.name, i);
        assert_int_equal(frame_next(&reader, &message, &error), 0);
        buffer_fini(&frame);
        arena_fini(&arena);
    }
}

static void proto_many_messages_in_a_frame_come_in_order(void **state)
{
    (void)state;
    struct buffer frame = {0};
    header_append(&frame, 1);
    for (uint32_t i = 0; i < 1000; i++) {
        struct msg_settled settled = {.id = {.run = 1, .task = i, .attempt = 1}};
        message_encode(&frame, MESSAGE_settled, &settled);
    }
    struct arena arena = {0};
    struct frame_reader reader;
    assert_int_equal(frame_open(buffer_slice(&frame), &arena, &reader, NULL), 0);
    struct message message;
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(frame_next(&reader, &message, NULL), 1);
        assert_int_equal(((const struct msg_settled *)message.body)->id.task, i);
    }
    assert_int_equal(frame_next(&reader, &message, NULL), 0);
    arena_fini(&arena);
    buffer_fini(&frame);
}

static void proto_numbers_alone_are_those_that_are_decoded(void **state)
{
    (void)state;
    struct buffer frame = {0};
    struct arena arena = {0};
    struct frame_reader reader;
    uint32_t number;
    size_t count;
    const struct message_shape *shapes = message_shapes(&count);
    header_append(&frame, 7);
    for (size_t i = 0; i < count; i++)
        message_encode(&frame, shapes[i].number, arena_alloc(&arena, shapes[i].record.size));
    assert_int_equal(frame_version(buffer_slice(&frame)), PROTOCOL_VERSION);
    assert_int_equal(frame_open(buffer_slice(&frame), &arena, &reader, NULL), 0);
    struct frame_reader numbers = reader;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(frame_next_number(&numbers, &number, NULL), 1);
        assert_int_equal(number, shapes[i].number);
    }
    assert_int_equal(frame_next_number(&numbers, &number, NULL), 0);
    /* The reader itself stayed. */
    struct message message;
    assert_int_equal(frame_next(&reader, &message, NULL), 1);
    assert_int_equal(message.number, shapes[0].number);
    arena_fini(&arena);
    buffer_fini(&frame);
}

static void proto_what_has_no_number_has_none(void **state)
{
    static const char *const none[] = {"\xc3", "\x90", "\x91\xff", "\x91\xa1x", "\x81\x01\x01",
        "\x91\xcf\0\0\0\1\0\0\0\0", "\x91\xd0\x80"};
    static const size_t lengths[] = {1, 1, 2, 3, 3, 10, 3};
    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        struct frame_reader reader = {.rest = slice_make(none[i], lengths[i])};
        uint32_t number;
        assert_int_equal(frame_next_number(&reader, &number, NULL), ERR_MALFORMED);
    }
    assert_int_equal(frame_version(slice_of(NULL)), 0);
    assert_int_equal(frame_version(slice_make("\xdc", 1)), 0);
    assert_int_equal(frame_version(slice_make("\x91\xcd\x01", 3)), 0);
    assert_int_equal(frame_version(slice_make("\x91\xd1\x01\x02", 4)), 0x102);
    assert_int_equal(frame_version(slice_make("\xdc\0\1\xcd\x01\x02", 6)), 0x102);
}

static void proto_decoded_texts_borrow_the_frame(void **state)
{
    (void)state;
    struct msg_watch watch = {.request = 7, .run = slice_of("salaries/17")};
    struct buffer frame = {0};
    header_append(&frame, 0);
    message_encode(&frame, MESSAGE_watch, &watch);
    struct arena arena = {0};
    struct frame_reader reader;
    struct message message;
    assert_int_equal(frame_open(buffer_slice(&frame), &arena, &reader, NULL), 0);
    assert_int_equal(frame_next(&reader, &message, NULL), 1);
    const struct msg_watch *read = message.body;
    assert_true(read->run.ptr > frame.data && read->run.ptr < frame.data + frame.length);
    arena_fini(&arena);
    buffer_fini(&frame);
}

static void proto_every_truncation_is_an_error(void **state)
{
    (void)state;
    size_t count;
    const struct message_shape *shapes = message_shapes(&count);
    for (size_t i = 0; i < count * 3; i++) {
        struct arena arena = {0};
        struct random_source random = {.state = i, .items_max = 3, .arena = &arena};
        struct buffer frame = {0};
        struct buffer header = {0};
        (void)random_frame(&random, &shapes[i % count], &frame);
        header_append(&header, shapes[i % count].numbered ? 1 : 0);
        size_t step = frame.length > 4000 ? frame.length / 2000 : 1;
        for (size_t length = 0; length < frame.length; length += step) {
            if (length == header.length)
                continue; /* a frame without messages is a frame */
            assert_int_equal(frame_read(frame.data, length, NULL), ERR_MALFORMED);
        }
        buffer_fini(&header);
        buffer_fini(&frame);
        arena_fini(&arena);
    }
}

static void proto_changed_bytes_do_no_harm(void **state)
{
    (void)state;
    size_t count;
    const struct message_shape *shapes = message_shapes(&count);
    for (size_t i = 0; i < count * 3; i++) {
        struct arena arena = {0};
        struct random_source random = {.state = i + 1000, .items_max = 3, .arena = &arena};
        struct buffer frame = {0};
        (void)random_frame(&random, &shapes[i % count], &frame);
        size_t step = frame.length > 1000 ? frame.length / 500 : 1;
        for (size_t at = 0; at < frame.length; at += step) {
            char flip = (char)(1u << random_next(&random) % 8);
            frame.data[at] ^= flip;
            int result = frame_read(frame.data, frame.length, NULL);
            assert_true(result == 0 || result == ERR_MALFORMED || result == ERR_VERSION);
            frame.data[at] ^= flip;
        }
        buffer_fini(&frame);
        arena_fini(&arena);
    }
}

static void pack_first_fields(msgpack_packer *packer, const struct msg_kill *kill, size_t count)
{
    if (count > 0) {
        (void)msgpack_pack_array(packer, 4);
        (void)msgpack_pack_uint64(packer, kill->id.run);
        (void)msgpack_pack_uint32(packer, kill->id.task);
        (void)msgpack_pack_uint32(packer, kill->id.map);
        (void)msgpack_pack_uint32(packer, kill->id.attempt);
    }
    if (count > 1)
        (void)msgpack_pack_uint32(packer, kill->reason);
    if (count > 2)
        (void)msgpack_pack_map(packer, 1), (void)msgpack_pack_nil(packer),
            (void)msgpack_pack_array(packer, 0);
    if (count > 3)
        (void)msgpack_pack_double(packer, 1.5);
}

static void proto_fields_of_older_and_newer_peers_are_zero_or_skipped(void **state)
{
    (void)state;
    struct msg_kill kill = {
        .id = {.run = 8, .task = 9, .map = 1, .attempt = 2}, .reason = REASON_TIMEOUT};
    const struct record_shape *shape = &message_shape(MESSAGE_kill)->record;
    for (uint32_t fields = 0; fields <= 4; fields++) {
        struct buffer frame = {0};
        header_append(&frame, 1);
        msgpack_packer packer;
        msgpack_packer_init(&packer, &frame, write_bytes);
        (void)msgpack_pack_array(&packer, fields + 1);
        (void)msgpack_pack_uint32(&packer, MESSAGE_kill);
        pack_first_fields(&packer, &kill, fields);
        struct arena arena = {0};
        struct frame_reader reader;
        struct message message;
        assert_int_equal(frame_open(buffer_slice(&frame), &arena, &reader, NULL), 0);
        assert_int_equal(frame_next(&reader, &message, NULL), 1);
        if (fields < shape->field_count)
            assert_true(record_is_zero_from(shape, message.body, fields));
        else
            assert_true(record_equal(shape, message.body, (const char *)&kill));
        arena_fini(&arena);
        buffer_fini(&frame);
    }
}

static void proto_unknown_plain_message_is_skipped(void **state)
{
    (void)state;
    struct buffer frame = {0};
    bytes_append(&frame, "\x93\xcd\x03\xe7\x81\x01\x02\xc7\x01\x05\x00", 11);
    struct msg_ping ping = {.request = 77};
    message_encode(&frame, MESSAGE_ping, &ping);
    struct arena arena = {0};
    struct frame_reader reader;
    struct message message;
    assert_int_equal(frame_open(buffer_slice(&frame), &arena, &reader, NULL), 0);
    assert_int_equal(frame_next(&reader, &message, NULL), 1);
    assert_int_equal(message.number, 999);
    assert_null(message.body);
    assert_int_equal(frame_next(&reader, &message, NULL), 1);
    assert_int_equal(((const struct msg_ping *)message.body)->request, 77);
    arena_fini(&arena);
    buffer_fini(&frame);
}

static void proto_unknown_numbered_message_is_refused(void **state)
{
    (void)state;
    struct buffer frame = {0};
    header_append(&frame, 12);
    buffer_append(&frame, "\x91\xcd\x03\xe7", 4);
    struct error error = {0};
    assert_int_equal(frame_read(frame.data, frame.length, &error), ERR_VERSION);
    assert_non_null(strstr(error.text, "999"));
    buffer_fini(&frame);
}

static void proto_numbered_message_without_number_is_malformed(void **state)
{
    (void)state;
    struct buffer frame = {0};
    header_append(&frame, 0);
    struct msg_kill kill = {0};
    message_encode(&frame, MESSAGE_kill, &kill);
    assert_int_equal(frame_read(frame.data, frame.length, NULL), ERR_MALFORMED);
    buffer_fini(&frame);
}

static void proto_other_version_names_both(void **state)
{
    (void)state;
    struct error error = {0};
    assert_int_equal(frame_read("\x92\x63\xc0", 3, &error), ERR_VERSION);
    assert_non_null(strstr(error.text, "99"));
    assert_non_null(strstr(error.text, "version 1"));
    /* A later version may frame its messages otherwise: the header alone is read before it is
     * refused. */
    assert_int_equal(frame_read("\x92\x63\xc0\xc1\xc1", 5, &error), ERR_VERSION);
    assert_int_equal(frame_read("\x91\x00", 2, &error), ERR_VERSION);
}

/* An agent reads what an older one left on its disk, and talks to the runner that it started,
 * whatever the network's version has become since. */
static void proto_host_frames_keep_their_version(void **state)
{
    struct arena arena = {0};
    struct frame_reader reader;
    struct buffer frame = {0};
    (void)state;
    const struct msg_runner_stop stop = {.now = true};
    frame_begin(&frame, &(struct frame_header){.version = 1});
    message_encode(&frame, MESSAGE_runner_stop, &stop);
    assert_int_equal(frame_open_host(buffer_slice(&frame), &arena, &reader, NULL), 0);
    buffer_clear(&frame);
    frame_begin(&frame, &(struct frame_header){.version = PROTOCOL_HOST_VERSION + 1});
    assert_int_equal(frame_open_host(buffer_slice(&frame), &arena, &reader, NULL), ERR_VERSION);
    buffer_fini(&frame);
    arena_fini(&arena);
}

static void proto_shortened_header_is_filled_with_zero(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct frame_reader reader;
    assert_int_equal(frame_open(slice_make("\x92\x01\x07", 3), &arena, &reader, NULL), 0);
    assert_int_equal(reader.header.epoch, 7);
    assert_int_equal(reader.header.session, 0);
    assert_int_equal(reader.rest.length, 0);
    arena_fini(&arena);
}

#define GOOD(bytes)      assert_int_equal(raw_read(bytes, sizeof(bytes) - 1, NULL), 0)
#define MALFORMED(bytes) assert_int_equal(raw_read(bytes, sizeof(bytes) - 1, NULL), ERR_MALFORMED)

static void proto_what_is_no_message_is_malformed(void **state)
{
    (void)state;
    assert_int_equal(frame_read("", 0, NULL), ERR_MALFORMED);
    assert_int_equal(frame_read("\x90", 1, NULL), ERR_MALFORMED);
    assert_int_equal(frame_read("\x01", 1, NULL), ERR_MALFORMED);
    assert_int_equal(frame_read("\x91\xa1x", 3, NULL), ERR_MALFORMED);
    assert_int_equal(frame_read("\x92\x01\xff", 3, NULL), ERR_MALFORMED);
    MALFORMED("\x01");                         /* not an array */
    MALFORMED("\x80");                         /* a map */
    MALFORMED("\x90");                         /* no number */
    MALFORMED("\x91\xff");                     /* a negative number */
    MALFORMED("\x91\xa1x");                    /* text for a number */
    MALFORMED("\x91\xcf\0\0\0\x01\0\0\0\x28"); /* a number over 32 bits */
    MALFORMED("\xc1");                         /* never used in msgpack */
}

static void proto_fields_of_a_wrong_type_are_malformed(void **state)
{
    (void)state;
    GOOD("\x92\x28\x05");                      /* ping{request=5} */
    MALFORMED("\x92\x28\xff");                 /* negative */
    MALFORMED("\x92\x28\xc0");                 /* nil */
    MALFORMED("\x92\x28\xcb\0\0\0\0\0\0\0\0"); /* a double */
    MALFORMED("\x92\x28\xa1x");                /* text */
    GOOD("\x95\x02\x01\xce\xff\xff\xff\xff\x01\xc3");
    MALFORMED("\x95\x02\x01\xcf\0\0\0\x01\0\0\0\0\x01\xc3"); /* running over 32 bits */
    MALFORMED("\x95\x02\x01\x01\x01\x01");                   /* full is no bool */
    MALFORMED("\x93\x16\x01\x01\x28");                       /* 2 messages, one a number */
    GOOD("\x94\x15\x01\xff\xa1x");                           /* refused, code -1 */
    MALFORMED("\x94\x15\x01\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xa1x"); /* code over i64 */
    MALFORMED("\x94\x15\x01\xff\xc4\x01x");                             /* bytes for text */
    MALFORMED("\x92\x5d\xa1x");                    /* text for bytes: blob_kept.hash */
    MALFORMED("\x92\x50\x01");                     /* a number for a record: log_open.id */
    MALFORMED("\x94\x14\xa0\xa0\x80");             /* a map for a list: registered.keep */
    MALFORMED("\x94\x14\xa0\xa0\x91\x01");         /* a number for an item */
    MALFORMED("\x96\x29\x01\xa0\xa0\x91\x01\xa0"); /* a number for a text of a list */
}

static void proto_false_claims_cost_nothing(void **state)
{
    (void)state;
    struct error error;
    assert_int_equal(frame_read("\xdd\xff\xff\xff\xff", 5, &error), ERR_MALFORMED);
    assert_int_equal(frame_read("\xdf\xff\xff\xff\xff", 5, &error), ERR_MALFORMED);
    assert_int_equal(frame_read("\xdb\xff\xff\xff\xff", 5, &error), ERR_MALFORMED);
    assert_int_equal(frame_read("\xc9\xff\xff\xff\xff", 5, &error), ERR_MALFORMED);
    MALFORMED("\xdd\xff\xff\xff\xff");
    MALFORMED("\x94\x14\xa0\xa0\xdd\xff\xff\xff\xff");
    MALFORMED("\x94\x14\xa0\xa0\xdf\x7f\xff\xff\xff");
    /* In a field that would be skipped, too. */
    MALFORMED("\x93\x28\x01\xdd\xff\xff\xff\xff");
}

static void proto_nesting_ends_at_its_bound(void **state)
{
    (void)state;
    char bytes[64];
    memset(bytes, 0x91, sizeof bytes);
    struct error error = {0};
    for (size_t depth = 2; depth < 60; depth++) {
        /* ping, then nested arrays as a field that is skipped */
        memcpy(bytes, "\x93\x28\x01", 3);
        bytes[2 + depth] = 0x01;
        int result = raw_read(bytes, 3 + depth, &error);
        assert_int_equal(result, depth <= MESSAGE_DEPTH_MAX ? 0 : ERR_MALFORMED);
        bytes[2 + depth] = (char)0x91;
    }
    assert_non_null(strstr(error.text, "deeper"));
}

static void proto_list_over_its_bound_is_malformed(void **state)
{
    (void)state;
    for (uint32_t count = 64; count <= 65; count++) {
        struct buffer frame = {0};
        header_append(&frame, 0);
        msgpack_packer packer;
        msgpack_packer_init(&packer, &frame, write_bytes);
        (void)msgpack_pack_array(&packer, 10);
        (void)msgpack_pack_uint32(&packer, MESSAGE_register);
        (void)msgpack_pack_bin(&packer, 0);
        for (int i = 0; i < 3; i++)
            (void)msgpack_pack_str(&packer, 0);
        (void)msgpack_pack_bin(&packer, 0);
        for (int i = 0; i < 3; i++)
            (void)msgpack_pack_uint32(&packer, 1);
        (void)msgpack_pack_array(&packer, count);
        for (uint32_t i = 0; i < count; i++)
            (void)msgpack_pack_str_with_body(&packer, "q", 1);
        struct error error = {0};
        int result = frame_read(frame.data, frame.length, &error);
        assert_int_equal(result, count == 64 ? 0 : ERR_MALFORMED);
        if (count == 65)
            assert_string_equal(
                error.text, "register: field queues has 65 items, at most 64 are allowed");
        buffer_fini(&frame);
    }
}

static void proto_lists_of_empty_records_stay_in_their_budget(void **state)
{
    (void)state;
    enum { COUNT = 1000000 };
    struct buffer frame = {0};
    bytes_append(&frame, "\x94\x14\xa0\xa0", 4);
    msgpack_packer packer;
    msgpack_packer_init(&packer, &frame, write_bytes);
    (void)msgpack_pack_array(&packer, COUNT);
    memset(buffer_reserve(&frame, COUNT), 0x90, COUNT);
    frame.length += COUNT;
    /* attempt_id is small: a million empty ones are within the bound, of held_attempt they are not.
     */
    assert_int_equal(frame_read(frame.data, frame.length, NULL), 0);

    buffer_clear(&frame);
    bytes_append(&frame, "\x9c\x01\xc4\x00\xa0\xa0\xa0\xc4\x00\x01\x01\x01\x90\x01", 14);
    (void)msgpack_pack_array(&packer, COUNT);
    memset(buffer_reserve(&frame, COUNT), 0x90, COUNT);
    frame.length += COUNT;
    struct error error = {0};
    assert_int_equal(frame_read(frame.data, frame.length, &error), ERR_MALFORMED);
    assert_non_null(strstr(error.text, "nearly empty"));
    buffer_fini(&frame);
}

static void proto_long_registration_is_read(void **state)
{
    (void)state;
    enum { COUNT = 200000 };
    struct held_attempt *held = xcalloc(COUNT, sizeof *held);
    for (uint32_t i = 0; i < COUNT; i++)
        held[i] = (struct held_attempt){.id = {.run = 1ull << 60, .task = i, .attempt = 1},
            .holding = HOLDING_ENDED,
            .instance = 1ull << 62};
    struct msg_register message = {.slots = 4, .attempts = {held, COUNT}};
    struct buffer frame = {0};
    header_append(&frame, 0);
    message_encode(&frame, MESSAGE_register, &message);
    struct arena arena = {0};
    struct frame_reader reader;
    struct message read;
    assert_int_equal(frame_open(buffer_slice(&frame), &arena, &reader, NULL), 0);
    assert_int_equal(frame_next(&reader, &read, NULL), 1);
    assert_true(
        record_equal(&message_shape(MESSAGE_register)->record, (const char *)&message, read.body));
    arena_fini(&arena);
    buffer_fini(&frame);
    free(held);
}

static void proto_frame_over_its_bound_is_malformed(void **state)
{
    (void)state;
    char *bytes = xcalloc(FRAME_MAX_BYTES + 1, 1);
    struct error error = {0};
    assert_int_equal(frame_read(bytes, FRAME_MAX_BYTES + 1, &error), ERR_MALFORMED);
    assert_non_null(strstr(error.text, "8388608"));
    free(bytes);
}

static void proto_print_escapes_and_cuts(void **state)
{
    (void)state;
    char bytes[100];
    memset(bytes, 'x', sizeof bytes);
    memcpy(bytes, "\x1b[2J\n\"\\\xc3", 8);
    struct msg_given_back given_back = {
        .id = {.run = 5, .task = 3, .attempt = 1}, .why = slice_make(bytes, sizeof bytes)};
    struct buffer out = {0};
    message_print(MESSAGE_given_back, &given_back, &out);
    assert_non_null(strstr(buffer_text(&out), "given_back{id={run=5,task=3,map=0,attempt=1},why=\""
                                              "\\x1b[2J\\n\\\"\\\\\\xc3xxx"));
    assert_non_null(strstr(buffer_text(&out), "xxx\"+20}"));
    buffer_clear(&out);
    struct msg_runner_kill kill = {.reason = 99};
    message_print(MESSAGE_runner_kill, &kill, &out);
    assert_non_null(strstr(buffer_text(&out), "reason=?99}"));
    buffer_clear(&out);
    message_print(999, NULL, &out);
    assert_string_equal(buffer_text(&out), "?999{}");
    buffer_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(proto_shapes_by_number_are_found),
        cmocka_unit_test(proto_names_of_states_are_read_back),
        cmocka_unit_test(proto_random_messages_come_back_equal),
        cmocka_unit_test(proto_many_messages_in_a_frame_come_in_order),
        cmocka_unit_test(proto_numbers_alone_are_those_that_are_decoded),
        cmocka_unit_test(proto_what_has_no_number_has_none),
        cmocka_unit_test(proto_decoded_texts_borrow_the_frame),
        cmocka_unit_test(proto_every_truncation_is_an_error),
        cmocka_unit_test(proto_changed_bytes_do_no_harm),
        cmocka_unit_test(proto_fields_of_older_and_newer_peers_are_zero_or_skipped),
        cmocka_unit_test(proto_unknown_plain_message_is_skipped),
        cmocka_unit_test(proto_unknown_numbered_message_is_refused),
        cmocka_unit_test(proto_numbered_message_without_number_is_malformed),
        cmocka_unit_test(proto_other_version_names_both),
        cmocka_unit_test(proto_host_frames_keep_their_version),
        cmocka_unit_test(proto_shortened_header_is_filled_with_zero),
        cmocka_unit_test(proto_what_is_no_message_is_malformed),
        cmocka_unit_test(proto_fields_of_a_wrong_type_are_malformed),
        cmocka_unit_test(proto_false_claims_cost_nothing),
        cmocka_unit_test(proto_nesting_ends_at_its_bound),
        cmocka_unit_test(proto_list_over_its_bound_is_malformed),
        cmocka_unit_test(proto_lists_of_empty_records_stay_in_their_budget),
        cmocka_unit_test(proto_long_registration_is_read),
        cmocka_unit_test(proto_frame_over_its_bound_is_malformed),
        cmocka_unit_test(proto_print_escapes_and_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
