/*
 * answer.h - what the system says of itself that a connection reached: a Spark master by its page
 * and its REST server, a web server by one request.
 */
#ifndef OPERATORS_PROBE_ANSWER_H
#define OPERATORS_PROBE_ANSWER_H

#include "common/connection/connection.h"

/*
 * Appends it. A standalone master that shows neither is no failure: client mode needs none of them.
 * Blocks for some seconds.
 */
void answer_of_spark(const struct connection *connection, const char *host, struct buffer *reached);
/* ERR_UNREACHABLE: it speaks no HTTP, or its certificate is not good; ERR_REFUSED: the login is
 * refused, or the server fails. */
int answer_of_http(
    const struct connection *connection, struct buffer *reached, struct error *error);

/* The version in the page of a Spark master, as "4.1.0"; false when it shows none. Pure. */
bool answer_version(struct slice page, char *ret_version, size_t size);

#endif
