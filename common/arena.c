#include "common/arena.h"

#include "common/memory.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum { BLOCK_SIZE = 64 * 1024 };

struct arena_block {
    struct arena_block *next;
    size_t size;
    _Alignas(max_align_t) char bytes[];
};

static size_t round_up(size_t size)
{
    const size_t align = _Alignof(max_align_t);
    return (size + align - 1) / align * align;
}

static void add_block(struct arena *arena, size_t wanted)
{
    size_t size = wanted > BLOCK_SIZE ? wanted : BLOCK_SIZE;
    struct arena_block *block = xmalloc(sizeof *block + size);
    block->next = arena->blocks;
    block->size = size;
    arena->blocks = block;
    arena->used = 0;
    arena->total += size;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size = round_up(size > 0 ? size : 1);
    if (arena->blocks == NULL || arena->blocks->size - arena->used < size)
        add_block(arena, size);
    void *memory = arena->blocks->bytes + arena->used;
    arena->used += size;
    return memset(memory, 0, size);
}

struct slice arena_copy(struct arena *arena, struct slice bytes)
{
    char *copy = arena_alloc(arena, bytes.length + 1);
    if (bytes.length > 0)
        memcpy(copy, bytes.ptr, bytes.length);
    return (struct slice){copy, bytes.length};
}

struct slice arena_printf(struct arena *arena, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    size_t size = length > 0 ? (size_t)length : 0;
    char *text = arena_alloc(arena, size + 1);
    (void)vsnprintf(text, size + 1, format, again);
    va_end(again);
    return (struct slice){text, size};
}

void arena_reset(struct arena *arena)
{
    if (arena->blocks == NULL)
        return;
    while (arena->blocks->next != NULL) {
        struct arena_block *next = arena->blocks->next;
        arena->total -= arena->blocks->size;
        free(arena->blocks);
        arena->blocks = next;
    }
    arena->used = 0;
}

void arena_fini(struct arena *arena)
{
    arena_reset(arena);
    free(arena->blocks);
    *arena = (struct arena){0};
}
