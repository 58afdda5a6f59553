/* The agent: what it starts, keeps and tells, and when. See agent_stage.h. */
#include "tests/unit/agent_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct attempt_id A = {.run = 9, .task = 1, .attempt = 1};
static const struct attempt_id B = {.run = 9, .task = 2, .attempt = 1};
static const struct attempt_id C = {.run = 9, .task = 3, .attempt = 1};

/* ---- the straight way ---- */

static void agent_result_is_told_only_when_it_is_on_disk(void **state)
{
    struct stage *stage = *state;
    stage_run(stage, A);
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

static void agent_hands_limits_on_and_says_how_its_runner_keeps_them(void **state)
{
    struct stage *stage = *state;
    runner_listed(stage, stage_hello(stage));
    const struct msg_register *message = told(stage, MESSAGE_register);
    assert_true(slice_is(message->memory_limit_by, "cgroup"));
    assert_true(slice_is(message->cpu_limit_by, "affinity"));
    registered(stage, NULL, 0);
    struct msg_assign order = {.id = A,
        .kind = OPERATOR_BASH,
        .stamp = stage->now_ms,
        .lease_ms = LEASE_MS,
        .memory_bytes = 5000000000,
        .cpu_permille = 1500};
    master_orders(stage, MESSAGE_assign, &order);
    prepared(stage, A, REASON_NONE);
    const struct msg_runner_start *start = ordered(stage, MESSAGE_runner_start);
    assert_int_equal(start->memory_bytes, 5000000000);
    assert_int_equal(start->cpu_permille, 1500);
    /* One of another version takes its place. */
    stage->old_runner = true;
    runner_listed(stage, stage_hello(stage));
    message = told(stage, MESSAGE_register);
    assert_int_equal(message->memory_limit_by.length, 0);
}

static void agent_starts_in_order_and_no_more_than_its_slots(void **state)
{
    struct stage *stage = *state;
    stage->old_runner = true;
    open_session(stage);
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
    };
    for (uint32_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        struct attempt_id id = {.run = 77, .task = i, .attempt = 1};
        stage_run(stage, id);
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
    stage_pass(stage, START_FRESH_MS);
    prepared(stage, A, REASON_NONE);
    assert_null(ordered(stage, MESSAGE_runner_start));
    stage_ack(stage, stage->now_ms);
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
    stage_ack(stage, stage->now_ms);
    const struct msg_runner_renew *renew = ordered(stage, MESSAGE_runner_renew);
    assert_int_equal(renew->stamp, stage->now_ms);
    stage_ack(stage, stage->now_ms - 5);
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
    stage_run(stage, A);
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
    stage_run(stage, A);
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
    stage_run(stage, A);
    struct msg_register_again again = {.session = stage->session};
    master_tells(stage, MESSAGE_register_again, &again);
    uint64_t nonce = nonce_of(stage);
    assert_false(agent_is_registered(stage->agent));
    stage_pass(stage, 3000);
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
    stage_run(stage, A);
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
    stage_run(stage, A);
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
    runner_listed(stage, stage_hello(stage));
    const struct msg_register *message = told(stage, MESSAGE_register);
    assert_int_equal(message->attempts.count, 0);
}

static void agent_result_is_told_again_in_each_session_until_it_is_settled(void **state)
{
    struct stage *stage = *state;
    stage_run(stage, A);
    exited(stage, A, REASON_EXIT_CODE, 0);
    collected(stage, A);
    saved(stage, A);
    for (int i = 0; i < 3; i++) {
        runner_listed(stage, stage_hello(stage));
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
    stage_run(stage, A);
    const struct agent_effect *none = effect_of(stage, AGENT_SAVE);
    assert_null(none);
    stage_run(stage, B);
    struct slice cookie = {0};
    agent_destroy(stage->agent);
    stage->agent = make_agent(stage, 0);
    struct agent_event loaded = {
        .kind = AGENT_EVENT_LOADED, .loaded = {.id = C, .state = ATTEMPT_SUCCESS, .exit_code = 0}};
    stage_step(stage, loaded);
    uint64_t nonce = stage_hello(stage);
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
    stage_step(stage, (struct agent_event){.kind = AGENT_EVENT_LOADED,
                          .loaded = {.id = A, .state = ATTEMPT_SUCCESS}});
    (void)stage_hello(stage);
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
    runner_listed(stage, stage_hello(stage));
    assert_int_equal(
        ((const struct msg_register *)told(stage, MESSAGE_register))->dead_instance, 41);
    stage->quiet = true;
    stage_pass(stage, 1000);
    assert_int_equal(
        ((const struct msg_register *)told(stage, MESSAGE_register))->dead_instance, 41);
    registered(stage, NULL, 0);
    runner_listed(stage, stage_hello(stage));
    assert_int_equal(
        ((const struct msg_register *)told(stage, MESSAGE_register))->dead_instance, 0);
}

/* The first agent died before it heard that the second runner was registered. */
static void agent_tells_of_two_dead_runners_one_after_the_other(void **state)
{
    struct stage *stage = *state;
    agent_destroy(stage->agent);
    stage->agent = make_agent_of(stage, (const uint64_t[]){41, 42}, 2);
    runner_listed(stage, stage_hello(stage));
    assert_int_equal(
        ((const struct msg_register *)told(stage, MESSAGE_register))->dead_instance, 42);
    uint64_t session = stage->session, stamp = stage->now_ms;
    registered(stage, NULL, 0);
    assert_int_equal(effect_of(stage, AGENT_REGISTERED)->registered.dead, 42);
    stage_pass(stage, 1);
    runner_listed(stage, nonce_of(stage));
    const struct msg_register *again = told(stage, MESSAGE_register);
    assert_int_equal(again->dead_instance, 41);
    assert_true(again->now > stamp && stage->session != session);
    registered(stage, NULL, 0);
    assert_int_equal(effect_of(stage, AGENT_REGISTERED)->registered.dead, 41);
    stage->quiet = true;
    stage_pass(stage, 1);
    assert_non_null(told(stage, MESSAGE_heartbeat));
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
    stage_run(stage, A);
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
    runner_listed(stage, stage_hello(stage));
    assert_non_null(told(stage, MESSAGE_register));
    channel_open(&stage->channel, stage->session);
    struct msg_registered message = {.cluster = slice_of("another")};
    master_tells(stage, MESSAGE_registered, &message);
    assert_int_equal(effect_of(stage, AGENT_EXIT)->exit.status, 7);
    assert_false(agent_is_registered(stage->agent));
}

/* FAULTS 37: a restored, older store hears of the higher epoch from those who saw it. */
static void agent_tells_a_master_that_lost_its_session_what_it_has_seen(void **state)
{
    struct stage *stage = *state;
    stage->epoch = 4;
    struct msg_register_again again = {.session = stage->session};
    master_tells(stage, MESSAGE_register_again, &again);
    runner_listed(stage, nonce_of(stage));
    const struct msg_register *message = told(stage, MESSAGE_register);
    assert_true(slice_is(message->cluster, "c"));
    assert_null(effect_of(stage, AGENT_LEADER));
}

/* Its own master, of a lower epoch, would never be followed again. */
static void agent_refused_by_a_higher_epoch_does_not_follow_it(void **state)
{
    struct stage *stage = *state;
    struct buffer frame = {0};
    struct frame_header header = {.version = PROTOCOL_VERSION, .epoch = 99, .leader = 1};
    struct msg_refused refused = {.code = -1, .text = slice_of("another cluster")};
    frame_begin(&frame, &header);
    message_encode(&frame, MESSAGE_refused, &refused);
    master_frame(stage, &frame);
    buffer_fini(&frame);
    assert_null(effect_of(stage, AGENT_LEADER));
    assert_non_null(strstr(effect_of(stage, AGENT_NOTE)->note.ptr, "another cluster"));
    assign(stage, A);
    assert_non_null(effect_of(stage, AGENT_PREPARE));
}

/* ---- the end ---- */

static void agent_stop_gives_back_kills_reports_and_ends(void **state)
{
    struct stage *stage = *state;
    stage_run(stage, A);
    assign(stage, B);
    stage_step(stage, (struct agent_event){.kind = AGENT_EVENT_STOP});
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
    stage_run(stage, A);
    stage_step(stage, (struct agent_event){.kind = AGENT_EVENT_STOP});
    exited(stage, A, REASON_WORKER_LOST, -1);
    collected(stage, A);
    saved(stage, A);
    stage->quiet = true;
    bool ended = false;
    for (int i = 0; i < 10 && !ended; i++) {
        stage_pass(stage, 1000);
        ended = effect_of(stage, AGENT_EXIT) != NULL;
    }
    assert_true(ended);
}

/* Its machine was brought back as it once was. */
static void agent_whose_master_has_heard_more_than_was_said_begins_a_new_session(void **state)
{
    struct stage *stage = *state;
    stage->channel.next_in = 7;
    stage_ack(stage, stage->now_ms);
    assert_non_null(ordered(stage, MESSAGE_runner_list));
}

static void agent_with_a_full_disk_says_so(void **state)
{
    struct stage *stage = *state;
    stage_step(stage, (struct agent_event){.kind = AGENT_EVENT_DISK, .full = true});
    stage->now_ms += 1000;
    stage_step(stage, (struct agent_event){.kind = AGENT_EVENT_TIMER});
    assert_true(((const struct msg_heartbeat *)told(stage, MESSAGE_heartbeat))->full);
}

static void agent_whose_disk_became_full_says_so_before_it_gives_anything_back(void **state)
{
    struct stage *stage = *state;
    stage_step(stage, (struct agent_event){.kind = AGENT_EVENT_DISK, .full = true});
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)
    const struct CMUnitTest tests[] = {
        TEST(agent_result_is_told_only_when_it_is_on_disk),
        TEST(agent_hands_limits_on_and_says_how_its_runner_keeps_them),
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
        TEST(agent_tells_of_two_dead_runners_one_after_the_other),
        TEST(agent_refuses_a_lower_epoch_and_a_second_leader),
        TEST(agent_follows_a_higher_epoch_in_a_new_session),
        TEST(agent_of_one_cluster_does_not_serve_another),
        TEST(agent_tells_a_master_that_lost_its_session_what_it_has_seen),
        TEST(agent_refused_by_a_higher_epoch_does_not_follow_it),
        TEST(agent_stop_gives_back_kills_reports_and_ends),
        TEST(agent_stop_does_not_wait_for_a_master_that_is_away),
        TEST(agent_with_a_full_disk_says_so),
        TEST(agent_whose_master_has_heard_more_than_was_said_begins_a_new_session),
        TEST(agent_whose_disk_became_full_says_so_before_it_gives_anything_back),
        cmocka_unit_test(held_table_forgets_only_what_never_started_or_is_settled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
