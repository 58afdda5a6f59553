/*
 * What the command line of the master says about TCP.
 */
#include "common/memory.h"
#include "master/io/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static struct options options;
static struct error error;

static int parse(char *first, char *second, char *third, char *fourth)
{
    char *words[] = {"reeve-master", "--data=/tmp/m", first, second, third, fourth, NULL};
    options_fini(&options);
    error = (struct error){0};
    return options_parse(&options, 2, words, &error);
}

static int teardown(void **state)
{
    (void)state;
    options_fini(&options);
    (void)unsetenv("REEVE_LISTEN");
    (void)unsetenv("REEVE_ADVERTISE");
    return 0;
}

static void options_nothing_said_listens_nowhere(void **state)
{
    (void)state;
    assert_int_equal(parse(NULL, NULL, NULL, NULL), 0);
    assert_false(options.listens);
    assert_int_equal(options.advertise_count, 0);
}

static void options_listen_without_port_takes_the_default(void **state)
{
    (void)state;
    assert_int_equal(parse("--listen", "tcp://reeve.example.org", NULL, NULL), 0);
    assert_true(options.listens);
    assert_string_equal(options.listen.host, "reeve.example.org");
    assert_int_equal(options.listen.port, 7411);
    assert_int_equal(parse("--listen", "tcp://[::1]", NULL, NULL), 0);
    assert_string_equal(options.listen.host, "::1");
    assert_int_equal(options.listen.port, 7411);
    assert_int_equal(parse("--listen=tcp://[::1]:9000", NULL, NULL, NULL), 0);
    assert_int_equal(options.listen.port, 9000);
}

static void options_bad_listen_is_refused_by_name(void **state)
{
    static char *const bad[] = {"7411", "tcp://", "tcp://h:0", "tcp://h:65535", "tcp://h:65536",
        "tcp://h:x", "ipc:///tmp/x", "tcp://a b:1", "tcp://h:1;tcp://h:2", "udp://h:1", ""};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(parse("--listen", bad[i], NULL, NULL), ERR_USAGE);
        assert_non_null(strstr(error.text, "--listen"));
        assert_non_null(strstr(error.text, bad[i]));
    }
}

static void options_two_listens_are_refused(void **state)
{
    (void)state;
    assert_int_equal(parse("--listen", "tcp://a:1", "--listen", "tcp://b:1"), ERR_USAGE);
}

static void options_advertised_addresses_keep_their_order(void **state)
{
    (void)state;
    assert_int_equal(setenv("REEVE_LISTEN", "tcp://*:7500", 1), 0);
    assert_int_equal(parse("--advertise", "tcp://b:1", "--advertise", "tcp://a"), 0);
    assert_int_equal(options.advertise_count, 2);
    assert_string_equal(options.advertise[0].host, "b");
    assert_string_equal(options.advertise[1].host, "a");
    assert_int_equal(setenv("REEVE_ADVERTISE", "tcp://c:3,tcp://d:4", 1), 0);
    assert_int_equal(parse(NULL, NULL, NULL, NULL), 0);
    assert_int_equal(options.advertise_count, 2);
    assert_string_equal(options.advertise[1].host, "d");
}

static void options_addresses_nobody_can_reach_are_refused(void **state)
{
    static char *const wild[] = {"tcp://*:1", "tcp://0.0.0.0:1", "tcp://[::]:1"};
    (void)state;
    for (size_t i = 0; i < sizeof wild / sizeof wild[0]; i++) {
        assert_int_equal(parse("--listen", "tcp://*", "--advertise", wild[i]), ERR_USAGE);
        assert_non_null(strstr(error.text, wild[i]));
    }
    assert_int_equal(parse("--advertise", "tcp://a:1", NULL, NULL), ERR_USAGE);
    assert_non_null(strstr(error.text, "--listen"));
}

static void options_print_shows_addresses_and_their_sources(void **state)
{
    struct buffer text = {0};
    (void)state;
    assert_int_equal(setenv("REEVE_LISTEN", "tcp://[::1]", 1), 0);
    assert_int_equal(parse("--advertise", "tcp://h:1", NULL, NULL), 0);
    options_print(&options, &text);
    assert_non_null(strstr(buffer_text(&text), "listen = tcp://[::1]:7411  (from $REEVE_LISTEN)"));
    assert_non_null(strstr(buffer_text(&text), "advertise = tcp://h:1  (from --advertise)"));
    buffer_fini(&text);
}

static void options_bound_the_logs_unless_told_otherwise(void **state)
{
    struct buffer text = {0};
    (void)state;
    assert_int_equal(parse(NULL, NULL, NULL, NULL), 0);
    assert_int_equal(options.keep_logs_ms, INT64_C(30) * 24 * 3600 * 1000);
    assert_int_equal(options.logs_max_bytes, INT64_C(50) << 30);
    options_print(&options, &text);
    assert_non_null(strstr(buffer_text(&text), "keep-logs = 30d  (from default)"));
    assert_int_equal(parse("--keep-logs", "12h", "--logs-max", "2 GiB"), 0);
    assert_int_equal(options.keep_logs_ms, 12 * 3600 * 1000);
    assert_int_equal(options.logs_max_bytes, INT64_C(2) << 30);
    assert_int_equal(parse("--keep-logs", "forever", "--logs-max", "none"), 0);
    assert_int_equal(options.keep_logs_ms, 0);
    assert_int_equal(options.logs_max_bytes, 0);
    assert_int_equal(parse("--keep-logs", "30", NULL, NULL), ERR_USAGE);
    assert_non_null(strstr(error.text, "--keep-logs"));
    assert_int_equal(parse("--keep-logs", "0s", NULL, NULL), ERR_USAGE);
    assert_int_equal(parse("--logs-max", "50", NULL, NULL), ERR_USAGE);
    assert_non_null(strstr(error.text, "--logs-max"));
    buffer_fini(&text);
}

static void addresses_of_a_name_are_that_name(void **state)
{
    struct arena arena = {0};
    struct endpoint listen = {.host = "::1", .port = 7411};
    (void)state;
    struct texts texts = address_list(&listen, &arena);
    assert_int_equal(texts.count, 1);
    assert_true(slice_is(texts.items[0], "tcp://[::1]:7411"));
    assert_true(slice_is(address_text(&listen, 1, &arena), "tcp://[::1]:7412"));
    arena_fini(&arena);
}

static void addresses_of_a_wildcard_are_ones_that_others_can_use(void **state)
{
    struct arena arena = {0};
    struct endpoint listen = {.host = "*", .port = 7411};
    (void)state;
    struct texts texts = address_list(&listen, &arena);
    assert_in_range(texts.count, 1, ADDRESSES_MAX);
    for (uint32_t i = 0; i < texts.count; i++) {
        struct endpoint one;
        assert_int_equal(endpoint_parse(texts.items[i].ptr, &one, NULL), 0);
        assert_false(address_is_wildcard(&one));
        assert_string_not_equal(one.host, "127.0.0.1");
        assert_int_equal(one.port, 7411);
    }
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(options_nothing_said_listens_nowhere, teardown),
        cmocka_unit_test_teardown(options_listen_without_port_takes_the_default, teardown),
        cmocka_unit_test_teardown(options_bad_listen_is_refused_by_name, teardown),
        cmocka_unit_test_teardown(options_two_listens_are_refused, teardown),
        cmocka_unit_test_teardown(options_advertised_addresses_keep_their_order, teardown),
        cmocka_unit_test_teardown(options_addresses_nobody_can_reach_are_refused, teardown),
        cmocka_unit_test_teardown(options_print_shows_addresses_and_their_sources, teardown),
        cmocka_unit_test_teardown(options_bound_the_logs_unless_told_otherwise, teardown),
        cmocka_unit_test(addresses_of_a_name_are_that_name),
        cmocka_unit_test(addresses_of_a_wildcard_are_ones_that_others_can_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
