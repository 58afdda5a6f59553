#include "common/endpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static void endpoint_is_written_as_it_was_read(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        uint16_t port;
        bool definite;
    } rows[] = {
        {"tcp://master.example:7411", "master.example", 7411, true},
        {"tcp://127.0.0.1:1", "127.0.0.1", 1, true},
        {"tcp://[::1]:65535", "::1", 65535, true},
        {"tcp://[fe80::1%eth0]:7411", "fe80::1%eth0", 7411, true},
        {"tcp://*:7411", "*", 7411, false},
        {"tcp://a_b-c:0", "a_b-c", 0, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct endpoint endpoint;
        char text[ENDPOINT_TEXT_MAX];
        assert_int_equal(endpoint_parse(rows[i].text, &endpoint, NULL), 0);
        assert_string_equal(endpoint.host, rows[i].host);
        assert_int_equal(endpoint.port, rows[i].port);
        assert_int_equal(endpoint_is_definite(&endpoint), rows[i].definite);
        endpoint_text(&endpoint, text);
        assert_string_equal(text, rows[i].text);
    }
}

static void endpoint_that_is_none_is_refused_with_a_right_one(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "tcp:/", "udp://a:1", "tcp://", "tcp://a",
        "tcp://a:", "tcp://:1", "tcp://a:1x", "tcp://a:65536", "tcp://a:99999999999999999999",
        "tcp://a:-1", "tcp://a:+1", "tcp://a;b:1", "tcp://a/b:1", "tcp://**:1", "tcp://[*]:1",
        "tcp://[]:1", "tcp://[a]:1", "tcp://[::1:1", "tcp://::1:1", "tcp://a b:1", "tcp://a\n:1",
        "tcp://\xc3\xa4:1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct endpoint endpoint = {.port = 77};
        struct error error = {0};
        assert_int_equal(endpoint_parse(bad[i], &endpoint, &error), ERR_USAGE);
        assert_true(strstr(error.text, "tcp://HOST:") != NULL || strstr(error.text, "host name"));
        assert_int_equal(endpoint.port, 77);
    }
}

static void endpoint_host_has_at_most_253_bytes(void **state)
{
    (void)state;
    struct endpoint endpoint;
    char text[300];
    (void)snprintf(text, sizeof text, "tcp://%0253d:7411", 1);
    assert_int_equal(endpoint_parse(text, &endpoint, NULL), 0);
    char back[ENDPOINT_TEXT_MAX];
    endpoint_text(&endpoint, back);
    assert_string_equal(text, back);
    (void)snprintf(text, sizeof text, "tcp://%0254d:7411", 1);
    assert_int_equal(endpoint_parse(text, &endpoint, NULL), ERR_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoint_is_written_as_it_was_read),
        cmocka_unit_test(endpoint_that_is_none_is_refused_with_a_right_one),
        cmocka_unit_test(endpoint_host_has_at_most_253_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
