/*
 * prefix.h - another program's lines on our stderr, each under its name.
 */
#ifndef CLI_PREFIX_H
#define CLI_PREFIX_H

#include "common/buffer.h"

struct prefix {
    int fd; /* -1: closed */
    const char *name;
    struct buffer held; /* an unfinished line */
};

/* Takes fd, borrows name. */
void prefix_open(struct prefix *prefix, int fd, const char *name);
/* Writes the whole lines that can be read now. */
void prefix_read(struct prefix *prefix);
/* Writes what is left, and closes. */
void prefix_close(struct prefix *prefix);

#endif
