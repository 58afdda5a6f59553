/*
 * What operators say, through the agent's core: notes across sessions, breaches, and what an end
 * means.
 */
#include "tests/unit/agent_stage.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct attempt_id A = {.run = 1, .task = 1, .attempt = 1};

static void leave_note(struct stage *stage, uint32_t number)
{
    stage_step(stage, (struct agent_event){.kind = AGENT_EVENT_NOTED,
                          .note = {.id = A, .note = number, .text = slice_of("{\"a\":1}")}});
}

/* A new session, in which the runner holds A and the master wants it. */
static void begin_again(struct stage *stage)
{
    struct msg_register_again again = {.session = stage->session};
    master_tells(stage, MESSAGE_register_again, &again);
    uint64_t nonce = nonce_of(stage);
    struct msg_runner_holds holds = {.id = A};
    runner_says(stage, MESSAGE_runner_holds, &holds);
    runner_listed(stage, nonce);
    assert_non_null(told(stage, MESSAGE_register));
    registered(stage, &A, 1);
}

static void agent_note_is_told_in_each_session_until_it_is_answered(void **state)
{
    struct stage *stage = *state;
    stage_run(stage, A);
    leave_note(stage, 1);
    const struct msg_note *said = told(stage, MESSAGE_note);
    assert_int_equal(said->note, 1);
    assert_true(slice_is(said->text, "{\"a\":1}"));
    begin_again(stage);
    said = told(stage, MESSAGE_note);
    assert_non_null(said);
    assert_int_equal(said->note, 1);
    struct msg_noted noted = {.id = A, .note = 1};
    master_orders(stage, MESSAGE_noted, &noted);
    assert_int_equal(effect_of(stage, AGENT_NOTED)->noted.note, 1);
    begin_again(stage);
    assert_null(told(stage, MESSAGE_note));
}

static void agent_progress_goes_with_the_next_heartbeat(void **state)
{
    struct stage *stage = *state;
    stage_run(stage, A);
    for (int i = 1; i <= 3; i++)
        stage_step(stage, (struct agent_event){.kind = AGENT_EVENT_PROGRESS,
                              .progress = {.id = A, .done = i, .total = 3}});
    assert_null(told(stage, MESSAGE_progress));
    stage->now_ms += 1000;
    stage_step(stage, (struct agent_event){.kind = AGENT_EVENT_TIMER});
    const struct msg_progress *progress = told(stage, MESSAGE_progress);
    assert_non_null(progress);
    assert_int_equal(progress->done, 3);
}

static void agent_breach_ends_the_operator(void **state)
{
    struct stage *stage = *state;
    stage_run(stage, A);
    stage_step(stage, (struct agent_event){.kind = AGENT_EVENT_BREACH, .breach = A});
    const struct msg_runner_kill *kill = ordered(stage, MESSAGE_runner_kill);
    assert_non_null(kill);
    assert_int_equal(kill->reason, REASON_OPERATOR);
}

/* A that exited so, whose operator said so. */
static const struct msg_ended *end(
    struct stage *stage, uint32_t reason, int64_t code, struct agent_event said)
{
    stage_run(stage, A);
    exited(stage, A, reason, code);
    said.kind = AGENT_EVENT_COLLECTED;
    said.collected.id = A;
    stage_step(stage, said);
    return effect_of(stage, AGENT_SAVE)->save;
}

static void agent_failure_has_its_operators_words(void **state)
{
    const struct msg_ended *ended = end(*state, REASON_EXIT_CODE, 3,
        (struct agent_event){.collected = {.error = slice_of("no such table"), .no_retry = true}});
    assert_int_equal(ended->state, ATTEMPT_FAILED);
    assert_int_equal(ended->reason, REASON_EXIT_CODE);
    assert_true(slice_is(ended->error, "no such table"));
    assert_true(ended->no_retry);
}

static void agent_success_that_breaks_the_contract_is_none(void **state)
{
    const struct msg_ended *ended = end(*state, REASON_EXIT_CODE, 0,
        (struct agent_event){
            .collected = {.reason = REASON_OPERATOR, .error = slice_of("it has no end")}});
    assert_int_equal(ended->state, ATTEMPT_FAILED);
    assert_int_equal(ended->reason, REASON_OPERATOR);
    assert_true(slice_is(ended->error, "it has no end"));
}

static void agent_cancel_is_a_cancel_whatever_its_operator_said(void **state)
{
    const struct msg_ended *ended = end(*state, REASON_CANCELLED, 1,
        (struct agent_event){
            .collected = {.reason = REASON_OPERATOR, .error = slice_of("garbage")}});
    assert_int_equal(ended->state, ATTEMPT_CANCELLED);
    assert_int_equal(ended->reason, REASON_CANCELLED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(agent_note_is_told_in_each_session_until_it_is_answered),
        TEST(agent_progress_goes_with_the_next_heartbeat),
        TEST(agent_breach_ends_the_operator),
        TEST(agent_failure_has_its_operators_words),
        TEST(agent_success_that_breaks_the_contract_is_none),
        TEST(agent_cancel_is_a_cancel_whatever_its_operator_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
