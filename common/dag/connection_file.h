/*
 * connection_file.h - many connections in one text, as `airflow connections export` writes them: a
 * JSON or YAML mapping of names to connections (each a mapping, or a URI or JSON in a text), or
 * lines of NAME=URI. Here because it reads YAML.
 */
#ifndef COMMON_DAG_CONNECTION_FILE_H
#define COMMON_DAG_CONNECTION_FILE_H

#include "common/connection/connection.h"

/* One entry, in the text's order; not 0 ends the reading. Borrowed for the call. */
typedef int (*connection_file_fn)(
    void *context, struct slice name, const struct connection *connection, struct error *error);

/* Errors name the file and the connection, or the line; never what stands there. */
int connection_file_read(struct slice text, const char *file, connection_file_fn visit,
    void *context, struct error *error);

#endif
