/*
 * proto_random.h - random messages of any shape, and deep equality. Shared by the tests of proto
 * and its bench.
 */
#ifndef TESTS_PROTO_RANDOM_H
#define TESTS_PROTO_RANDOM_H

#include "proto/proto.h"

struct random_source {
    uint64_t state;
    uint32_t items_max; /* of a list */
    struct arena *arena;
};

static inline uint64_t random_next(struct random_source *random)
{
    uint64_t mixed = random->state += 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return mixed ^ mixed >> 31;
}

/* Numbers of every size, so that each width of msgpack is met. */
static inline uint64_t random_number(struct random_source *random)
{
    uint64_t bits = random_next(random) % 65;
    return bits == 0 ? 0 : random_next(random) >> (64 - bits);
}

static inline struct slice random_bytes(struct random_source *random)
{
    size_t length = random_next(random) % 40;
    if (random_next(random) % 32 == 0)
        length = random_next(random) % 70000;
    char *bytes = arena_alloc(random->arena, length);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (char)random_next(random);
    return slice_make(bytes, length);
}

void random_record(struct random_source *random, const struct record_shape *shape, char *record);
/* Whether two records say the same. */
bool record_equal(const struct record_shape *shape, const char *a, const char *b);
/* Whether all fields from `first` on are zero or empty. */
bool record_is_zero_from(const struct record_shape *shape, const char *record, uint32_t first);

#endif
