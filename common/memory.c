#include "common/memory.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void memory_exhausted(const char *what)
{
    (void)fprintf(stderr, "out of memory: %s\n", what);
    abort();
}

static void *or_abort(void *memory, size_t size)
{
    if (memory == NULL) {
        (void)fprintf(stderr, "out of memory: %zu bytes could not be had\n", size);
        abort();
    }
    return memory;
}

void *xmalloc(size_t size)
{
    return or_abort(malloc(size > 0 ? size : 1), size);
}

void *xcalloc(size_t count, size_t size)
{
    return or_abort(calloc(count > 0 ? count : 1, size > 0 ? size : 1), size);
}

void *xreallocarray(void *old, size_t count, size_t size)
{
    return or_abort(reallocarray(old, count > 0 ? count : 1, size > 0 ? size : 1), size);
}

char *xstrndup(const char *text, size_t length)
{
    char *copy = xmalloc(length + 1);
    if (length > 0)
        memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *xstrdup(const char *text)
{
    return xstrndup(text, strlen(text));
}

char *xasprintf(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = NULL;
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    return or_abort(length < 0 ? NULL : text, 0);
}

struct slice slice_keep(struct slice bytes)
{
    if (bytes.length == 0)
        return (struct slice){0};
    return slice_make(xstrndup(bytes.ptr, bytes.length), bytes.length);
}

void slice_free(struct slice *bytes)
{
    free((void *)(uintptr_t)bytes->ptr);
    *bytes = (struct slice){0};
}

void vector_reserve_bytes(void **items, size_t count, size_t *capacity, size_t item_size)
{
    if (count < *capacity)
        return;
    size_t wanted = *capacity < 8 ? 8 : *capacity * 2;
    *items = xreallocarray(*items, wanted, item_size);
    *capacity = wanted;
}
