/*
 * Whose key may say what, and what is remembered of who may not.
 */
#include "common/clock.h"
#include "common/limits.h"
#include "common/memory.h"
#include "master/io/admission.h"
#include "master/io/claims.h"
#include "proto/roles.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static int wakes;
static struct refusals *refusals;
static struct admission *admission;

static void on_wake(void *context)
{
    (void)context;
    wakes++;
}

static int setup(void **state)
{
    (void)state;
    wakes = 0;
    refusals = refusals_create(on_wake, NULL);
    admission = admission_create(refusals);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    admission_destroy(admission);
    refusals_destroy(refusals);
    return 0;
}

static void admit(unsigned char first, uint32_t role, int64_t expires_at, const char *name)
{
    struct access_effect access = {
        .key = {first}, .role = role, .expires_at = expires_at, .name = slice_of(name)};
    admission_set(admission, &access);
}

static bool finds(unsigned char first, struct admitted *admitted)
{
    unsigned char key[KEY_BYTES] = {first};
    return admission_find(admission, key, admitted);
}

static struct actor actor_of(uint32_t role, unsigned char *key, const char *address)
{
    return (struct actor){.role = role,
        .key = slice_make(key, key != NULL ? KEY_BYTES : 0),
        .name = slice_of("w1"),
        .address = slice_of(address)};
}

static void admission_of_an_unknown_key_is_none(void **state)
{
    struct admitted admitted;
    unsigned char key[KEY_BYTES] = {9};
    struct refusal refusal;
    (void)state;
    assert_false(finds(9, &admitted));
    assert_false(admission_admit(admission, key, "10.0.0.9"));
    assert_int_equal(wakes, 1);
    assert_true(refusals_take(refusals, 1000000, &refusal));
    assert_true(refusal.keyed);
    assert_memory_equal(refusal.key, key, KEY_BYTES);
    assert_string_equal(refusal.address, "10.0.0.9");
    assert_string_equal(refusal.action, "handshake");
    assert_int_equal(refusal.role, ROLE_NONE);
}

static void admission_of_a_member_is_its_role_until_it_is_removed(void **state)
{
    struct admitted admitted;
    unsigned char key[KEY_BYTES] = {1};
    (void)state;
    admit(1, ROLE_VIEWER, 0, "ann");
    assert_true(finds(1, &admitted));
    assert_int_equal(admitted.role, ROLE_VIEWER);
    assert_string_equal(admitted.name, "ann");
    assert_true(admission_admit(admission, key, "h"));
    admit(1, ROLE_OPERATOR, 0, "ann");
    assert_true(finds(1, &admitted));
    assert_int_equal(admitted.role, ROLE_OPERATOR);
    admit(1, ROLE_NONE, 0, NULL);
    assert_false(finds(1, &admitted));
    assert_false(admission_admit(admission, key, "h"));
    admit(1, ROLE_NONE, 0, NULL);
}

static void admission_of_a_token_ends_a_while_after_it(void **state)
{
    struct admitted admitted;
    const int64_t day_ms = INT64_C(86400000);
    (void)state;
    admit(1, ROLE_JOINER, clock_wall_ms() - day_ms, "");
    assert_true(finds(1, &admitted));
    assert_int_equal(admitted.role, ROLE_JOINER);
    admit(1, ROLE_JOINER, clock_wall_ms() - (TOKEN_TOLD_DAYS + 1) * day_ms, "");
    assert_false(finds(1, &admitted));
}

/* A frame with one heartbeat and a ping. */
static void make_frame(struct buffer *frame)
{
    frame_begin(frame, &(struct frame_header){0});
    message_encode(frame, MESSAGE_heartbeat, &(struct msg_heartbeat){0});
    message_encode(frame, MESSAGE_ping, &(struct msg_ping){.request = 77});
}

static void admission_check_denies_the_first_that_the_role_may_not(void **state)
{
    struct buffer frame = {0};
    struct arena arena = {0};
    struct frame_reader reader;
    struct denial denial;
    struct refusal refusal;
    unsigned char key[KEY_BYTES] = {5};
    struct actor worker = actor_of(ROLE_WORKER, key, "h"), local = actor_of(ROLE_LOCAL, NULL, "");
    (void)state;
    make_frame(&frame);
    assert_int_equal(frame_open(buffer_slice(&frame), &arena, &reader, NULL), 0);
    assert_int_equal(admission_check(refusals, &local, reader, &denial), 0);
    assert_int_equal(wakes, 0);
    assert_int_equal(admission_check(refusals, &worker, reader, &denial), ERR_DENIED);
    assert_int_equal(denial.request, 77);
    assert_non_null(strstr(denial.error.text, "ping"));
    assert_non_null(strstr(denial.error.text, "worker"));
    assert_true(refusals_take(refusals, 1000000, &refusal));
    assert_string_equal(refusal.action, "ping");
    assert_int_equal(refusal.role, ROLE_WORKER);
    /* Nobody's any more. */
    struct actor none = actor_of(ROLE_NONE, key, "h");
    assert_int_equal(admission_check(refusals, &none, reader, &denial), ERR_DENIED);
    assert_non_null(strstr(denial.error.text, "heartbeat"));
    arena_fini(&arena);
    buffer_fini(&frame);
}

static void refusals_that_are_alike_are_one(void **state)
{
    unsigned char key[KEY_BYTES] = {1};
    struct refusal refusal;
    (void)state;
    struct actor one = actor_of(ROLE_VIEWER, key, "h1"), other = actor_of(ROLE_VIEWER, key, "h2");
    for (int i = 0; i < 1000; i++)
        refusals_add(refusals, &one, "submit", slice_of(NULL), "no");
    refusals_add(refusals, &other, "submit", slice_of(NULL), "no");
    refusals_add(refusals, &one, "cancel", slice_of("a/1"), "no");
    assert_true(refusals_take(refusals, 1000000, &refusal));
    assert_int_equal(refusal.count, 1000);
    assert_true(refusals_take(refusals, 1000000, &refusal));
    assert_string_equal(refusal.address, "h2");
    assert_true(refusals_take(refusals, 1000000, &refusal));
    assert_string_equal(refusal.action, "cancel");
    assert_string_equal(refusal.target, "a/1");
    assert_false(refusals_take(refusals, 1000000, &refusal));
    assert_true(refusals_next_ms(refusals) == UINT64_MAX);
}

/* One kind each: those that find no room are one of their own. */
static uint64_t flood(uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        unsigned char key[KEY_BYTES];
        memset(key, 0, sizeof key);
        uint32_t number = first + i;
        memcpy(key, &number, sizeof number);
        struct actor actor = actor_of(ROLE_NONE, key, "h");
        refusals_add(refusals, &actor, "handshake", slice_of(NULL), "no");
    }
    return count;
}

static void refusals_of_a_flood_are_few_and_all_counted(void **state)
{
    struct refusal refusal;
    uint64_t sent = 0, told = 0, rows = 0, now_ms = 1000000;
    (void)state;
    for (uint32_t minute = 0; minute < 60; minute++, now_ms += 60000) {
        sent += flood(minute * 100000, 10000);
        while (refusals_take(refusals, now_ms, &refusal)) {
            told += refusal.count;
            rows++;
        }
    }
    /* An hour has at most a row every 5 s, and the first hundred. */
    assert_in_range(rows, 60, 720 + 100);
    for (; refusals_next_ms(refusals) != UINT64_MAX; now_ms = refusals_next_ms(refusals)) {
        while (refusals_take(refusals, now_ms, &refusal))
            told += refusal.count;
    }
    assert_int_equal(told, sent);
}

static void claims_come_back_in_their_order(void **state)
{
    int asked = 0, answered = 0;
    struct claim claim = {.peer = 7};
    (void)state;
    struct claims *claims = claims_create((struct claims_wake){on_wake, NULL});
    claims_set_asker(claims, (struct claims_wake){on_wake, NULL});
    assert_false(claims_next(claims, &claim));
    for (claim.id.task = 0; claims_ask(claims, &claim); claim.id.task++)
        asked++;
    assert_in_range(asked, 1000, 100000);
    for (uint32_t task = 0; claims_next(claims, &claim); task++) {
        assert_int_equal(claim.id.task, task);
        claim.granted = task % 2 == 0;
        claims_answer(claims, &claim);
    }
    /* There is no room for questions before answers are taken. */
    assert_false(claims_ask(claims, &claim));
    for (uint32_t task = 0; claims_take(claims, &claim); task++, answered++) {
        assert_int_equal(claim.id.task, task);
        assert_int_equal(claim.granted, task % 2 == 0);
    }
    assert_int_equal(answered, asked);
    assert_true(claims_ask(claims, &claim));
    claims_destroy(claims);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(admission_of_an_unknown_key_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(
            admission_of_a_member_is_its_role_until_it_is_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(
            admission_of_a_token_ends_a_while_after_it, setup, teardown),
        cmocka_unit_test_setup_teardown(
            admission_check_denies_the_first_that_the_role_may_not, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals_that_are_alike_are_one, setup, teardown),
        cmocka_unit_test_setup_teardown(
            refusals_of_a_flood_are_few_and_all_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(claims_come_back_in_their_order, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
