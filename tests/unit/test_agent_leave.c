/*
 * How an agent leaves, and how it is sent away: its core in virtual time.
 */
#include "tests/unit/agent_stage.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct attempt_id A = {.run = 1, .task = 1, .attempt = 1};
static const struct attempt_id B = {.run = 1, .task = 2, .attempt = 1};

static void leave(struct stage *stage, size_t logs)
{
    stage_step(stage, (struct agent_event){.kind = AGENT_EVENT_LEAVE, .leave = {logs}});
}

/* Its one heartbeat of the next second. */
static const struct msg_heartbeat *beat(struct stage *stage)
{
    stage->now_ms += 1000;
    stage_step(stage, (struct agent_event){.kind = AGENT_EVENT_TIMER});
    return told(stage, MESSAGE_heartbeat);
}

/* The agent's result of A goes its whole way. */
static void settle_a(struct stage *stage)
{
    struct msg_settled settled = {.id = A};
    exited(stage, A, REASON_EXIT_CODE, 0);
    collected(stage, A);
    saved(stage, A);
    master_orders(stage, MESSAGE_settled, &settled);
}

/* The master has taken all that the agent said in this session. */
static void take_all(struct stage *stage)
{
    struct buffer frame = {0};
    struct frame_header header = header_of(stage);
    header.ack = stage->agent->channel.next_out;
    struct msg_heartbeat_ack ack = {.stamp = stage->now_ms};
    frame_begin(&frame, &header);
    message_encode(&frame, MESSAGE_heartbeat_ack, &ack);
    master_frame(stage, &frame);
    buffer_fini(&frame);
}

static void agent_that_leaves_gives_back_says_so_and_lets_work_end(void **state)
{
    struct stage *stage = *state;
    stage_run(stage, A);
    assign(stage, B);
    leave(stage, 0);
    const struct msg_given_back *back = told(stage, MESSAGE_given_back);
    assert_int_equal(back->id.task, B.task);
    assert_null(ordered(stage, MESSAGE_runner_kill));
    const struct msg_heartbeat *heartbeat = told(stage, MESSAGE_heartbeat);
    assert_true(heartbeat->leaving);
    assert_int_equal(heartbeat->running, 1);
    assign(stage, B);
    assert_non_null(told(stage, MESSAGE_given_back));
    assert_null(told(stage, MESSAGE_leave));
    settle_a(stage);
    assert_non_null(told(stage, MESSAGE_leave));
    assert_null(effect_of(stage, AGENT_EXIT));
    take_all(stage);
    assert_int_equal(effect_of(stage, AGENT_EXIT)->exit.status, 0);
    assert_false(((const struct msg_runner_stop *)ordered(stage, MESSAGE_runner_stop))->now);
}

static void agent_that_leaves_waits_for_its_logs(void **state)
{
    struct stage *stage = *state;
    stage_run(stage, A);
    leave(stage, 1);
    settle_a(stage);
    assert_null(told(stage, MESSAGE_leave));
    stage_pass(stage, 60000);
    assert_null(effect_of(stage, AGENT_EXIT));
    leave(stage, 0);
    assert_non_null(told(stage, MESSAGE_leave));
}

static void agent_whose_last_word_closed_its_session_ends(void **state)
{
    struct stage *stage = *state;
    leave(stage, 0);
    assert_non_null(told(stage, MESSAGE_leave));
    struct msg_register_again again = {.session = stage->session};
    master_tells(stage, MESSAGE_register_again, &again);
    assert_null(told(stage, MESSAGE_register));
    assert_int_equal(effect_of(stage, AGENT_EXIT)->exit.status, 0);
}

static void agent_that_leaves_does_not_wait_for_the_last_word_to_be_heard(void **state)
{
    struct stage *stage = *state;
    leave(stage, 0);
    stage->quiet = true;
    bool ended = false;
    for (int i = 0; i < 10 && !ended; i++) {
        stage_pass(stage, 1000);
        ended = effect_of(stage, AGENT_EXIT) != NULL;
    }
    assert_true(ended);
}

static void agent_that_leaves_can_still_be_told_to_stop_now(void **state)
{
    struct stage *stage = *state;
    stage_run(stage, A);
    leave(stage, 0);
    stage_step(stage, (struct agent_event){.kind = AGENT_EVENT_STOP});
    assert_non_null(ordered(stage, MESSAGE_runner_kill));
    exited(stage, A, REASON_WORKER_LOST, -1);
    collected(stage, A);
    saved(stage, A);
    struct msg_settled settled = {.id = A};
    master_orders(stage, MESSAGE_settled, &settled);
    assert_non_null(told(stage, MESSAGE_leave));
    assert_non_null(effect_of(stage, AGENT_EXIT));
}

/* A copy: a message lives as long as its step. */
static void refuse(struct stage *stage, int code, const char *text)
{
    struct msg_refused refused = {.code = code, .text = slice_of(text)};
    master_tells(stage, MESSAGE_refused, &refused);
}

static void agent_whose_key_was_removed_ends_with_status_4(void **state)
{
    struct stage *stage = *state;
    stage_run(stage, A);
    refuse(stage, ERR_DENIED, "its key was removed");
    const struct agent_effect *effect = effect_of(stage, AGENT_EXIT);
    assert_int_equal(effect->exit.status, 4);
    assert_non_null(strstr(effect->exit.text.ptr, "its key was removed"));
    assert_non_null(strstr(effect->exit.text.ptr, "1 tasks"));
    assert_null(ordered(stage, MESSAGE_runner_kill));
}

static void agent_of_another_version_asks_rarely(void **state)
{
    struct stage *stage = *state;
    refuse(stage, ERR_VERSION, "version 1 is not 2");
    assert_non_null(effect_of(stage, AGENT_NOTE));
    uint32_t said = 0;
    for (int i = 0; i < 59; i++)
        said += beat(stage) != NULL;
    assert_int_equal(said, 0);
    assert_non_null(beat(stage));
}

static void agent_tells_how_busy_its_host_is(void **state)
{
    struct stage *stage = *state;
    struct agent_load load = {4, 250, 8000, 3000, 900, 100};
    stage_step(stage, (struct agent_event){.kind = AGENT_EVENT_LOAD, .load = load});
    const struct msg_heartbeat *heartbeat = beat(stage);
    assert_int_equal(heartbeat->cpus, 4);
    assert_int_equal(heartbeat->cpu_permille, 250);
    assert_int_equal(heartbeat->memory_used, 3000);
    assert_int_equal(heartbeat->disk_free, 100);
}

static void agent_knows_when_the_first_lease_ends(void **state)
{
    struct stage *stage = *state;
    assert_true(agent_lease_ends_ms(stage->agent) == UINT64_MAX);
    stage_run(stage, A);
    const struct agent *agent = stage->agent;
    assert_int_equal(agent_lease_ends_ms(agent), agent->acked_stamp + LEASE_MS - GRACE_MS);
}

static void agent_gives_back_what_cannot_be_prepared_now(void **state)
{
    struct stage *stage = *state;
    assign(stage, A);
    prepared(stage, A, REASON_NOT_STARTED);
    const struct msg_given_back *back = told(stage, MESSAGE_given_back);
    assert_int_equal(back->id.task, A.task);
    assert_non_null(effect_of(stage, AGENT_DISCARD));
    assert_null(effect_of(stage, AGENT_SAVE));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)
    const struct CMUnitTest tests[] = {
        TEST(agent_that_leaves_gives_back_says_so_and_lets_work_end),
        TEST(agent_that_leaves_waits_for_its_logs),
        TEST(agent_whose_last_word_closed_its_session_ends),
        TEST(agent_that_leaves_does_not_wait_for_the_last_word_to_be_heard),
        TEST(agent_that_leaves_can_still_be_told_to_stop_now),
        TEST(agent_whose_key_was_removed_ends_with_status_4),
        TEST(agent_of_another_version_asks_rarely),
        TEST(agent_tells_how_busy_its_host_is),
        TEST(agent_knows_when_the_first_lease_ends),
        TEST(agent_gives_back_what_cannot_be_prepared_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
