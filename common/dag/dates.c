/*
 * dates.c - dates in a DAG's zone, by ICU. The calendar's arithmetic is civil.c's; ICU tells
 * offsets alone.
 */
#include "common/dag/dates.h"

#include "common/dag/civil.h"
#include "common/memory.h"
#include "common/suggest.h"

#include <pthread.h>
#include <stdlib.h>
#include <strings.h>
#include <unicode/ucal.h>
#include <unicode/uclean.h>
#include <unicode/uenum.h>

enum { ZONE_MAX = 63, ZONES_MAX = 1000, MS_PER_MINUTE = 60000 };

static const int64_t ms_per_day = 86400000;

/* ---- ICU's memory: where it cannot be had, ICU would take another zone for the one asked for ----
 */

static void *icu_allocate(const void *context, size_t size)
{
    (void)context;
    return xmalloc(size);
}

static void *icu_reallocate(const void *context, void *old, size_t size)
{
    (void)context;
    return xreallocarray(old, 1, size);
}

static void icu_free(const void *context, void *memory)
{
    (void)context;
    free(memory);
}

static void set_memory_functions(void)
{
    UErrorCode status = U_ZERO_ERROR;
    u_setMemoryFunctions(NULL, icu_allocate, icu_reallocate, icu_free, &status);
}

/* Before any other call of ICU. */
static void start_icu(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, set_memory_functions);
}

/* ---- zones ---- */

/* A zone's name as ICU takes it; names are ASCII. False when it is too long or is not. */
static bool to_utf16(struct slice zone, UChar text[ZONE_MAX + 1])
{
    if (zone.length == 0 || zone.length > ZONE_MAX)
        return false;
    for (size_t i = 0; i < zone.length; i++) {
        if ((unsigned char)zone.ptr[i] >= 0x80)
            return false;
        text[i] = (UChar)zone.ptr[i];
    }
    text[zone.length] = 0;
    return true;
}

/* ICU's own inventions, which are in no zone file. */
static bool is_foreign(const char *name)
{
    return strncmp(name, "SystemV/", 8) == 0 || strcmp(name, "Etc/Unknown") == 0;
}

/* "Seoul" -> "Asia/Seoul": people know the city. */
static const char *zone_of_city(struct slice city, const char *const *zones)
{
    for (size_t i = 0; zones[i] != NULL; i++) {
        const char *last = strrchr(zones[i], '/');
        if (last != NULL && strlen(last + 1) == city.length &&
            strncasecmp(last + 1, city.ptr, city.length) == 0)
            return zones[i];
    }
    return NULL;
}

static int unknown_zone(struct slice zone, const char *const *zones, struct error *error)
{
    const char *near = zone_of_city(zone, zones);
    if (near == NULL)
        near = suggest(zone, zones);
    if (near != NULL)
        return error_set(error, ERR_INVALID, "unknown time zone \"%.*s\"; did you mean \"%s\"?",
            SLICE_PRINT(zone), near);
    return error_set(error, ERR_INVALID,
        "unknown time zone \"%.*s\"; write an IANA name like Asia/Seoul", SLICE_PRINT(zone));
}

int dates_check_zone(struct slice zone, struct error *error)
{
    start_icu();
    UErrorCode status = U_ZERO_ERROR;
    UEnumeration *names = ucal_openTimeZoneIDEnumeration(UCAL_ZONE_TYPE_ANY, NULL, NULL, &status);
    if (U_FAILURE(status))
        return error_set(error, ERR_IO, "the time zones cannot be read: %s", u_errorName(status));
    const char *zones[ZONES_MAX + 1] = {0};
    size_t count = 0;
    bool found = false;
    char(*copies)[ZONE_MAX + 1] = xcalloc(ZONES_MAX, sizeof *copies);
    const char *name;
    int32_t length;
    while (!found && count < ZONES_MAX && (name = uenum_next(names, &length, &status)) != NULL) {
        if (length > ZONE_MAX || is_foreign(name))
            continue;
        found = slice_equal(zone, slice_make(name, (size_t)length));
        memcpy(copies[count], name, (size_t)length);
        zones[count] = copies[count];
        count++;
    }
    int result = found ? 0 : unknown_zone(zone, zones, error);
    uenum_close(names);
    free(copies);
    return result;
}

static UCalendar *open_calendar(struct slice zone)
{
    UChar name[ZONE_MAX + 1];
    UErrorCode status = U_ZERO_ERROR;
    if (!to_utf16(zone, name))
        return NULL;
    start_icu();
    UCalendar *calendar = ucal_open(name, (int32_t)zone.length, "en_US", UCAL_GREGORIAN, &status);
    if (U_FAILURE(status)) {
        ucal_close(calendar);
        return NULL;
    }
    /* The calendar of the texts here has no change in 1582. */
    ucal_setGregorianChange(calendar, -8.64e15, &status);
    /* A time in a gap is the next real moment; one that comes twice is the first. */
    ucal_setAttribute(calendar, UCAL_LENIENT, 1);
    ucal_setAttribute(calendar, UCAL_SKIPPED_WALL_TIME, UCAL_WALLTIME_NEXT_VALID);
    ucal_setAttribute(calendar, UCAL_REPEATED_WALL_TIME, UCAL_WALLTIME_FIRST);
    return calendar;
}

static int64_t as_if_utc(const struct civil_time *time)
{
    int64_t minutes = (int64_t)time->hour * 60 + time->minute;
    return civil_days(time->year, time->month, time->day) * ms_per_day + minutes * MS_PER_MINUTE +
           (int64_t)time->second * 1000 + time->millisecond;
}

static int wall_to_utc(
    const struct civil_time *time, const char *zone, int64_t *ret_ms, struct error *error)
{
    UCalendar *calendar = open_calendar(slice_of(zone));
    if (calendar == NULL)
        return error_set(error, ERR_INVALID, "unknown time zone \"%s\"", zone);
    UErrorCode status = U_ZERO_ERROR;
    ucal_clear(calendar);
    ucal_setDateTime(calendar, time->year, time->month - 1, time->day, time->hour, time->minute,
        time->second, &status);
    ucal_set(calendar, UCAL_MILLISECOND, time->millisecond);
    UDate ms = ucal_getMillis(calendar, &status);
    ucal_close(calendar);
    if (U_FAILURE(status))
        return error_set(
            error, ERR_INVALID, "the date cannot be had in %s: %s", zone, u_errorName(status));
    *ret_ms = (int64_t)ms;
    return 0;
}

int dates_parse(struct slice text, const char *zone, int64_t *ret_ms, struct error *error)
{
    struct civil_time time;
    if (!civil_parse(text, &time))
        return error_set(error, ERR_INVALID,
            "\"%.*s\" is no date: write it as 2026-11-21 or 2026-11-21T03:00", SLICE_PRINT(text));
    if (!time.has_offset)
        return wall_to_utc(&time, zone, ret_ms, error);
    *ret_ms = as_if_utc(&time) - (int64_t)time.offset_minutes * MS_PER_MINUTE;
    return 0;
}

/* The zone's offset from UTC at a moment, in minutes; 0 for a zone that is unknown. */
static int offset_at(int64_t ms, const char *zone)
{
    UCalendar *calendar = open_calendar(slice_of(zone));
    if (calendar == NULL)
        return 0;
    UErrorCode status = U_ZERO_ERROR;
    ucal_setMillis(calendar, (UDate)ms, &status);
    int32_t offset_ms = ucal_get(calendar, UCAL_ZONE_OFFSET, &status);
    offset_ms += ucal_get(calendar, UCAL_DST_OFFSET, &status);
    ucal_close(calendar);
    return U_FAILURE(status) ? 0 : offset_ms / MS_PER_MINUTE;
}

static int64_t floor_divide(int64_t number, int64_t by)
{
    return number / by - (number % by < 0);
}

static struct civil_time local_time(int64_t ms, const char *zone)
{
    struct civil_time time = {.year = 1970, .month = 1, .day = 1};
    int offset = offset_at(ms, zone);
    int64_t local = ms + (int64_t)offset * MS_PER_MINUTE;
    int64_t days = floor_divide(local, ms_per_day);
    int64_t rest = local - days * ms_per_day;
    (void)civil_from_days(days, &time);
    time.hour = (int)(rest / 3600000);
    time.minute = (int)(rest / MS_PER_MINUTE % 60);
    time.second = (int)(rest / 1000 % 60);
    time.millisecond = (int)(rest % 1000);
    time.has_offset = true;
    time.offset_minutes = offset;
    return time;
}

json_t *dates_of_run(int64_t logical_date_ms, const char *zone)
{
    struct civil_time time = local_time(logical_date_ms, zone);
    char text[CIVIL_TEXT_MAX];
    json_t *values = json_object();
    civil_format_date(&time, text);
    (void)json_object_set_new(values, "ds", json_string(text));
    civil_format_compact(&time, false, text);
    (void)json_object_set_new(values, "ts_nodash", json_string(text));
    text[8] = '\0';
    (void)json_object_set_new(values, "ds_nodash", json_string(text));
    civil_format_time(&time, text);
    static const char *const moments[] = {
        "ts", "logical_date", "data_interval_start", "data_interval_end"};
    for (size_t i = 0; i < sizeof moments / sizeof moments[0]; i++)
        (void)json_object_set_new(values, moments[i], json_string(text));
    return values;
}
