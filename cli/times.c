#include "cli/times.h"

#include "common/clock.h"
#include "common/duration.h"

void times_append_span(int64_t ms, struct buffer *out)
{
    char text[DURATION_TEXT_MAX];
    duration_format_short(ms > 0 ? (uint64_t)ms : 0, text);
    buffer_append_text(out, text);
}

void times_append_between(int64_t start, int64_t end, int64_t now, struct buffer *out)
{
    if (start == 0)
        buffer_append_text(out, "-");
    else
        times_append_span((end != 0 ? end : now) - start, out);
}

void times_append_moment(int64_t wall_ms, struct buffer *out)
{
    char text[CLOCK_TEXT_MAX];
    clock_format_wall(wall_ms, text);
    buffer_append_text(out, text);
}
