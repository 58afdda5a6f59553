/*
 * buffer.h - bytes that grow at their end.
 */
#ifndef COMMON_BUFFER_H
#define COMMON_BUFFER_H

#include "common/slice.h"

/* Zero-initialised is empty. `data` is owned. */
struct buffer {
    char *data;
    size_t length;
    size_t capacity;
};

void buffer_append(struct buffer *buffer, const void *bytes, size_t length);
void buffer_append_text(struct buffer *buffer, const char *text);
void buffer_append_slice(struct buffer *buffer, struct slice bytes);
void buffer_printf(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Room for `length` more bytes; returns where they go. The caller adds to buffer->length what it
 * wrote. */
char *buffer_reserve(struct buffer *buffer, size_t length) __attribute__((returns_nonnull));
/* Drops `length` bytes from the front (at most all). */
void buffer_consume(struct buffer *buffer, size_t length);
/* The text, NUL-terminated in place; valid until the next change. */
const char *buffer_text(struct buffer *buffer);
void buffer_clear(struct buffer *buffer); /* keeps the memory */
void buffer_fini(struct buffer *buffer);
/* As buffer_fini, of a secret. What a growing buffer left behind is not wiped: reserve first. */
void buffer_wipe(struct buffer *buffer);

static inline struct slice buffer_slice(const struct buffer *buffer)
{
    return slice_make(buffer->data, buffer->length);
}

#endif
