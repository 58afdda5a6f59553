#include "common/dag/dates.h"

#include "common/dag/civil.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void expect_ms(const char *text, const char *zone, int64_t wanted)
{
    int64_t ms = 0;
    struct error error = {0};
    if (dates_parse(slice_of(text), zone, &ms, &error) != 0)
        fail_msg("%s: %s", text, error.text);
    if (ms != wanted)
        print_error("%s in %s: %lld\n", text, zone, (long long)ms);
    assert_true(ms == wanted);
}

static void dates_text_is_read_in_its_zone(void **state)
{
    (void)state;
    expect_ms("1970-01-01", "UTC", 0);
    expect_ms("2026-11-21", "UTC", 1795219200000);
    expect_ms("2026-11-21T03:00", "Asia/Seoul", 1795197600000);
    expect_ms("2026-11-21 03:00:01.5", "UTC", 1795230001500);
    expect_ms("2026-11-21T03:00:00Z", "Asia/Seoul", 1795230000000);
    expect_ms("2026-11-21T03:00+05:30", "UTC", 1795210200000);
    expect_ms("1969-12-31T23:59:59", "UTC", -1000);
    expect_ms("1582-10-10", "UTC", civil_days(1582, 10, 10) * 86400000);
}

static void dates_in_a_gap_are_the_next_moment_and_twice_the_first(void **state)
{
    (void)state;
    /* Berlin, 2026-03-29: 02:00 becomes 03:00 (01:00 UTC). */
    expect_ms("2026-03-29T02:30", "Europe/Berlin", 1774746000000);
    expect_ms("2026-03-29T03:00", "Europe/Berlin", 1774746000000);
    /* Berlin, 2026-10-25: 02:30 comes at 00:30 and at 01:30 UTC. */
    expect_ms("2026-10-25T02:30", "Europe/Berlin", 1792888200000);
}

static void dates_broken_text_is_refused(void **state)
{
    (void)state;
    static const char *const broken[] = {"", "2026", "2026-13-01", "2026-02-29", "2026-1-1",
        "2026-01-01T", "2026-01-01T24:00", "2026-01-01T10", "2026-01-01T10:00:60",
        "2026-01-01T10:00+25:00", "2026-01-01Z", "2026-01-01T10:00:00.", "0000-01-01",
        "2026-01-01 10:00 x"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        int64_t ms = 7;
        struct error error;
        assert_int_equal(dates_parse(slice_of(broken[i]), "UTC", &ms, &error), ERR_INVALID);
        assert_int_equal(ms, 7);
        assert_non_null(strstr(error.text, "2026-11-21"));
    }
}

static void dates_zone_must_be_known(void **state)
{
    (void)state;
    struct error error;
    assert_int_equal(dates_check_zone(slice_of("Asia/Seoul"), NULL), 0);
    assert_int_equal(dates_check_zone(slice_of("UTC"), NULL), 0);
    assert_int_equal(dates_check_zone(slice_of("America/Argentina/Buenos_Aires"), NULL), 0);
    assert_int_equal(dates_check_zone(slice_of("Asia/Seol"), &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "did you mean \"Asia/Seoul\"?"));
    assert_int_equal(dates_check_zone(slice_of("tokyo"), &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "did you mean \"Asia/Tokyo\"?"));
    assert_int_equal(dates_check_zone(slice_of("GMT+25"), &error), ERR_INVALID);
    assert_int_equal(dates_check_zone(slice_of(""), &error), ERR_INVALID);
}

static void expect_member(const json_t *values, const char *name, const char *wanted)
{
    assert_string_equal(json_string_value(json_object_get(values, name)), wanted);
}

static void dates_of_a_run_are_texts_in_its_zone(void **state)
{
    (void)state;
    json_t *values = dates_of_run(1795197600000, "Asia/Seoul");
    expect_member(values, "ds", "2026-11-21");
    expect_member(values, "ds_nodash", "20261121");
    expect_member(values, "ts", "2026-11-21T03:00:00+09:00");
    expect_member(values, "ts_nodash", "20261121T030000");
    expect_member(values, "logical_date", "2026-11-21T03:00:00+09:00");
    expect_member(values, "data_interval_start", "2026-11-21T03:00:00+09:00");
    expect_member(values, "data_interval_end", "2026-11-21T03:00:00+09:00");
    assert_int_equal(json_object_size(values), 7);
    json_decref(values);
    values = dates_of_run(-1, "America/New_York");
    expect_member(values, "ts", "1969-12-31T18:59:59.999-05:00");
    json_decref(values);
}

static void dates_of_a_run_read_back_to_its_moment(void **state)
{
    (void)state;
    static const char *const zones[] = {"UTC", "Asia/Seoul", "Europe/Berlin", "America/St_Johns",
        "Pacific/Chatham", "Australia/Lord_Howe"};
    for (int64_t i = 0; i < 2000; i++) {
        /* Steps of about 17 hours and some ms, over more than a year with its clock changes. */
        int64_t moment = 1767225600000 + i * 61234567;
        const char *zone = zones[(size_t)i % (sizeof zones / sizeof zones[0])];
        json_t *values = dates_of_run(moment, zone);
        expect_ms(json_string_value(json_object_get(values, "ts")), "UTC", moment);
        json_decref(values);
    }
}

static void dates_days_and_dates_agree(void **state)
{
    (void)state;
    struct civil_time time;
    int64_t last = civil_days(9999, 12, 31);
    for (int64_t days = civil_days(1, 1, 1); days <= last; days += 7) {
        assert_true(civil_from_days(days, &time));
        assert_true(civil_days(time.year, time.month, time.day) == days);
    }
    assert_false(civil_from_days(last + 1, &time));
    assert_int_equal(civil_days(2000, 3, 1), 11017);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_text_is_read_in_its_zone),
        cmocka_unit_test(dates_in_a_gap_are_the_next_moment_and_twice_the_first),
        cmocka_unit_test(dates_broken_text_is_refused),
        cmocka_unit_test(dates_zone_must_be_known),
        cmocka_unit_test(dates_of_a_run_are_texts_in_its_zone),
        cmocka_unit_test(dates_of_a_run_read_back_to_its_moment),
        cmocka_unit_test(dates_days_and_dates_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
