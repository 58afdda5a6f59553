/*
 * failure.h - why the work in the database failed: one line for a person, the lines for the log,
 * and whether another try could help.
 */
#ifndef OPERATORS_POSTGRES_FAILURE_H
#define OPERATORS_POSTGRES_FAILURE_H

#include "common/buffer.h"
#include "common/error.h"

#include <libpq-fe.h>
#include <stdint.h>

enum { SQLSTATE_LENGTH = 5 };

/* Zero-initialised is none. */
struct failure {
    struct error error;                 /* one line: place, what, SQLSTATE */
    char sqlstate[SQLSTATE_LENGTH + 1]; /* "" where PostgreSQL gave none */
    bool retry;                         /* another try could help */
    struct buffer report;               /* lines for the log: statement and caret, detail, hint */
};

void failure_fini(struct failure *failure);

/* Sets code and text; another try cannot help. Returns code. */
int failure_set(struct failure *failure, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* As failure_set, where another try could help. */
int failure_passing(struct failure *failure, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Where in the user's text a statement stands. */
struct place_of {
    void *context;
    /* The byte of the source for a byte of what was sent. */
    size_t (*source)(const void *context, size_t sent);
    struct slice sent, text; /* what was sent, and the whole source */
    const char *name;        /* the source's: "load.sql" */
};

/* From a result that is an error; `place` may be NULL. Returns ERR_REFUSED, or ERR_UNREACHABLE when
 * the connection is lost. */
int failure_of_result(
    struct failure *failure, const PGresult *result, const struct place_of *place);

/* From libpq's message for a connection that failed, at verbosity PQERRORS_VERBOSE. `where` names
 * the host and port. ERR_DENIED for a login that was refused, else ERR_UNREACHABLE. */
int failure_of_connection(struct failure *failure, const char *where, const char *message);

/* Could the same work succeed later, by the class of this SQLSTATE? "" is a lost connection: yes.
 */
bool failure_may_pass(const char *sqlstate);

/* Appends a line and, below it, a caret under its character `column` (from 1); of a long line the
 * part around it. */
void failure_point(struct buffer *out, struct slice line, uint32_t column);

#endif
