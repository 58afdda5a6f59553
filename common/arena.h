/*
 * arena.h - memory that is freed all at once: the effects of a batch, a decoded frame. Pointers
 * stay valid until arena_reset or arena_fini. Not thread-safe.
 */
#ifndef COMMON_ARENA_H
#define COMMON_ARENA_H

#include "common/slice.h"

struct arena_block;

/* Zero-initialised is ready to use. */
struct arena {
    struct arena_block *blocks;
    size_t used;  /* bytes used in the newest block */
    size_t total; /* bytes held in all blocks */
};

/* Zeroed, aligned for any type. */
void *arena_alloc(struct arena *arena, size_t size) __attribute__((returns_nonnull));
/* A NUL-terminated copy of the bytes (an inner NUL is kept). */
struct slice arena_copy(struct arena *arena, struct slice bytes);
/* printf into the arena; the slice is NUL-terminated. */
struct slice arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Forgets all, keeps one block for the next round. */
void arena_reset(struct arena *arena);
void arena_fini(struct arena *arena);

#endif
