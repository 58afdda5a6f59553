/*
 * slice.h - bytes that somebody else owns. Not NUL-terminated unless its source says so.
 */
#ifndef COMMON_SLICE_H
#define COMMON_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
    const char *ptr; /* NULL only when length is 0 */
    size_t length;
};

/* For printf's "%.*s". */
#define SLICE_PRINT(slice) (int)(slice).length, (slice).ptr != NULL ? (slice).ptr : ""

static inline struct slice slice_make(const void *ptr, size_t length)
{
    return (struct slice){(const char *)ptr, length};
}

/* The text of a NUL-terminated string; NULL gives the empty slice. */
static inline struct slice slice_of(const char *text)
{
    return (struct slice){text, text != NULL ? strlen(text) : 0};
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.ptr, b.ptr, a.length) == 0);
}

static inline bool slice_is(struct slice a, const char *text)
{
    return slice_equal(a, slice_of(text));
}

/* Byte order, as memcmp; a prefix comes first. */
static inline int slice_compare(struct slice a, struct slice b)
{
    size_t shorter = a.length < b.length ? a.length : b.length;
    int order = shorter > 0 ? memcmp(a.ptr, b.ptr, shorter) : 0;
    if (order != 0)
        return order;
    return (a.length > b.length) - (a.length < b.length);
}

#endif
