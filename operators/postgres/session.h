/*
 * session.h - one connection to PostgreSQL that carries the attempt's tag as application_name, and
 * the waiting on it: every wait also hears SIGTERM. One thread.
 */
#ifndef OPERATORS_POSTGRES_SESSION_H
#define OPERATORS_POSTGRES_SESSION_H

#include "operators/postgres/failure.h"

#include <jansson.h>
#include <poll.h>

struct session {
    PGconn *conn; /* NULL when there is none */
    int signals;  /* a signalfd for SIGTERM and SIGINT */
    bool stopped; /* one came */
    bool deaf;    /* a COMMIT is under way: a signal is noted, and its answer awaited */
};

/* Blocks SIGTERM and SIGINT and listens for them from here on. */
int session_init(struct session *session, struct error *error);
void session_fini(struct session *session);

/*
 * Connects to the first host of the connection that answers and has the wanted
 * target_session_attrs, with application_name = tag; each host has its connect_timeout (10 s). The
 * environment's PG… does not count. ERR_INVALID for a key of the connection that is none of
 * libpq's.
 */
int session_connect(
    struct session *session, const json_t *connection, const char *tag, struct failure *failure);

/* Sends one statement without parameters, or several, by the simple protocol. */
int session_send(struct session *session, const char *text, struct failure *failure);
/* Pushes out what was queued. */
int session_flush(struct session *session, struct failure *failure);
/*
 * The next result: it is NULL when the command is over. ERR_AGAIN when a signal came first,
 * ERR_REFUSED or ERR_UNREACHABLE for an error, which `place` (or NULL) finds in the text.
 */
int session_result(struct session *session, const struct place_of *place, PGresult **ret_result,
    struct failure *failure);
/* session_send and all results; *ret_last (may be NULL) is the last one, to be cleared. */
int session_run(
    struct session *session, const char *text, PGresult **ret_last, struct failure *failure);

/* What libpq says of a connection that does not work any more; ERR_UNREACHABLE. */
int session_lost(struct session *session, struct failure *failure);
/* Waits for `events` (poll's) on the connection; ERR_AGAIN when a signal came. */
int session_wait(struct session *session, short events, struct failure *failure);
/* As session_wait, at most `ms`, for what poll is told; 0 also when the time is over. fd -1: time.
 */
int session_wait_until(struct session *session, struct pollfd fd, int ms, struct failure *failure);
/* Lets some time pass; ERR_AGAIN when a signal came. */
int session_pause(struct session *session, int ms, struct failure *failure);

/* Ends what runs, closes, and waits at most `ms` until the server has closed its side too, which is
 * when the backend is gone. True when it is. */
bool session_end(struct session *session, int ms);

#endif
