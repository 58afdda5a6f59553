#include "cli/times.h"

#include "common/clock.h"

void times_append_span(int64_t ms, struct buffer *out)
{
    int64_t seconds = ms / 1000;
    if (ms < 0)
        buffer_append_text(out, "0.0s");
    else if (seconds < 10)
        buffer_printf(out, "%d.%ds", (int)seconds, (int)(ms % 1000 / 100));
    else if (seconds < 60)
        buffer_printf(out, "%ds", (int)seconds);
    else if (seconds < 3600)
        buffer_printf(out, "%dm%02ds", (int)(seconds / 60), (int)(seconds % 60));
    else if (seconds < 86400)
        buffer_printf(out, "%dh%02dm", (int)(seconds / 3600), (int)(seconds % 3600 / 60));
    else
        buffer_printf(
            out, "%lldd%02dh", (long long)(seconds / 86400), (int)(seconds % 86400 / 3600));
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
