#include "tests/unit/agent_stage.h"

#include "common/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- events ---- */

void stage_step(struct stage *stage, struct agent_event event)
{
    agent_effects_reset(&stage->effects);
    event.now_ms = stage->now_ms;
    event.random = ++stage->random;
    agent_step(stage->agent, &event, &stage->effects);
    struct agent_event flush = {
        .kind = AGENT_EVENT_FLUSH, .now_ms = stage->now_ms, .random = ++stage->random};
    agent_step(stage->agent, &flush, &stage->effects);
}

void runner_says(struct stage *stage, uint32_t number, const void *body)
{
    stage_step(stage, (struct agent_event){
                          .kind = AGENT_EVENT_RUNNER, .runner = {.number = number, .body = body}});
}

struct frame_header header_of(const struct stage *stage)
{
    return (struct frame_header){.version = PROTOCOL_VERSION,
        .epoch = stage->epoch,
        .leader = stage->leader,
        .session = stage->session};
}

void master_frame(struct stage *stage, const struct buffer *frame)
{
    stage_step(
        stage, (struct agent_event){.kind = AGENT_EVENT_FRAME, .frame = buffer_slice(frame)});
}

void master_tells(struct stage *stage, enum message_id number, const void *body)
{
    struct buffer frame = {0};
    struct frame_header header = header_of(stage);
    channel_plain_frame(&stage->channel, &header, &frame);
    message_encode(&frame, number, body);
    master_frame(stage, &frame);
    buffer_fini(&frame);
}

void master_orders(struct stage *stage, enum message_id number, const void *body)
{
    struct buffer frame = {0};
    struct frame_header header = header_of(stage);
    channel_add(&stage->channel, number, body);
    assert_true(channel_frame(&stage->channel, &header, stage->now_ms, &frame));
    master_frame(stage, &frame);
    buffer_fini(&frame);
}

/* ---- effects ---- */

const struct agent_effect *effect_of(const struct stage *stage, enum agent_effect_kind kind)
{
    for (size_t i = 0; i < stage->effects.count; i++) {
        if (stage->effects.items[i].kind == kind)
            return &stage->effects.items[i];
    }
    return NULL;
}

const void *ordered(const struct stage *stage, uint32_t number)
{
    for (size_t i = 0; i < stage->effects.count; i++) {
        const struct agent_effect *effect = &stage->effects.items[i];
        if (effect->kind == AGENT_RUNNER && effect->runner.number == number)
            return effect->runner.body;
    }
    return NULL;
}

const void *told(struct stage *stage, uint32_t number)
{
    const void *found = NULL;
    for (size_t i = 0; i < stage->effects.count; i++) {
        struct frame_reader reader;
        struct message message;
        if (stage->effects.items[i].kind != AGENT_SEND)
            continue;
        struct slice copy = arena_copy(&stage->arena, stage->effects.items[i].frame);
        assert_int_equal(frame_open(copy, &stage->arena, &reader, NULL), 0);
        while (frame_next(&reader, &message, NULL) == 1) {
            if (message.number != number)
                continue;
            found = message.body;
            if (number == MESSAGE_register)
                stage->session = reader.header.session;
        }
    }
    return found;
}

/* ---- the way to an open session ---- */

struct agent *make_agent(const struct stage *stage, uint64_t dead_instance)
{
    return make_agent_of(stage, &dead_instance, dead_instance != 0 ? 1 : 0);
}

struct agent *make_agent_of(const struct stage *stage, const uint64_t *dead, uint32_t dead_count)
{
    struct slice queue = slice_of("default");
    struct agent_config config = {
        .key = {7},
        .boot = {3},
        .name = slice_of("w1"),
        .host = slice_of("host"),
        .software = slice_of("test"),
        .slots = SLOTS,
        .queues = {&queue, 1},
        .epoch = stage->epoch,
        .leader = stage->leader,
        .cluster = slice_of("c"),
        .dead = dead,
        .dead_count = dead_count,
        .now_ms = stage->now_ms,
    };
    return agent_create(&config);
}

uint64_t nonce_of(const struct stage *stage)
{
    const struct msg_runner_list *list = ordered(stage, MESSAGE_runner_list);
    assert_non_null(list);
    return list->nonce;
}

void runner_listed(struct stage *stage, uint64_t nonce)
{
    struct msg_runner_listed listed = {.nonce = nonce};
    runner_says(stage, MESSAGE_runner_listed, &listed);
}

uint64_t stage_hello(struct stage *stage)
{
    struct msg_runner_hello message = {
        .version = PROTOCOL_VERSION, .instance = stage->instance, .queues = !stage->old_runner};
    if (!stage->old_runner) {
        message.memory_limit_by = slice_of("cgroup");
        message.cpu_limit_by = slice_of("affinity");
    }
    runner_says(stage, MESSAGE_runner_hello, &message);
    return nonce_of(stage);
}

void registered(struct stage *stage, const struct attempt_id *keep, uint32_t count)
{
    channel_open(&stage->channel, stage->session);
    struct msg_registered message = {.cluster = slice_of("c")};
    message.keep.items = (struct attempt_id *)(uintptr_t)keep;
    message.keep.count = count;
    master_tells(stage, MESSAGE_registered, &message);
}

void open_session(struct stage *stage)
{
    runner_listed(stage, stage_hello(stage));
    assert_non_null(told(stage, MESSAGE_register));
    registered(stage, NULL, 0);
    assert_true(agent_is_registered(stage->agent));
}

void stage_ack(struct stage *stage, uint64_t stamp)
{
    struct msg_heartbeat_ack message = {.stamp = stamp};
    master_tells(stage, MESSAGE_heartbeat_ack, &message);
}

void stage_pass(struct stage *stage, uint64_t ms)
{
    for (uint64_t end_ms = stage->now_ms + ms; stage->now_ms < end_ms;) {
        stage->now_ms += 1000;
        stage_step(stage, (struct agent_event){.kind = AGENT_EVENT_TIMER});
        const struct msg_heartbeat *beat = told(stage, MESSAGE_heartbeat);
        if (beat != NULL && !stage->quiet)
            stage_ack(stage, beat->stamp);
    }
}

/* ---- attempts ---- */

void assign_resting_on(struct stage *stage, struct attempt_id id, uint64_t stamp)
{
    struct msg_assign message = {
        .id = id,
        .kind = OPERATOR_BASH,
        .stamp = stamp,
        .lease_ms = LEASE_MS,
        .kill_grace_ms = GRACE_MS,
        .text = slice_of("run"),
        .skip_codes = slice_of("c"), /* 99 */
    };
    master_orders(stage, MESSAGE_assign, &message);
}

void assign(struct stage *stage, struct attempt_id id)
{
    assign_resting_on(stage, id, stage->now_ms);
}

void prepared(struct stage *stage, struct attempt_id id, enum reason reason)
{
    struct agent_event event = {.kind = AGENT_EVENT_PREPARED};
    event.prepared.id = id;
    event.prepared.reason = reason;
    stage_step(stage, event);
}

void started(struct stage *stage, struct attempt_id id)
{
    struct msg_runner_started message = {.id = id, .pid = 1, .at = stage->now_ms};
    runner_says(stage, MESSAGE_runner_started, &message);
}

void stage_run(struct stage *stage, struct attempt_id id)
{
    assign(stage, id);
    assert_non_null(effect_of(stage, AGENT_PREPARE));
    prepared(stage, id, REASON_NONE);
    assert_non_null(ordered(stage, MESSAGE_runner_start));
    started(stage, id);
    bool announced = told(stage, MESSAGE_started) != NULL;
    stage->now_ms += 100;
    stage_step(stage, (struct agent_event){.kind = AGENT_EVENT_TIMER});
    assert_true(announced || told(stage, MESSAGE_started) != NULL);
}

void exited(struct stage *stage, struct attempt_id id, uint32_t reason, int64_t code)
{
    struct msg_runner_exited message = {
        .id = id, .reason = reason, .exit_code = code, .ended_at = stage->now_ms};
    runner_says(stage, MESSAGE_runner_exited, &message);
}

void collected(struct stage *stage, struct attempt_id id)
{
    struct agent_event event = {.kind = AGENT_EVENT_COLLECTED};
    event.collected.id = id;
    event.collected.outputs = slice_of("{}");
    stage_step(stage, event);
}

void saved(struct stage *stage, struct attempt_id id)
{
    stage_step(stage, (struct agent_event){.kind = AGENT_EVENT_SAVED, .saved = id});
}

int stage_setup(void **state)
{
    struct stage *stage = xcalloc(1, sizeof *stage);
    stage->now_ms = START_MS;
    stage->instance = 42;
    stage->epoch = 5;
    stage->leader = 55;
    stage->agent = make_agent(stage, 0);
    channel_init(&stage->channel);
    open_session(stage);
    *state = stage;
    return 0;
}

int stage_teardown(void **state)
{
    struct stage *stage = *state;
    agent_check(stage->agent);
    agent_destroy(stage->agent);
    agent_effects_fini(&stage->effects);
    arena_fini(&stage->arena);
    channel_fini(&stage->channel);
    free(stage);
    return 0;
}
