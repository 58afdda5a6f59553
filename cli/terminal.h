/*
 * terminal.h - what stands behind stdout and stderr, and how a program speaks there.
 */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include "common/error.h"
#include "common/slice.h"

#include <stdbool.h>
#include <stdio.h>

/* A terminal that can move its cursor: a TTY whose TERM is neither unset nor "dumb". */
bool terminal_is_live(FILE *stream);
/* Whether the stream is any TTY: control characters must not reach it. */
bool terminal_is_tty(FILE *stream);
/* Colours: a live terminal, and NO_COLOR unset or empty. */
bool terminal_has_colour(FILE *stream);
/* Its size now; 80 x 24 when it does not say. */
void terminal_size(FILE *stream, size_t *ret_columns, size_t *ret_rows);

/* The escape sequence of a state's colour, or "" for a word that has none. */
const char *terminal_state_colour(struct slice state);
#define TERMINAL_PLAIN "\033[0m"

/* "reeve: TEXT" on stderr, one line, control characters made visible. */
void terminal_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* As terminal_say with each line of the error's text; returns the exit status that stands for its
 * code. */
int terminal_fail(const struct error *error);

#endif
