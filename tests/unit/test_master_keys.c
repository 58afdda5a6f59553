/* Whose key a frame speaks for. See access_stage.h. */
#include "tests/unit/access_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
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

/* ---- whose key speaks (FAULTS 31) ---- */

static void assert_frame_refused(
    struct core_world *world, struct fake *fake, const char *action, const char *text)
{
    assert_int_equal(fake->refused, 1);
    const struct msg_refused *refused = fake_told(fake, MESSAGE_refused, 0);
    assert_int_equal(refused->code, ERR_DENIED);
    if (strstr(fake->refused_text.ptr, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", fake->refused_text.ptr, text);
    const struct audit_row *row = world_last_audit(world);
    assert_true(row->refused && row->count == 1 && slice_is(row->action, action));
    assert_true(slice_is(row->address, "10.0.0.9"));
}

static void keys_worker_registers_its_own_key_only(void **state)
{
    struct core_world *world = *state;
    struct fake *one = joined_worker(world, 1);
    struct fake *thief = joined_worker(world, 1);
    uint64_t session = one->session;
    fake_empty(thief);
    memcpy(thief->key, one->key, sizeof thief->key);
    thief->proven = peer_named(world, "w2")->key;
    fake_register(world, thief, NULL, 0);
    assert_null(thief->registered);
    assert_frame_refused(world, thief, "register", "not the key it registers");
    assert_true(slice_is(world_last_audit(world)->who, "w2"));
    world_pass(world, 1000);
    assert_true(one->session == session && one->acked_stamp + 1000 >= world->now_ms);
}

static void keys_frame_in_anothers_session_touches_nothing(void **state)
{
    struct core_world *world = *state;
    struct fake *one = joined_worker(world, 1);
    uint64_t run = world_submit(world, ONE);
    struct attempt_id id = attempt_named(run, 0, 1);
    struct fake *thief = joined_worker(world, 1);
    one->beats = false;
    thief->session = one->session;
    channel_open(&thief->channel, one->session);
    fake_ended(world, thief, id, ATTEMPT_SUCCESS);
    assert_frame_refused(world, thief, "ended", "another worker's key");
    assert_true(slice_is(world_last_audit(world)->who, "w2"));
    assert_true(slice_is(world_last_audit(world)->target, "w1"));
    assert_int_equal(world_attempt(world, run, 0, 1)->state, ATTEMPT_ASSIGNED);
    /* Nor is it a sign of life of the other, or renews its leases. */
    world_pass(world, 3000);
    assert_int_equal(world_task_state(world, run, 0), TASK_UNREACHABLE);
    assert_int_equal(thief->acked_stamp, 0);
    /* Its own message of the same number is the first. */
    fake_started(world, one, id);
    assert_int_equal(world_task_state(world, run, 0), TASK_RUNNING);
    assert_int_equal(one->refused, 0);
}

static void keys_word_on_anothers_attempt_is_refused_and_audited(void **state)
{
    struct core_world *world = *state;
    struct fake *one = joined_worker(world, 1);
    uint64_t run = world_submit(world, ONE);
    struct attempt_id id = attempt_named(run, 0, 1);
    fake_started(world, one, id);
    struct fake *other = joined_worker(world, 1);
    fake_ended(world, other, id, ATTEMPT_SUCCESS);
    assert_int_equal(fake_count(other, MESSAGE_settled), 0);
    const struct audit_row *row = world_last_audit(world);
    assert_true(slice_is(row->action, "ended") && slice_is(row->who, "w2"));
    assert_true(slice_is(row->target, "test/1/a@1") && slice_is(row->address, "10.0.0.9"));
    fake_started(world, other, id);
    assert_true(slice_is(world_last_audit(world)->action, "started"));
    fake_given_back(world, other, id);
    assert_true(slice_is(world_last_audit(world)->action, "given_back"));
    assert_int_equal(other->refused, 3);
    assert_int_equal(world_task_state(world, run, 0), TASK_RUNNING);
    fake_ended(world, one, id, ATTEMPT_SUCCESS);
    assert_int_equal(world_run_state(world, run), RUN_SUCCESS);
}

static void keys_frame_of_a_strange_key_or_of_a_person_is_refused(void **state)
{
    struct core_world *world = *state;
    create_token(world, 7, ROLE_OPERATOR, 9);
    struct fake *fake = fake_add(world, 1);
    fake->proven = fake->key;
    fake_register(world, fake, NULL, 0);
    assert_null(fake->registered);
    assert_frame_refused(world, fake, "register", "does not belong to the cluster");
    const struct audit_row *row = world_last_audit(world);
    assert_int_equal(row->who.length, 2 * WORKER_KEY_BYTES);
    assert_memory_equal(row->who.ptr, "0100", 4);
    struct fake *person = fake_add(world, 1);
    person->proven = person->key;
    join_key(world, 7, person->key, "anna");
    fake_register(world, person, NULL, 0);
    assert_null(person->registered);
    assert_frame_refused(world, person, "register", "a person's");
    assert_true(slice_is(world_last_audit(world)->who, "anna"));
}

/* ---- FAULTS 36: a copied data directory, a rebooted host ---- */

static void keys_copied_directory_beside_a_live_session_is_refused_and_audited(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = joined_worker(world, 1);
    uint64_t run = world_submit(world, ONE);
    struct attempt_id id = attempt_named(run, 0, 1);
    fake_started(world, fake, id);
    struct fake *copy = fake_add(world, 1);
    memcpy(copy->key, fake->key, sizeof copy->key);
    memcpy(copy->name, fake->name, sizeof copy->name);
    copy->proven = copy->key;
    copy->beats = false;
    size_t audits = world->rows.audit_count;
    /* It knows the other's runner from the copied folder, and lists nothing. */
    for (int i = 0; i < 50; i++) {
        copy->dead_instance = fake->instance;
        fake_register(world, copy, NULL, 0);
        assert_null(copy->registered);
        assert_non_null(strstr(copy->refused_text.ptr, "this data directory was copied"));
        world_pass(world, 200);
    }
    /* One row whose count grows, at most once a second. */
    world_pass(world, 1100);
    assert_int_equal(world->rows.audit_count, audits + 1);
    const struct audit_row *row = world_last_audit(world);
    assert_int_equal(row->count, 50);
    assert_true(slice_is(row->who, "w1") && slice_is(row->action, "register"));
    assert_int_equal(world_task_state(world, run, 0), TASK_RUNNING);
    fake_ended(world, fake, id, ATTEMPT_SUCCESS);
    assert_int_equal(world_run_state(world, run), RUN_SUCCESS);
}

/* The copy is let in when the first is silent, speaks for itself, and frees nothing. */
static void keys_copy_that_comes_while_the_first_is_silent_ends_nothing(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = joined_worker(world, 1);
    uint64_t run = world_submit(world, ONE);
    fake_started(world, fake, attempt_named(run, 0, 1));
    fake->beats = false;
    world_pass(world, 3000);
    struct fake *copy = fake_add(world, 1);
    memcpy(copy->key, fake->key, sizeof copy->key);
    memcpy(copy->name, fake->name, sizeof copy->name);
    copy->proven = copy->key;
    copy->dead_instance = fake->instance;
    fake_register(world, copy, NULL, 0);
    assert_non_null(copy->registered);
    assert_null(fake_assign(copy, 0));
    assert_int_equal(world_task_state(world, run, 0), TASK_UNREACHABLE);
    /* The first comes back: now it is the second. */
    struct held_attempt held = fake_holds(fake, attempt_named(run, 0, 1), HOLDING_RUNNING);
    fake_register(world, fake, &held, 1);
    assert_null(fake->registered);
    world_pass(world, LEASE_MS + MARGIN_MS - 5000);
    assert_null(fake_assign(copy, 0));
    world_pass(world, 4000);
    assert_int_equal(fake_assign(copy, 0)->id.attempt, 2);
}

static void keys_rebooted_host_frees_nothing_before_the_lease(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = joined_worker(world, 1);
    uint64_t run = world_submit(world, ONE);
    fake_started(world, fake, attempt_named(run, 0, 1));
    fake->beats = false;
    world_pass(world, 5000);
    fake->dead_instance = fake->instance;
    fake->instance = 4444;
    fake->boot[5] = 99;
    fake->beats = true;
    fake_empty(fake);
    fake_register(world, fake, NULL, 0);
    assert_non_null(fake->registered);
    world_restart(world);
    fake_register(world, fake, NULL, 0);
    world_pass(world, LEASE_MS + MARGIN_MS - 1000);
    assert_null(fake_assign(fake, 0));
    world_pass(world, 2000);
    assert_int_equal(fake_assign(fake, 0)->id.attempt, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(keys_worker_registers_its_own_key_only),
        TEST(keys_frame_in_anothers_session_touches_nothing),
        TEST(keys_word_on_anothers_attempt_is_refused_and_audited),
        TEST(keys_frame_of_a_strange_key_or_of_a_person_is_refused),
        TEST(keys_copied_directory_beside_a_live_session_is_refused_and_audited),
        TEST(keys_copy_that_comes_while_the_first_is_silent_ends_nothing),
        TEST(keys_rebooted_host_frees_nothing_before_the_lease),
    };
    return cmocka_run_group_tests_name("master_keys", tests, NULL, NULL);
}
