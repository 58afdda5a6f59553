/* The agent in virtual time: the test plays the master, the runner and the host's disk. */
#include "common/dag/plan.h"
#include "common/limits.h"
#include "worker/core/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { START_MS = 1000000, LEASE_MS = 60000, GRACE_MS = 2000, SLOTS = 2 };

struct stage {
    struct agent *agent;
    struct agent_effects effects; /* of the last event and its flush */
    struct arena arena;
    uint64_t now_ms, random, instance;
    /* The master. */
    uint64_t epoch, leader, session;
    struct channel channel;
    bool quiet; /* it does not answer */
};

static const struct attempt_id A = {.run = 9, .task = 1, .attempt = 1};
static const struct attempt_id B = {.run = 9, .task = 2, .attempt = 1};
static const struct attempt_id C = {.run = 9, .task = 3, .attempt = 1};

/* ---- events ---- */

static void step(struct stage *stage, struct agent_event event)
{
    agent_effects_reset(&stage->effects);
    event.now_ms = stage->now_ms;
    event.random = ++stage->random;
    agent_step(stage->agent, &event, &stage->effects);
    struct agent_event flush = {
        .kind = AGENT_EVENT_FLUSH, .now_ms = stage->now_ms, .random = ++stage->random};
    agent_step(stage->agent, &flush, &stage->effects);
}

static void runner_says(struct stage *stage, uint32_t number, const void *body)
{
    step(stage, (struct agent_event){
                    .kind = AGENT_EVENT_RUNNER, .runner = {.number = number, .body = body}});
}

static struct frame_header header_of(const struct stage *stage)
{
    return (struct frame_header){.version = PROTOCOL_VERSION,
        .epoch = stage->epoch,
        .leader = stage->leader,
        .session = stage->session};
}

static void master_frame(struct stage *stage, const struct buffer *frame)
{
    step(stage, (struct agent_event){.kind = AGENT_EVENT_FRAME, .frame = buffer_slice(frame)});
}

/* A PLAIN message in the present session. */
static void master_tells(struct stage *stage, enum message_id number, const void *body)
{
    struct buffer frame = {0};
    struct frame_header header = header_of(stage);
    channel_plain_frame(&stage->channel, &header, &frame);
    message_encode(&frame, number, body);
    master_frame(stage, &frame);
    buffer_fini(&frame);
}

/* A NUMBERED one. */
static void master_orders(struct stage *stage, enum message_id number, const void *body)
{
    struct buffer frame = {0};
    struct frame_header header = header_of(stage);
    channel_add(&stage->channel, number, body);
    assert_true(channel_frame(&stage->channel, &header, stage->now_ms, &frame));
    master_frame(stage, &frame);
    buffer_fini(&frame);
}

/* ---- effects ---- */

static const struct agent_effect *effect_of(const struct stage *stage, enum agent_effect_kind kind)
{
    for (size_t i = 0; i < stage->effects.count; i++) {
        if (stage->effects.items[i].kind == kind)
            return &stage->effects.items[i];
    }
    return NULL;
}

/* What the runner was told of this number, or NULL. */
static const void *ordered(const struct stage *stage, uint32_t number)
{
    for (size_t i = 0; i < stage->effects.count; i++) {
        const struct agent_effect *effect = &stage->effects.items[i];
        if (effect->kind == AGENT_RUNNER && effect->runner.number == number)
            return effect->runner.body;
    }
    return NULL;
}

/* What the master was told of this number in the last event, or NULL; its session is noted. */
static const void *told(struct stage *stage, uint32_t number)
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

static struct agent *make_agent(const struct stage *stage, uint64_t dead_instance)
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
        .dead_instance = dead_instance,
        .now_ms = stage->now_ms,
    };
    return agent_create(&config);
}

static uint64_t nonce_of(const struct stage *stage)
{
    const struct msg_runner_list *list = ordered(stage, MESSAGE_runner_list);
    assert_non_null(list);
    return list->nonce;
}

static void runner_listed(struct stage *stage, uint64_t nonce)
{
    struct msg_runner_listed listed = {.nonce = nonce};
    runner_says(stage, MESSAGE_runner_listed, &listed);
}

static uint64_t hello(struct stage *stage)
{
    struct msg_runner_hello message = {.version = PROTOCOL_VERSION, .instance = stage->instance};
    runner_says(stage, MESSAGE_runner_hello, &message);
    return nonce_of(stage);
}

static void registered(struct stage *stage, const struct attempt_id *keep, uint32_t count)
{
    channel_open(&stage->channel, stage->session);
    struct msg_registered message = {.cluster = slice_of("c")};
    message.keep.items = (struct attempt_id *)(uintptr_t)keep;
    message.keep.count = count;
    master_tells(stage, MESSAGE_registered, &message);
}

static void open_session(struct stage *stage)
{
    runner_listed(stage, hello(stage));
    assert_non_null(told(stage, MESSAGE_register));
    registered(stage, NULL, 0);
    assert_true(agent_is_registered(stage->agent));
}

static void ack(struct stage *stage, uint64_t stamp)
{
    struct msg_heartbeat_ack message = {.stamp = stamp};
    master_tells(stage, MESSAGE_heartbeat_ack, &message);
}

/* Lets time pass, a second at a time; the master acknowledges unless it is quiet. */
static void pass(struct stage *stage, uint64_t ms)
{
    for (uint64_t end_ms = stage->now_ms + ms; stage->now_ms < end_ms;) {
        stage->now_ms += 1000;
        step(stage, (struct agent_event){.kind = AGENT_EVENT_TIMER});
        const struct msg_heartbeat *beat = told(stage, MESSAGE_heartbeat);
        if (beat != NULL && !stage->quiet)
            ack(stage, beat->stamp);
    }
}

static int setup(void **state)
{
    struct stage *stage = calloc(1, sizeof *stage);
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

static int teardown(void **state)
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

/* ---- attempts ---- */

static void assign_resting_on(struct stage *stage, struct attempt_id id, uint64_t stamp)
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

static void assign(struct stage *stage, struct attempt_id id)
{
    assign_resting_on(stage, id, stage->now_ms);
}

static void prepared(struct stage *stage, struct attempt_id id, enum reason reason)
{
    struct agent_event event = {.kind = AGENT_EVENT_PREPARED};
    event.prepared.id = id;
    event.prepared.reason = reason;
    step(stage, event);
}

static void started(struct stage *stage, struct attempt_id id)
{
    struct msg_runner_started message = {.id = id, .pid = 1, .at = stage->now_ms};
    runner_says(stage, MESSAGE_runner_started, &message);
}

static void run(struct stage *stage, struct attempt_id id)
{
    assign(stage, id);
    assert_non_null(effect_of(stage, AGENT_PREPARE));
    prepared(stage, id, REASON_NONE);
    assert_non_null(ordered(stage, MESSAGE_runner_start));
    started(stage, id);
    bool announced = told(stage, MESSAGE_started) != NULL;
    stage->now_ms += 100;
    step(stage, (struct agent_event){.kind = AGENT_EVENT_TIMER});
    assert_true(announced || told(stage, MESSAGE_started) != NULL);
}

static void exited(struct stage *stage, struct attempt_id id, uint32_t reason, int64_t code)
{
    struct msg_runner_exited message = {
        .id = id, .reason = reason, .exit_code = code, .ended_at = stage->now_ms};
    runner_says(stage, MESSAGE_runner_exited, &message);
}

static void collected(struct stage *stage, struct attempt_id id)
{
    struct agent_event event = {.kind = AGENT_EVENT_COLLECTED};
    event.collected.id = id;
    event.collected.outputs = slice_of("{}");
    step(stage, event);
}

static void saved(struct stage *stage, struct attempt_id id)
{
    step(stage, (struct agent_event){.kind = AGENT_EVENT_SAVED, .saved = id});
}

/* ---- the straight way ---- */

static void agent_result_is_told_only_when_it_is_on_disk(void **state)
{
    struct stage *stage = *state;
    run(stage, A);
    exited(stage, A, REASON_EXIT_CODE, 0);
    assert_true(effect_of(stage, AGENT_COLLECT)->collect.success);
    assert_null(told(stage, MESSAGE_ended));
    collected(stage, A);
    assert_int_equal(effect_of(stage, AGENT_SAVE)->save->state, ATTEMPT_SUCCESS);
    assert_null(told(stage, MESSAGE_ended));
    assert_null(ordered(stage, MESSAGE_runner_forget));
    saved(stage, A);
    assert_non_null(told(stage, MESSAGE_ended));
    assert_non_null(ordered(stage, MESSAGE_runner_forget));
    struct msg_settled settled = {.id = A};
    master_orders(stage, MESSAGE_settled, &settled);
    assert_non_null(effect_of(stage, AGENT_DROP));
}

static void agent_starts_in_order_and_no_more_than_its_slots(void **state)
{
    struct stage *stage = *state;
    assign(stage, A);
    assign(stage, B);
    assign(stage, C);
    prepared(stage, C, REASON_NONE);
    /* Two that are still being prepared keep both slots. */
    assert_null(ordered(stage, MESSAGE_runner_start));
    prepared(stage, B, REASON_NONE);
    const struct msg_runner_start *start = ordered(stage, MESSAGE_runner_start);
    assert_int_equal(start->id.task, B.task);
    prepared(stage, A, REASON_NONE);
    assert_int_equal(agent_running(stage->agent), SLOTS);
    exited(stage, B, REASON_EXIT_CODE, 1);
    start = ordered(stage, MESSAGE_runner_start);
    assert_int_equal(start->id.task, C.task);
}

static void agent_noop_is_answered_at_once_and_leaves_nothing(void **state)
{
    struct stage *stage = *state;
    struct msg_assign message = {
        .id = A, .kind = OPERATOR_NOOP, .stamp = stage->now_ms, .lease_ms = LEASE_MS};
    master_orders(stage, MESSAGE_assign, &message);
    const struct msg_ended *ended = told(stage, MESSAGE_ended);
    assert_int_equal(ended->state, ATTEMPT_SUCCESS);
    assert_null(effect_of(stage, AGENT_PREPARE));
}

static void agent_end_means_what_the_runner_says(void **state)
{
    struct stage *stage = *state;
    static const struct {
        uint32_t reason;
        int64_t code;
        uint32_t state;
    } ends[] = {
        {REASON_EXIT_CODE, 0, ATTEMPT_SUCCESS},
        {REASON_EXIT_CODE, 1, ATTEMPT_FAILED},
        {REASON_EXIT_CODE, 99, ATTEMPT_SKIPPED},
        {REASON_SIGNAL, -1, ATTEMPT_FAILED},
        {REASON_TIMEOUT, -1, ATTEMPT_FAILED},
        {REASON_OUT_OF_MEMORY, -1, ATTEMPT_FAILED},
        {REASON_NOT_FOUND, -1, ATTEMPT_FAILED},
        {REASON_CANCELLED, 0, ATTEMPT_CANCELLED},
        {REASON_LEASE, 0, ATTEMPT_LOST},
        {REASON_WORKER_LOST, 0, ATTEMPT_LOST},
        {REASON_NOT_STARTED, -1, ATTEMPT_LOST},
    };
    for (uint32_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        struct attempt_id id = {.run = 77, .task = i, .attempt = 1};
        run(stage, id);
        exited(stage, id, ends[i].reason, ends[i].code);
        collected(stage, id);
        assert_int_equal(effect_of(stage, AGENT_SAVE)->save->state, ends[i].state);
        saved(stage, id);
    }
}

static void agent_that_cannot_prepare_says_why_and_starts_nothing(void **state)
{
    struct stage *stage = *state;
    assign(stage, A);
    prepared(stage, A, REASON_WORKER_ERROR);
    assert_null(ordered(stage, MESSAGE_runner_start));
    assert_int_equal(effect_of(stage, AGENT_SAVE)->save->reason, REASON_WORKER_ERROR);
    saved(stage, A);
    const struct msg_ended *ended = told(stage, MESSAGE_ended);
    assert_int_equal(ended->state, ATTEMPT_FAILED);
    assert_int_equal(ended->started_at, 0);
}

/* ---- leases ---- */

static void agent_starts_nothing_on_an_old_ack(void **state)
{
    struct stage *stage = *state;
    assign(stage, A);
    stage->quiet = true;
    pass(stage, START_FRESH_MS);
    prepared(stage, A, REASON_NONE);
    assert_null(ordered(stage, MESSAGE_runner_start));
    ack(stage, stage->now_ms);
    assert_non_null(ordered(stage, MESSAGE_runner_start));
}

static void agent_gives_back_what_arrives_after_its_lease(void **state)
{
    struct stage *stage = *state;
    assign_resting_on(stage, A, stage->now_ms - LEASE_MS + GRACE_MS);
    const struct msg_given_back *back = told(stage, MESSAGE_given_back);
    assert_int_equal(back->id.task, A.task);
    assert_null(effect_of(stage, AGENT_PREPARE));
    assign_resting_on(stage, B, stage->now_ms - LEASE_MS + GRACE_MS + 1);
    assert_non_null(effect_of(stage, AGENT_PREPARE));
}

static void agent_hands_every_ack_to_the_runner_once(void **state)
{
    struct stage *stage = *state;
    stage->now_ms += 10;
    ack(stage, stage->now_ms);
    const struct msg_runner_renew *renew = ordered(stage, MESSAGE_runner_renew);
    assert_int_equal(renew->stamp, stage->now_ms);
    ack(stage, stage->now_ms - 5);
    assert_null(ordered(stage, MESSAGE_runner_renew));
}

/* ---- kill and take_back ---- */

static void agent_kill_before_the_start_ends_it_as_cancelled(void **state)
{
    struct stage *stage = *state;
    assign(stage, A);
    struct msg_kill kill = {.id = A, .reason = REASON_CANCELLED};
    master_orders(stage, MESSAGE_kill, &kill);
    const struct msg_ended *ended = told(stage, MESSAGE_ended);
    assert_int_equal(ended->state, ATTEMPT_CANCELLED);
    assert_non_null(effect_of(stage, AGENT_DISCARD));
    prepared(stage, A, REASON_NONE);
    assert_null(ordered(stage, MESSAGE_runner_start));
}

static void agent_kill_of_what_runs_goes_to_the_runner(void **state)
{
    struct stage *stage = *state;
    run(stage, A);
    struct msg_kill kill = {.id = A, .reason = REASON_CANCELLED};
    master_orders(stage, MESSAGE_kill, &kill);
    assert_non_null(ordered(stage, MESSAGE_runner_kill));
    assert_null(told(stage, MESSAGE_ended));
    exited(stage, A, REASON_CANCELLED, -1);
    master_orders(stage, MESSAGE_kill, &kill);
    assert_null(ordered(stage, MESSAGE_runner_kill));
    collected(stage, A);
    assert_int_equal(effect_of(stage, AGENT_SAVE)->save->state, ATTEMPT_CANCELLED);
    master_orders(stage, MESSAGE_kill, &kill);
    saved(stage, A);
    master_orders(stage, MESSAGE_kill, &kill);
    assert_null(ordered(stage, MESSAGE_runner_kill));
}

static void agent_gives_back_only_what_has_not_started(void **state)
{
    struct stage *stage = *state;
    struct msg_take_back question = {.id = A};
    run(stage, A);
    master_orders(stage, MESSAGE_take_back, &question);
    assert_null(told(stage, MESSAGE_given_back));
    assign(stage, B);
    question.id = B;
    master_orders(stage, MESSAGE_take_back, &question);
    assert_non_null(told(stage, MESSAGE_given_back));
    assert_non_null(effect_of(stage, AGENT_DISCARD));
    prepared(stage, B, REASON_NONE);
    assert_null(ordered(stage, MESSAGE_runner_start));
    master_orders(stage, MESSAGE_take_back, &question);
    assert_null(told(stage, MESSAGE_given_back));
}

/* ---- sessions ---- */

static void agent_waits_for_its_runner_before_it_lists(void **state)
{
    struct stage *stage = *state;
    run(stage, A);
    struct msg_register_again again = {.session = stage->session};
    master_tells(stage, MESSAGE_register_again, &again);
    uint64_t nonce = nonce_of(stage);
    assert_false(agent_is_registered(stage->agent));
    pass(stage, 3000);
    assert_null(told(stage, MESSAGE_register));
    /* The answer to an older question is none. */
    runner_listed(stage, nonce - 1);
    assert_null(told(stage, MESSAGE_register));
    struct msg_runner_holds holds = {.id = A};
    runner_says(stage, MESSAGE_runner_holds, &holds);
    runner_listed(stage, nonce);
    const struct msg_register *message = told(stage, MESSAGE_register);
    assert_int_equal(message->attempts.count, 1);
    assert_int_equal(message->attempts.items[0].holding, HOLDING_RUNNING);
}

static void agent_drops_frames_of_another_session(void **state)
{
    struct stage *stage = *state;
    uint64_t session = stage->session;
    stage->session = 12345;
    channel_open(&stage->channel, 12345);
    assign(stage, A);
    assert_null(effect_of(stage, AGENT_PREPARE));
    stage->session = session;
}

static void agent_assignment_of_the_former_session_never_starts(void **state)
{
    struct stage *stage = *state;
    struct buffer late = {0};
    struct frame_header header = header_of(stage);
    struct msg_assign message = {.id = A,
        .kind = OPERATOR_BASH,
        .stamp = stage->now_ms,
        .lease_ms = LEASE_MS,
        .kill_grace_ms = GRACE_MS};
    channel_add(&stage->channel, MESSAGE_assign, &message);
    assert_true(channel_frame(&stage->channel, &header, stage->now_ms, &late));
    struct msg_register_again again = {.session = stage->session};
    master_tells(stage, MESSAGE_register_again, &again);
    runner_listed(stage, nonce_of(stage));
    assert_non_null(told(stage, MESSAGE_register));
    registered(stage, NULL, 0);
    master_frame(stage, &late);
    assert_null(effect_of(stage, AGENT_PREPARE));
    buffer_fini(&late);
}

static void agent_takes_a_doubled_assignment_once(void **state)
{
    struct stage *stage = *state;
    struct buffer frame = {0};
    struct frame_header header = header_of(stage);
    struct msg_assign message = {.id = A,
        .kind = OPERATOR_BASH,
        .stamp = stage->now_ms,
        .lease_ms = LEASE_MS,
        .kill_grace_ms = GRACE_MS};
    channel_add(&stage->channel, MESSAGE_assign, &message);
    assert_true(channel_frame(&stage->channel, &header, stage->now_ms, &frame));
    master_frame(stage, &frame);
    assert_non_null(effect_of(stage, AGENT_PREPARE));
    struct msg_take_back question = {.id = A};
    master_orders(stage, MESSAGE_take_back, &question);
    master_frame(stage, &frame);
    assert_null(effect_of(stage, AGENT_PREPARE));
    buffer_fini(&frame);
}

static void agent_ends_what_the_answer_does_not_name(void **state)
{
    struct stage *stage = *state;
    run(stage, A);
    assign(stage, B);
    struct msg_register_again again = {.session = stage->session};
    master_tells(stage, MESSAGE_register_again, &again);
    uint64_t nonce = nonce_of(stage);
    struct msg_runner_holds holds = {.id = A};
    runner_says(stage, MESSAGE_runner_holds, &holds);
    runner_listed(stage, nonce);
    assert_non_null(told(stage, MESSAGE_register));
    registered(stage, NULL, 0);
    const struct msg_runner_kill *kill = ordered(stage, MESSAGE_runner_kill);
    assert_int_equal(kill->id.task, A.task);
    assert_int_equal(effect_of(stage, AGENT_DISCARD)->id.task, B.task);
}

static void agent_goes_on_with_what_the_answer_names(void **state)
{
    struct stage *stage = *state;
    run(stage, A);
    assign(stage, B);
    struct msg_register_again again = {.session = stage->session};
    master_tells(stage, MESSAGE_register_again, &again);
    uint64_t nonce = nonce_of(stage);
    struct msg_runner_holds holds = {.id = A};
    runner_says(stage, MESSAGE_runner_holds, &holds);
    runner_listed(stage, nonce);
    assert_non_null(told(stage, MESSAGE_register));
    const struct attempt_id keep[] = {A, B};
    registered(stage, keep, 2);
    assert_null(ordered(stage, MESSAGE_runner_kill));
    assert_null(effect_of(stage, AGENT_DISCARD));
    prepared(stage, B, REASON_NONE);
    assert_non_null(ordered(stage, MESSAGE_runner_start));
}

/* What was ordered and is not in the runner's list never started. */
static void agent_lists_nothing_that_its_runner_lacks(void **state)
{
    struct stage *stage = *state;
    assign(stage, A);
    prepared(stage, A, REASON_NONE);
    assert_non_null(ordered(stage, MESSAGE_runner_start));
    runner_listed(stage, hello(stage));
    const struct msg_register *message = told(stage, MESSAGE_register);
    assert_int_equal(message->attempts.count, 0);
}

static void agent_result_is_told_again_in_each_session_until_it_is_settled(void **state)
{
    struct stage *stage = *state;
    run(stage, A);
    exited(stage, A, REASON_EXIT_CODE, 0);
    collected(stage, A);
    saved(stage, A);
    for (int i = 0; i < 3; i++) {
        runner_listed(stage, hello(stage));
        const struct msg_register *message = told(stage, MESSAGE_register);
        assert_int_equal(message->attempts.items[0].holding, HOLDING_ENDED);
        registered(stage, NULL, 0);
        assert_non_null(told(stage, MESSAGE_ended));
    }
}

/* ---- a new agent ---- */

static void agent_that_comes_after_one_finds_its_tasks_and_results(void **state)
{
    struct stage *stage = *state;
    run(stage, A);
    const struct agent_effect *none = effect_of(stage, AGENT_SAVE);
    assert_null(none);
    run(stage, B);
    struct slice cookie = {0};
    agent_destroy(stage->agent);
    stage->agent = make_agent(stage, 0);
    struct agent_event loaded = {
        .kind = AGENT_EVENT_LOADED, .loaded = {.id = C, .state = ATTEMPT_SUCCESS, .exit_code = 0}};
    step(stage, loaded);
    uint64_t nonce = hello(stage);
    struct msg_runner_holds holds = {.id = A, .cookie = cookie};
    runner_says(stage, MESSAGE_runner_holds, &holds);
    holds = (struct msg_runner_holds){.id = B, .over = true};
    runner_says(stage, MESSAGE_runner_holds, &holds);
    exited(stage, B, REASON_EXIT_CODE, 0);
    assert_non_null(effect_of(stage, AGENT_COLLECT));
    runner_listed(stage, nonce);
    const struct msg_register *message = told(stage, MESSAGE_register);
    assert_int_equal(message->attempts.count, 3);
    const struct attempt_id keep[] = {A, B, C};
    registered(stage, keep, 3);
    const struct msg_ended *ended = told(stage, MESSAGE_ended);
    assert_int_equal(ended->id.task, C.task);
    assert_int_equal(agent_running(stage->agent), 1);
    collected(stage, B);
    saved(stage, B);
    ended = told(stage, MESSAGE_ended);
    assert_int_equal(ended->id.task, B.task);
}

/* The runner says an end again whose result is on disk already: it is told to forget it. */
static void agent_lets_the_runner_forget_what_is_on_disk(void **state)
{
    struct stage *stage = *state;
    agent_destroy(stage->agent);
    stage->agent = make_agent(stage, 0);
    step(stage, (struct agent_event){
                    .kind = AGENT_EVENT_LOADED, .loaded = {.id = A, .state = ATTEMPT_SUCCESS}});
    (void)hello(stage);
    struct msg_runner_holds holds = {.id = A, .over = true};
    runner_says(stage, MESSAGE_runner_holds, &holds);
    exited(stage, A, REASON_EXIT_CODE, 0);
    assert_non_null(ordered(stage, MESSAGE_runner_forget));
    assert_null(effect_of(stage, AGENT_COLLECT));
}

static void agent_tells_of_a_dead_runner_until_a_master_knows(void **state)
{
    struct stage *stage = *state;
    agent_destroy(stage->agent);
    stage->agent = make_agent(stage, 41);
    runner_listed(stage, hello(stage));
    assert_int_equal(
        ((const struct msg_register *)told(stage, MESSAGE_register))->dead_instance, 41);
    stage->quiet = true;
    pass(stage, 1000);
    assert_int_equal(
        ((const struct msg_register *)told(stage, MESSAGE_register))->dead_instance, 41);
    registered(stage, NULL, 0);
    runner_listed(stage, hello(stage));
    assert_int_equal(
        ((const struct msg_register *)told(stage, MESSAGE_register))->dead_instance, 0);
}

/* ---- leadership ---- */

static void agent_refuses_a_lower_epoch_and_a_second_leader(void **state)
{
    struct stage *stage = *state;
    stage->epoch = 4;
    assign(stage, A);
    assert_null(effect_of(stage, AGENT_PREPARE));
    assert_non_null(effect_of(stage, AGENT_NOTE));
    stage->epoch = 5;
    stage->leader = 56;
    assign(stage, B);
    assert_null(effect_of(stage, AGENT_PREPARE));
}

static void agent_follows_a_higher_epoch_in_a_new_session(void **state)
{
    struct stage *stage = *state;
    uint64_t session = stage->session;
    run(stage, A);
    stage->epoch = 6;
    stage->leader = 66;
    struct msg_register_again again = {.session = session};
    master_tells(stage, MESSAGE_register_again, &again);
    assert_int_equal(effect_of(stage, AGENT_LEADER)->leader.epoch, 6);
    assert_false(agent_is_registered(stage->agent));
    struct msg_runner_holds holds = {.id = A};
    uint64_t nonce = nonce_of(stage);
    runner_says(stage, MESSAGE_runner_holds, &holds);
    runner_listed(stage, nonce);
    assert_non_null(told(stage, MESSAGE_register));
    assert_int_not_equal(stage->session, session);
}

static void agent_of_one_cluster_does_not_serve_another(void **state)
{
    struct stage *stage = *state;
    runner_listed(stage, hello(stage));
    assert_non_null(told(stage, MESSAGE_register));
    channel_open(&stage->channel, stage->session);
    struct msg_registered message = {.cluster = slice_of("another")};
    master_tells(stage, MESSAGE_registered, &message);
    assert_int_equal(effect_of(stage, AGENT_EXIT)->exit.status, 7);
    assert_false(agent_is_registered(stage->agent));
}

/* ---- the end ---- */

static void agent_stop_gives_back_kills_reports_and_ends(void **state)
{
    struct stage *stage = *state;
    run(stage, A);
    assign(stage, B);
    step(stage, (struct agent_event){.kind = AGENT_EVENT_STOP});
    const struct msg_given_back *back = told(stage, MESSAGE_given_back);
    assert_int_equal(back->id.task, B.task);
    assert_non_null(ordered(stage, MESSAGE_runner_kill));
    assign(stage, C);
    back = told(stage, MESSAGE_given_back);
    assert_int_equal(back->id.task, C.task);
    exited(stage, A, REASON_WORKER_LOST, -1);
    collected(stage, A);
    saved(stage, A);
    assert_null(effect_of(stage, AGENT_EXIT));
    struct msg_settled settled = {.id = A};
    master_orders(stage, MESSAGE_settled, &settled);
    assert_int_equal(effect_of(stage, AGENT_EXIT)->exit.status, 0);
    assert_non_null(ordered(stage, MESSAGE_runner_stop));
}

static void agent_stop_does_not_wait_for_a_master_that_is_away(void **state)
{
    struct stage *stage = *state;
    run(stage, A);
    step(stage, (struct agent_event){.kind = AGENT_EVENT_STOP});
    exited(stage, A, REASON_WORKER_LOST, -1);
    collected(stage, A);
    saved(stage, A);
    stage->quiet = true;
    bool ended = false;
    for (int i = 0; i < 10 && !ended; i++) {
        pass(stage, 1000);
        ended = effect_of(stage, AGENT_EXIT) != NULL;
    }
    assert_true(ended);
}

static void agent_with_a_full_disk_says_so(void **state)
{
    struct stage *stage = *state;
    step(stage, (struct agent_event){.kind = AGENT_EVENT_DISK, .full = true});
    stage->now_ms += 1000;
    step(stage, (struct agent_event){.kind = AGENT_EVENT_TIMER});
    assert_true(((const struct msg_heartbeat *)told(stage, MESSAGE_heartbeat))->full);
}

static void held_table_forgets_only_what_never_started_or_is_settled(void **state)
{
    (void)state;
    for (uint32_t from = HELD_PREPARING; from < HELD_STATE_COUNT; from++) {
        for (uint32_t event = 0; event < HELD_EVENT_COUNT; event++) {
            uint32_t to = held_next_state(from, (enum held_event)event);
            assert_true(to < HELD_STATE_COUNT);
            if (to == HELD_GONE)
                assert_true(
                    event == HELD_EVENT_SETTLED ? from == HELD_ENDED : event == HELD_EVENT_DISCARD);
            if (from >= HELD_COLLECTING && event == HELD_EVENT_DISCARD)
                assert_int_equal(to, 0);
        }
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(agent_result_is_told_only_when_it_is_on_disk),
        TEST(agent_starts_in_order_and_no_more_than_its_slots),
        TEST(agent_noop_is_answered_at_once_and_leaves_nothing),
        TEST(agent_end_means_what_the_runner_says),
        TEST(agent_that_cannot_prepare_says_why_and_starts_nothing),
        TEST(agent_starts_nothing_on_an_old_ack),
        TEST(agent_gives_back_what_arrives_after_its_lease),
        TEST(agent_hands_every_ack_to_the_runner_once),
        TEST(agent_kill_before_the_start_ends_it_as_cancelled),
        TEST(agent_kill_of_what_runs_goes_to_the_runner),
        TEST(agent_gives_back_only_what_has_not_started),
        TEST(agent_waits_for_its_runner_before_it_lists),
        TEST(agent_drops_frames_of_another_session),
        TEST(agent_assignment_of_the_former_session_never_starts),
        TEST(agent_takes_a_doubled_assignment_once),
        TEST(agent_ends_what_the_answer_does_not_name),
        TEST(agent_goes_on_with_what_the_answer_names),
        TEST(agent_lists_nothing_that_its_runner_lacks),
        TEST(agent_result_is_told_again_in_each_session_until_it_is_settled),
        TEST(agent_that_comes_after_one_finds_its_tasks_and_results),
        TEST(agent_lets_the_runner_forget_what_is_on_disk),
        TEST(agent_tells_of_a_dead_runner_until_a_master_knows),
        TEST(agent_refuses_a_lower_epoch_and_a_second_leader),
        TEST(agent_follows_a_higher_epoch_in_a_new_session),
        TEST(agent_of_one_cluster_does_not_serve_another),
        TEST(agent_stop_gives_back_kills_reports_and_ends),
        TEST(agent_stop_does_not_wait_for_a_master_that_is_away),
        TEST(agent_with_a_full_disk_says_so),
        cmocka_unit_test(held_table_forgets_only_what_never_started_or_is_settled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
