#include "operators/postgres/session.h"

#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { CANCEL_AGAIN_MS = 500 };

int session_init(struct session *session, struct error *error)
{
    sigset_t stop;
    *session = (struct session){.signals = -1};
    (void)sigemptyset(&stop);
    (void)sigaddset(&stop, SIGTERM);
    (void)sigaddset(&stop, SIGINT);
    if (sigprocmask(SIG_BLOCK, &stop, NULL) != 0)
        return error_set_errno(error, ERR_IO, errno, "sigprocmask");
    (void)signal(SIGPIPE, SIG_IGN);
    session->signals = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
    if (session->signals < 0)
        return error_set_errno(error, ERR_IO, errno, "signalfd");
    return 0;
}

void session_fini(struct session *session)
{
    PQfinish(session->conn);
    session->conn = NULL;
    if (session->signals >= 0)
        (void)close(session->signals);
    session->signals = -1;
}

static int stopped(struct session *session, struct failure *failure)
{
    session->stopped = true;
    return failure_passing(failure, ERR_AGAIN, "stopped by a signal");
}

int session_wait_until(struct session *session, struct pollfd fd, int ms, struct failure *failure)
{
    if (session->stopped && !session->deaf)
        return stopped(session, failure);
    bool listen = !session->stopped;
    struct pollfd fds[2] = {fd, {.fd = listen ? session->signals : -1, .events = POLLIN}};
    if (poll(fds, 2, ms) < 0 && errno != EINTR)
        return failure_passing(failure, ERR_IO, "poll: %s", strerror(errno));
    if (fds[1].revents == 0)
        return 0;
    session->stopped = true;
    return session->deaf ? 0 : stopped(session, failure);
}

int session_lost(struct session *session, struct failure *failure)
{
    const char *message = PQerrorMessage(session->conn);
    return failure_passing(failure, ERR_UNREACHABLE, "the connection to the server was lost: %.*s",
        (int)strcspn(message, "\n"), message);
}

int session_wait(struct session *session, short events, struct failure *failure)
{
    struct pollfd fd = {.fd = PQsocket(session->conn), .events = events};
    /* libpq has closed it: nothing would ever come. */
    if (fd.fd < 0)
        return session_lost(session, failure);
    return session_wait_until(session, fd, -1, failure);
}

int session_pause(struct session *session, int ms, struct failure *failure)
{
    return session_wait_until(session, (struct pollfd){.fd = -1}, ms, failure);
}

int session_flush(struct session *session, struct failure *failure)
{
    for (;;) {
        int left = PQflush(session->conn);
        if (left < 0)
            return session_lost(session, failure);
        if (left == 0)
            return 0;
        int rc = session_wait(session, POLLIN | POLLOUT, failure);
        if (rc != 0)
            return rc;
        /* What the server says meanwhile must be taken, or both sides wait. */
        (void)PQconsumeInput(session->conn);
    }
}

int session_send(struct session *session, const char *text, struct failure *failure)
{
    if (PQsendQuery(session->conn, text) != 1)
        return session_lost(session, failure);
    return session_flush(session, failure);
}

int session_result(struct session *session, const struct place_of *place, PGresult **ret_result,
    struct failure *failure)
{
    while (PQisBusy(session->conn)) {
        int rc = session_wait(session, POLLIN, failure);
        if (rc != 0)
            return rc;
        /* When the connection is lost, PQgetResult says so. */
        if (PQconsumeInput(session->conn) != 1)
            break;
    }
    PGresult *result = PQgetResult(session->conn);
    ExecStatusType status = PQresultStatus(result);
    if (result != NULL && (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE)) {
        int rc = failure_of_result(failure, result, place);
        PQclear(result);
        return rc;
    }
    *ret_result = result;
    return 0;
}

int session_run(
    struct session *session, const char *text, PGresult **ret_last, struct failure *failure)
{
    PGresult *last = NULL;
    int rc = session_send(session, text, failure);
    while (rc == 0) {
        PGresult *result = NULL;
        rc = session_result(session, NULL, &result, failure);
        if (rc != 0 || result == NULL)
            break;
        PQclear(last);
        last = result;
    }
    if (rc == 0 && ret_last != NULL)
        *ret_last = last;
    else
        PQclear(last);
    return rc;
}

/* Reads away what still comes until the server closes; false when the time is over. */
static bool drain(int fd, PGcancel *cancel, int ms)
{
    char bytes[65536];
    char error[256];
    uint64_t end = clock_boot_ms() + (uint64_t)ms;
    for (;;) {
        uint64_t now = clock_boot_ms();
        if (now >= end)
            return false;
        int wait = end - now < CANCEL_AGAIN_MS ? (int)(end - now) : CANCEL_AGAIN_MS;
        struct pollfd server = {.fd = fd, .events = POLLIN};
        int ready = poll(&server, 1, wait);
        if (ready == 0 && cancel != NULL)
            (void)PQcancel(cancel, error, sizeof error);
        if (ready <= 0)
            continue;
        ssize_t got = read(fd, bytes, sizeof bytes);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            return true;
    }
}

/*
 * A backend keeps its socket until its process ends, so that the end of the stream says that it is
 * gone. A cancel can come too early, between two statements: it is repeated.
 */
bool session_end(struct session *session, int ms)
{
    if (session->conn == NULL || PQstatus(session->conn) != CONNECTION_OK) {
        PQfinish(session->conn);
        session->conn = NULL;
        return true;
    }
    char error[256];
    int fd = fcntl(PQsocket(session->conn), F_DUPFD_CLOEXEC, 0);
    bool active = PQtransactionStatus(session->conn) == PQTRANS_ACTIVE;
    PGcancel *cancel = active ? PQgetCancel(session->conn) : NULL;
    if (cancel != NULL)
        (void)PQcancel(cancel, error, sizeof error);
    PQfinish(session->conn);
    session->conn = NULL;
    bool gone = fd >= 0 && drain(fd, cancel, ms);
    PQfreeCancel(cancel);
    if (fd >= 0)
        (void)close(fd);
    return gone;
}
