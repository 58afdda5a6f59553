/* roles.def: the rules that must never change by accident. */
#include "proto/proto.h"
#include "proto/roles.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static bool only_a_server_says(uint32_t number)
{
    for (uint32_t role = ROLE_WORKER; role <= ROLE_JOINER; role++) {
        if (role_may(role, number))
            return false;
    }
    return true;
}

static void roles_unlisted_are_denied(void **state)
{
    (void)state;
    assert_false(role_may(ROLE_NONE, MESSAGE_ping));
    assert_false(role_may(ROLE_JOINER + 1, MESSAGE_ping));
    assert_false(role_may(33, MESSAGE_ping));
    assert_false(role_may(UINT32_MAX, MESSAGE_ping));
    for (uint32_t role = ROLE_NONE; role <= ROLE_JOINER; role++) {
        assert_false(role_may(role, 0));
        assert_false(role_may(role, 9999));
    }
}

static void roles_joiner_may_join_and_nothing_else(void **state)
{
    (void)state;
    size_t count;
    const struct message_shape *shapes = message_shapes(&count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(role_may(ROLE_JOINER, shapes[i].number), shapes[i].number == MESSAGE_join);
}

static void roles_viewer_changes_nothing(void **state)
{
    (void)state;
    static const uint32_t changes[] = {MESSAGE_submit, MESSAGE_cancel, MESSAGE_retry, MESSAGE_mark,
        MESSAGE_drain, MESSAGE_remove_worker, MESSAGE_lost_worker, MESSAGE_create_token,
        MESSAGE_revoke_token, MESSAGE_blob_offer, MESSAGE_blob_chunk, MESSAGE_join};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        assert_false(role_may(ROLE_VIEWER, changes[i]));
}

static void roles_keys_are_the_masters_host_alone(void **state)
{
    (void)state;
    static const uint32_t keys[] = {
        MESSAGE_create_token, MESSAGE_revoke_token, MESSAGE_get_tokens, MESSAGE_remove_worker};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        for (uint32_t role = ROLE_WORKER; role <= ROLE_JOINER; role++)
            assert_int_equal(role_may(role, keys[i]), role == ROLE_LOCAL);
    }
}

static void roles_worker_asks_nothing_as_a_person(void **state)
{
    (void)state;
    for (uint32_t number = MESSAGE_ping; number < MESSAGE_pong; number++)
        assert_false(role_may(ROLE_WORKER, number));
    assert_false(role_may(ROLE_WORKER, MESSAGE_log_read));
    for (uint32_t number = MESSAGE_register; number <= MESSAGE_leave; number++) {
        assert_false(role_may(ROLE_OPERATOR, number));
        assert_false(role_may(ROLE_VIEWER, number));
    }
}

static void roles_answers_and_the_runners_words_are_nobodys(void **state)
{
    (void)state;
    for (uint32_t number = MESSAGE_registered; number <= MESSAGE_settled; number++)
        assert_true(only_a_server_says(number));
    for (uint32_t number = MESSAGE_pong; number <= MESSAGE_explained; number++)
        assert_true(only_a_server_says(number));
    for (uint32_t number = MESSAGE_runner_hello; number <= MESSAGE_runner_stop; number++)
        assert_true(only_a_server_says(number));
}

static void roles_names_go_both_ways(void **state)
{
    (void)state;
    for (uint32_t role = ROLE_WORKER; role <= ROLE_JOINER; role++) {
        assert_int_equal(role_of(slice_of(role_name(role))), role);
        assert_true(role_doc(role)[0] != '\0');
    }
    assert_int_equal(role_of(slice_of("none")), ROLE_NONE);
    assert_int_equal(role_of(slice_of("Worker")), ROLE_NONE);
    assert_string_equal(role_name(77), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roles_unlisted_are_denied),
        cmocka_unit_test(roles_joiner_may_join_and_nothing_else),
        cmocka_unit_test(roles_viewer_changes_nothing),
        cmocka_unit_test(roles_keys_are_the_masters_host_alone),
        cmocka_unit_test(roles_worker_asks_nothing_as_a_person),
        cmocka_unit_test(roles_answers_and_the_runners_words_are_nobodys),
        cmocka_unit_test(roles_names_go_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
