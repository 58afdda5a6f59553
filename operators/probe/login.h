/*
 * login.h - whether a connection's login is good for PostgreSQL: reeve-op-postgres itself tries, as
 * it would for a task, with the secret on its descriptor 3 and nowhere else.
 */
#ifndef OPERATORS_PROBE_LOGIN_H
#define OPERATORS_PROBE_LOGIN_H

#include "common/buffer.h"
#include "operators/common/operator.h"

/*
 * Appends what it reached: version, user, database, TLS; or that nobody could try, when that
 * program is not beside this one. Else its error, and in *ret_retry whether another try could help.
 * Blocks until the program has ended; its output is this one's.
 */
int login_try(const struct operator_link *link, const json_t *connection, struct buffer *reached,
    bool *ret_retry, struct error *error);

#endif
