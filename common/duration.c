#include "common/duration.h"

#include <stdio.h>

struct unit {
    const char *name;
    uint64_t ms;
};

static const struct unit units[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
enum { UNIT_COUNT = sizeof units / sizeof units[0] };

static const uint64_t longest_ms = 3650ull * 86400000;

static int bad(struct slice text, struct error *error)
{
    uint64_t number = 0;
    size_t digits = 0;
    while (digits < text.length && text.ptr[digits] >= '0' && text.ptr[digits] <= '9' && digits < 9)
        number = number * 10 + (uint64_t)(text.ptr[digits++] - '0');
    if (digits == 0 || digits != text.length)
        return error_set(error, ERR_INVALID,
            "\"%.*s\" is not a duration: write it with units, as in 90s, 5m, 1h30m or 2d",
            SLICE_PRINT(text));
    char seconds[DURATION_TEXT_MAX];
    duration_format(number * 1000, seconds);
    if (number % 60 == 0 && number > 0)
        return error_set(error, ERR_INVALID,
            "a duration needs a unit: write %llus or %s instead of %.*s",
            (unsigned long long)number, seconds, SLICE_PRINT(text));
    return error_set(error, ERR_INVALID, "a duration needs a unit: write %llus instead of %.*s",
        (unsigned long long)number, SLICE_PRINT(text));
}

/* The index of the unit at the start of the text, longest name first ("ms" before "m"), or -1. */
static int unit_at(struct slice text)
{
    if (text.length >= 2 && text.ptr[0] == 'm' && text.ptr[1] == 's')
        return UNIT_COUNT - 1;
    for (int i = 0; i < UNIT_COUNT - 1; i++) {
        if (text.length > 0 && text.ptr[0] == units[i].name[0])
            return i;
    }
    return -1;
}

int duration_parse(struct slice text, uint64_t *ret_ms, struct error *error)
{
    struct slice rest = text;
    uint64_t sum = 0;
    int last_unit = -1;
    if (rest.length == 0)
        return bad(text, error);
    while (rest.length > 0) {
        uint64_t number = 0;
        size_t digits = 0;
        while (digits < rest.length && rest.ptr[digits] >= '0' && rest.ptr[digits] <= '9') {
            number = number * 10 + (uint64_t)(rest.ptr[digits++] - '0');
            if (number > longest_ms)
                return error_set(
                    error, ERR_INVALID, "\"%.*s\" is longer than 3650d", SLICE_PRINT(text));
        }
        rest = slice_make(rest.ptr + digits, rest.length - digits);
        int unit = unit_at(rest);
        if (digits == 0 || unit <= last_unit)
            return bad(text, error);
        last_unit = unit;
        size_t name_length = unit == UNIT_COUNT - 1 ? 2 : 1;
        rest = slice_make(rest.ptr + name_length, rest.length - name_length);
        sum += number * units[unit].ms;
        if (number > longest_ms / units[unit].ms || sum > longest_ms)
            return error_set(
                error, ERR_INVALID, "\"%.*s\" is longer than 3650d", SLICE_PRINT(text));
    }
    *ret_ms = sum;
    return 0;
}

void duration_format(uint64_t ms, char text[DURATION_TEXT_MAX])
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < UNIT_COUNT; i++) {
        uint64_t number = ms / units[i].ms;
        ms %= units[i].ms;
        if (number == 0)
            continue;
        int written = snprintf(text + used, DURATION_TEXT_MAX - used, "%llu%s",
            (unsigned long long)number, units[i].name);
        used += written > 0 ? (size_t)written : 0;
    }
    if (used == 0)
        (void)snprintf(text, DURATION_TEXT_MAX, "0s");
}

void duration_format_short(uint64_t ms, char text[DURATION_TEXT_MAX])
{
    const uint64_t minute = 60, hour = 3600, day = 86400;
    unsigned long long seconds = ms / 1000;
    if (seconds < 10)
        (void)snprintf(text, DURATION_TEXT_MAX, "%llu.%us", seconds, (unsigned)(ms % 1000 / 100));
    else if (seconds < minute)
        (void)snprintf(text, DURATION_TEXT_MAX, "%llus", seconds);
    else if (seconds < hour)
        (void)snprintf(text, DURATION_TEXT_MAX, "%llum%02llus", seconds / minute, seconds % minute);
    else if (seconds < day)
        (void)snprintf(
            text, DURATION_TEXT_MAX, "%lluh%02llum", seconds / hour, seconds % hour / minute);
    else
        (void)snprintf(
            text, DURATION_TEXT_MAX, "%llud%02lluh", seconds / day, seconds % day / hour);
}
