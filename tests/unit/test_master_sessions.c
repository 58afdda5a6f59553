/* Leases, sessions and registrations, and what a worker must not be able to do. See core_world.h.
 */
#include "tests/unit/core_world.h"

#include "common/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const char ONE[] = LEASE "tasks:\n  a: {bash: run}\n";

static int setup(void **state)
{
    *state = world_create();
    return 0;
}

static int teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

/* ---- leases ---- */

static void core_silence_is_shown_and_the_task_moves_only_after_lease_and_margin(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = world_run_one(world, ONE, &run);
    struct fake *other = fake_up(world, 1);
    fake->beats = false;
    world_pass(world, 3000);
    assert_int_equal(world_task_state(world, run, 0), TASK_UNREACHABLE);
    world_pass(world, LEASE_MS + MARGIN_MS - 3000 - 500);
    assert_null(fake_assign(other, 0));
    world_pass(world, 1000);
    assert_non_null(fake_assign(other, 0));
    assert_int_equal(fake_assign(other, 0)->id.attempt, 2);
    assert_int_equal(world_attempt(world, run, 0, 1)->state, ATTEMPT_LOST);
}

static void core_late_result_counts_until_another_attempt_is_assigned(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = world_run_one(world, ONE, &run);
    fake->beats = false;
    world_pass(world, LEASE_MS + MARGIN_MS + 1000);
    assert_int_equal(world_task_state(world, run, 0), TASK_READY);
    struct held_attempt held = fake_holds(fake, attempt_named(run, 0, 1), HOLDING_ENDED);
    fake_register(world, fake, &held, 1);
    assert_non_null(fake->registered);
    fake_empty(fake);
    fake_ended(world, fake, held.id, ATTEMPT_SUCCESS);
    struct fake *other = fake_up(world, 1);
    world_pass(world, 100);
    assert_int_equal(fake_count(other, MESSAGE_assign), 0);
    assert_int_equal(world_run_state(world, run), RUN_SUCCESS);
}

static void core_result_after_another_assignment_is_settled_and_changes_nothing(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = world_run_one(world, ONE, &run);
    struct fake *other = fake_up(world, 1);
    fake->beats = false;
    world_pass(world, LEASE_MS + MARGIN_MS + 1000);
    assert_non_null(fake_assign(other, 0));
    struct held_attempt held = fake_holds(fake, attempt_named(run, 0, 1), HOLDING_ENDED);
    fake_register(world, fake, &held, 1);
    assert_int_equal(fake->registered->keep.count, 0);
    fake_ended(world, fake, held.id, ATTEMPT_SUCCESS);
    assert_int_equal(fake_count(fake, MESSAGE_settled), 1);
    assert_int_equal(world_attempt(world, run, 0, 1)->state, ATTEMPT_LOST);
    assert_int_equal(world_task_state(world, run, 0), TASK_ASSIGNED);
}

/* FAULTS 12: a worker whose frames arrive, and who gets no answer. */
static void core_worker_that_never_beats_loses_its_session_with_its_lease(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = world_run_one(world, ONE, &run);
    struct fake *other = fake_up(world, 1);
    struct held_attempt held = fake_holds(fake, attempt_named(run, 0, 1), HOLDING_RUNNING);
    fake->beats = false;
    fake_register(world, fake, &held, 1);
    uint64_t stamp = world->now_ms;
    for (int i = 0; i < 90; i++) {
        world_pass(world, 1000);
        fake_send_register(world, fake, stamp, &held, 1);
    }
    assert_non_null(fake_assign(other, 0));
}

static void core_restart_counts_every_lease_anew(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = world_run_one(world, ONE, &run);
    fake->beats = false;
    world_pass(world, 50000);
    world_restart(world);
    assert_int_equal(world_task_state(world, run, 0), TASK_UNREACHABLE);
    struct fake *other = fake_up(world, 1);
    world_pass(world, LEASE_MS + MARGIN_MS - 1000);
    assert_null(fake_assign(other, 0));
    world_pass(world, 2000);
    assert_non_null(fake_assign(other, 0));
}

static void core_order_of_runs_goes_on_after_a_restart(void **state)
{
    struct core_world *world = *state;
    uint64_t first = world_submit(world, ONE);
    world_cancel(world, first, TASK_ALL);
    assert_int_equal(world_run_state(world, first), RUN_CANCELLED);
    world_restart(world);
    (void)world_submit(world, ONE);
    assert_int_equal(world->rows.runs[1].number, 2);
    assert_true(world->rows.runs[1].order > world->rows.runs[0].order);
}

/* ---- registrations ---- */

static void core_list_of_the_same_runner_that_lacks_an_attempt_sends_it_again_at_once(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    uint64_t run = world_submit(world, ONE);
    fake_register(world, fake, NULL, 0);
    assert_int_equal(world_attempt(world, run, 0, 1)->state, ATTEMPT_LOST);
    assert_int_equal(fake_assign(fake, 0)->id.attempt, 2);
}

static void core_listed_attempt_goes_on_and_is_named(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = world_run_one(world, ONE, &run);
    struct held_attempt held = fake_holds(fake, attempt_named(run, 0, 1), HOLDING_RUNNING);
    fake_register(world, fake, &held, 1);
    assert_int_equal(fake->registered->keep.count, 1);
    assert_int_equal(world_task_state(world, run, 0), TASK_RUNNING);
    fake_ended(world, fake, held.id, ATTEMPT_SUCCESS);
    assert_int_equal(world_run_state(world, run), RUN_SUCCESS);
}

static void core_dead_runner_of_the_same_boot_frees_its_attempts(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = world_run_one(world, ONE, &run);
    fake->dead_instance = fake->instance;
    fake->instance = 4444;
    fake_register(world, fake, NULL, 0);
    assert_int_equal(fake_assign(fake, 0)->id.attempt, 2);
}

static void core_dead_runner_of_another_boot_leaves_them_to_the_lease(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = world_run_one(world, ONE, &run);
    fake->beats = false;
    world_pass(world, 5000);
    fake->dead_instance = fake->instance;
    fake->instance = 4444;
    fake->boot[5] = 99;
    fake->beats = true;
    fake_register(world, fake, NULL, 0);
    assert_non_null(fake->registered);
    assert_int_equal(fake_count(fake, MESSAGE_assign), 1);
    world_pass(world, LEASE_MS);
    assert_int_equal(fake_count(fake, MESSAGE_assign), 1);
    world_pass(world, MARGIN_MS);
    assert_int_equal(fake_count(fake, MESSAGE_assign), 2);
}

static void core_rebooted_host_leaves_its_attempts_to_the_lease_after_a_restart_too(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = world_run_one(world, ONE, &run);
    world_restart(world);
    fake->dead_instance = fake->instance;
    fake->instance = 4444;
    fake->boot[5] = 99;
    fake_register(world, fake, NULL, 0);
    assert_non_null(fake->registered);
    assert_int_equal(fake_count(fake, MESSAGE_assign), 1);
}

static void core_copied_directory_beside_a_live_session_is_refused(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = world_run_one(world, ONE, &run);
    struct fake *copy = fake_add(world, 1);
    memcpy(copy->key, fake->key, sizeof copy->key);
    copy->name[1] = fake->name[1];
    fake_register(world, copy, NULL, 0);
    assert_null(copy->registered);
    assert_non_null(strstr(copy->refused_text.ptr, "copied"));
    /* Also when it says that the other one's runner is dead. */
    copy->dead_instance = fake->instance;
    fake_register(world, copy, NULL, 0);
    assert_null(copy->registered);
    assert_int_equal(world_task_state(world, run, 0), TASK_RUNNING);
}

static void core_name_of_a_live_worker_is_refused(void **state)
{
    struct core_world *world = *state;
    struct fake *first = fake_up(world, 1);
    struct fake *second = fake_add(world, 1);
    second->name[1] = first->name[1];
    fake_register(world, second, NULL, 0);
    assert_null(second->registered);
    assert_int_equal(second->refused, 1);
    assert_non_null(strstr(second->refused_text.ptr, "--name"));
}

static void core_repeated_registration_keeps_what_was_assigned_since(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    uint64_t stamp = world->now_ms;
    uint64_t run = world_submit(world, ONE);
    fake_started(world, fake, attempt_named(run, 0, 1));
    fake_send_register(world, fake, stamp, NULL, 0);
    assert_int_equal(world_task_state(world, run, 0), TASK_RUNNING);
    assert_int_equal(fake_count(fake, MESSAGE_assign), 1);
}

static void core_registration_that_was_overtaken_is_no_word(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_add(world, 1);
    fake_register(world, fake, NULL, 0);
    uint64_t old_session = fake->session, old_stamp = world->now_ms;
    fake_register(world, fake, NULL, 0);
    uint64_t new_session = fake->session;
    uint64_t run = world_submit(world, ONE);
    fake_started(world, fake, attempt_named(run, 0, 1));
    fake->session = old_session;
    fake->channel.session = old_session;
    fake_send_register(world, fake, old_stamp, NULL, 0);
    assert_int_equal(fake->again, 1);
    assert_int_equal(world_task_state(world, run, 0), TASK_RUNNING);
    fake->session = new_session;
    fake->channel.session = new_session;
    fake_ended(world, fake, attempt_named(run, 0, 1), ATTEMPT_SUCCESS);
    assert_int_equal(world_run_state(world, run), RUN_SUCCESS);
}

/* Two boots' old registrations come late, one after the other: the first makes the second look like
 * a newcomer's. */
static void core_registrations_of_two_boots_that_come_late_are_no_word(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_add(world, 1);
    uint64_t old_stamp = world->now_ms;
    world_pass(world, 1000);
    fake_register(world, fake, NULL, 0);
    uint64_t run = world_submit(world, ONE);
    fake_started(world, fake, attempt_named(run, 0, 1));
    fake->beats = false;
    world_pass(world, 5000);
    struct fake *other = fake_up(world, 1);
    uint64_t instance = fake->instance;
    fake->session = 0xaaa;
    fake->instance = 4444;
    fake->boot[5] = 99;
    channel_open(&fake->channel, fake->session);
    fake_send_register(world, fake, old_stamp, NULL, 0);
    world_pass(world, 5000);
    fake->session = 0xbbb;
    fake->instance = instance;
    fake->boot[5] = 0;
    channel_open(&fake->channel, fake->session);
    fake_send_register(world, fake, old_stamp, NULL, 0);
    world_pass(world, 100);
    assert_int_equal(world_attempt(world, run, 0, 1)->state, ATTEMPT_ASSIGNED);
    assert_null(fake_assign(other, 0));
    world_restart(world);
    fake->session = 0xccc;
    channel_open(&fake->channel, fake->session);
    fake_send_register(world, fake, old_stamp + 1, NULL, 0);
    assert_int_equal(world_attempt(world, run, 0, 1)->state, ATTEMPT_ASSIGNED);
}

static void core_session_of_another_worker_is_not_taken_over(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = world_run_one(world, ONE, &run);
    struct fake *thief = fake_add(world, 1);
    thief->session = fake->session;
    channel_open(&thief->channel, thief->session);
    fake_send_register(world, thief, world->now_ms, NULL, 0);
    assert_null(thief->registered);
    fake_ended(world, fake, attempt_named(run, 0, 1), ATTEMPT_SUCCESS);
    assert_int_equal(world_run_state(world, run), RUN_SUCCESS);
}

static void core_frame_of_an_old_session_is_told_to_register(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = world_run_one(world, ONE, &run);
    fake->session++;
    fake->channel.session++;
    fake_ended(world, fake, attempt_named(run, 0, 1), ATTEMPT_SUCCESS);
    assert_int_equal(fake->again, 1);
    assert_int_equal(world_task_state(world, run, 0), TASK_RUNNING);
}

/* ---- what a worker must not be able to do ---- */

static void core_word_on_anothers_attempt_is_nothing(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    (void)world_run_one(world, ONE, &run);
    struct fake *other = fake_up(world, 1);
    fake_ended(world, other, attempt_named(run, 0, 1), ATTEMPT_SUCCESS);
    fake_given_back(world, other, attempt_named(run, 0, 1));
    assert_int_equal(world_task_state(world, run, 0), TASK_RUNNING);
    assert_int_equal(world_attempt(world, run, 0, 1)->state, ATTEMPT_ASSIGNED);
}

static void core_odd_words_of_a_worker_do_no_harm(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 2);
    uint64_t run = world_submit(world, LEASE "tasks:\n"
                                             "  a: {bash: run, retries: 9, retry_delay: 1s}\n"
                                             "  b: {noop: , retries: 9, retry_delay: 1s}\n");
    for (uint32_t state_said = 0; state_said < 20; state_said++) {
        for (uint32_t task = 0; task < 2; task++) {
            const struct msg_assign *assign = fake_assign(fake, task);
            struct attempt_id id = assign != NULL ? assign->id : attempt_named(run, task, 1);
            struct msg_ended ended = {
                .id = id,
                .state = state_said == 5 ? 0 : state_said,
                .reason = 4000000000u,
                .exit_code = INT64_MIN,
                .signal = UINT32_MAX,
                .started_at = UINT64_MAX,
                .ended_at = (uint64_t)INT64_MAX + 1,
                .outputs = slice_of("[1, 2"),
                .artifacts = slice_of("short"),
                .log_bytes = UINT64_MAX,
            };
            struct msg_started started = {.id = id, .at = UINT64_MAX, .pid = UINT64_MAX};
            fake_say(world, fake, MESSAGE_started, &started);
            fake_say(world, fake, MESSAGE_started, &started);
            fake_say(world, fake, MESSAGE_ended, &ended);
            fake_say(world, fake, MESSAGE_ended, &ended);
            fake_given_back(world, fake, id);
        }
        world_pass(world, 1500);
    }
    for (size_t i = 0; i < world->rows.attempt_count; i++) {
        assert_true(world->rows.attempts[i].reason <= UINT8_MAX);
        size_t length = world->rows.attempts[i].artifacts.length;
        assert_true(length == 0 || length == HASH_BYTES);
    }
    struct attempt_id nobody = attempt_named(999, 5, 1);
    nobody.map = 7;
    fake_ended(world, fake, nobody, ATTEMPT_SUCCESS);
    nobody = attempt_named(run, 4000000, 1);
    fake_ended(world, fake, nobody, ATTEMPT_SUCCESS);
}

static void core_clock_of_a_worker_may_say_anything(void **state)
{
    struct core_world *world = *state;
    static const uint64_t stamps[] = {0, 1, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX};
    struct fake *fake = fake_add(world, 1);
    fake->beats = false;
    uint64_t run = world_submit(world, ONE);
    for (size_t i = 0; i < sizeof stamps / sizeof stamps[0]; i++) {
        fake->session = 0xbad0 + i;
        fake->boot[3] = (unsigned char)i;
        channel_open(&fake->channel, fake->session);
        fake_send_register(world, fake, stamps[i], NULL, 0);
        struct msg_heartbeat beat = {.stamp = stamps[i]};
        struct buffer frame = {0};
        struct frame_header header = {.version = PROTOCOL_VERSION, .epoch = world->epoch};
        channel_plain_frame(&fake->channel, &header, &frame);
        message_encode(&frame, MESSAGE_heartbeat, &beat);
        fake_send(world, fake, buffer_slice(&frame));
        buffer_fini(&frame);
        const struct msg_assign *assign = fake_assign(fake, 0);
        if (assign != NULL)
            fake_started(world, fake, assign->id);
    }
    assert_int_not_equal(world_task_state(world, run, 0), TASK_READY);
}

static void core_registration_with_nonsense_is_refused(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_add(world, 200000);
    fake_register(world, fake, NULL, 0);
    assert_int_equal(fake->refused, 1);
    char name[3000];
    memset(name, 'q', sizeof name);
    name[sizeof name - 1] = '\0';
    fake->slots = 1;
    fake->queue = name;
    fake_register(world, fake, NULL, 0);
    assert_int_equal(fake->refused, 2);
    fake->queue = "default";
    fake->instance = 0;
    fake_register(world, fake, NULL, 0);
    assert_int_equal(fake->refused, 3);
    fake_send(world, fake, slice_of("garbage"));
    assert_int_equal(fake->refused, 4);
    assert_null(fake->registered);
}

/* What the master owes a worker that never takes anything is bounded: the session ends. */
static void core_worker_that_acknowledges_nothing_loses_its_session(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    fake->beats = false;
    uint64_t first = fake->session;
    fake->session = 0; /* the fixture takes nothing for it */
    struct buffer frame = {0};
    struct frame_header header = {
        .version = PROTOCOL_VERSION, .session = first, .number = 1, .ack = 1};
    struct msg_ended ended = {.id = attempt_named(1, 1, 1), .state = ATTEMPT_SUCCESS};
    uint32_t rounds = 0;
    while (fake->again == 0 && rounds++ < 1000) {
        buffer_clear(&frame);
        frame_begin(&frame, &header);
        for (int i = 0; i < 20000; i++, header.number++)
            message_encode(&frame, MESSAGE_ended, &ended);
        fake_send(world, fake, buffer_slice(&frame));
        fake_empty(fake);
        arena_reset(&world->arena);
    }
    assert_true(fake->again > 0);
    buffer_fini(&frame);
}

/* A worker that served another store has seen numbers that mean nothing here. */
static void core_worker_of_another_cluster_is_refused_and_fences_nothing(void **state)
{
    struct core_world *world = *state;
    struct fake *stranger = fake_add(world, 1);
    stranger->cluster = "another";
    stranger->session = 77;
    channel_open(&stranger->channel, 77);
    stranger->says_epoch = 57;
    fake_send_register(world, stranger, world->now_ms, NULL, 0);
    assert_null(stranger->registered);
    assert_non_null(strstr(stranger->refused_text.ptr, "cluster"));
    struct slice text;
    assert_false(core_is_fenced(world->core, &text));
    /* Of the same cluster it counts, though no session is open. */
    stranger->cluster = "the-cluster";
    fake_send_register(world, stranger, world->now_ms, NULL, 0);
    assert_true(core_is_fenced(world->core, &text));
}

/* A machine as it once was speaks with its runner's id, and knows nothing of what came after. */
static void core_running_attempt_that_its_own_runner_does_not_list_waits_for_its_lease(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = world_run_one(world, ONE, &run);
    fake_empty(fake);
    fake_register(world, fake, NULL, 0);
    assert_non_null(fake->registered);
    assert_int_equal(world_task_state(world, run, 0), TASK_UNREACHABLE);
    world_pass(world, LEASE_MS + MARGIN_MS - 500);
    assert_null(fake_assign(fake, 0));
    world_pass(world, 1500);
    assert_int_equal(world_attempt(world, run, 0, 1)->state, ATTEMPT_LOST);
    assert_int_equal(fake_assign(fake, 0)->id.attempt, 2);
}

static void core_worker_that_knows_less_than_it_did_registers_again(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = world_run_one(world, ONE, &run);
    assert_int_equal(fake->channel.next_in, 2);
    fake->channel.next_in = 1;
    fake_empty(fake);
    world_pass(world, 5000);
    assert_true(fake->again);
}

static void core_higher_epoch_stops_dispatch_and_says_why(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    world->epoch += 5;
    struct buffer frame = {0};
    struct frame_header header = {.version = PROTOCOL_VERSION, .epoch = world->epoch};
    struct msg_heartbeat beat = {.stamp = world->now_ms};
    channel_plain_frame(&fake->channel, &header, &frame);
    message_encode(&frame, MESSAGE_heartbeat, &beat);
    world->epoch -= 5;
    fake_send(world, fake, buffer_slice(&frame));
    buffer_fini(&frame);
    struct slice text = {0};
    assert_true(core_is_fenced(world->core, &text));
    assert_non_null(strstr(text.ptr, "epoch 6"));
    (void)world_submit(world, ONE);
    assert_int_equal(fake_count(fake, MESSAGE_assign), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(core_silence_is_shown_and_the_task_moves_only_after_lease_and_margin),
        TEST(core_late_result_counts_until_another_attempt_is_assigned),
        TEST(core_result_after_another_assignment_is_settled_and_changes_nothing),
        TEST(core_worker_that_never_beats_loses_its_session_with_its_lease),
        TEST(core_restart_counts_every_lease_anew),
        TEST(core_order_of_runs_goes_on_after_a_restart),
        TEST(core_list_of_the_same_runner_that_lacks_an_attempt_sends_it_again_at_once),
        TEST(core_listed_attempt_goes_on_and_is_named),
        TEST(core_dead_runner_of_the_same_boot_frees_its_attempts),
        TEST(core_dead_runner_of_another_boot_leaves_them_to_the_lease),
        TEST(core_rebooted_host_leaves_its_attempts_to_the_lease_after_a_restart_too),
        TEST(core_copied_directory_beside_a_live_session_is_refused),
        TEST(core_name_of_a_live_worker_is_refused),
        TEST(core_repeated_registration_keeps_what_was_assigned_since),
        TEST(core_registration_that_was_overtaken_is_no_word),
        TEST(core_registrations_of_two_boots_that_come_late_are_no_word),
        TEST(core_session_of_another_worker_is_not_taken_over),
        TEST(core_frame_of_an_old_session_is_told_to_register),
        TEST(core_word_on_anothers_attempt_is_nothing),
        TEST(core_odd_words_of_a_worker_do_no_harm),
        TEST(core_clock_of_a_worker_may_say_anything),
        TEST(core_registration_with_nonsense_is_refused),
        TEST(core_worker_that_acknowledges_nothing_loses_its_session),
        TEST(core_worker_of_another_cluster_is_refused_and_fences_nothing),
        TEST(core_higher_epoch_stops_dispatch_and_says_why),
        TEST(core_running_attempt_that_its_own_runner_does_not_list_waits_for_its_lease),
        TEST(core_worker_that_knows_less_than_it_did_registers_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
