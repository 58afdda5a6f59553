/* The runner's core in virtual time: starts, ends and deadlines. Turns: test_runner_turns.c. */
#include "tests/unit/runner_core_stage.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- the table ---- */

static void table_agent_inputs_are_never_illegal(void **state)
{
    (void)state;
    const enum input inputs[] = {
        INPUT_START, INPUT_REFUSE, INPUT_TAKE_BACK, INPUT_ASK, INPUT_FORGET};
    for (int life = 0; life < LIFE_COUNT; life++) {
        for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
            bool illegal = attempt_is_illegal((enum life)life, inputs[i]);
            /* While a spawn is being answered no message may come at all, and what is said of an
             * attempt that is not known goes no further. */
            bool begins = inputs[i] == INPUT_START || inputs[i] == INPUT_REFUSE;
            assert_int_equal(illegal, life == LIFE_STARTING || (life == LIFE_ABSENT && !begins));
        }
    }
}

static void table_process_inputs_are_legal_once(void **state)
{
    (void)state;
    for (int life = 0; life < LIFE_COUNT; life++) {
        bool runs = life == LIFE_RUNNING || life == LIFE_TERMINATING || life == LIFE_KILLING;
        enum life from = (enum life)life;
        assert_int_equal(attempt_is_illegal(from, INPUT_SPAWNED), from != LIFE_STARTING);
        assert_int_equal(attempt_is_illegal(from, INPUT_FAILED), !runs && from != LIFE_STARTING);
        assert_int_equal(attempt_is_illegal(from, INPUT_EXITED), !runs);
        assert_int_equal(attempt_is_illegal(from, INPUT_EMPTY), from != LIFE_CLEARING);
        assert_int_equal(attempt_is_illegal(from, INPUT_FORCE), from != LIFE_TERMINATING);
        assert_int_equal(attempt_is_illegal(from, INPUT_TURN), from != LIFE_QUEUED);
    }
}

/* ---- starts and ends ---- */

static void connect_says_hello(void **state)
{
    struct stage *stage = *state;
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_DISCONNECTED});
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_CONNECTED});
    const struct msg_runner_hello *hello = sent(stage, MESSAGE_runner_hello);
    assert_non_null(hello);
    assert_int_equal(hello->instance, 42);
    assert_int_equal(hello->pid, 4711);
    assert_memory_equal(hello->boot.ptr, BOOT, RUNNER_BOOT_BYTES);
    assert_int_equal(hello->memory_limit_by.length, 0);
    runner_core_set_limits(stage->core, (struct runner_limits){"cgroup", "affinity"});
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_CONNECTED});
    hello = sent(stage, MESSAGE_runner_hello);
    assert_true(slice_is(hello->memory_limit_by, "cgroup"));
    assert_true(slice_is(hello->cpu_limit_by, "affinity"));
}

static void exit_code_is_said_when_the_tree_is_empty(void **state)
{
    struct stage *stage = *state;
    run(stage, order(stage, A));
    stage->now_ms += 500;
    exited(stage, A, 3 << 8);
    const struct msg_runner_exited *end = emptied(stage, A);
    assert_int_equal(end->reason, REASON_EXIT_CODE);
    assert_int_equal(end->exit_code, 3);
    assert_int_equal(end->signal, 0);
    assert_int_equal(end->started_at, START_MS);
    assert_int_equal(end->ended_at, START_MS + 500);
    assert_true(slice_is(end->error, "exited with status 3"));
}

static void exit_code_zero_has_no_error(void **state)
{
    struct stage *stage = *state;
    run(stage, order(stage, A));
    exited(stage, A, 0);
    const struct msg_runner_exited *end = emptied(stage, A);
    assert_int_equal(end->reason, REASON_EXIT_CODE);
    assert_int_equal(end->exit_code, 0);
    assert_int_equal(end->error.length, 0);
}

static void signal_is_told_by_name(void **state)
{
    struct stage *stage = *state;
    run(stage, order(stage, A));
    exited(stage, A, SIGSEGV);
    const struct msg_runner_exited *end = emptied(stage, A);
    assert_int_equal(end->reason, REASON_SIGNAL);
    assert_int_equal(end->exit_code, -1);
    assert_int_equal(end->signal, SIGSEGV);
    assert_true(slice_is(end->error, "ended by signal SIGSEGV"));
}

/* Which error is said of an end for want of memory, over a limit of 64 MiB or not. */
static void expect_memory_error(struct stage *stage, bool over_limit, const char *error)
{
    struct msg_runner_start body = order(stage, A);
    body.memory_bytes = 64 * 1024 * 1024;
    run(stage, body);
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_EXITED,
                    .id = A,
                    .status = 137 << 8,
                    .out_of_memory = true,
                    .over_limit = over_limit,
                    .memory_peak = 67108864});
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_EMPTY, .id = A});
    const struct msg_runner_exited *end = sent(stage, MESSAGE_runner_exited);
    assert_int_equal(end->reason, REASON_OUT_OF_MEMORY);
    assert_int_equal(end->exit_code, 137);
    assert_true(slice_is(end->error, error));
}

static void out_of_its_own_memory_names_the_limit(void **state)
{
    expect_memory_error(*state, true,
        "killed: it needed more than its memory limit of 64MiB (peak 64MiB); raise `memory`, or "
        "let it use less");
}

static void out_of_the_machines_memory_blames_no_limit(void **state)
{
    expect_memory_error(*state, false, "killed by the kernel: out of memory");
}

static void out_of_memory_is_told_apart_from_a_signal(void **state)
{
    struct stage *stage = *state;
    run(stage, order(stage, A));
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_EXITED,
                    .id = A,
                    .status = SIGKILL,
                    .out_of_memory = true,
                    .cpu_us = 10,
                    .max_rss_kb = 700});
    step(stage,
        (struct runner_event){.kind = RUNNER_EVENT_EMPTY, .id = A, .cpu_us = 5, .max_rss_kb = 300});
    const struct msg_runner_exited *end = sent(stage, MESSAGE_runner_exited);
    assert_int_equal(end->reason, REASON_OUT_OF_MEMORY);
    assert_int_equal(end->cpu_us, 15);
    assert_int_equal(end->max_rss_kb, 700);
}

static void spawn_failure_ends_without_a_process(void **state)
{
    struct stage *stage = *state;
    start(stage, order(stage, A));
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_SPAWN_FAILED,
                    .id = A,
                    .reason = REASON_NOT_FOUND,
                    .text = slice_of("nope: command not found in PATH")});
    const struct msg_runner_exited *end = sent(stage, MESSAGE_runner_exited);
    assert_non_null(end);
    assert_int_equal(end->reason, REASON_NOT_FOUND);
    assert_int_equal(end->started_at, 0);
    assert_true(slice_is(end->error, "nope: command not found in PATH"));
    assert_int_equal(runner_core_next_ms(stage->core), UINT64_MAX);
}

static void late_spawn_failure_clears_the_tree_first(void **state)
{
    struct stage *stage = *state;
    run(stage, order(stage, A));
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_SPAWN_FAILED,
                    .id = A,
                    .reason = REASON_NOT_EXECUTABLE,
                    .text = slice_of("./x.sh: not executable (chmod +x)")});
    assert_non_null(effect_of(stage, RUNNER_EFFECT_KILL));
    const struct msg_runner_exited *end = emptied(stage, A);
    assert_int_equal(end->reason, REASON_NOT_EXECUTABLE);
    assert_int_equal(end->started_at, 0);
}

static void doubled_start_is_ignored_in_every_state(void **state)
{
    struct stage *stage = *state;
    struct msg_runner_start body = order(stage, A);
    run(stage, body);
    start(stage, body);
    assert_int_equal(stage->effects.count, 0);
    exited(stage, A, 0);
    start(stage, body);
    assert_int_equal(stage->effects.count, 0);
    (void)emptied(stage, A);
    start(stage, body);
    assert_int_equal(stage->effects.count, 0);
}

static void start_inside_the_grace_is_not_started(void **state)
{
    struct stage *stage = *state;
    struct msg_runner_start body = order(stage, A);
    stage->now_ms += 50000; /* lease 60 s, grace 10 s: the first moment that is too late */
    start(stage, body);
    assert_null(effect_of(stage, RUNNER_EFFECT_SPAWN));
    const struct msg_runner_exited *end = sent(stage, MESSAGE_runner_exited);
    assert_non_null(end);
    assert_int_equal(end->reason, REASON_NOT_STARTED);
    assert_int_equal(end->started_at, 0);
    /* It never starts later either, though the same order comes with a fresh stamp. */
    start(stage, order(stage, A));
    assert_int_equal(stage->effects.count, 0);
}

static void start_just_before_the_grace_starts(void **state)
{
    struct stage *stage = *state;
    struct msg_runner_start body = order(stage, A);
    stage->now_ms += 49999;
    run(stage, order(stage, B)); /* whose stamp is fresh */
    run(stage, body);
}

static void lease_zero_never_ends(void **state)
{
    struct stage *stage = *state;
    struct msg_runner_start body = order(stage, A);
    body.lease_ms = 0;
    run(stage, body);
    assert_int_equal(runner_core_next_ms(stage->core), UINT64_MAX);
}

/* ---- deadlines ---- */

static void lease_end_terminates_a_grace_before_and_kills_at_it(void **state)
{
    struct stage *stage = *state;
    run(stage, order(stage, A));
    sleep_until_effect(stage);
    assert_about(stage->now_ms, START_MS + 50000);
    assert_non_null(effect_of(stage, RUNNER_EFFECT_TERMINATE));
    sleep_until_effect(stage);
    assert_about(stage->now_ms, START_MS + 60000);
    assert_non_null(effect_of(stage, RUNNER_EFFECT_KILL));
    exited(stage, A, SIGKILL);
    const struct msg_runner_exited *end = emptied(stage, A);
    assert_int_equal(end->reason, REASON_LEASE);
    assert_int_equal(end->signal, SIGKILL);
    assert_true(slice_is(end->error, "killed: nobody renewed its lease for 1m"));
}

static void lease_that_passed_in_a_pause_kills_at_once(void **state)
{
    struct stage *stage = *state;
    run(stage, order(stage, A));
    timer_at(stage, START_MS + 200000);
    assert_non_null(effect_of(stage, RUNNER_EFFECT_TERMINATE));
    assert_non_null(effect_of(stage, RUNNER_EFFECT_KILL));
}

static void renewal_moves_the_lease_of_all(void **state)
{
    struct stage *stage = *state;
    run(stage, order(stage, A));
    run(stage, order(stage, B));
    stage->now_ms += 30000;
    renew(stage, START_MS + 29000);
    timer_at(stage, START_MS + 29000 + 49000);
    assert_int_equal(stage->effects.count, 0);
    timer_at(stage, START_MS + 29000 + 50016);
    assert_int_equal(stage->effects.count, 2);
}

static void renewal_with_an_older_stamp_changes_nothing(void **state)
{
    struct stage *stage = *state;
    run(stage, order(stage, A));
    renew(stage, START_MS - 40000);
    timer_at(stage, START_MS + 49000);
    assert_int_equal(stage->effects.count, 0);
}

static void renewal_from_the_future_counts_as_now(void **state)
{
    struct stage *stage = *state;
    run(stage, order(stage, A));
    renew(stage, START_MS + 1000000);
    sleep_until_effect(stage);
    assert_about(stage->now_ms, START_MS + 50000);
}

static void renewal_after_sigterm_does_not_save(void **state)
{
    struct stage *stage = *state;
    run(stage, order(stage, A));
    sleep_until_effect(stage);
    renew(stage, stage->now_ms);
    sleep_until_effect(stage);
    assert_about(stage->now_ms, START_MS + 60000);
    assert_non_null(effect_of(stage, RUNNER_EFFECT_KILL));
}

static void timeout_terminates_then_kills_after_the_grace(void **state)
{
    struct stage *stage = *state;
    struct msg_runner_start body = order(stage, A);
    body.timeout_ms = 2000;
    run(stage, body);
    sleep_until_effect(stage);
    assert_about(stage->now_ms, START_MS + 2000);
    uint64_t asked_at = stage->now_ms;
    assert_non_null(effect_of(stage, RUNNER_EFFECT_TERMINATE));
    sleep_until_effect(stage);
    assert_about(stage->now_ms, asked_at + 10000);
    assert_non_null(effect_of(stage, RUNNER_EFFECT_KILL));
    exited(stage, A, SIGKILL);
    const struct msg_runner_exited *end = emptied(stage, A);
    assert_int_equal(end->reason, REASON_TIMEOUT);
    assert_true(slice_is(end->error, "ran longer than its execution_timeout of 2s"));
}

static void timeout_near_the_lease_end_is_killed_by_the_lease(void **state)
{
    struct stage *stage = *state;
    struct msg_runner_start body = order(stage, A);
    body.timeout_ms = 45000;
    body.kill_grace_ms = 14000;
    run(stage, body);
    sleep_until_effect(stage);
    assert_about(stage->now_ms, START_MS + 45000);
    sleep_until_effect(stage);
    assert_about(stage->now_ms, START_MS + 59000);
    stage->now_ms = START_MS + 59500;
    exited(stage, A, SIGKILL);
    assert_int_equal(emptied(stage, A)->reason, REASON_TIMEOUT);
}

static void kill_terminates_then_kills_and_keeps_the_first_reason(void **state)
{
    struct stage *stage = *state;
    run(stage, order(stage, A));
    ask_kill(stage, A, REASON_CANCELLED);
    assert_non_null(effect_of(stage, RUNNER_EFFECT_TERMINATE));
    stage->now_ms += 1000;
    ask_kill(stage, A, REASON_TIMEOUT);
    assert_int_equal(stage->effects.count, 0);
    sleep_until_effect(stage);
    assert_about(stage->now_ms, START_MS + 10000);
    assert_non_null(effect_of(stage, RUNNER_EFFECT_KILL));
    exited(stage, A, SIGKILL);
    assert_int_equal(emptied(stage, A)->reason, REASON_CANCELLED);
}

static void killed_task_that_ends_well_keeps_reason_and_tells_its_code(void **state)
{
    struct stage *stage = *state;
    run(stage, order(stage, A));
    ask_kill(stage, A, REASON_CANCELLED);
    exited(stage, A, 0);
    const struct msg_runner_exited *end = emptied(stage, A);
    assert_int_equal(end->reason, REASON_CANCELLED);
    assert_int_equal(end->exit_code, 0);
}

static void kill_after_the_main_process_ended_changes_nothing(void **state)
{
    struct stage *stage = *state;
    run(stage, order(stage, A));
    exited(stage, A, 0);
    ask_kill(stage, A, REASON_CANCELLED);
    assert_int_equal(stage->effects.count, 0);
    assert_int_equal(emptied(stage, A)->reason, REASON_EXIT_CODE);
}

static void kill_without_grace_is_sigkill_at_once(void **state)
{
    struct stage *stage = *state;
    struct msg_runner_start body = order(stage, A);
    body.kill_grace_ms = 0;
    run(stage, body);
    ask_kill(stage, A, REASON_CANCELLED);
    assert_non_null(effect_of(stage, RUNNER_EFFECT_TERMINATE));
    assert_non_null(effect_of(stage, RUNNER_EFFECT_KILL));
}

static void kill_of_a_stranger_is_ignored(void **state)
{
    struct stage *stage = *state;
    ask_kill(stage, B, REASON_CANCELLED);
    assert_int_equal(stage->effects.count, 0);
}

/* ---- lists and forgetting ---- */

static void list_tells_all_and_repeats_ends_until_forgotten(void **state)
{
    struct stage *stage = *state;
    run(stage, order(stage, A));
    run_to_end(stage, B);
    for (int i = 0; i < 2; i++) {
        list(stage);
        assert_int_equal(stage->effects.count, 4);
        const struct runner_effect *items = stage->effects.items;
        const struct msg_runner_holds *holds = items[0].body;
        assert_int_equal(items[0].number, MESSAGE_runner_holds);
        assert_true(items[0].pipe && items[1].pipe && !items[2].pipe);
        assert_int_equal(items[0].id.task, A.task);
        assert_int_equal(holds->id.task, A.task);
        assert_int_equal(holds->pid, PID);
        assert_true(slice_is(holds->cookie, "biscuit"));
        assert_false(holds->over);
        assert_true(((const struct msg_runner_holds *)items[1].body)->over);
        assert_int_equal(items[2].number, MESSAGE_runner_exited);
    }
    forget(stage, B);
    assert_int_equal(effect_of(stage, RUNNER_EFFECT_FORGET)->id.task, B.task);
    list(stage);
    assert_int_equal(stage->effects.count, 2);
}

static void forget_of_what_runs_is_ignored(void **state)
{
    struct stage *stage = *state;
    run(stage, order(stage, A));
    forget(stage, A);
    assert_int_equal(stage->effects.count, 0);
    forget(stage, B);
    assert_int_equal(stage->effects.count, 0);
}

static void end_without_an_agent_waits_for_the_next(void **state)
{
    struct stage *stage = *state;
    run(stage, order(stage, A));
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_DISCONNECTED});
    exited(stage, A, 0);
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_EMPTY, .id = A});
    assert_int_equal(stage->effects.count, 0);
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_CONNECTED});
    list(stage);
    assert_non_null(sent(stage, MESSAGE_runner_exited));
}

/* ---- the end of the runner ---- */

static void stop_waits_until_ends_are_forgotten(void **state)
{
    struct stage *stage = *state;
    run(stage, order(stage, A));
    struct msg_runner_stop stop = {.now = false};
    say(stage, MESSAGE_runner_stop, &stop);
    assert_int_equal(stage->effects.count, 0);
    start(stage, order(stage, B));
    assert_int_equal(((const struct msg_runner_exited *)sent(stage, MESSAGE_runner_exited))->reason,
        REASON_NOT_STARTED);
    forget(stage, B);
    assert_null(effect_of(stage, RUNNER_EFFECT_EXIT));
    exited(stage, A, 0);
    (void)emptied(stage, A);
    assert_null(effect_of(stage, RUNNER_EFFECT_EXIT));
    forget(stage, A);
    assert_non_null(effect_of(stage, RUNNER_EFFECT_EXIT));
}

static void stop_of_an_idle_runner_ends_it(void **state)
{
    struct stage *stage = *state;
    struct msg_runner_stop stop = {.now = false};
    say(stage, MESSAGE_runner_stop, &stop);
    assert_non_null(effect_of(stage, RUNNER_EFFECT_EXIT));
    assert_int_equal(runner_core_next_ms(stage->core), UINT64_MAX);
}

static void stop_now_kills_and_ends_with_the_last(void **state)
{
    struct stage *stage = *state;
    run(stage, order(stage, A));
    struct msg_runner_stop stop = {.now = true};
    say(stage, MESSAGE_runner_stop, &stop);
    assert_non_null(effect_of(stage, RUNNER_EFFECT_TERMINATE));
    exited(stage, A, SIGTERM);
    assert_int_equal(emptied(stage, A)->reason, REASON_WORKER_STOPPED);
    assert_int_equal(stage->effects.items[stage->effects.count - 1].kind, RUNNER_EFFECT_EXIT);
}

static void sigterm_is_obeyed_only_when_nothing_is_held(void **state)
{
    struct stage *stage = *state;
    run(stage, order(stage, A));
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_TERM});
    assert_int_equal(stage->effects.count, 0);
    exited(stage, A, 0);
    (void)emptied(stage, A);
    forget(stage, A);
    assert_null(effect_of(stage, RUNNER_EFFECT_EXIT));
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_TERM});
    assert_non_null(effect_of(stage, RUNNER_EFFECT_EXIT));
}

static void alone_for_a_day_ends_the_runner(void **state)
{
    struct stage *stage = *state;
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_DISCONNECTED});
    timer_at(stage, START_MS + RUNNER_ALONE_MAX_MS - 1);
    assert_int_equal(stage->effects.count, 0);
    sleep_until_effect(stage);
    assert_about(stage->now_ms, START_MS + RUNNER_ALONE_MAX_MS);
    assert_non_null(effect_of(stage, RUNNER_EFFECT_EXIT));
}

static void alone_for_a_day_waits_for_what_runs(void **state)
{
    struct stage *stage = *state;
    struct msg_runner_start body = order(stage, A);
    body.lease_ms = 0;
    run(stage, body);
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_DISCONNECTED});
    timer_at(stage, START_MS + 2 * RUNNER_ALONE_MAX_MS);
    assert_int_equal(stage->effects.count, 0);
    exited(stage, A, 0);
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_EMPTY, .id = A});
    assert_non_null(effect_of(stage, RUNNER_EFFECT_EXIT));
}

static void an_agent_ends_the_day_alone(void **state)
{
    struct stage *stage = *state;
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_DISCONNECTED});
    stage->now_ms += RUNNER_ALONE_MAX_MS - 1;
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_CONNECTED});
    assert_int_equal(runner_core_next_ms(stage->core), UINT64_MAX);
    timer_at(stage, START_MS + 3 * RUNNER_ALONE_MAX_MS);
    assert_int_equal(stage->effects.count, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_agent_inputs_are_never_illegal),
        cmocka_unit_test(table_process_inputs_are_legal_once),
        TEST(connect_says_hello),
        TEST(exit_code_is_said_when_the_tree_is_empty),
        TEST(exit_code_zero_has_no_error),
        TEST(signal_is_told_by_name),
        TEST(out_of_memory_is_told_apart_from_a_signal),
        TEST(out_of_its_own_memory_names_the_limit),
        TEST(out_of_the_machines_memory_blames_no_limit),
        TEST(spawn_failure_ends_without_a_process),
        TEST(late_spawn_failure_clears_the_tree_first),
        TEST(doubled_start_is_ignored_in_every_state),
        TEST(start_inside_the_grace_is_not_started),
        TEST(start_just_before_the_grace_starts),
        TEST(lease_zero_never_ends),
        TEST(lease_end_terminates_a_grace_before_and_kills_at_it),
        TEST(lease_that_passed_in_a_pause_kills_at_once),
        TEST(renewal_moves_the_lease_of_all),
        TEST(renewal_with_an_older_stamp_changes_nothing),
        TEST(renewal_from_the_future_counts_as_now),
        TEST(renewal_after_sigterm_does_not_save),
        TEST(timeout_terminates_then_kills_after_the_grace),
        TEST(timeout_near_the_lease_end_is_killed_by_the_lease),
        TEST(kill_terminates_then_kills_and_keeps_the_first_reason),
        TEST(killed_task_that_ends_well_keeps_reason_and_tells_its_code),
        TEST(kill_after_the_main_process_ended_changes_nothing),
        TEST(kill_without_grace_is_sigkill_at_once),
        TEST(kill_of_a_stranger_is_ignored),
        TEST(list_tells_all_and_repeats_ends_until_forgotten),
        TEST(forget_of_what_runs_is_ignored),
        TEST(end_without_an_agent_waits_for_the_next),
        TEST(stop_waits_until_ends_are_forgotten),
        TEST(stop_of_an_idle_runner_ends_it),
        TEST(stop_now_kills_and_ends_with_the_last),
        TEST(sigterm_is_obeyed_only_when_nothing_is_held),
        TEST(alone_for_a_day_ends_the_runner),
        TEST(alone_for_a_day_waits_for_what_runs),
        TEST(an_agent_ends_the_day_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
