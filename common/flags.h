/*
 * flags.h - the command line of a daemon, read by a table: flags first, then the environment, then
 * what holds when nobody said anything. `--name VALUE` or `--name=VALUE`; `-h` is `--help`.
 */
#ifndef COMMON_FLAGS_H
#define COMMON_FLAGS_H

#include "common/buffer.h"
#include "common/error.h"
#include "common/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FLAGS_MAX = 32 };

/* A value and where it was said: "--data", "$REEVE_DATA", "default". The source is borrowed from
 * the table. */
struct flag_word {
    const char *value;
    const char *source;
};

typedef int (*flag_take_fn)(void *options, struct flag_word word, struct error *error);

struct flag {
    const char *name;     /* "--data" */
    const char *variable; /* "$REEVE_DATA", for when the flag is not given; NULL: none */
    const char *value;    /* what stands for its value in the help, "DIR"; NULL: it takes none */
    const char *help;     /* its lines; NULL: not shown */
    size_t sets;          /* without a value: the offset of its bool in the daemon's options */
    flag_take_fn take;
    char separator; /* between the several values that the variable may have; 0: it has one */
    /* When neither was said; may be NULL. */
    int (*take_default)(void *options, struct error *error);
    bool empty_counts; /* an empty variable is a value too; else it is as none */
};

/*
 * What every daemon has behind its own: --log-level ($REEVE_LOG_LEVEL), --config (of a later
 * version), --print-config, --version, --help. Embedded in its options.
 */
struct flags_common {
    enum log_level log_level;
    const char *log_level_source;
    bool print_config, version, help;
};
#define FLAGS_COMMON_DEFAULT                                                                       \
    {                                                                                              \
        .log_level = LOG_LEVEL_INFO, .log_level_source = "default"                                 \
    }

struct flags {
    const char *program;     /* "reeve-worker" */
    const char *verb;        /* one more word to suggest, or NULL */
    int shown_max;           /* so many bytes of an unknown word are repeated */
    const struct flag *rows; /* end with a NULL name, with the common ones at most FLAGS_MAX */
    size_t common;           /* the offset of the flags_common in the daemon's options */
};

/*
 * Reads `words` (which end with NULL). ERR_USAGE names what is wrong, with did-you-mean; else what
 * a take returned. ret_given is for flags_complete.
 */
int flags_parse(const struct flags *flags, char *const *words, void *options, uint32_t *ret_given,
    struct error *error);
/* Takes variables and defaults for what was not given, in the order of the rows. */
int flags_complete(const struct flags *flags, uint32_t given, void *options, struct error *error);
/* A paragraph of the help, a flag a line. */
void flags_help(const struct flags *flags, struct buffer *out);

/* The `take` of a flag that a later version will know: ERR_UNSUPPORTED. */
int flag_refuse(void *options, struct flag_word word, struct error *error);
/*
 * Replaces *folder by the word as an absolute path; symbolic links stay, since they may be what
 * keeps a socket's path short. ERR_USAGE when it is empty: "--data is empty; it names `what`".
 */
int flag_take_folder(struct flag_word word, const char *what, char **folder, struct error *error);
/* Gives each part of the word to `take`. An empty folder between ':' is none, as in $PATH; an empty
 * name between ',' is a mistake that `take` sees. */
int flag_take_each(
    void *options, struct flag_word word, char separator, flag_take_fn take, struct error *error);
/* A value's error as one of the command line: ERR_USAGE, "SOURCE: its text". */
int flag_wrong(struct flag_word word, struct error *error);
/* A line of --print-config: "data = DIR  (from --data)". */
void flag_print(struct buffer *out, const char *name, struct flag_word word);
/* The lines of what every daemon has. */
void flags_print_common(struct buffer *out, const struct flags_common *common);

#endif
