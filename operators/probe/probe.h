/*
 * probe.h - whether something listens where a connection points, and for PostgreSQL whether it is
 * one. Says nothing of the login: that is the operator's own to try.
 */
#ifndef OPERATORS_PROBE_PROBE_H
#define OPERATORS_PROBE_PROBE_H

#include "common/connection/connection.h"

enum { PROBE_HOST_BYTES = 256 };

/* One line: what was reached; and the host alone, "" when there is no address to reach.
 * ERR_NOT_FOUND, ERR_UNREACHABLE, ERR_TIMEOUT, ERR_USAGE: nothing to reach is named. Blocks, for
 * each address at most timeout_ms. */
int probe_connection(const struct connection *connection, int timeout_ms,
    struct buffer *ret_reached, char ret_host[PROBE_HOST_BYTES], struct error *error);

#endif
