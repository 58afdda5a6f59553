/* The audit log: every change that somebody asked for, every refusal, and what a flood costs. See
 * core_world.h. */
#include "tests/unit/core_world.h"

#include "proto/roles.h"

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

static const struct actor ANNA = {
    .role = ROLE_OPERATOR,
    .name = {"anna", 4},
    .address = {"10.0.0.7", 8},
};

/* What a port refused, so often. */
static void report(struct core_world *world, const char *who, const char *text, uint32_t count)
{
    struct event event = {
        .kind = EVENT_AUDIT,
        .actor = {.role = ROLE_VIEWER, .name = slice_of(who), .address = slice_of("10.0.0.8")},
        .action = slice_of("cancel"),
        .target = slice_of("salaries/17"),
        .audit = {.text = slice_of(text), .count = count},
    };
    world_event(world, event);
}

static uint32_t audit_facts(const struct core_world *world)
{
    uint32_t count = 0;
    for (size_t i = 0; i < world->fact_count; i++)
        count += world->facts[i].kind == FACT_AUDIT;
    return count;
}

static void assert_row(const struct audit_row *row, const char *action, const char *target)
{
    assert_non_null(row);
    if (!slice_is(row->action, action) || !slice_is(row->target, target))
        fail_msg("%.*s %.*s", SLICE_PRINT(row->action), SLICE_PRINT(row->target));
    assert_int_equal(row->count, 1);
}

/* ---- changes ---- */

static void audit_every_change_has_a_row_in_its_own_batch(void **state)
{
    struct core_world *world = *state;
    uint64_t run = world_submit(world, ONE);
    assert_row(world_last_audit(world), "submit", "test/1");
    const struct audit_row *row = world_last_audit(world);
    assert_true(slice_is(row->who, "local") && row->role == ROLE_LOCAL && !row->refused);
    assert_true(row->at == world->now_wall && row->number == 1 && row->address.length == 0);
    assert_int_equal(audit_facts(world), 1);
    world_mark(world, run, 0, TASK_FAILED);
    assert_row(world_last_audit(world), "mark", "test/1/a");
    assert_true(slice_is(world_last_audit(world)->text, "failed"));
    world_retry(world, run, TASK_ALL, false);
    assert_row(world_last_audit(world), "retry", "test/1");
    world_cancel(world, run, TASK_ALL);
    assert_row(world_last_audit(world), "cancel", "test/1");
    world_cancel(world, run, TASK_ALL);
    assert_true(slice_is(world_last_audit(world)->text, "it had ended already"));
    world_ask(
        world, (struct event){.kind = EVENT_CREATE_TOKEN,
                   .create_token = {.token = 7, .role = ROLE_WORKER, .uses = 2, .valid_ms = 1000}});
    assert_row(world_last_audit(world), "create_token", "0000000000000007");
    assert_true(slice_is(world_last_audit(world)->text, "worker, 2 uses"));
    unsigned char key[WORKER_KEY_BYTES] = {0};
    struct event join = {.kind = EVENT_JOIN,
        .actor = {.role = ROLE_JOINER, .key = slice_make(key, sizeof key)},
        .join = {.key = {5}, .name = slice_of("w5")}};
    world_ask(world, join);
    assert_row(world_last_audit(world), "join", "0000000000000007");
    assert_true(slice_is(world_last_audit(world)->who, "w5"));
    world_ask(world, join); /* nothing changed */
    world_ask(world, (struct event){.kind = EVENT_REVOKE_TOKEN, .revoke_token = 7});
    assert_row(world_last_audit(world), "revoke_token", "0000000000000007");
    world_ask(
        world, (struct event){.kind = EVENT_REMOVE_WORKER, .worker_change.worker = slice_of("w5")});
    assert_row(world_last_audit(world), "remove_worker", "w5");
    assert_int_equal(world->rows.audit_count, 9);
    for (size_t i = 0; i < world->rows.audit_count; i++)
        assert_int_equal(world->rows.audits[i].number, i + 1);
}

static void audit_row_says_who_from_where_and_what_the_port_calls_it(void **state)
{
    struct core_world *world = *state;
    uint64_t run = world_submit(world, ONE);
    struct event event = {.kind = EVENT_CANCEL,
        .actor = ANNA,
        .action = slice_of("cancel"),
        .target = slice_of("salaries/17/load"),
        .change = {.run = run, .task = 99}};
    world_ask(world, event);
    const struct audit_row *row = world_last_audit(world);
    assert_row(row, "cancel", "salaries/17/load");
    assert_true(row->refused && slice_is(row->text, "no such run or task"));
    assert_true(slice_is(row->who, "anna") && slice_is(row->address, "10.0.0.7"));
    assert_int_equal(row->role, ROLE_OPERATOR);
}

static void audit_request_that_comes_again_is_one_row(void **state)
{
    struct core_world *world = *state;
    uint64_t run = world_submit(world, ONE);
    struct event event = {
        .kind = EVENT_CANCEL, .request = 55, .change = {.run = run, .task = TASK_ALL}};
    world_ask(world, event);
    world_ask(world, event);
    assert_int_equal(world->rows.audit_count, 2);
}

static void audit_long_texts_are_cut_between_characters(void **state)
{
    struct core_world *world = *state;
    char text[1001] = {0};
    for (size_t i = 0; i < 1000; i++)
        text[i] = i % 2 == 0 ? '\xc3' : '\xa4';
    report(world, "ben", text + 1, 1);
    struct slice kept = world_last_audit(world)->text;
    assert_int_equal(kept.length, 599);
    assert_int_equal((unsigned char)kept.ptr[598], 0xa4);
}

static void audit_row_is_one_line_whatever_somebody_calls_himself(void **state)
{
    struct core_world *world = *state;
    unsigned char key[WORKER_KEY_BYTES] = {0};
    world_ask(
        world, (struct event){.kind = EVENT_CREATE_TOKEN,
                   .create_token = {.token = 7, .role = ROLE_VIEWER, .uses = 2, .valid_ms = 1000}});
    world_ask(world, (struct event){.kind = EVENT_JOIN,
                         .actor = {.role = ROLE_JOINER, .key = slice_make(key, sizeof key)},
                         .join = {.key = {5}, .name = slice_of("x\nlocal submit\x1b[2J")}});
    const struct audit_row *row = world_last_audit(world);
    assert_int_equal(row->who.length, 2 * WORKER_KEY_BYTES);
    assert_true(row->refused && memchr(row->text.ptr, '\n', row->text.length) == NULL &&
                memchr(row->text.ptr, '\x1b', row->text.length) == NULL);
    assert_non_null(strstr(row->text.ptr, "x?local submit?[2J"));
}

/* ---- numbers ---- */

static void audit_numbers_go_on_after_a_restart(void **state)
{
    struct core_world *world = *state;
    (void)world_submit(world, ONE);
    report(world, "ben", "no", 1);
    world_restart(world);
    report(world, "ben", "no", 1);
    assert_int_equal(world->rows.audit_count, 3);
    assert_int_equal(world_last_audit(world)->number, 3);
}

/* ---- floods ---- */

static void audit_refusals_alike_within_a_minute_are_one_row_with_a_count(void **state)
{
    struct core_world *world = *state;
    report(world, "ben", "a viewer may not cancel", 1);
    report(world, "ben", "a viewer may not cancel", 4);
    report(world, "ben", "another reason", 1);
    report(world, "carl", "a viewer may not cancel", 1);
    world_pass(world, 1100);
    assert_int_equal(world->rows.audit_count, 3);
    assert_int_equal(world->rows.audits[0].count, 5);
    assert_true(slice_is(world->rows.audits[0].target, "salaries/17"));
    world_pass(world, 58800);
    report(world, "ben", "a viewer may not cancel", 1);
    assert_int_equal(world->rows.audits[0].count, 6);
    world_pass(world, 200);
    report(world, "ben", "a viewer may not cancel", 1);
    assert_int_equal(world->rows.audit_count, 4);
    assert_int_equal(world_last_audit(world)->number, 4);
}

/* A count on disk is at most a second behind, and is written at most once a second. */
static void audit_count_is_written_once_a_second_under_a_flood(void **state)
{
    struct core_world *world = *state;
    uint32_t writes = 0, reported = 0;
    for (int i = 0; i < 1000; i++) {
        report(world, "ben", "no", 1);
        writes += audit_facts(world);
        reported++;
        world_pass(world, 10);
        writes += audit_facts(world);
    }
    assert_int_equal(world->rows.audit_count, 1);
    assert_in_range(writes, 8, 12);
    world_pass(world, 1100);
    assert_int_equal(world->rows.audits[0].count, reported);
    /* At rest nothing is written and nothing is timed. */
    world_pass(world, 5000);
    assert_int_equal(audit_facts(world), 0);
    assert_true(core_next_ms(world->core) == UINT64_MAX);
}

static void audit_flood_of_many_kinds_makes_a_bounded_number_of_rows(void **state)
{
    struct core_world *world = *state;
    char who[16];
    for (int i = 0; i < 5000; i++) {
        (void)snprintf(who, sizeof who, "p%d", i);
        report(world, who, "no", 1);
    }
    world_pass(world, 1100);
    assert_int_equal(world->rows.audit_count, 257);
    const struct audit_row *row = world_last_audit(world);
    assert_true(row->refused && slice_is(row->who, "many"));
    assert_int_equal(row->count, 5000 - 256);
    /* In the next minute they are told apart again. */
    world_pass(world, 60000);
    report(world, "p4999", "no", 1);
    assert_true(slice_is(world_last_audit(world)->who, "p4999"));
    assert_int_equal(world->rows.audit_count, 258);
}

/* What was counted and not written when its minute ends is written then. */
static void audit_last_count_of_a_minute_is_not_lost(void **state)
{
    struct core_world *world = *state;
    report(world, "ben", "no", 1);
    world_pass(world, 59500);
    report(world, "ben", "no", 1);
    report(world, "ben", "no", 1);
    world->now_ms += 500; /* no timer in between */
    report(world, "ben", "no", 1);
    assert_int_equal(world->rows.audits[0].count, 3);
    assert_int_equal(world->rows.audit_count, 2);
}

static void audit_count_never_overflows(void **state)
{
    struct core_world *world = *state;
    report(world, "ben", "no", UINT32_MAX - 1);
    report(world, "ben", "no", UINT32_MAX);
    world_pass(world, 1100);
    assert_true(world->rows.audits[0].count == UINT32_MAX);
}

static void audit_registrations_that_are_refused_have_rows(void **state)
{
    struct core_world *world = *state;
    struct fake *first = fake_up(world, 1);
    struct fake *second = fake_add(world, 1);
    second->name[1] = first->name[1];
    fake_register(world, second, NULL, 0);
    assert_row(world_last_audit(world), "register", "w1");
    assert_non_null(strstr(world_last_audit(world)->text.ptr, "--name"));
    struct fake *third = fake_add(world, 1);
    third->cluster = "another";
    fake_register(world, third, NULL, 0);
    assert_row(world_last_audit(world), "register", "w3");
    struct fake *fourth = fake_add(world, 1);
    memcpy(fourth->name, "w \n", 4);
    fake_register(world, fourth, NULL, 0);
    assert_row(world_last_audit(world), "register", "");
    assert_true(slice_is(world_last_audit(world)->who, "local"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(audit_every_change_has_a_row_in_its_own_batch),
        TEST(audit_row_says_who_from_where_and_what_the_port_calls_it),
        TEST(audit_request_that_comes_again_is_one_row),
        TEST(audit_long_texts_are_cut_between_characters),
        TEST(audit_row_is_one_line_whatever_somebody_calls_himself),
        TEST(audit_numbers_go_on_after_a_restart),
        TEST(audit_refusals_alike_within_a_minute_are_one_row_with_a_count),
        TEST(audit_count_is_written_once_a_second_under_a_flood),
        TEST(audit_flood_of_many_kinds_makes_a_bounded_number_of_rows),
        TEST(audit_last_count_of_a_minute_is_not_lost),
        TEST(audit_count_never_overflows),
        TEST(audit_registrations_that_are_refused_have_rows),
    };
    return cmocka_run_group_tests_name("master_audit", tests, NULL, NULL);
}
