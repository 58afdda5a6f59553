/*
 * connection_input.h - what `reeve connections` is given: a connection, or many, from stdin, a
 * prompt or a file; never from the command line, which every user of the host can read.
 */
#ifndef CLI_CONNECTION_INPUT_H
#define CLI_CONNECTION_INPUT_H

#include "cli/arguments.h"
#include "common/connection/connection.h"

/* The document of `connections set NAME`, as set_connection takes it; wipe it. */
int connection_input_read(
    const struct arguments *arguments, struct buffer *ret_document, struct error *error);
/* The text of a file, or of stdin for "-"; wipe it. */
int connection_input_file(const char *path, struct buffer *ret_text, struct error *error);

#endif
