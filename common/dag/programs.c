#include "common/dag/programs.h"

#include <stdint.h>

static const struct program programs[] = {
#define PROGRAM(name, text, needs) {#name, text, needs},
#include "common/dag/programs.def"
};

enum { MAIN = OPTION_MAIN, ALONE = OPTION_ALONE };

static const struct program_option options[] = {
#define OPTION(program, path, use, type, flags)                                                    \
    {#program, #path, USE_##use, OPTION_##type, (flags)},
#include "common/dag/programs.def"
};

enum {
    PROGRAM_COUNT = sizeof programs / sizeof programs[0],
    OPTION_ROWS = sizeof options / sizeof options[0]
};
_Static_assert((int)OPTION_ROWS < 3 * (int)PROGRAM_OPTIONS_MAX, "a program has room for its own");

const struct program *program_find(struct slice name)
{
    for (size_t i = 0; i < PROGRAM_COUNT; i++) {
        if (slice_is(name, programs[i].name))
            return &programs[i];
    }
    return NULL;
}

const struct program_option *program_next_option(
    const struct program *program, const struct program_option *option)
{
    for (size_t i = option == NULL ? 0 : (size_t)(option - options) + 1; i < OPTION_ROWS; i++) {
        if (strcmp(options[i].program, program->name) == 0)
            return &options[i];
    }
    return NULL;
}

const struct program_option *program_option_find(const struct program *program, struct slice path)
{
    const struct program_option *option = NULL;
    while ((option = program_next_option(program, option)) != NULL) {
        if (slice_is(path, option->path))
            return option;
    }
    return NULL;
}

size_t program_options(const struct program *program, const char *names[PROGRAM_OPTIONS_MAX])
{
    size_t count = 0;
    const struct program_option *option = NULL;
    while ((option = program_next_option(program, option)) != NULL &&
           count < PROGRAM_OPTIONS_MAX - 1) {
        if (strchr(option->path, '.') == NULL)
            names[count++] = option->path;
    }
    names[count] = NULL;
    return count;
}
