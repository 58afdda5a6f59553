/* What it costs to encode and to decode a message: ns each, the best of some rounds. */
#include "proto/proto.h"

#include <stdio.h>
#include <time.h>

enum { MESSAGES = 500, ROUNDS = 2000 };

static double now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void frame_encode(struct buffer *frame, enum message_id number, const void *body)
{
    struct frame_header header = {
        .epoch = 3, .leader = 1ull << 63, .session = 5ull << 60, .number = 1};
    buffer_clear(frame);
    frame_begin(frame, &header);
    for (int i = 0; i < MESSAGES; i++)
        message_encode(frame, number, body);
}

static void frame_decode(const struct buffer *frame, struct arena *arena)
{
    struct frame_reader reader;
    struct message message;
    struct error error;
    arena_reset(arena);
    int result = frame_open(buffer_slice(frame), arena, &reader, &error);
    while (result >= 0 && (result = frame_next(&reader, &message, &error)) > 0)
        continue;
    if (result < 0)
        (void)fprintf(stderr, "%s\n", error.text);
}

static void measure(enum message_id number, const void *body)
{
    struct buffer frame = {0};
    struct arena arena = {0};
    double encode_ns = 1e18, decode_ns = 1e18;
    for (int i = 0; i < ROUNDS; i++) {
        double start = now_ns();
        frame_encode(&frame, number, body);
        double middle = now_ns();
        frame_decode(&frame, &arena);
        double end = now_ns();
        encode_ns = middle - start < encode_ns ? middle - start : encode_ns;
        decode_ns = end - middle < decode_ns ? end - middle : decode_ns;
    }
    (void)printf("%-12s %4zu bytes   encode %6.0f ns   decode %6.0f ns\n", message_name(number),
        frame.length / MESSAGES, encode_ns / MESSAGES, decode_ns / MESSAGES);
    buffer_fini(&frame);
    arena_fini(&arena);
}

int main(void)
{
    struct attempt_id id = {.run = 0x9e3779b97f4a7c15u, .task = 54321, .attempt = 1};
    struct msg_settled settled = {.id = id};
    struct msg_ended ended = {.id = id,
        .state = ATTEMPT_SUCCESS,
        .reason = REASON_EXIT_CODE,
        .started_at = 123456789,
        .ended_at = 123456999};
    struct msg_assign noop = {.id = id,
        .stamp = 123456789,
        .lease_ms = 300000,
        .kill_grace_ms = 10000,
        .run_name = slice_of("salaries/17"),
        .task_name = slice_of("extract")};
    struct slice env[20];
    for (int i = 0; i < 20; i++)
        env[i] = slice_of("REEVE_LOGICAL_DATE=2026-11-21T03:00:00Z");
    struct msg_assign bash = noop;
    bash.text = slice_of("./extract.sh \"$REEVE_PARAM_region\"");
    bash.env = (struct texts){env, 20};
    measure(MESSAGE_settled, &settled);
    measure(MESSAGE_ended, &ended);
    measure(MESSAGE_assign, &noop);
    measure(MESSAGE_assign, &bash);
    return 0;
}
