/*
 * stop_port.h - where `reeve-worker stop` tells the agent its wish: private/agent.sock, a socket of
 * packets of text. A wish is "1 now" or "1 drain MILLISECONDS" (0: no bound), the first number
 * being the version; the answers are lines for people, and "stopped" when the agent ends as it was
 * asked. The wish outlives the connection, not the agent: whoever wishes it says it again to the
 * next.
 */
#ifndef WORKER_IO_STOP_PORT_H
#define WORKER_IO_STOP_PORT_H

#include "common/loop.h"

enum { STOP_TEXT_MAX = 512 };

struct stop_wish {
    bool now;
    uint64_t within_ms; /* 0: no bound */
};

struct stop_port;

typedef void (*stop_wish_fn)(void *context, const struct stop_wish *wish);

/* Makes the socket anew; the folder's lock is held. */
int stop_port_open(struct loop *loop, const char *path, stop_wish_fn wished, void *context,
    struct stop_port **ret_port, struct error *error);
/* Removes the socket. */
void stop_port_close(struct stop_port *port);
/* To all who asked; at most STOP_TEXT_MAX - 1 bytes. */
void stop_port_tell(struct stop_port *port, const char *text);

/* ---- the other end ---- */

#define STOP_SAID "stopped"
/* Tells the wish; *ret_fd is the connection, to be read with stop_port_read. ERR_UNREACHABLE: no
 * agent listens. */
int stop_port_wish(
    const char *path, const struct stop_wish *wish, int *ret_fd, struct error *error);
/* The next answer; false at the end. */
bool stop_port_read(int fd, char ret_text[STOP_TEXT_MAX]);

#endif
