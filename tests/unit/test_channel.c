#include "common/limits.h"
#include "common/memory.h"
#include "proto/channel.h"
#include "proto_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct frame_header leadership = {.epoch = 2, .leader = 8};

static void settled_add(struct channel *channel, uint64_t run)
{
    struct msg_settled settled = {.id = {.run = run, .attempt = 1}};
    channel_add(channel, MESSAGE_settled, &settled);
}

/* Takes a frame as a receiver does; what it accepts must follow `*taken`. */
static void frame_take(struct channel *channel, struct slice bytes, uint64_t *taken)
{
    struct arena arena = {0};
    struct frame_reader reader;
    struct message message;
    assert_int_equal(frame_open(bytes, &arena, &reader, NULL), 0);
    assert_int_equal(reader.header.session, channel->session);
    assert_int_equal(reader.header.epoch, 2);
    assert_int_equal(channel_acked(channel, reader.header.ack, NULL), 0);
    for (uint64_t number = reader.header.number; frame_next(&reader, &message, NULL) == 1;
         number++) {
        if (!channel_accept(channel, number))
            continue;
        const struct msg_settled *settled = message.body;
        assert_int_equal(settled->id.run, *taken + 1);
        *taken = settled->id.run;
    }
    arena_fini(&arena);
}

static void channel_empty_has_no_frame(void **state)
{
    (void)state;
    struct channel channel;
    struct buffer frame = {0};
    channel_init(&channel);
    channel_open(&channel, 5);
    assert_false(channel_frame(&channel, &leadership, 0, &frame));
    assert_int_equal(frame.length, 0);
    channel_resend(&channel, 100000);
    assert_false(channel_frame(&channel, &leadership, 100000, &frame));
    channel_fini(&channel);
}

static void channel_frames_stay_near_their_size(void **state)
{
    (void)state;
    struct channel channel;
    channel_init(&channel);
    channel_open(&channel, 5);
    for (uint64_t i = 1; i <= 30000; i++)
        settled_add(&channel, i);
    size_t bytes = channel_unacked_bytes(&channel);
    assert_true(bytes > 3 * FRAME_TARGET_BYTES);
    struct buffer frame = {0};
    size_t frames = 0;
    while (channel_frame(&channel, &leadership, 0, &frame)) {
        assert_true(frame.length < FRAME_TARGET_BYTES + 100);
        buffer_clear(&frame);
        frames++;
    }
    assert_true(frames <= bytes / (FRAME_TARGET_BYTES - 100) + 1);
    buffer_fini(&frame);
    channel_fini(&channel);
}

static void channel_message_larger_than_a_frame_goes_alone(void **state)
{
    (void)state;
    struct channel channel;
    channel_init(&channel);
    channel_open(&channel, 5);
    struct msg_given_back large = {.why = slice_make(xcalloc(200000, 1), 200000)};
    settled_add(&channel, 1);
    channel_add(&channel, MESSAGE_given_back, &large);
    settled_add(&channel, 2);
    struct buffer frame = {0};
    size_t lengths[3];
    for (size_t i = 0; i < 3; i++) {
        buffer_clear(&frame);
        assert_true(channel_frame(&channel, &leadership, 0, &frame));
        lengths[i] = frame.length;
    }
    assert_false(channel_frame(&channel, &leadership, 0, &frame));
    assert_true(lengths[0] < 100 && lengths[1] > 200000 && lengths[2] < 100);
    buffer_fini(&frame);
    channel_fini(&channel);
    free((void *)large.why.ptr);
}

static void channel_ack_of_what_was_never_sent_is_malformed(void **state)
{
    (void)state;
    struct channel channel;
    channel_init(&channel);
    channel_open(&channel, 5);
    settled_add(&channel, 1);
    struct error error = {0};
    assert_int_equal(channel_acked(&channel, 2, &error), ERR_MALFORMED);
    assert_true(strlen(error.text) > 0);
    struct buffer frame = {0};
    assert_true(channel_frame(&channel, &leadership, 0, &frame));
    assert_int_equal(channel_acked(&channel, 3, NULL), ERR_MALFORMED);
    assert_int_equal(channel_acked(&channel, 0, NULL), 0);
    assert_int_equal(channel_unacked_bytes(&channel) > 0, true);
    assert_int_equal(channel_acked(&channel, 2, NULL), 0);
    assert_int_equal(channel_acked(&channel, 1, NULL), 0); /* an old one, overtaken */
    assert_int_equal(channel_unacked_bytes(&channel), 0);
    buffer_fini(&frame);
    channel_fini(&channel);
}

static void channel_late_ack_after_a_resend_is_taken(void **state)
{
    (void)state;
    struct channel channel;
    channel_init(&channel);
    channel_open(&channel, 5);
    struct buffer frame = {0};
    for (uint64_t i = 1; i <= 3; i++)
        settled_add(&channel, i);
    assert_true(channel_frame(&channel, &leadership, 0, &frame));
    channel_resend(&channel, CHANNEL_RESEND_MS);
    assert_int_equal(channel_acked(&channel, 4, NULL), 0);
    assert_false(channel_frame(&channel, &leadership, CHANNEL_RESEND_MS, &frame));
    assert_int_equal(channel_unacked_bytes(&channel), 0);
    buffer_fini(&frame);
    channel_fini(&channel);
}

/* A lost frame must be sent again even while new ones keep the channel busy. */
static void channel_resend_waits_for_the_oldest(void **state)
{
    (void)state;
    struct channel channel;
    channel_init(&channel);
    channel_open(&channel, 5);
    struct buffer frame = {0};
    uint64_t now = 0;
    for (; now < CHANNEL_RESEND_MS; now += 100) {
        settled_add(&channel, now / 100 + 1);
        assert_true(channel_frame(&channel, &leadership, now, &frame));
        channel_resend(&channel, now);
        buffer_clear(&frame);
        assert_false(channel_frame(&channel, &leadership, now, &frame));
    }
    channel_resend(&channel, now);
    assert_true(channel_frame(&channel, &leadership, now, &frame));
    uint64_t taken = 0;
    struct channel peer;
    channel_init(&peer);
    channel_open(&peer, 5);
    frame_take(&peer, buffer_slice(&frame), &taken);
    assert_int_equal(taken, CHANNEL_RESEND_MS / 100);
    channel_fini(&peer);
    buffer_fini(&frame);
    channel_fini(&channel);
}

static void channel_ack_in_part_begins_the_wait_anew(void **state)
{
    (void)state;
    struct channel channel;
    channel_init(&channel);
    channel_open(&channel, 5);
    struct buffer frame = {0};
    settled_add(&channel, 1);
    settled_add(&channel, 2);
    assert_true(channel_frame(&channel, &leadership, 0, &frame));
    assert_int_equal(channel_acked(&channel, 2, NULL), 0);
    channel_resend(&channel, CHANNEL_RESEND_MS); /* sees the progress */
    assert_false(channel_frame(&channel, &leadership, CHANNEL_RESEND_MS, &frame));
    channel_resend(&channel, 2 * CHANNEL_RESEND_MS);
    buffer_clear(&frame);
    assert_true(channel_frame(&channel, &leadership, 2 * CHANNEL_RESEND_MS, &frame));
    struct arena arena = {0};
    struct frame_reader reader;
    assert_int_equal(frame_open(buffer_slice(&frame), &arena, &reader, NULL), 0);
    assert_int_equal(reader.header.number, 2);
    arena_fini(&arena);
    buffer_fini(&frame);
    channel_fini(&channel);
}

static void channel_memory_is_given_back_after_acks(void **state)
{
    (void)state;
    struct channel channel;
    channel_init(&channel);
    channel_open(&channel, 5);
    struct buffer frame = {0};
    for (uint64_t i = 1; i <= 200000; i++)
        settled_add(&channel, i);
    assert_true(channel.bytes.capacity > 1000000);
    while (channel_frame(&channel, &leadership, 0, &frame))
        buffer_clear(&frame);
    for (uint64_t ack = 1; ack <= 190001; ack += 100)
        assert_int_equal(channel_acked(&channel, ack, NULL), 0);
    assert_true(channel.bytes.length < 3 * channel_unacked_bytes(&channel));
    assert_int_equal(channel_acked(&channel, 200001, NULL), 0);
    assert_int_equal(channel_unacked_bytes(&channel), 0);
    assert_int_equal(channel.bytes.capacity, 0);
    assert_int_equal(channel.ends_capacity, 0);
    buffer_fini(&frame);
    channel_fini(&channel);
}

/* A busy channel that is never quite empty must not grow. */
static void channel_busy_stays_small(void **state)
{
    (void)state;
    struct channel channel;
    channel_init(&channel);
    channel_open(&channel, 5);
    struct buffer frame = {0};
    settled_add(&channel, 1);
    for (uint64_t i = 2; i <= 300000; i++) {
        settled_add(&channel, i);
        (void)channel_frame(&channel, &leadership, i, &frame);
        buffer_clear(&frame);
        assert_int_equal(channel_acked(&channel, i, NULL), 0);
    }
    assert_true(channel.bytes.capacity <= 512 * 1024);
    assert_true(channel.ends_capacity <= 64);
    buffer_fini(&frame);
    channel_fini(&channel);
}

static void channel_open_forgets_what_was(void **state)
{
    (void)state;
    struct channel channel;
    channel_init(&channel);
    channel_open(&channel, 5);
    struct buffer frame = {0};
    settled_add(&channel, 1);
    assert_true(channel_accept(&channel, 1));
    channel_open(&channel, 6);
    assert_false(channel_frame(&channel, &leadership, 0, &frame));
    assert_true(channel_accept(&channel, 1));
    channel_plain_frame(&channel, &leadership, &frame);
    struct arena arena = {0};
    struct frame_reader reader;
    assert_int_equal(frame_open(buffer_slice(&frame), &arena, &reader, NULL), 0);
    assert_int_equal(reader.header.session, 6);
    assert_int_equal(reader.header.number, 0);
    assert_int_equal(reader.header.ack, 2);
    assert_int_equal(reader.header.leader, 8);
    arena_fini(&arena);
    buffer_fini(&frame);
    channel_fini(&channel);
}

/* ---- two sides and a network that loses, doubles and reorders ---- */

enum { IN_FLIGHT_MAX = 16 };

struct side {
    struct channel channel;
    uint64_t added;
    uint64_t taken;
    struct buffer in_flight[IN_FLIGHT_MAX]; /* frames on their way to this side */
};

static void frame_launch(struct random_source *random, struct side *to, const struct buffer *frame)
{
    uint64_t copies = random_next(random) % 3; /* lost, once, doubled */
    for (uint64_t i = 0; i < copies; i++) {
        struct buffer *place = &to->in_flight[random_next(random) % IN_FLIGHT_MAX];
        buffer_clear(place); /* what was there is lost */
        buffer_append_slice(place, buffer_slice(frame));
    }
}

static void side_sends(
    struct random_source *random, struct side *from, struct side *to, uint64_t now_ms)
{
    struct buffer frame = {0};
    while (channel_frame(&from->channel, &leadership, now_ms, &frame)) {
        frame_launch(random, to, &frame);
        buffer_clear(&frame);
    }
    channel_plain_frame(&from->channel, &leadership, &frame);
    frame_launch(random, to, &frame);
    buffer_fini(&frame);
}

static void side_takes(struct random_source *random, struct side *side)
{
    struct buffer *frame = &side->in_flight[random_next(random) % IN_FLIGHT_MAX];
    if (frame->length > 0)
        frame_take(&side->channel, buffer_slice(frame), &side->taken);
    if (random_next(random) % 2 == 0)
        buffer_clear(frame); /* else it comes again, much later */
}

static bool sides_done(const struct side *sides)
{
    return sides[0].taken == sides[1].added && sides[1].taken == sides[0].added &&
           channel_unacked_bytes(&sides[0].channel) == 0 &&
           channel_unacked_bytes(&sides[1].channel) == 0;
}

static void sides_run(uint64_t seed)
{
    struct random_source random = {.state = seed};
    struct side sides[2] = {0};
    for (int i = 0; i < 2; i++) {
        channel_init(&sides[i].channel);
        channel_open(&sides[i].channel, 77);
    }
    uint64_t now_ms = 0;
    for (int step = 0; step < 1000 || !sides_done(sides); step++) {
        assert_true(step < 1000000);
        struct side *side = &sides[random_next(&random) % 2];
        struct side *other = side == &sides[0] ? &sides[1] : &sides[0];
        now_ms += random_next(&random) % 200;
        for (uint64_t i = random_next(&random) % 200; step < 1000 && i > 0; i--)
            settled_add(&side->channel, ++side->added);
        side_sends(&random, side, other, now_ms);
        side_takes(&random, side);
        side_takes(&random, other);
        if (step % 7 == 0)
            channel_resend(&side->channel, now_ms);
    }
    assert_true(sides[0].added > 10000);
    for (int i = 0; i < 2; i++) {
        for (int j = 0; j < IN_FLIGHT_MAX; j++)
            buffer_fini(&sides[i].in_flight[j]);
        channel_fini(&sides[i].channel);
    }
}

static void channel_over_a_bad_network_takes_all_once_in_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++)
        sides_run(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(channel_empty_has_no_frame),
        cmocka_unit_test(channel_frames_stay_near_their_size),
        cmocka_unit_test(channel_message_larger_than_a_frame_goes_alone),
        cmocka_unit_test(channel_ack_of_what_was_never_sent_is_malformed),
        cmocka_unit_test(channel_late_ack_after_a_resend_is_taken),
        cmocka_unit_test(channel_resend_waits_for_the_oldest),
        cmocka_unit_test(channel_ack_in_part_begins_the_wait_anew),
        cmocka_unit_test(channel_memory_is_given_back_after_acks),
        cmocka_unit_test(channel_busy_stays_small),
        cmocka_unit_test(channel_open_forgets_what_was),
        cmocka_unit_test(channel_over_a_bad_network_takes_all_once_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
