/*
 * Two sides of a session and a network that does what the input says, two bytes a step: what to do,
 * and with what. Whatever is lost, doubled or overtaken, each side takes what the other added once
 * and in order, and all of it in the end.
 */
#include "common/limits.h"
#include "proto/channel.h"

#include <stdlib.h>

enum { FRAMES = 8 };

struct side {
    struct channel channel;
    uint64_t added;
    uint64_t taken;
    struct buffer frames[FRAMES]; /* on their way to this side */
};

static const struct frame_header leadership = {.epoch = 1, .leader = 1};

static void demand(bool holds)
{
    if (!holds)
        abort();
}

static void frame_take(struct side *side, const struct buffer *frame)
{
    if (frame->length == 0)
        return;
    struct arena arena = {0};
    struct frame_reader reader;
    struct message message;
    demand(frame_open(buffer_slice(frame), &arena, &reader, NULL) == 0);
    demand(channel_acked(&side->channel, reader.header.ack, NULL) == 0);
    uint64_t number = reader.header.number;
    for (; frame_next(&reader, &message, NULL) == 1; number++) {
        if (!channel_accept(&side->channel, number))
            continue;
        const struct msg_given_back *given_back = message.body;
        demand(given_back->id.run == ++side->taken);
    }
    arena_fini(&arena);
}

static void messages_add(struct side *side, unsigned char with)
{
    static const char zeros[FRAME_TARGET_BYTES];
    for (unsigned i = 0; i < (with & 15u); i++) {
        struct msg_given_back given_back = {.id = {.run = ++side->added},
            .why = slice_make(zeros, (with >> 4) * sizeof zeros / 64)};
        channel_add(&side->channel, MESSAGE_given_back, &given_back);
    }
}

static void step(
    struct side *from, struct side *to, unsigned char what, unsigned char with, uint64_t now_ms)
{
    struct buffer *frame = &to->frames[with % FRAMES];
    switch (what >> 1 & 7) {
    case 0:
        messages_add(from, with);
        break;
    case 1:
        buffer_clear(frame); /* what was there is lost */
        (void)channel_frame(&from->channel, &leadership, now_ms, frame);
        break;
    case 2:
        buffer_clear(frame);
        channel_plain_frame(&from->channel, &leadership, frame);
        break;
    case 3:
        frame_take(to, frame); /* and it may come again */
        break;
    case 4:
        frame_take(to, frame);
        buffer_clear(frame);
        break;
    case 5:
        channel_resend(&from->channel, now_ms);
        break;
    default:
        demand(channel_acked(&from->channel, from->channel.sent + 1 + with, NULL) < 0);
        break;
    }
}

/* Faults end: all that was added arrives. */
static void calm(struct side *sides, uint64_t now_ms)
{
    struct buffer frame = {0};
    for (int round = 0; round < 8; round++) {
        now_ms += CHANNEL_RESEND_MS;
        struct side *from = &sides[round & 1];
        struct side *to = &sides[(round & 1) ^ 1];
        channel_resend(&from->channel, now_ms);
        channel_resend(&from->channel, now_ms + CHANNEL_RESEND_MS);
        while (channel_frame(&from->channel, &leadership, now_ms, &frame)) {
            frame_take(to, &frame);
            buffer_clear(&frame);
        }
        channel_plain_frame(&from->channel, &leadership, &frame);
        frame_take(to, &frame);
        buffer_clear(&frame);
    }
    buffer_fini(&frame);
    for (int i = 0; i < 2; i++) {
        demand(sides[i].taken == sides[i ^ 1].added);
        demand(channel_unacked_bytes(&sides[i].channel) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct side sides[2] = {0};
    for (int i = 0; i < 2; i++) {
        channel_init(&sides[i].channel);
        channel_open(&sides[i].channel, 1);
    }
    uint64_t now_ms = 0;
    for (size_t i = 0; i + 1 < size && i < 4096; i += 2) {
        now_ms += data[i] >> 4 << 6;
        step(&sides[data[i] & 1], &sides[(data[i] & 1) ^ 1], data[i], data[i + 1], now_ms);
    }
    calm(sides, now_ms);
    for (int i = 0; i < 2; i++) {
        for (int j = 0; j < FRAMES; j++)
            buffer_fini(&sides[i].frames[j]);
        channel_fini(&sides[i].channel);
    }
    return 0;
}
