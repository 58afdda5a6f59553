#include "cli/sizes.h"

void sizes_append(uint64_t bytes, struct buffer *out)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;
    if (bytes < 1024) {
        buffer_printf(out, "%u B", (unsigned)bytes);
        return;
    }
    /* 1023.96 would be shown as 1024.0. */
    for (value /= 1024; value >= 1023.95 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        value /= 1024;
    buffer_printf(out, "%.1f %s", value, units[unit]);
}

void sizes_append_part(uint64_t part, uint64_t whole, struct buffer *out)
{
    if (whole == 0)
        return;
    if (part > whole)
        part = whole;
    buffer_printf(out, "%.0f%% of ", (double)part * 100 / (double)whole);
    sizes_append(whole, out);
}
