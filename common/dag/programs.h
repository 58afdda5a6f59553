/*
 * programs.h - programs.def as a table: what the reader and the checks know of an operator
 * program's options. Internal to common/dag.
 */
#ifndef COMMON_DAG_PROGRAMS_H
#define COMMON_DAG_PROGRAMS_H

#include "common/slice.h"

enum option_use { USE_VALUE, USE_TEXT, USE_PLAIN };

enum option_type {
    OPTION_TEXT,
    OPTION_FLAG,
    OPTION_COUNT,
    OPTION_PATH,
    OPTION_MAP,
    OPTION_LIST,
    OPTION_TEXTS,
    OPTION_TEXT_MAP,
    OPTION_ANY
};

enum option_flag { OPTION_MAIN = 1, OPTION_ALONE = 2 };

struct program {
    const char *name;
    const char *text;  /* the option that a plain text stands for */
    const char *needs; /* for people */
};

struct program_option {
    const char *program;
    const char *path;
    enum option_use use;
    enum option_type type;
    unsigned flags;
};

/* NULL: it has no key of its own. */
const struct program *program_find(struct slice name);
/* The option of that path, or NULL. */
const struct program_option *program_option_find(const struct program *program, struct slice path);
/* The names of its options (those at the top); ends with NULL. Returns how many. */
enum { PROGRAM_OPTIONS_MAX = 64 };
size_t program_options(const struct program *program, const char *names[PROGRAM_OPTIONS_MAX]);
/* The next one that is MAIN, for walking; NULL begins, and ends. */
const struct program_option *program_next_option(
    const struct program *program, const struct program_option *option);

#endif
