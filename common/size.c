#include "common/size.h"

#include <inttypes.h>
#include <stdio.h>

static const struct {
    const char *name;
    uint64_t bytes;
} units[] = {{"B", 1}, {"KiB", 1024}, {"MiB", 1024 * 1024}, {"GiB", 1024 * 1024 * 1024}};

int size_parse(struct slice text, uint64_t *ret_bytes, struct error *error)
{
    uint64_t number = 0;
    size_t digits = 0;
    for (; digits < text.length && text.ptr[digits] >= '0' && text.ptr[digits] <= '9'; digits++) {
        if (number <= 1000000000000)
            number = number * 10 + (uint64_t)(text.ptr[digits] - '0');
    }
    struct slice unit = slice_make(text.ptr + digits, text.length - digits);
    if (unit.length > 0 && unit.ptr[0] == ' ')
        unit = slice_make(unit.ptr + 1, unit.length - 1);
    for (size_t i = 0; digits > 0 && i < sizeof units / sizeof units[0]; i++) {
        if (!slice_is(unit, units[i].name))
            continue;
        if (number > 1000000000000 / units[i].bytes)
            return error_set(error, ERR_INVALID, "\"%.*s\" is too much", SLICE_PRINT(text));
        *ret_bytes = number * units[i].bytes;
        return 0;
    }
    if (digits > 0 && unit.length == 0)
        return error_set(error, ERR_INVALID, "a size needs a unit: write %.*sMiB, KiB, GiB or B",
            SLICE_PRINT(text));
    return error_set(error, ERR_INVALID,
        "\"%.*s\" is not a size: write it with B, KiB, MiB or GiB, as in 256MiB",
        SLICE_PRINT(text));
}

void size_format(uint64_t bytes, char text[SIZE_TEXT_MAX])
{
    size_t unit = sizeof units / sizeof units[0] - 1;
    while (bytes % units[unit].bytes != 0 || (bytes == 0 && unit > 0))
        unit--;
    (void)snprintf(
        text, SIZE_TEXT_MAX, "%" PRIu64 "%s", bytes / units[unit].bytes, units[unit].name);
}
