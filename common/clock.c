#include "common/clock.h"

#include <stdio.h>
#include <time.h>

/* From the year 1000 to the end of 9999: what is written with four digits. */
static const int64_t last_wall_ms = 253402300799999;
static const int64_t first_wall_ms = -30610224000000;

static int64_t read_ms(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint64_t clock_boot_ms(void)
{
    return (uint64_t)read_ms(CLOCK_BOOTTIME);
}

int64_t clock_wall_ms(void)
{
    return read_ms(CLOCK_REALTIME);
}

void clock_format_wall(int64_t wall_ms, char text[CLOCK_TEXT_MAX])
{
    if (wall_ms == 0) {
        (void)snprintf(text, CLOCK_TEXT_MAX, "-");
        return;
    }
    if (wall_ms > last_wall_ms)
        wall_ms = last_wall_ms;
    if (wall_ms < first_wall_ms)
        wall_ms = first_wall_ms;
    int64_t below = (wall_ms % 1000 + 1000) % 1000;
    time_t seconds = (time_t)((wall_ms - below) / 1000);
    struct tm utc;
    (void)gmtime_r(&seconds, &utc);
    size_t used = strftime(text, CLOCK_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(text + used, CLOCK_TEXT_MAX - used, ".%03dZ", (int)below);
}
