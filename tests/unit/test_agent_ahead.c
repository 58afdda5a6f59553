/* The agent: what it sends ahead into the runner's queue, and how it gets that back. */
#include "tests/unit/agent_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct attempt_id A = {.run = 9, .task = 1, .attempt = 1};
static const struct attempt_id B = {.run = 9, .task = 2, .attempt = 1};
static const struct attempt_id C = {.run = 9, .task = 3, .attempt = 1};
static const struct attempt_id D = {.run = 9, .task = 4, .attempt = 1};

static uint32_t starts(const struct stage *stage)
{
    uint32_t count = 0;
    for (size_t i = 0; i < stage->effects.count; i++) {
        const struct agent_effect *effect = &stage->effects.items[i];
        count += effect->kind == AGENT_RUNNER && effect->runner.number == MESSAGE_runner_start;
    }
    return count;
}

static void hand_over(struct stage *stage, struct attempt_id id)
{
    assign(stage, id);
    prepared(stage, id, REASON_NONE);
    const struct msg_runner_start *start = ordered(stage, MESSAGE_runner_start);
    assert_non_null(start);
    assert_int_equal(start->id.task, id.task);
}

static void not_started(struct stage *stage, struct attempt_id id)
{
    struct msg_runner_exited message = {.id = id,
        .reason = REASON_NOT_STARTED,
        .exit_code = -1,
        .error = slice_of("not started: it was taken back")};
    runner_says(stage, MESSAGE_runner_exited, &message);
}

static void ahead_is_what_a_hand_may_hold_and_in_order(void **state)
{
    struct stage *stage = *state;
    struct attempt_id other = {.run = 9, .task = 100, .attempt = 1};
    hand_over(stage, A);
    for (uint32_t i = 1; i < SLOTS * (1 + HAND_SLOTS_MAX); i++, other.task++)
        hand_over(stage, other);
    assign(stage, other);
    prepared(stage, other, REASON_NONE);
    assert_int_equal(starts(stage), 0);
    started(stage, A);
    exited(stage, A, REASON_EXIT_CODE, 0);
    assert_int_equal(starts(stage), 1);
}

static void end(struct stage *stage, struct attempt_id id)
{
    exited(stage, id, REASON_EXIT_CODE, 0);
    collected(stage, id);
    saved(stage, id);
}

static void ahead_end_is_told_with_the_next_while_tasks_wait_for_a_slot(void **state)
{
    struct stage *stage = *state;
    stage_run(stage, A);
    stage_run(stage, B);
    hand_over(stage, C);
    hand_over(stage, D);
    end(stage, A);
    assert_null(told(stage, MESSAGE_ended));
    uint64_t due = agent_next_ms(stage->agent);
    assert_true(due > stage->now_ms && due <= stage->now_ms + 5);
    stage->now_ms = due;
    stage_step(stage, (struct agent_event){.kind = AGENT_EVENT_TIMER});
    assert_non_null(told(stage, MESSAGE_ended));
    assert_true(agent_next_ms(stage->agent) > stage->now_ms);
}

static void ahead_end_is_told_at_once_when_a_slot_is_free(void **state)
{
    struct stage *stage = *state;
    stage_run(stage, A);
    stage_run(stage, B);
    hand_over(stage, C);
    end(stage, A);
    assert_non_null(told(stage, MESSAGE_ended));
}

/* What was gathered goes out as soon as a slot runs empty, not later than it would have. */
static void ahead_what_was_gathered_is_told_when_the_queue_is_empty(void **state)
{
    struct stage *stage = *state;
    stage_run(stage, A);
    stage_run(stage, B);
    hand_over(stage, C);
    hand_over(stage, D);
    end(stage, A);
    assert_null(told(stage, MESSAGE_ended));
    started(stage, C);
    exited(stage, B, REASON_EXIT_CODE, 0);
    const struct msg_ended *ended = told(stage, MESSAGE_ended);
    assert_non_null(ended);
    assert_int_equal(ended->id.task, A.task);
}

static void ahead_nothing_overtakes_what_is_being_prepared(void **state)
{
    struct stage *stage = *state;
    assign(stage, A);
    hand_over(stage, B);
    assign(stage, C);
    prepared(stage, C, REASON_NONE);
    assert_int_equal(starts(stage), 0);
    prepared(stage, A, REASON_NONE);
    assert_int_equal(starts(stage), 2);
}

static void ahead_runner_is_told_the_slots(void **state)
{
    struct stage *stage = *state;
    (void)stage_hello(stage);
    const struct msg_runner_list *list = ordered(stage, MESSAGE_runner_list);
    assert_int_equal(list->slots, SLOTS);
}

static void ahead_heartbeat_counts_what_waits_as_in_hand(void **state)
{
    struct stage *stage = *state;
    stage_run(stage, A);
    hand_over(stage, B);
    hand_over(stage, C);
    stage->now_ms += 1000;
    stage_step(stage, (struct agent_event){.kind = AGENT_EVENT_TIMER});
    const struct msg_heartbeat *beat = told(stage, MESSAGE_heartbeat);
    assert_int_equal(beat->running, 1);
    assert_int_equal(beat->in_hand, 2);
}

static void ahead_take_back_asks_the_runner_and_its_answer_counts(void **state)
{
    struct stage *stage = *state;
    struct msg_take_back question = {.id = A};
    hand_over(stage, A);
    master_orders(stage, MESSAGE_take_back, &question);
    assert_null(told(stage, MESSAGE_given_back));
    const struct msg_runner_take_back *asked = ordered(stage, MESSAGE_runner_take_back);
    assert_int_equal(asked->id.task, A.task);
    not_started(stage, A);
    const struct msg_given_back *back = told(stage, MESSAGE_given_back);
    assert_int_equal(back->id.task, A.task);
    assert_non_null(ordered(stage, MESSAGE_runner_forget));
    assert_non_null(effect_of(stage, AGENT_DISCARD));
    assert_null(effect_of(stage, AGENT_SAVE));
    assert_int_equal(agent_running(stage->agent), 0);
}

static void ahead_what_started_before_the_take_back_is_told_as_started(void **state)
{
    struct stage *stage = *state;
    struct msg_take_back question = {.id = A};
    hand_over(stage, A);
    master_orders(stage, MESSAGE_take_back, &question);
    started(stage, A);
    stage->now_ms += 100;
    stage_step(stage, (struct agent_event){.kind = AGENT_EVENT_TIMER});
    assert_non_null(told(stage, MESSAGE_started));
    assert_null(told(stage, MESSAGE_given_back));
}

static void ahead_lease_that_left_no_time_gives_it_back(void **state)
{
    struct stage *stage = *state;
    hand_over(stage, A);
    not_started(stage, A);
    assert_non_null(told(stage, MESSAGE_given_back));
}

static void ahead_kill_of_what_waits_ends_it_as_cancelled(void **state)
{
    struct stage *stage = *state;
    hand_over(stage, A);
    struct msg_kill kill = {.id = A, .reason = REASON_CANCELLED};
    master_orders(stage, MESSAGE_kill, &kill);
    assert_non_null(ordered(stage, MESSAGE_runner_kill));
    assert_null(told(stage, MESSAGE_ended));
    exited(stage, A, REASON_CANCELLED, -1);
    collected(stage, A);
    assert_int_equal(effect_of(stage, AGENT_SAVE)->save->state, ATTEMPT_CANCELLED);
    saved(stage, A);
}

static void ahead_registration_lists_what_waits_as_in_hand(void **state)
{
    struct stage *stage = *state;
    hand_over(stage, A);
    hand_over(stage, B);
    struct msg_register_again again = {.session = stage->session};
    master_tells(stage, MESSAGE_register_again, &again);
    uint64_t nonce = nonce_of(stage);
    struct msg_runner_holds holds = {.id = A};
    runner_says(stage, MESSAGE_runner_holds, &holds);
    holds = (struct msg_runner_holds){.id = B, .queued = true};
    runner_says(stage, MESSAGE_runner_holds, &holds);
    runner_listed(stage, nonce);
    const struct msg_register *message = told(stage, MESSAGE_register);
    assert_int_equal(message->attempts.count, 2);
    assert_int_equal(message->attempts.items[0].holding, HOLDING_RUNNING);
    assert_int_equal(message->attempts.items[1].holding, HOLDING_IN_HAND);
}

/* A renewal lets the runner go on: what shall not start is ended before. */
static void ahead_what_the_answer_does_not_name_is_killed_before_the_renewal(void **state)
{
    struct stage *stage = *state;
    hand_over(stage, A);
    uint64_t nonce = stage_hello(stage);
    struct msg_runner_holds holds = {.id = A, .queued = true};
    runner_says(stage, MESSAGE_runner_holds, &holds);
    runner_listed(stage, nonce);
    assert_non_null(told(stage, MESSAGE_register));
    registered(stage, NULL, 0);
    bool killed = false;
    for (size_t i = 0; i < stage->effects.count; i++) {
        const struct agent_effect *effect = &stage->effects.items[i];
        if (effect->kind != AGENT_RUNNER)
            continue;
        killed = killed || effect->runner.number == MESSAGE_runner_kill;
        if (effect->runner.number == MESSAGE_runner_renew)
            assert_true(killed);
    }
    assert_true(killed);
}

static void ahead_agent_that_comes_after_one_takes_the_queue_as_it_is(void **state)
{
    struct stage *stage = *state;
    agent_destroy(stage->agent);
    stage->agent = make_agent(stage, 0);
    uint64_t nonce = stage_hello(stage);
    struct msg_runner_holds holds = {.id = A, .queued = true};
    runner_says(stage, MESSAGE_runner_holds, &holds);
    holds = (struct msg_runner_holds){.id = B, .over = true};
    runner_says(stage, MESSAGE_runner_holds, &holds);
    not_started(stage, B);
    runner_listed(stage, nonce);
    const struct msg_register *message = told(stage, MESSAGE_register);
    assert_int_equal(message->attempts.count, 1);
    const struct attempt_id keep[] = {A};
    registered(stage, keep, 1);
    assert_null(ordered(stage, MESSAGE_runner_kill));
    started(stage, A);
    exited(stage, A, REASON_EXIT_CODE, 0);
    assert_non_null(effect_of(stage, AGENT_COLLECT));
}

static void ahead_stop_gives_back_what_never_started(void **state)
{
    struct stage *stage = *state;
    hand_over(stage, A);
    stage_step(stage, (struct agent_event){.kind = AGENT_EVENT_STOP});
    assert_non_null(ordered(stage, MESSAGE_runner_kill));
    assert_null(effect_of(stage, AGENT_EXIT));
    not_started(stage, A);
    assert_non_null(told(stage, MESSAGE_given_back));
    assert_non_null(effect_of(stage, AGENT_EXIT));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)
    const struct CMUnitTest tests[] = {
        TEST(ahead_is_what_a_hand_may_hold_and_in_order),
        TEST(ahead_end_is_told_with_the_next_while_tasks_wait_for_a_slot),
        TEST(ahead_end_is_told_at_once_when_a_slot_is_free),
        TEST(ahead_what_was_gathered_is_told_when_the_queue_is_empty),
        TEST(ahead_nothing_overtakes_what_is_being_prepared),
        TEST(ahead_runner_is_told_the_slots),
        TEST(ahead_heartbeat_counts_what_waits_as_in_hand),
        TEST(ahead_take_back_asks_the_runner_and_its_answer_counts),
        TEST(ahead_what_started_before_the_take_back_is_told_as_started),
        TEST(ahead_lease_that_left_no_time_gives_it_back),
        TEST(ahead_kill_of_what_waits_ends_it_as_cancelled),
        TEST(ahead_registration_lists_what_waits_as_in_hand),
        TEST(ahead_what_the_answer_does_not_name_is_killed_before_the_renewal),
        TEST(ahead_agent_that_comes_after_one_takes_the_queue_as_it_is),
        TEST(ahead_stop_gives_back_what_never_started),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
