#include "common/dag/civil.h"

#include <stdio.h>
#include <stdlib.h>

/* Days before the civil year that begins in March, in eras of 400 years: H. Hinnant,
   "chrono-compatible low-level date algorithms". */
int64_t civil_days(int year, int month, int day)
{
    int64_t y = year - (month <= 2);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

bool civil_from_days(int64_t days, struct civil_time *ret_time)
{
    if (days < civil_days(1, 1, 1) || days > civil_days(9999, 12, 31))
        return false;
    int64_t shifted = days + 719468;
    int64_t era = shifted / 146097;
    int64_t day_of_era = shifted - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted_month = (5 * day_of_year + 2) / 153;
    int month = (int)(shifted_month < 10 ? shifted_month + 3 : shifted_month - 9);
    *ret_time = (struct civil_time){
        .year = (int)(year_of_era + era * 400) + (month <= 2),
        .month = month,
        .day = (int)(day_of_year - (153 * shifted_month + 2) / 5 + 1),
    };
    return true;
}

/* Takes `digits` digits and then `end` (unless 0) from the front of *rest. */
static bool take(struct slice *rest, size_t digits, char end, int *ret_number)
{
    int number = 0;
    if (rest->length < digits + (end != 0))
        return false;
    for (size_t i = 0; i < digits; i++) {
        char c = rest->ptr[i];
        if (c < '0' || c > '9')
            return false;
        number = number * 10 + (c - '0');
    }
    if (end != 0 && rest->ptr[digits] != end)
        return false;
    size_t used = digits + (end != 0);
    *rest = slice_make(rest->ptr + used, rest->length - used);
    *ret_number = number;
    return true;
}

static bool take_char(struct slice *rest, char c)
{
    if (rest->length == 0 || rest->ptr[0] != c)
        return false;
    *rest = slice_make(rest->ptr + 1, rest->length - 1);
    return true;
}

static bool take_fraction(struct slice *rest, struct civil_time *time)
{
    int digit = 0;
    int scale = 100;
    int digits = 0;
    while (digits < 9 && take(rest, 1, 0, &digit)) {
        time->millisecond += digit * scale;
        scale /= 10;
        digits++;
    }
    return digits > 0;
}

static bool take_offset(struct slice *rest, struct civil_time *time)
{
    if (rest->length == 0)
        return true;
    time->has_offset = true;
    if (take_char(rest, 'Z') || take_char(rest, 'z'))
        return true;
    int sign = take_char(rest, '-') ? -1 : 1;
    if (sign > 0 && !take_char(rest, '+'))
        return false;
    int hours = 0;
    int minutes = 0;
    if (!take(rest, 2, ':', &hours) || !take(rest, 2, 0, &minutes) || hours > 18 || minutes > 59)
        return false;
    time->offset_minutes = sign * (hours * 60 + minutes);
    return true;
}

static bool take_clock(struct slice *rest, struct civil_time *time)
{
    if (!take(rest, 2, ':', &time->hour) || !take(rest, 2, 0, &time->minute))
        return false;
    if (take_char(rest, ':')) {
        if (!take(rest, 2, 0, &time->second))
            return false;
        if (take_char(rest, '.') && !take_fraction(rest, time))
            return false;
    }
    return time->hour <= 23 && time->minute <= 59 && time->second <= 59 && take_offset(rest, time);
}

bool civil_parse(struct slice text, struct civil_time *ret_time)
{
    struct civil_time time = {0};
    struct slice rest = text;
    if (!take(&rest, 4, '-', &time.year) || !take(&rest, 2, '-', &time.month) ||
        !take(&rest, 2, 0, &time.day))
        return false;
    if (time.year < 1 || time.month < 1 || time.month > 12 || time.day < 1 || time.day > 31)
        return false;
    struct civil_time same;
    if (!civil_from_days(civil_days(time.year, time.month, time.day), &same) ||
        same.day != time.day)
        return false;
    if (rest.length > 0) {
        if (!take_char(&rest, 'T') && !take_char(&rest, ' '))
            return false;
        if (!take_clock(&rest, &time))
            return false;
    }
    if (rest.length > 0)
        return false;
    *ret_time = time;
    return true;
}

void civil_format_date(const struct civil_time *time, char text[CIVIL_TEXT_MAX])
{
    (void)snprintf(text, CIVIL_TEXT_MAX, "%04d-%02d-%02d", time->year, time->month, time->day);
}

static void format_offset(const struct civil_time *time, const char *colon, char text[16])
{
    int minutes = abs(time->offset_minutes);
    (void)snprintf(text, 16, "%c%02d%s%02d", time->offset_minutes < 0 ? '-' : '+',
        minutes / 60 % 100, colon, minutes % 60);
}

void civil_format_time(const struct civil_time *time, char text[CIVIL_TEXT_MAX])
{
    char offset[16] = "";
    char fraction[16] = "";
    if (time->has_offset)
        format_offset(time, ":", offset);
    if (time->millisecond != 0)
        (void)snprintf(fraction, sizeof fraction, ".%03d", time->millisecond);
    (void)snprintf(text, CIVIL_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d%.4s%.6s", time->year,
        time->month, time->day, time->hour, time->minute, time->second, fraction, offset);
}

void civil_format_compact(const struct civil_time *time, bool offset, char text[CIVIL_TEXT_MAX])
{
    char zone[16] = "";
    if (offset)
        format_offset(time, "", zone);
    (void)snprintf(text, CIVIL_TEXT_MAX, "%04d%02d%02dT%02d%02d%02d%.5s", time->year, time->month,
        time->day, time->hour, time->minute, time->second, zone);
}
