/*
 * state_file.h - small files of a few lines that a daemon must find as it wrote them, or not use: a
 * head that says what the file is, the lines, and a last line with their checksum. One that is cut
 * off, changed or foreign is refused by name, with what a person can do about it.
 */
#ifndef COMMON_STATE_FILE_H
#define COMMON_STATE_FILE_H

#include "common/buffer.h"
#include "common/error.h"

#include <stdbool.h>

enum { STATE_FILE_MAX_BYTES = 64 * 1024 };

struct state_file {
    const char *path;
    const char *head; /* "reeve-leader 2" */
    /* How one from before there were checksums begins, which is still taken; a whole line of it is
     * no part of what is read. "": its lines say enough. */
    const char *old_head;
    const char *remedy; /* "remove it and join again" */
};

/* Appends the lines. ERR_NOT_FOUND; ERR_CORRUPT and ERR_TOO_BIG name the file and say the remedy.
 */
int state_file_load(const struct state_file *file, struct buffer *out, struct error *error);
/* What is read is not understood: ERR_CORRUPT, as above. */
int state_file_damaged(const struct state_file *file, struct error *error);
/* Makes a 0600 file of these lines, or replaces one; on disk when this returns 0. */
int state_file_save(const struct state_file *file, struct slice lines, struct error *error);
/* Whether the file is there and holds these lines. */
bool state_file_holds(const struct state_file *file, struct slice lines);

#endif
