/*
 * arguments.h - a command line, read by a table of options. Pure. Options may stand before, between
 * and after the arguments; `--` ends them. `--name VALUE`, `--name=VALUE`, `-n VALUE`, `-nVALUE`,
 * and flags together: `-ft`.
 */
#ifndef CLI_ARGUMENTS_H
#define CLI_ARGUMENTS_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_kind {
    OPTION_FLAG,
    OPTION_TEXT,        /* the last one given counts */
    OPTION_TEXTS,       /* may be given again and again */
    OPTION_NUMBER,      /* 1..1,000,000,000 */
    OPTION_DURATION,    /* as duration.h has it; at least 1 ms */
    OPTION_UNSUPPORTED, /* known, and refused in this version */
};

struct option_row {
    const char *name;
    char letter; /* or 0 */
    enum option_kind kind;
    const char *value; /* what stands for its value in the help, "DIR"; NULL: it takes none */
    const char *help;
};

struct option_value {
    bool given;
    const char *text;   /* as typed */
    const char **texts; /* OPTION_TEXTS: all, in order */
    size_t count, capacity;
    uint64_t number; /* NUMBER; DURATION in milliseconds */
};

enum { OPTIONS_MAX = 24 };

/* The texts are borrowed from argv, the lists are owned. */
struct arguments {
    const struct option_row *rows;
    struct option_value values[OPTIONS_MAX];
    const char **items; /* what is no option, in order */
    size_t count, capacity;
    bool help; /* --help or -h was given: nothing else counts */
};

/*
 * Reads argv[0..count) by `rows` (which end with a NULL name, at most OPTIONS_MAX). ERR_USAGE names
 * what is wrong, with did-you-mean; ERR_REFUSED for an option that this version does not support.
 * Call arguments_fini after errors too.
 */
int arguments_parse(struct arguments *arguments, const struct option_row *rows, int count,
    char *const *argv, struct error *error);
void arguments_fini(struct arguments *arguments);

/* The value of an option that is in the rows, given or not. */
const struct option_value *arguments_option(const struct arguments *arguments, const char *name);
/* Its text, or NULL when it was not given. */
const char *arguments_text(const struct arguments *arguments, const char *name);
bool arguments_flag(const struct arguments *arguments, const char *name);
/* The argument at `index`, or NULL. */
const char *arguments_item(const struct arguments *arguments, size_t index);

#endif
