/* Who belongs to the cluster: tokens, joins and removal. See access_stage.h. */
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

/* ---- token create ---- */

static void access_token_is_answered_kept_and_told_to_the_ports(void **state)
{
    struct core_world *world = *state;
    create_token(world, 7, ROLE_OPERATOR, 3);
    assert_int_equal(world->answer.number, MESSAGE_token_created);
    const struct msg_token_created *created = world->answer.body;
    assert_true(slice_is(created->token, "0000000000000007"));
    assert_true(slice_is(created->cluster, "the-cluster"));
    assert_int_equal(created->expires_at, world->now_wall + HOUR_MS);
    assert_int_equal(created->server_key.length, WORKER_KEY_BYTES);
    assert_true(created->addresses.count == 1 &&
                slice_is(created->addresses.items[0], "tcp://10.0.0.1:7411"));
    assert_int_equal(world->access_count, 1);
    assert_int_equal(world->accesses[0].role, ROLE_JOINER);
    assert_int_equal(world->accesses[0].expires_at, created->expires_at);
    struct token_view view;
    assert_true(core_view_token(world->core, 0, &view));
    assert_true(view.used == 0 && view.row->uses == 3 && view.row->role == ROLE_OPERATOR);
    assert_false(core_view_token(world->core, 1, &view));
    assert_int_equal(world->rows.token_count, 1);
    assert_true(slice_is(world->rows.tokens[0].label, "rack"));
}

static void access_token_asked_for_again_gets_the_first_answer(void **state)
{
    struct core_world *world = *state;
    struct event event = {.kind = EVENT_CREATE_TOKEN,
        .request = 99,
        .create_token = {.token = 7, .role = ROLE_WORKER, .uses = 1, .valid_ms = HOUR_MS}};
    world_ask(world, event);
    event.create_token.token = 8; /* the port draws another id each time */
    event.create_token.key[5] = 1;
    world_ask(world, event);
    const struct msg_token_created *created = world->answer.body;
    assert_int_equal(world->answer.number, MESSAGE_token_created);
    assert_true(slice_is(created->token, "0000000000000007"));
    assert_int_equal(world->rows.token_count, 1);
    assert_int_equal(world->rows.audit_count, 1);
}

static void access_token_with_nonsense_is_refused(void **state)
{
    struct core_world *world = *state;
    char long_label[300];
    memset(long_label, 'x', sizeof long_label);
    create_token(world, 7, ROLE_WORKER, 1);
    struct event good = {.kind = EVENT_CREATE_TOKEN,
        .create_token = {.token = 8, .role = ROLE_WORKER, .uses = 1, .valid_ms = HOUR_MS}};
    struct event bad = good;
    bad.create_token.role = ROLE_LOCAL;
    world_ask(world, bad);
    assert_refused(world, ERR_USAGE, "role");
    bad = good;
    bad.create_token.uses = 0;
    world_ask(world, bad);
    assert_refused(world, ERR_USAGE, "uses");
    bad = good;
    bad.create_token.valid_ms = UINT64_MAX;
    world_ask(world, bad);
    assert_refused(world, ERR_USAGE, "366d");
    bad = good;
    bad.create_token.label = slice_make(long_label, sizeof long_label);
    world_ask(world, bad);
    assert_refused(world, ERR_USAGE, "label");
    bad = good;
    bad.create_token.token = 7;
    world_ask(world, bad);
    assert_refused(world, ERR_REFUSED, "already");
    bad = good;
    memcpy(bad.create_token.key, key_of(7).bytes, WORKER_KEY_BYTES);
    world_ask(world, bad);
    assert_refused(world, ERR_REFUSED, "already");
    /* The key of a worker that is here. */
    const struct fake *fake = fake_up(world, 1);
    memcpy(bad.create_token.key, fake->key, WORKER_KEY_BYTES);
    world_ask(world, bad);
    assert_refused(world, ERR_REFUSED, "already");
    assert_int_equal(world->rows.token_count, 1);
}

static void access_tokens_that_are_over_make_room_for_new_ones(void **state)
{
    struct core_world *world = *state;
    for (uint32_t i = 1; i <= 10000; i++)
        create_token(world, i, ROLE_WORKER, 1);
    create_token(world, 10001, ROLE_WORKER, 1);
    assert_refused(world, ERR_REFUSED, "revoke some");
    join(world, 3, 20003, "w");
    create_token(world, 10001, ROLE_OPERATOR, 1);
    assert_int_equal(world->answer.number, MESSAGE_token_created);
    assert_int_equal(access_of(world, key_of(3).bytes), ROLE_NONE);
    join(world, 10001, 30001, "anna");
    assert_joined(world, ROLE_OPERATOR, "anna");
    world->now_ms += HOUR_MS;
    world->now_wall += HOUR_MS;
    create_token(world, 10002, ROLE_WORKER, 1);
    assert_int_equal(world->answer.number, MESSAGE_token_created);
    uint32_t count = 0;
    struct token_view view;
    while (core_view_token(world->core, count, &view))
        count++;
    assert_int_equal(count, 9001);
    /* That of a person is kept: it can be revoked. */
    revoke(world, 10001);
    assert_done(world);
    world_restart(world);
    join(world, 4, 20004, "w");
    assert_refused(world, ERR_DENIED, "not known");
}

/* ---- join ---- */

static void access_worker_joins_and_speaks_by_its_key(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_add(world, 1);
    fake->proven = fake->key;
    create_token(world, 7, ROLE_WORKER, 1);
    join_key(world, 7, fake->key, "w1");
    assert_joined(world, ROLE_WORKER, "w1");
    assert_int_equal(access_of(world, fake->key), ROLE_WORKER);
    assert_int_equal(access_of(world, key_of(7).bytes), UINT32_MAX); /* a lost answer is repeated */
    assert_int_equal(world->rows.peer_count, 1);
    uint64_t run = world_submit(world, ONE);
    fake_register(world, fake, NULL, 0);
    assert_non_null(fake->registered);
    fake_started(world, fake, attempt_named(run, 0, 1));
    struct attempt_id id = attempt_named(run, 0, 1);
    assert_int_equal(core_attempt_worker(world->core, &id), 1);
    fake_ended(world, fake, id, ATTEMPT_SUCCESS);
    assert_int_equal(world_run_state(world, run), RUN_SUCCESS);
    assert_int_equal(core_attempt_worker(world->core, &id), 0);
}

static void access_lost_answer_is_given_again_and_uses_no_use(void **state)
{
    struct core_world *world = *state;
    create_token(world, 7, ROLE_WORKER, 1);
    join(world, 7, 100, "w1");
    for (int i = 0; i < 3; i++) {
        join(world, 7, 100, "w1");
        assert_joined(world, ROLE_WORKER, "w1");
        assert_int_equal(world->fact_count, 0);
    }
    /* The first name stands. */
    join(world, 7, 100, "other");
    assert_joined(world, ROLE_WORKER, "w1");
    world_restart(world);
    join(world, 7, 100, "w1");
    assert_joined(world, ROLE_WORKER, "w1");
    /* Whatever became of the token since. */
    world_pass(world, HOUR_MS);
    join(world, 7, 100, "w1");
    assert_joined(world, ROLE_WORKER, "w1");
    assert_int_equal(token_uses(world, 7), 1);
}

static void access_token_of_n_uses_takes_n_keys_also_after_a_restart(void **state)
{
    struct core_world *world = *state;
    enum { USES = 5 };
    create_token(world, 7, ROLE_WORKER, USES);
    for (uint32_t i = 0; i < USES; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "w%u", i);
        join(world, 7, 100 + i, name);
        assert_joined(world, ROLE_WORKER, name);
        assert_int_equal(token_uses(world, 7), i + 1);
        if (i == 2)
            world_restart(world);
    }
    join(world, 7, 200, "late");
    assert_refused(world, ERR_DENIED, "used up");
    /* The place of one who was removed is not free again. */
    remove_worker(world, "w1");
    assert_done(world);
    join(world, 7, 200, "later");
    assert_refused(world, ERR_DENIED, "used up (5 of 5");
    world_restart(world);
    join(world, 7, 200, "latest");
    assert_refused(world, ERR_DENIED, "used up");
    join(world, 7, 104, "w4");
    assert_joined(world, ROLE_WORKER, "w4");
}

static void access_join_by_an_unknown_key_is_refused(void **state)
{
    struct core_world *world = *state;
    join(world, 7, 100, "w1");
    assert_refused(world, ERR_DENIED, "not known");
    assert_int_equal(world->rows.peer_count, 0);
    const struct audit_row *row = world_last_audit(world);
    assert_true(slice_is(row->who, "w1") && slice_is(row->action, "join"));
    assert_int_equal(row->role, ROLE_JOINER);
    assert_true(slice_is(row->address, "10.0.0.7"));
}

static void access_join_by_an_expired_token_is_refused(void **state)
{
    struct core_world *world = *state;
    create_token(world, 7, ROLE_WORKER, 2);
    world_pass(world, HOUR_MS - 100);
    join(world, 7, 100, "w1");
    assert_joined(world, ROLE_WORKER, "w1");
    world_pass(world, 100);
    join(world, 7, 101, "w2");
    assert_refused(world, ERR_DENIED, "expired");
    assert_true(slice_is(world_last_audit(world)->target, "0000000000000007"));
}

static void access_join_by_a_revoked_token_is_refused(void **state)
{
    struct core_world *world = *state;
    create_token(world, 7, ROLE_WORKER, 2);
    revoke(world, 7);
    assert_done(world);
    assert_int_equal(access_of(world, key_of(7).bytes), ROLE_NONE);
    join(world, 7, 100, "w1");
    assert_refused(world, ERR_DENIED, "revoked");
    world_restart(world);
    assert_int_equal(world->access_count, 0);
    join(world, 7, 100, "w1");
    assert_refused(world, ERR_DENIED, "revoked");
    revoke(world, 7);
    assert_string_equal(world_answer_text(world), "it was revoked already");
    revoke(world, 8);
    assert_refused(world, ERR_NOT_FOUND, "0000000000000008");
}

static void access_key_that_was_removed_never_comes_back(void **state)
{
    struct core_world *world = *state;
    create_token(world, 7, ROLE_WORKER, 3);
    create_token(world, 8, ROLE_WORKER, 3);
    join(world, 7, 100, "w1");
    remove_worker(world, "w1");
    assert_done(world);
    assert_int_equal(access_of(world, key_of(100).bytes), ROLE_NONE);
    join(world, 7, 100, "w1");
    assert_refused(world, ERR_DENIED, "removed");
    join(world, 8, 100, "w1");
    assert_refused(world, ERR_DENIED, "removed");
    world_restart(world);
    join(world, 8, 100, "w1");
    assert_refused(world, ERR_DENIED, "removed");
    assert_int_equal(token_uses(world, 8), 0);
    /* Its name is free. */
    join(world, 7, 101, "w1");
    assert_joined(world, ROLE_WORKER, "w1");
}

static void access_join_with_a_bad_name_is_refused(void **state)
{
    struct core_world *world = *state;
    char long_name[130] = {0};
    memset(long_name, 'x', 129);
    create_token(world, 7, ROLE_OPERATOR, 9);
    const char *const bad[] = {"", "a b", "an/na", "\xc3\xa4nna", "anna\n", long_name};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        join(world, 7, 100, bad[i]);
        assert_refused(world, ERR_USAGE, "no name");
    }
    join(world, 7, 100, "local");
    assert_refused(world, ERR_REFUSED, "master's host");
    long_name[128] = '\0';
    join(world, 7, 100, long_name);
    assert_joined(world, ROLE_OPERATOR, long_name);
}

static void access_names_of_persons_are_theirs_alone(void **state)
{
    struct core_world *world = *state;
    create_token(world, 7, ROLE_OPERATOR, 9);
    create_token(world, 8, ROLE_VIEWER, 9);
    create_token(world, 9, ROLE_WORKER, 9);
    join(world, 7, 100, "anna");
    assert_joined(world, ROLE_OPERATOR, "anna");
    join(world, 8, 101, "anna");
    assert_refused(world, ERR_REFUSED, "another name");
    join(world, 9, 102, "anna");
    assert_joined(world, ROLE_WORKER, "anna");
    revoke(world, 7);
    join(world, 8, 101, "anna");
    assert_joined(world, ROLE_VIEWER, "anna");
}

static void access_worker_cannot_join_by_the_name_of_a_live_one(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    create_token(world, 7, ROLE_WORKER, 9);
    join(world, 7, 100, fake->name);
    assert_refused(world, ERR_REFUSED, "--name");
    /* One that worked on the master's host may move to TCP. */
    join_key(world, 7, fake->key, fake->name);
    assert_joined(world, ROLE_WORKER, fake->name);
}

static void access_key_has_one_role(void **state)
{
    struct core_world *world = *state;
    create_token(world, 7, ROLE_WORKER, 9);
    create_token(world, 8, ROLE_VIEWER, 9);
    create_token(world, 9, ROLE_WORKER, 9);
    join(world, 7, 100, "w1");
    join(world, 8, 100, "w1");
    assert_refused(world, ERR_REFUSED, "as worker w1");
    /* Another token for the same: nothing changes, and no use is taken. */
    join(world, 9, 100, "w1");
    assert_joined(world, ROLE_WORKER, "w1");
    assert_int_equal(token_uses(world, 9), 0);
    /* Nobody becomes a token. */
    join_key(world, 7, key_of(8).bytes, "x");
    assert_refused(world, ERR_DENIED, "a token's key");
}

static void access_restart_tells_the_ports_of_every_key(void **state)
{
    struct core_world *world = *state;
    create_token(world, 7, ROLE_WORKER, 9);
    create_token(world, 8, ROLE_VIEWER, 9);
    create_token(world, 9, ROLE_VIEWER, 9);
    join(world, 7, 100, "w1");
    join(world, 7, 101, "w2");
    join(world, 8, 102, "ben");
    join(world, 9, 103, "carl");
    remove_worker(world, "w2");
    revoke(world, 9);
    world_restart(world);
    assert_int_equal(access_of(world, key_of(7).bytes), ROLE_JOINER);
    assert_int_equal(access_of(world, key_of(8).bytes), ROLE_JOINER);
    assert_int_equal(access_of(world, key_of(9).bytes), UINT32_MAX);
    assert_int_equal(access_of(world, key_of(100).bytes), ROLE_WORKER);
    assert_int_equal(access_of(world, key_of(101).bytes), UINT32_MAX);
    assert_int_equal(access_of(world, key_of(102).bytes), ROLE_VIEWER);
    assert_int_equal(access_of(world, key_of(103).bytes), UINT32_MAX);
    for (size_t i = 0; i < world->access_count; i++) {
        if (world->accesses[i].role == ROLE_VIEWER)
            assert_true(slice_is(world->accesses[i].name, "ben"));
    }
}

/* ---- revoke ---- */

static void access_revoked_token_takes_its_persons_with_it_and_leaves_workers(void **state)
{
    struct core_world *world = *state;
    create_token(world, 7, ROLE_OPERATOR, 9);
    create_token(world, 8, ROLE_WORKER, 9);
    create_token(world, 9, ROLE_OPERATOR, 9);
    join(world, 7, 100, "anna");
    join(world, 7, 101, "ben");
    join(world, 8, 102, "w1");
    join(world, 9, 103, "carl");
    revoke(world, 7);
    assert_done(world);
    assert_non_null(strstr(world_answer_text(world), "2 who joined"));
    assert_int_equal(access_of(world, key_of(100).bytes), ROLE_NONE);
    assert_int_equal(access_of(world, key_of(101).bytes), ROLE_NONE);
    assert_int_equal(access_of(world, key_of(103).bytes), UINT32_MAX);
    assert_true(peer_named(world, "anna")->removed_at != 0);
    assert_true(peer_named(world, "carl")->removed_at == 0);
    revoke(world, 8);
    assert_int_equal(access_of(world, key_of(102).bytes), UINT32_MAX);
    assert_true(peer_named(world, "w1")->removed_at == 0);
    world_restart(world);
    assert_true(peer_named(world, "ben")->removed_at != 0);
    assert_int_equal(access_of(world, key_of(102).bytes), ROLE_WORKER);
    join(world, 7, 100, "anna");
    assert_refused(world, ERR_DENIED, "removed");
}

/* ---- removal of a worker ---- */

static void access_removed_worker_is_not_listened_to_and_its_lease_runs_out(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = joined_worker(world, 1);
    uint64_t run = world_submit(world, ONE);
    struct attempt_id id = attempt_named(run, 0, 1);
    fake_started(world, fake, id);
    remove_worker(world, "w1");
    assert_done(world);
    assert_int_equal(access_of(world, fake->key), ROLE_NONE);
    assert_int_equal(world_task_state(world, run, 0), TASK_UNREACHABLE);
    assert_true(is_listed(world, "w1")); /* something of it may run */
    uint64_t acked = fake->acked_stamp;
    fake_beat(world, fake);
    assert_true(fake->acked_stamp == acked);
    assert_non_null(strstr(fake->refused_text.ptr, "this worker's key was removed"));
    fake_ended(world, fake, id, ATTEMPT_SUCCESS);
    assert_int_equal(world_attempt(world, run, 0, 1)->state, ATTEMPT_ASSIGNED);
    fake_register(world, fake, NULL, 0);
    assert_null(fake->registered);
    fake->beats = false;
    struct fake *other = joined_worker(world, 1);
    world_pass(world, LEASE_MS + MARGIN_MS - 2000);
    assert_null(fake_assign(other, 0));
    world_pass(world, 3000);
    assert_int_equal(fake_assign(other, 0)->id.attempt, 2);
    assert_false(is_listed(world, "w1"));
    world_restart(world);
    fake_register(world, fake, NULL, 0);
    assert_null(fake->registered);
    assert_false(is_listed(world, "w1"));
}

static void access_removed_worker_without_work_is_gone_at_once_and_its_name_free(void **state)
{
    struct core_world *world = *state;
    (void)joined_worker(world, 1);
    remove_worker(world, "w1");
    assert_false(is_listed(world, "w1"));
    remove_worker(world, "w1");
    assert_refused(world, ERR_NOT_FOUND, "w1");
    struct fake *next = fake_add(world, 1);
    next->proven = next->key;
    memcpy(next->name, "w1", 3);
    join_key(world, 7, next->key, "w1");
    fake_register(world, next, NULL, 0);
    assert_non_null(next->registered);
    assert_true(is_listed(world, "w1"));
    /* The name means the one that is here. */
    remove_worker(world, "w1");
    assert_done(world);
    assert_false(is_listed(world, "w1"));
}

static void access_local_worker_is_removed_too(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    remove_worker(world, fake->name);
    assert_done(world);
    fake_beat(world, fake);
    assert_int_equal(fake->again, 1);
    fake_register(world, fake, NULL, 0);
    assert_null(fake->registered);
    const struct msg_refused *refused = fake_told(fake, MESSAGE_refused, 0);
    assert_int_equal(refused->code, ERR_DENIED);
    assert_non_null(strstr(refused->text.ptr, "removed from the cluster"));
    /* Nor may that key join elsewhere. */
    create_token(world, 7, ROLE_WORKER, 9);
    join_key(world, 7, fake->key, "w1");
    assert_refused(world, ERR_DENIED, "removed");
}

static void access_worker_that_never_came_is_removed_by_the_name_it_joined_with(void **state)
{
    struct core_world *world = *state;
    create_token(world, 7, ROLE_WORKER, 9);
    create_token(world, 8, ROLE_VIEWER, 9);
    join(world, 7, 100, "w1");
    join(world, 8, 101, "ben");
    remove_worker(world, "w1");
    assert_done(world);
    assert_int_equal(access_of(world, key_of(100).bytes), ROLE_NONE);
    remove_worker(world, "ben");
    assert_refused(world, ERR_REFUSED, "0000000000000008");
}

static void access_removal_asked_for_again_gets_the_first_answer(void **state)
{
    struct core_world *world = *state;
    (void)joined_worker(world, 1);
    struct event event = {
        .kind = EVENT_REMOVE_WORKER, .request = 77, .worker_change.worker = slice_of("w1")};
    world_ask(world, event);
    assert_done(world);
    world_ask(world, event);
    assert_done(world);
}

static void access_worker_that_registers_another_name_is_known_by_it(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = joined_worker(world, 1);
    memcpy(fake->name, "w9", 3);
    fake_register(world, fake, NULL, 0);
    assert_non_null(fake->registered);
    assert_non_null(peer_named(world, "w9"));
    assert_true(slice_is(world->rows.peers[0].name, "w9"));
    assert_int_equal(access_of(world, fake->key), ROLE_WORKER);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(access_token_is_answered_kept_and_told_to_the_ports),
        TEST(access_token_asked_for_again_gets_the_first_answer),
        TEST(access_token_with_nonsense_is_refused),
        TEST(access_tokens_that_are_over_make_room_for_new_ones),
        TEST(access_worker_joins_and_speaks_by_its_key),
        TEST(access_lost_answer_is_given_again_and_uses_no_use),
        TEST(access_token_of_n_uses_takes_n_keys_also_after_a_restart),
        TEST(access_join_by_an_unknown_key_is_refused),
        TEST(access_join_by_an_expired_token_is_refused),
        TEST(access_join_by_a_revoked_token_is_refused),
        TEST(access_key_that_was_removed_never_comes_back),
        TEST(access_join_with_a_bad_name_is_refused),
        TEST(access_names_of_persons_are_theirs_alone),
        TEST(access_worker_cannot_join_by_the_name_of_a_live_one),
        TEST(access_key_has_one_role),
        TEST(access_restart_tells_the_ports_of_every_key),
        TEST(access_revoked_token_takes_its_persons_with_it_and_leaves_workers),
        TEST(access_removed_worker_is_not_listened_to_and_its_lease_runs_out),
        TEST(access_removed_worker_without_work_is_gone_at_once_and_its_name_free),
        TEST(access_local_worker_is_removed_too),
        TEST(access_worker_that_never_came_is_removed_by_the_name_it_joined_with),
        TEST(access_removal_asked_for_again_gets_the_first_answer),
        TEST(access_worker_that_registers_another_name_is_known_by_it),
    };
    return cmocka_run_group_tests_name("master_access", tests, NULL, NULL);
}
