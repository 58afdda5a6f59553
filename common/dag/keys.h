/*
 * keys.h - keys.def as a table: which word may stand where, and what it is. Internal to common/dag.
 */
#ifndef COMMON_DAG_KEYS_H
#define COMMON_DAG_KEYS_H

#include "common/slice.h"
#include "common/table.h"

#include <stdint.h>

enum key_scope { SCOPE_DAG = 1, SCOPE_TASK = 2, SCOPE_DEFAULTS = 4 };

enum key_type {
    KEY_READER, /* has a function of its own: `reader` */
    KEY_TEXT,
    KEY_TEXTS,
    KEY_PATHS,
    KEY_NAME,
    KEY_COUNT,
    KEY_COUNT_OR_NONE,
    KEY_WEIGHT,
    KEY_FLAG,
    KEY_RULE,
    KEY_DURATION,
    KEY_DURATION_OR_NONE,
    KEY_SIZE,
    KEY_SIZE_OR_NONE,
    KEY_CPUS_OR_NONE,
    KEY_CODES,
    KEY_ENV,
    KEY_LABELS,
    KEY_USER,
    KEY_ON_LOST,
    KEY_CONNECTIONS,
    KEY_LATER,
    KEY_FOREIGN,
    KEY_ADVICE,
    KEY_TYPE_COUNT
};

enum key_reader {
    READER_NONE,
    READER_VERSION,
    READER_DAG_NAME,
    READER_SCHEDULE,
    READER_TIMEZONE,
    READER_START_DATE,
    READER_CATCHUP,
    READER_PARAMS,
    READER_DEFAULT_ARGS,
    READER_TASKS,
    READER_NEEDS,
    READER_OPERATOR,
    READER_WITH
};

struct key {
    const char *word;
    unsigned scopes;
    enum key_type type;
    enum key_reader reader;
    size_t offset; /* of the field */
    uint64_t low, high;
    const char *text; /* FOREIGN's right word, ADVICE's text */
};

/* Words by scope; init before use. */
struct keys {
    struct names scopes[3];
};

void keys_init(struct keys *keys);
void keys_fini(struct keys *keys);
/* The key of that word in one scope, or NULL. */
const struct key *keys_find(const struct keys *keys, enum key_scope scope, struct slice word);
/* All words of a scope, foreign ones too; ends with NULL. Returns how many. */
enum { KEYS_MAX = 200 };
size_t keys_words(enum key_scope scope, const char *words[KEYS_MAX]);

#endif
