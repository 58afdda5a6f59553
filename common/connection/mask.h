/*
 * mask.h - takes secrets out of a stream of bytes: each byte of each occurrence becomes "*", so
 * that every offset stays what it was. Occurrences that lie across pieces of the stream are found:
 * a piece's last bytes are held back while they may begin a secret. Pure.
 *
 * A secret is also found as it stands in a URI (percent-encoded), in JSON (escaped), in base64
 * (alone, and behind "login:" as HTTP sends it), and, where it has several lines, line by line.
 * Secrets of fewer than MASK_LEAST_BYTES are not masked: they would hide half of every log.
 */
#ifndef COMMON_CONNECTION_MASK_H
#define COMMON_CONNECTION_MASK_H

#include "common/connection/connection.h"

enum { MASK_LEAST_BYTES = 4 };

struct mask;

struct mask *mask_create(void);
/* Wipes what it knew. NULL is fine. */
void mask_destroy(struct mask *mask);
/* In all its forms; `login` goes before it in base64, or is empty. */
void mask_add(struct mask *mask, struct slice secret, struct slice login);
void mask_add_connection(struct mask *mask, const struct connection *connection);
/* All that the other one knows. */
void mask_add_all(struct mask *mask, const struct mask *other);
bool mask_is_empty(const struct mask *mask);

/* Where a stream stands. Zero-initialised is its beginning; mask_stream_fini wipes it. */
struct mask_stream {
    struct buffer held; /* the stream's last bytes, which may begin a secret */
    size_t covered;     /* so many of them belong to one that ended before */
};

/* Takes the next bytes and appends what is decided to `out`; at the end of the stream, all. */
void mask_feed(const struct mask *mask, struct mask_stream *stream, struct slice bytes, bool end,
    struct buffer *out);
void mask_stream_fini(struct mask_stream *stream);

/* A text of its own, in place. */
void mask_text(const struct mask *mask, char *text, size_t length);

#endif
