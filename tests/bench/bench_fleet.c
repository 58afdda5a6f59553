/*
 * What a large fleet costs the scheduler's core by itself: heartbeats, each a batch of its own, and
 * tasks that need slots, some of them a label. Workers answer at once; no sockets, no disk.
 *
 *     bench_fleet [WORKERS [TASKS]]
 */
#include "common/dag/compile.h"
#include "common/memory.h"
#include "master/core/core.h"
#include "proto/channel.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SLOTS = 4, ROUNDS = 20, LABELLED_EACH = 10, RUN_KEY = 12345 };

struct fake {
    struct channel channel;
    unsigned char key[WORKER_KEY_BYTES], boot[BOOT_ID_BYTES];
    char name[16];
};

struct bench {
    struct core *master;
    struct effects *effects;
    struct fake *fakes; /* a worker's peer is its index and one */
    uint32_t count;
    uint64_t now_ms, assigned;
    struct arena arena;
};

static double seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void master_take(struct bench *bench, struct event event)
{
    event.now_ms = bench->now_ms;
    event.now_wall = 1000;
    core_step(bench->master, &event, bench->effects);
}

static void hear(struct bench *bench, uint32_t index, const struct buffer *frame)
{
    struct event event = {.kind = EVENT_FRAME};
    event.frame.peer = index + 1;
    event.frame.bytes = buffer_slice(frame);
    master_take(bench, event);
}

static void say_plain(struct bench *bench, uint32_t index, enum message_id number, const void *body)
{
    struct buffer frame = {0};
    struct frame_header header = {.version = PROTOCOL_VERSION, .epoch = 1};
    channel_plain_frame(&bench->fakes[index].channel, &header, &frame);
    message_encode(&frame, number, body);
    hear(bench, index, &frame);
    buffer_fini(&frame);
}

/* Each assignment of a frame succeeds at once. */
static void take_frame(struct bench *bench, struct fake *fake, struct slice frame)
{
    struct frame_reader reader;
    struct message message;
    if (frame_open(frame, &bench->arena, &reader, NULL) != 0)
        exit(1);
    (void)channel_acked(&fake->channel, reader.header.ack, NULL);
    uint64_t number = reader.header.number;
    while (frame_next(&reader, &message, NULL) == 1) {
        if (message_shape(message.number)->numbered && !channel_accept(&fake->channel, number++))
            continue;
        if (message.number != MESSAGE_assign)
            continue;
        struct msg_ended ended = {
            .id = ((const struct msg_assign *)message.body)->id, .state = ATTEMPT_SUCCESS};
        channel_add(&fake->channel, MESSAGE_ended, &ended);
        bench->assigned++;
    }
}

/* What the workers have to say, a batch for each. False when that is nothing. */
static bool answer(struct bench *bench)
{
    struct frame_header header = {.version = PROTOCOL_VERSION, .epoch = 1};
    struct buffer frame = {0};
    bool said = false;
    for (uint32_t i = 0; i < bench->count; i++) {
        while (channel_frame(&bench->fakes[i].channel, &header, bench->now_ms, &frame)) {
            hear(bench, i, &frame);
            buffer_clear(&frame);
            said = true;
        }
    }
    buffer_fini(&frame);
    return said;
}

/* The end of a batch: what it sends reaches the workers. */
static void flush(struct bench *bench)
{
    master_take(bench, (struct event){.kind = EVENT_FLUSH});
    for (size_t i = 0; i < bench->effects->send_count; i++) {
        const struct send_effect *send = &bench->effects->sends[i];
        take_frame(bench, &bench->fakes[send->peer - 1], send->frame);
    }
    arena_reset(&bench->arena);
    effects_reset(bench->effects);
}

static void fake_register(struct bench *bench, uint32_t index)
{
    struct fake *fake = &bench->fakes[index];
    struct slice queue = slice_of("default"), label = slice_of("gpu");
    memcpy(fake->key, &index, sizeof index);
    fake->key[WORKER_KEY_BYTES - 1] = 1;
    memcpy(fake->boot, fake->key, sizeof fake->boot);
    (void)snprintf(fake->name, sizeof fake->name, "w%u", index);
    channel_open(&fake->channel, index + 1);
    struct msg_register message = {
        .worker = slice_make(fake->key, sizeof fake->key),
        .name = slice_of(fake->name),
        .host = slice_of("host"),
        .boot = slice_make(fake->boot, sizeof fake->boot),
        .instance = index + 1,
        .slots = SLOTS,
        .queues = {&queue, 1},
        .labels = {&label, index % LABELLED_EACH == 0},
        .now = bench->now_ms,
    };
    say_plain(bench, index, MESSAGE_register, &message);
    flush(bench);
}

static void beat_round(struct bench *bench)
{
    bench->now_ms += 1000;
    struct msg_heartbeat heartbeat = {
        .stamp = bench->now_ms, .cpus = 8, .memory_bytes = 1, .disk_bytes = 1};
    for (uint32_t i = 0; i < bench->count; i++) {
        say_plain(bench, i, MESSAGE_heartbeat, &heartbeat);
        flush(bench);
    }
}

static void submit(struct bench *bench, uint32_t tasks, struct buffer *plan_bytes)
{
    struct buffer yaml = {0};
    struct diagnostics diagnostics = {0};
    struct event event = {.kind = EVENT_SUBMIT, .request = 1};
    buffer_append_text(&yaml, "dag: bench\ntasks:\n");
    for (uint32_t i = 0; i < tasks; i++)
        buffer_printf(
            &yaml, "  t%06u: {bash: run%s}\n", i, i % LABELLED_EACH == 0 ? ", labels: gpu" : "");
    event.submit.key = RUN_KEY;
    event.submit.context = slice_of("{\"values\":{},\"params\":{}}");
    if (dag_compile(buffer_slice(&yaml), "bench.yaml", plan_bytes, &diagnostics) != 0 ||
        plan_open(buffer_slice(plan_bytes), &event.submit.plan, NULL) != 0)
        exit(1);
    master_take(bench, event);
    diagnostics_fini(&diagnostics);
    buffer_fini(&yaml);
}

static int run(struct bench *bench, uint32_t tasks)
{
    double begin = seconds();
    for (uint32_t i = 0; i < bench->count; i++)
        fake_register(bench, i);
    (void)printf("%u registrations: %.1f ms\n", bench->count, (seconds() - begin) * 1000);
    begin = seconds();
    for (int i = 0; i < ROUNDS; i++)
        beat_round(bench);
    double round = (seconds() - begin) / ROUNDS;
    (void)printf("a heartbeat of each: %.2f ms, %.2f%% of a core at one a second\n", round * 1000,
        round * 100);
    struct buffer plan = {0};
    submit(bench, tasks, &plan);
    begin = seconds();
    do {
        flush(bench);
    } while (answer(bench) || core_has_work(bench->master));
    double took = seconds() - begin;
    struct run_view view;
    bool over = core_view_run(bench->master, RUN_KEY, &view) && view.state == RUN_SUCCESS;
    (void)printf("%llu tasks with slots: %.0f a second (%.2f us each)\n",
        (unsigned long long)bench->assigned, (double)bench->assigned / took,
        took / (double)bench->assigned * 1e6);
    buffer_fini(&plan);
    return over ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct bench bench = {.count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000,
        .now_ms = 1000000,
        .effects = effects_create()};
    uint32_t tasks = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 100000;
    struct core_config config = {
        .epoch = 1, .leader = 1, .cluster = slice_of("bench"), .now_ms = bench.now_ms};
    bench.fakes = xcalloc(bench.count, sizeof *bench.fakes);
    for (uint32_t i = 0; i < bench.count; i++)
        channel_init(&bench.fakes[i].channel);
    bench.master = core_create(&config);
    master_take(&bench, (struct event){.kind = EVENT_LOADED});
    int status = run(&bench, tasks);
    core_destroy(bench.master);
    effects_destroy(bench.effects);
    for (uint32_t i = 0; i < bench.count; i++)
        channel_fini(&bench.fakes[i].channel);
    free(bench.fakes);
    arena_fini(&bench.arena);
    return status;
}
