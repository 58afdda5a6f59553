#include "common/dag/keys.h"

#include "common/dag/model.h"
#include "common/limits.h"

enum { DAG = SCOPE_DAG, TASK = SCOPE_TASK, DEFAULTS = SCOPE_DEFAULTS };

static const struct key table[] = {
#define KEY(name, where, reads)                                                                    \
    {.word = #name, .scopes = (where), .type = KEY_READER, .reader = (reads)},
#define FIELD(name, where, kind, holder, field, least, most)                                       \
    {.word = #name,                                                                                \
        .scopes = (where),                                                                         \
        .type = KEY_##kind,                                                                        \
        .offset = offsetof(struct holder, field),                                                  \
        .low = (least),                                                                            \
        .high = (most)},
#define LATER(name, where) {.word = #name, .scopes = (where), .type = KEY_LATER},
#define FOREIGN(name, where, right)                                                                \
    {.word = #name, .scopes = (where), .type = KEY_FOREIGN, .text = (right)},
#define ADVICE(name, where, advice)                                                                \
    {.word = #name, .scopes = (where), .type = KEY_ADVICE, .text = (advice)},
#include "common/dag/keys.def"
};

enum { ROW_COUNT = sizeof table / sizeof table[0] };
_Static_assert((int)ROW_COUNT < (int)KEYS_MAX, "keys_words has room for all");

static size_t scope_index(enum key_scope scope)
{
    return scope == SCOPE_DAG ? 0 : scope == SCOPE_TASK ? 1 : 2;
}

void keys_init(struct keys *keys)
{
    *keys = (struct keys){0};
    for (size_t i = 0; i < ROW_COUNT; i++) {
        for (unsigned scope = SCOPE_DAG; scope <= SCOPE_DEFAULTS; scope <<= 1) {
            if ((table[i].scopes & scope) != 0)
                names_set(
                    &keys->scopes[scope_index((enum key_scope)scope)], slice_of(table[i].word), i);
        }
    }
}

void keys_fini(struct keys *keys)
{
    for (size_t i = 0; i < 3; i++)
        names_fini(&keys->scopes[i]);
}

const struct key *keys_find(const struct keys *keys, enum key_scope scope, struct slice word)
{
    uint64_t row;
    return names_get(&keys->scopes[scope_index(scope)], word, &row) ? &table[row] : NULL;
}

size_t keys_words(enum key_scope scope, const char *words[KEYS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if ((table[i].scopes & scope) != 0)
            words[count++] = table[i].word;
    }
    words[count] = NULL;
    return count;
}
