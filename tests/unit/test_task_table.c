/* The tables of the lifecycles: total, and an end is left only by a recorded retry or mark. */
#include "master/core/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static bool is_mark(uint32_t event)
{
    return event == TASK_EVENT_MARK_SUCCESS || event == TASK_EVENT_MARK_SKIPPED ||
           event == TASK_EVENT_MARK_FAILED;
}

static void task_table_leads_to_known_states_alone(void **state)
{
    (void)state;
    for (uint32_t from = TASK_WAITING; from <= TASK_CANCELLED; from++) {
        for (uint32_t event = 0; event < TASK_EVENT_COUNT; event++) {
            uint32_t to = task_next_state(from, (enum task_event)event);
            assert_true(to == 0 || (to >= TASK_WAITING && to <= TASK_CANCELLED));
            assert_int_equal(to == TASK_HELD, event == TASK_EVENT_HOLD && to != 0);
        }
    }
}

static void task_table_end_is_left_by_reset_or_mark_alone(void **state)
{
    (void)state;
    for (uint32_t from = TASK_SUCCESS; from <= TASK_CANCELLED; from++) {
        for (uint32_t event = 0; event < TASK_EVENT_COUNT; event++) {
            uint32_t to = task_next_state(from, (enum task_event)event);
            if (is_mark(event))
                assert_true(task_state_is_end(to));
            else
                assert_int_equal(to, event == TASK_EVENT_RESET ? TASK_WAITING : 0);
        }
    }
}

/* A retry or mark while a process may live would make two of it. */
static void task_table_no_reset_or_mark_while_an_attempt_is_alive(void **state)
{
    (void)state;
    static const uint32_t live[] = {TASK_ASSIGNED, TASK_RUNNING};
    for (size_t i = 0; i < 2; i++) {
        for (uint32_t event = TASK_EVENT_RESET; event <= TASK_EVENT_MARK_FAILED; event++)
            assert_int_equal(task_next_state(live[i], (enum task_event)event), 0);
        assert_int_equal(task_next_state(live[i], TASK_EVENT_ASSIGN), 0);
    }
}

static void task_table_only_a_ready_task_is_assigned(void **state)
{
    (void)state;
    for (uint32_t from = TASK_WAITING; from <= TASK_CANCELLED; from++)
        assert_int_equal(task_next_state(from, TASK_EVENT_ASSIGN) != 0, from == TASK_READY);
}

/* What waits for a person ends, or goes again, by a person's word alone, or by one on its attempt.
 */
static void task_table_held_task_goes_nowhere_by_itself(void **state)
{
    (void)state;
    static const enum task_event itself[] = {
        TASK_EVENT_READY, TASK_EVENT_ASSIGN, TASK_EVENT_DUE, TASK_EVENT_UPSTREAM, TASK_EVENT_START};
    for (size_t i = 0; i < sizeof itself / sizeof itself[0]; i++)
        assert_int_equal(task_next_state(TASK_HELD, itself[i]), 0);
    assert_int_equal(task_next_state(TASK_HELD, TASK_EVENT_RESET), TASK_WAITING);
    assert_int_equal(task_next_state(TASK_HELD, TASK_EVENT_MARK_SUCCESS), TASK_SUCCESS);
}

static void task_table_every_open_state_can_be_cancelled(void **state)
{
    (void)state;
    for (uint32_t from = TASK_WAITING; from <= TASK_HELD; from++)
        assert_int_equal(task_next_state(from, TASK_EVENT_CANCEL), TASK_CANCELLED);
}

static void worker_table_is_total_but_for_what_cannot_come_again(void **state)
{
    (void)state;
    for (uint32_t from = WORKER_UP; from <= WORKER_GONE; from++) {
        for (uint32_t event = 0; event < WORKER_EVENT_COUNT; event++) {
            uint32_t to = worker_next_state(from, (enum worker_event)event);
            bool illegal = (from == WORKER_GONE && event >= WORKER_EVENT_TRAFFIC &&
                               event <= WORKER_EVENT_GONE) ||
                           (from == WORKER_SILENT && event == WORKER_EVENT_SILENCE);
            assert_int_equal(to == 0, illegal);
        }
        assert_int_equal(worker_next_state(from, WORKER_EVENT_REGISTER), WORKER_UP);
        if (from != WORKER_GONE)
            assert_int_equal(worker_next_state(from, WORKER_EVENT_GONE), WORKER_GONE);
    }
}

static uint64_t delay(uint64_t base, uint64_t most, bool exponential, uint32_t tries)
{
    struct plan_task plan = {.retry_delay_ms = base, .max_retry_delay_ms = most, .name = 8};
    plan.flags = exponential ? PLAN_TASK_EXPONENTIAL_BACKOFF : 0;
    return task_retry_delay_ms(&plan, tries);
}

static void retry_delay_is_constant_without_backoff(void **state)
{
    (void)state;
    for (uint32_t tries = 1; tries < 100; tries++)
        assert_int_equal(delay(5000, 1000000, false, tries), 5000);
    assert_int_equal(delay(5000, 1000, false, 1), 1000);
}

static void retry_delay_doubles_within_a_tenth_up_to_its_cap(void **state)
{
    (void)state;
    uint64_t wanted = 1000;
    for (uint32_t tries = 1; tries <= 10; tries++, wanted *= 2) {
        uint64_t got = delay(1000, 1u << 30, true, tries);
        assert_in_range(got, wanted - wanted / 10, wanted + wanted / 10);
        assert_int_equal(got, delay(1000, 1u << 30, true, tries));
    }
    for (uint32_t tries = 1; tries < UINT32_MAX / 2; tries = tries * 3 + 1)
        assert_true(delay(1000, 60000, true, tries) <= 60000);
    assert_true(delay(UINT64_MAX / 3, UINT64_MAX / 2, true, 50) <= UINT64_MAX / 2);
    assert_int_equal(delay(0, 60000, true, 1000000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(task_table_leads_to_known_states_alone),
        cmocka_unit_test(task_table_end_is_left_by_reset_or_mark_alone),
        cmocka_unit_test(task_table_no_reset_or_mark_while_an_attempt_is_alive),
        cmocka_unit_test(task_table_only_a_ready_task_is_assigned),
        cmocka_unit_test(task_table_held_task_goes_nowhere_by_itself),
        cmocka_unit_test(task_table_every_open_state_can_be_cancelled),
        cmocka_unit_test(worker_table_is_total_but_for_what_cannot_come_again),
        cmocka_unit_test(retry_delay_is_constant_without_backoff),
        cmocka_unit_test(retry_delay_doubles_within_a_tenth_up_to_its_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
