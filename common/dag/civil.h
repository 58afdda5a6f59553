/*
 * civil.h - calendar dates as numbers and as text: proleptic Gregorian, no zones, no clock.
 */
#ifndef COMMON_DAG_CIVIL_H
#define COMMON_DAG_CIVIL_H

#include "common/slice.h"

#include <stdint.h>

struct civil_time {
    int year, month, day; /* year 1..9999, month and day from 1 */
    int hour, minute, second, millisecond;
    int offset_minutes; /* east of UTC; meaningful with has_offset */
    bool has_offset;
};

enum { CIVIL_TEXT_MAX = 48 };

/* Days since 1970-01-01; any year in range. */
int64_t civil_days(int year, int month, int day);
/* Fills year, month and day; the rest is zero. False when the day lies outside the years 1..9999.
 */
bool civil_from_days(int64_t days, struct civil_time *ret_time);

/* `2026-11-21`, `2026-11-21T03:00[:00[.123]]` (T or a space), then Z or ±hh:mm or nothing. False
 * for all else. */
bool civil_parse(struct slice text, struct civil_time *ret_time);

/* "2026-11-21" and "2026-11-21T03:00:00[.123][+09:00]". The offset only with has_offset. */
void civil_format_date(const struct civil_time *time, char text[CIVIL_TEXT_MAX]);
void civil_format_time(const struct civil_time *time, char text[CIVIL_TEXT_MAX]);
/* "20261121T030000", with "+0900" after it when `offset`. */
void civil_format_compact(const struct civil_time *time, bool offset, char text[CIVIL_TEXT_MAX]);

#endif
