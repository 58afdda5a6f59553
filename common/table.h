/*
 * table.h - two hash tables: by 64-bit key, and by bytes. Open addressing, power-of-two sizes,
 * values are 64-bit (an index, or a pointer cast). Iteration order is not defined; whoever needs an
 * order keeps one. Not thread-safe. Deterministic: no random seed (keys from outside are bounded in
 * number by their callers).
 */
#ifndef COMMON_TABLE_H
#define COMMON_TABLE_H

#include "common/slice.h"

#include <stdint.h>

struct table_slot;

/* Zero-initialised is empty. */
struct table {
    struct table_slot *slots;
    size_t count;    /* keys that are in */
    size_t used;     /* slots in use, deleted ones too */
    size_t capacity; /* 0 or a power of two */
};

/* Sets key -> value; an older value is replaced. */
void table_set(struct table *table, uint64_t key, uint64_t value);
/* True and *ret_value when the key is in. ret_value may be NULL. */
bool table_get(const struct table *table, uint64_t key, uint64_t *ret_value);
/* True when the key was in. */
bool table_remove(struct table *table, uint64_t key);
void table_fini(struct table *table);

struct names_slot;

/* As table, by bytes: keys are copied in. */
struct names {
    struct names_slot *slots;
    size_t count;
    size_t used;
    size_t capacity;
};

void names_set(struct names *names, struct slice key, uint64_t value);
bool names_get(const struct names *names, struct slice key, uint64_t *ret_value);
bool names_remove(struct names *names, struct slice key);
/* Calls visit for each key, in no order; visit must not change the table. */
void names_each(const struct names *names,
    void (*visit)(void *context, struct slice key, uint64_t value), void *context);
void names_fini(struct names *names);

/* FNV-1a with a final mix; stable between releases. */
uint64_t hash_bytes(struct slice bytes);
/* The finaliser of splitmix64. */
uint64_t hash_mix(uint64_t value);

#endif
