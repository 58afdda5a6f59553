#include "common/table.h"

#include "common/memory.h"

#include <stdlib.h>

enum slot_state { SLOT_EMPTY, SLOT_FULL, SLOT_DELETED };

struct table_slot {
    uint64_t key;
    uint64_t value;
    enum slot_state state;
};

struct names_slot {
    char *key;
    size_t length;
    uint64_t hash;
    uint64_t value;
    enum slot_state state;
};

enum { SMALLEST = 16 };

uint64_t hash_mix(uint64_t value)
{
    value ^= value >> 30;
    value *= 0xbf58476d1ce4e5b9u;
    value ^= value >> 27;
    value *= 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

uint64_t hash_bytes(struct slice bytes)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < bytes.length; i++)
        hash = (hash ^ (unsigned char)bytes.ptr[i]) * 0x100000001b3u;
    return hash_mix(hash);
}

/* The slot of key, or the slot where it would go (the first deleted or empty one on its way). */
static struct table_slot *table_find(const struct table *table, uint64_t key)
{
    size_t mask = table->capacity - 1;
    struct table_slot *free_slot = NULL;
    for (size_t i = hash_mix(key) & mask;; i = (i + 1) & mask) {
        struct table_slot *slot = &table->slots[i];
        if (slot->state == SLOT_FULL && slot->key == key)
            return slot;
        if (slot->state == SLOT_DELETED && free_slot == NULL)
            free_slot = slot;
        if (slot->state == SLOT_EMPTY)
            return free_slot != NULL ? free_slot : slot;
    }
}

/* A table stays under 3/4 full, deleted slots counted; it doubles only when half of it is live. */
static size_t next_capacity(size_t count, size_t capacity)
{
    if (capacity == 0)
        return SMALLEST;
    return count * 2 >= capacity ? capacity * 2 : capacity;
}

static void table_grow(struct table *table)
{
    struct table old = *table;
    table->capacity = next_capacity(old.count, old.capacity);
    table->slots = xcalloc(table->capacity, sizeof *table->slots);
    table->used = old.count;
    for (size_t i = 0; i < old.capacity; i++) {
        if (old.slots[i].state == SLOT_FULL)
            *table_find(table, old.slots[i].key) = old.slots[i];
    }
    free(old.slots);
}

void table_set(struct table *table, uint64_t key, uint64_t value)
{
    if ((table->used + 1) * 4 > table->capacity * 3)
        table_grow(table);
    struct table_slot *slot = table_find(table, key);
    if (slot->state != SLOT_FULL) {
        table->used += slot->state == SLOT_EMPTY;
        table->count++;
    }
    *slot = (struct table_slot){key, value, SLOT_FULL};
}

bool table_get(const struct table *table, uint64_t key, uint64_t *ret_value)
{
    if (table->count == 0)
        return false;
    const struct table_slot *slot = table_find(table, key);
    if (slot->state != SLOT_FULL)
        return false;
    if (ret_value != NULL)
        *ret_value = slot->value;
    return true;
}

bool table_remove(struct table *table, uint64_t key)
{
    if (table->count == 0)
        return false;
    struct table_slot *slot = table_find(table, key);
    if (slot->state != SLOT_FULL)
        return false;
    slot->state = SLOT_DELETED;
    table->count--;
    return true;
}

void table_fini(struct table *table)
{
    free(table->slots);
    *table = (struct table){0};
}

static struct names_slot *names_find(const struct names *names, struct slice key, uint64_t hash)
{
    size_t mask = names->capacity - 1;
    struct names_slot *free_slot = NULL;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct names_slot *slot = &names->slots[i];
        if (slot->state == SLOT_FULL && slot->hash == hash &&
            slice_equal(slice_make(slot->key, slot->length), key))
            return slot;
        if (slot->state == SLOT_DELETED && free_slot == NULL)
            free_slot = slot;
        if (slot->state == SLOT_EMPTY)
            return free_slot != NULL ? free_slot : slot;
    }
}

static void names_grow(struct names *names)
{
    struct names old = *names;
    names->capacity = next_capacity(old.count, old.capacity);
    names->slots = xcalloc(names->capacity, sizeof *names->slots);
    names->used = old.count;
    for (size_t i = 0; i < old.capacity; i++) {
        const struct names_slot *slot = &old.slots[i];
        if (slot->state == SLOT_FULL)
            *names_find(names, slice_make(slot->key, slot->length), slot->hash) = *slot;
    }
    free(old.slots);
}

void names_set(struct names *names, struct slice key, uint64_t value)
{
    if ((names->used + 1) * 4 > names->capacity * 3)
        names_grow(names);
    uint64_t hash = hash_bytes(key);
    struct names_slot *slot = names_find(names, key, hash);
    if (slot->state == SLOT_FULL) {
        slot->value = value;
        return;
    }
    names->used += slot->state == SLOT_EMPTY;
    names->count++;
    *slot = (struct names_slot){xstrndup(key.ptr, key.length), key.length, hash, value, SLOT_FULL};
}

bool names_get(const struct names *names, struct slice key, uint64_t *ret_value)
{
    if (names->count == 0)
        return false;
    const struct names_slot *slot = names_find(names, key, hash_bytes(key));
    if (slot->state != SLOT_FULL)
        return false;
    if (ret_value != NULL)
        *ret_value = slot->value;
    return true;
}

bool names_remove(struct names *names, struct slice key)
{
    if (names->count == 0)
        return false;
    struct names_slot *slot = names_find(names, key, hash_bytes(key));
    if (slot->state != SLOT_FULL)
        return false;
    free(slot->key);
    slot->key = NULL;
    slot->state = SLOT_DELETED;
    names->count--;
    return true;
}

void names_each(const struct names *names,
    void (*visit)(void *context, struct slice key, uint64_t value), void *context)
{
    for (size_t i = 0; i < names->capacity; i++) {
        const struct names_slot *slot = &names->slots[i];
        if (slot->state == SLOT_FULL)
            visit(context, slice_make(slot->key, slot->length), slot->value);
    }
}

void names_fini(struct names *names)
{
    for (size_t i = 0; i < names->capacity; i++) {
        if (names->slots[i].state == SLOT_FULL)
            free(names->slots[i].key);
    }
    free(names->slots);
    *names = (struct names){0};
}
