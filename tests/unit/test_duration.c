#include "common/duration.h"

#include "common/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static const uint64_t longest_ms = 3650ull * 86400000;

static uint64_t parse(const char *text)
{
    uint64_t ms = 12345;
    struct error error = {0};
    if (duration_parse(slice_of(text), &ms, &error) != 0)
        fail_msg("%s: %s", text, error.text);
    return ms;
}

static void duration_each_unit_and_sum_is_read(void **state)
{
    (void)state;
    assert_int_equal(parse("250ms"), 250);
    assert_int_equal(parse("90s"), 90000);
    assert_int_equal(parse("5m"), 300000);
    assert_int_equal(parse("1h30m"), 5400000);
    assert_int_equal(parse("2d"), 172800000);
    assert_int_equal(parse("1d2h3m4s5ms"), 93784005);
    assert_int_equal(parse("1m5ms"), 60005);
    assert_int_equal(parse("0s"), 0);
    assert_int_equal(parse("0ms"), 0);
    assert_int_equal(parse("007s"), 7000);
    assert_int_equal(parse("36h"), 129600000);
    assert_true(parse("3650d") == longest_ms);
    assert_true(parse("315360000000ms") == longest_ms);
}

static void duration_that_is_none_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    const char *const texts[] = {"", " ", "5", "5x", "m", "-5m", "+5m", "1.5h", "5 m", " 5m", "5m ",
        "5M", "30m1h", "5m5m", "5ms5s", "1s1m", "s5", "5mm", "5m3", "1h-3m", "5min", "1e3s", "0x5s",
        "5d\n", "\xc2\xb5s", "inf"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        uint64_t ms = 4711;
        struct error error = {0};
        assert_int_equal(duration_parse(slice_of(texts[i]), &ms, &error), ERR_INVALID);
        assert_int_equal(error.code, ERR_INVALID);
        assert_true(strlen(error.text) > 0);
        assert_int_equal(ms, 4711);
        assert_int_equal(duration_parse(slice_of(texts[i]), &ms, NULL), ERR_INVALID);
    }
}

static void expect_text(const char *duration, const char *text)
{
    uint64_t ms;
    struct error error = {0};
    assert_int_equal(duration_parse(slice_of(duration), &ms, &error), ERR_INVALID);
    assert_string_equal(error.text, text);
}

static void duration_errors_show_the_right_way(void **state)
{
    (void)state;
    expect_text("300", "a duration needs a unit: write 300s or 5m instead of 300");
    expect_text("90", "a duration needs a unit: write 90s instead of 90");
    expect_text("0", "a duration needs a unit: write 0s instead of 0");
    expect_text("5 minutes",
        "\"5 minutes\" is not a duration: write it with units, as in 90s, 5m, 1h30m or 2d");
    expect_text("", "\"\" is not a duration: write it with units, as in 90s, 5m, 1h30m or 2d");
    expect_text("3651d", "\"3651d\" is longer than 3650d");
    expect_text("3650d1ms", "\"3650d1ms\" is longer than 3650d");
    expect_text("99999999999999999999999d", "\"99999999999999999999999d\" is longer than 3650d");
    /* 2^64 ms and a little, reached by the product alone. */
    expect_text("213503982335d", "\"213503982335d\" is longer than 3650d");
}

static void duration_text_is_not_read_past_its_end(void **state)
{
    (void)state;
    uint64_t ms = 0;
    assert_int_equal(duration_parse(slice_make("5ms", 2), &ms, NULL), 0);
    assert_int_equal(ms, 300000);
    assert_int_equal(duration_parse(slice_make("5ms", 1), &ms, NULL), ERR_INVALID);
    assert_int_equal(duration_parse(slice_make("5\0m", 3), &ms, NULL), ERR_INVALID);
    assert_int_equal(duration_parse((struct slice){0}, &ms, NULL), ERR_INVALID);
}

static void duration_format_is_read_back_to_the_same(void **state)
{
    (void)state;
    char text[DURATION_TEXT_MAX];
    for (uint64_t i = 0; i < 200000; i++) {
        /* Numbers of every magnitude. */
        uint64_t ms =
            hash_mix(i * 0x9e3779b97f4a7c15u) % ((uint64_t)1 << (1 + i % 38)) % longest_ms;
        duration_format(ms, text);
        assert_int_equal(parse(text), ms);
    }
    duration_format(longest_ms, text);
    assert_true(parse(text) == longest_ms);
}

static void duration_format_writes_large_units_first(void **state)
{
    (void)state;
    char text[DURATION_TEXT_MAX];
    duration_format(0, text);
    assert_string_equal(text, "0s");
    duration_format(90000, text);
    assert_string_equal(text, "1m30s");
    duration_format(300000, text);
    assert_string_equal(text, "5m");
    duration_format(93784005, text);
    assert_string_equal(text, "1d2h3m4s5ms");
    duration_format(UINT64_MAX, text);
    assert_string_equal(text, "213503982334d14h25m51s615ms");
}

static void duration_short_is_what_people_read(void **state)
{
    (void)state;
    static const struct {
        uint64_t ms;
        const char *text;
    } examples[] = {{0, "0.0s"}, {9999, "9.9s"}, {10000, "10s"}, {59999, "59s"}, {60000, "1m00s"},
        {192000, "3m12s"}, {3599999, "59m59s"}, {7500000, "2h05m"}, {86400000, "1d00h"},
        {273600000, "3d04h"}};
    char text[DURATION_TEXT_MAX];
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        duration_format_short(examples[i].ms, text);
        assert_string_equal(text, examples[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(duration_each_unit_and_sum_is_read),
        cmocka_unit_test(duration_that_is_none_is_refused_and_changes_nothing),
        cmocka_unit_test(duration_errors_show_the_right_way),
        cmocka_unit_test(duration_text_is_not_read_past_its_end),
        cmocka_unit_test(duration_format_is_read_back_to_the_same),
        cmocka_unit_test(duration_format_writes_large_units_first),
        cmocka_unit_test(duration_short_is_what_people_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
