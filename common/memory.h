/*
 * memory.h - allocation that cannot fail: out of memory, the process says so on stderr and aborts.
 * A restart is always safe, because nothing was acknowledged that is not on disk.
 */
#ifndef COMMON_MEMORY_H
#define COMMON_MEMORY_H

#include "common/slice.h"

#include <stddef.h>

/* For what a library could not have: "out of memory: WHAT". */
void memory_exhausted(const char *what) __attribute__((noreturn, cold));
void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
/* count x size bytes; the product is checked. */
void *xreallocarray(void *old, size_t count, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *text) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *text, size_t length) __attribute__((malloc, returns_nonnull));
/* printf into a new string. */
char *xasprintf(const char *format, ...)
    __attribute__((malloc, returns_nonnull, format(printf, 1, 2)));

/* A NUL-terminated copy that is owned; of nothing, nothing. slice_free frees it and empties it. */
struct slice slice_keep(struct slice bytes);
void slice_free(struct slice *bytes);

/*
 * Makes room for one more element in a growable array: `items` (a pointer variable), `count`,
 * `capacity`. vector_reserve(&list->items, list->count, &list->capacity);
 *     list->items[list->count++] = item;
 */
#define vector_reserve(items, count, capacity)                                                     \
    vector_reserve_bytes((void **)(items), (count), (capacity), sizeof **(items))
void vector_reserve_bytes(void **items, size_t count, size_t *capacity, size_t item_size);

#endif
