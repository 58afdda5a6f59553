/*
 * connection.h - what a task needs to reach another system: type, host, port, schema, login,
 * password, extra. Read from a URI or from JSON, as Airflow writes both; checked by its type;
 * written as the JSON that operators get (docs/operators.md) and as a URI. Pure. Texts of errors
 * name the part that is wrong and never show a password, nor the text that was read.
 */
#ifndef COMMON_CONNECTION_CONNECTION_H
#define COMMON_CONNECTION_CONNECTION_H

#include "common/arena.h"
#include "common/buffer.h"
#include "common/error.h"

#include <jansson.h>
#include <stdint.h>

enum {
    /* Of a connection as JSON: a task's line to its operator must hold all of its connections. */
    CONNECTION_MAX_BYTES = 16 * 1024,
    /* Of one task. */
    CONNECTIONS_MAX = 8,
    CONNECTION_TYPE_MAX_BYTES = 64,
};

enum connection_kind {
    CONNECTION_GENERIC = 0, /* any other word: nothing is known of it */
    CONNECTION_POSTGRES,
    CONNECTION_SPARK,
    CONNECTION_HTTP,
    CONNECTION_KIND_COUNT
};

/* Texts are NUL-terminated, lie in the arena it was read into, and are empty where not set. */
struct connection {
    struct slice type; /* lower case, "_" for "-"; postgresql is postgres */
    struct slice host, schema, login, password;
    uint32_t port;      /* 0: not set */
    struct slice extra; /* a JSON object, compact, or empty */
};

/* A name as the DAG file has it: letters, digits, "_", "-", ".". */
int connection_check_name(struct slice name, struct error *error);
/* A name in the environment is upper case, with "_" for what a shell does not take: MY_DB is found
 * for my_db, my-db and my.db. */
struct slice connection_variable(struct slice name, struct arena *arena);

enum connection_kind connection_kind(struct slice type);
/* What a connection of this kind listens on where its port is not set; 0: not known. */
uint32_t connection_default_port(const struct connection *connection);

/* A URI, or JSON where it begins with "{". Checked. */
int connection_parse(
    struct slice text, struct arena *arena, struct connection *ret_connection, struct error *error);
/* type://login:password@host:port/schema?key=value, percent-encoded; ?__extra__=JSON. Not checked
 * by type. */
int connection_parse_uri(
    struct slice text, struct arena *arena, struct connection *ret_connection, struct error *error);
/* {"conn_type": …, "host": …}; `type` stands for conn_type, too. Borrows nothing of it. */
int connection_from_json(const json_t *object, struct arena *arena,
    struct connection *ret_connection, struct error *error);
/* What its type wants; part of connection_parse. */
int connection_check(const struct connection *connection, struct error *error);

/* {"id","type","host",…}: what is not set is not there. */
void connection_write_json(
    const struct connection *connection, struct slice name, struct buffer *out);
/* As connection_parse_uri reads it. */
void connection_write_uri(const struct connection *connection, struct buffer *out);
/* All but letters, digits and "_.-~" as %XX. */
void connection_write_encoded(struct slice text, struct buffer *out);

/* The object of its extra, owned; NULL: it has none, or holds what no such object may. */
json_t *connection_extra(const struct connection *connection);
/* Each secret in it: the password, and what stands in extra under a key that tells of one. */
void connection_each_secret(const struct connection *connection,
    void (*visit)(void *context, struct slice secret), void *context);

#endif
