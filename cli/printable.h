/*
 * printable.h - foreign bytes as text that a terminal cannot take for commands. Pure.
 *
 * Control characters become ^X, C1 and directional controls <U+009B>, bytes that are no UTF-8 \xHH.
 * So no escape sequence passes, colours neither: what a task prints is shown, never obeyed.
 */
#ifndef CLI_PRINTABLE_H
#define CLI_PRINTABLE_H

#include "common/buffer.h"

#include <stdint.h>

/* A stream of bytes on its way; zero-initialised is its beginning. */
struct printable {
    char held[4]; /* the beginning of a character whose rest has not come */
    uint8_t held_count;
};

/* Appends what is complete. Newlines and tabs pass; the CR of a CR LF is left out. */
void printable_append(struct printable *printable, struct slice bytes, struct buffer *out);
/* The stream is over: what is held comes as \xHH. */
void printable_end(struct printable *printable, struct buffer *out);

/* A whole text for one line: newlines and tabs are made visible too. */
void printable_line(struct slice text, struct buffer *out);

/* Columns that a line takes on a terminal: 1 a character, 2 for wide ones, 0 for combining marks.
 */
size_t printable_width(struct slice line);
/* The longest beginning of a line that takes at most `columns`. */
struct slice printable_cut(struct slice line, size_t columns);

#endif
