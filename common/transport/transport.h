/*
 * transport.h - frames between processes, over ZeroMQ. This folder alone knows czmq and zmq;
 * everything else knows peers and frames. Belongs to one thread, and to one loop.
 *
 * A frame is one ZeroMQ message part of at most FRAME_MAX_BYTES; a larger one, or a message of
 * several parts, is dropped. Endpoints are ipc://, where the folder's permissions say who may
 * speak, and tcp://, always with CURVE, where a peer is its key. `transport_peer` is how a
 * connection is known in between: a number that this process gave to one connection's routing id
 * and never gives again. Sends never block and never say whether they arrived: what must arrive is
 * numbered and repeated (proto/channel.h).
 */
#ifndef COMMON_TRANSPORT_TRANSPORT_H
#define COMMON_TRANSPORT_TRANSPORT_H

#include "common/error.h"
#include "common/key_pair.h"
#include "common/loop.h"
#include "common/slice.h"

struct transport;

typedef uint64_t transport_peer; /* 0: the one server of a client socket */

/* Called for each frame that came; the bytes are borrowed for the call. */
typedef void (*transport_frame_fn)(void *context, transport_peer peer, struct slice frame);

/*
 * Prepares czmq for this process (no signal handlers). Call once, while there is one thread, and
 * after the last fork without exec.
 */
void transport_start(void);
/* Ends czmq, after the last transport_destroy. Waits up to 0.2 s for frames that are still on their
 * way. */
void transport_stop(void);

/*
 * Binds (many peers) an endpoint. An ipc path over 107 bytes is ERR_USAGE; a live peer's path is
 * the caller's to exclude (take the data directory's lock first). The socket file gets mode 0600.
 */
int transport_bind(struct loop *loop, const char *endpoint, transport_frame_fn callback,
    void *context, struct transport **ret_transport, struct error *error);
/*
 * Connects to a server, which need not be there yet; reconnects by itself with backoff (0.1 s to 2
 * s). What is sent while there is no server waits for it, up to a bound.
 */
int transport_connect(struct loop *loop, const char *endpoint, transport_frame_fn callback,
    void *context, struct transport **ret_transport, struct error *error);

/* ---- tcp:// ---- */

enum { TRANSPORT_ADDRESS_MAX = 64 };

/*
 * Whether this key may finish a handshake. Called on a thread of its own, for every connection to a
 * socket of transport_bind_curve; `address` is the peer's, as text, for whoever logs a refusal.
 */
typedef bool (*transport_admit_fn)(
    void *context, const unsigned char key[KEY_BYTES], const char *address);

/*
 * Starts the thread that answers handshakes; before the first transport_bind_curve. Without it no
 * CURVE socket is bound: libzmq lets every key in when nobody answers.
 */
int transport_admit_start(transport_admit_fn admit, void *context, struct error *error);
/* Ends the thread; `admit` is not called any more. Handshakes fail from then on: after the last
 * transport_destroy of a socket that needs it, before transport_stop. */
void transport_admit_stop(void);

/* Where a socket of tcp:// is and who it is there. Borrowed for the call that takes it. */
struct transport_place {
    const char *endpoint; /* tcp://HOST:PORT */
    const struct key_pair *keys;
    const unsigned char *server; /* of a client: the key that the server must have */
};

/*
 * As transport_bind, at tcp://HOST:PORT (a name, an address, [IPv6], or * for all interfaces; port
 * 0 takes a free one, see transport_port). Only peers that were admitted are heard; their numbers
 * have the highest bit set, so that they are never those of an ipc socket. ERR_REFUSED: the port is
 * taken; ERR_USAGE: the endpoint is none.
 */
int transport_bind_curve(struct loop *loop, const struct transport_place *place,
    transport_frame_fn callback, void *context, struct transport **ret_transport,
    struct error *error);
uint32_t transport_port(const struct transport *transport);
/*
 * As transport_connect, with our keys, to a server that proves that it has `server`. While the
 * server refuses our key, what is sent is lost. A name that has addresses of both kinds is tried by
 * its IPv6 address.
 */
int transport_connect_curve(struct loop *loop, const struct transport_place *place,
    transport_frame_fn callback, void *context, struct transport **ret_transport,
    struct error *error);

/*
 * Why a client of transport_connect_curve is not connected, in words for a person, the endpoint
 * first; NULL when it is, or before the first try failed. It tries again by itself in any case. The
 * text is valid until the loop goes on; each change of it makes a round of the loop.
 */
const char *transport_trouble(const struct transport *transport);
/* Whether the handshake succeeded, and no end of the connection was noticed since. */
bool transport_is_up(const struct transport *transport);
/* Whether the server refused our key when we tried last. */
bool transport_is_denied(const struct transport *transport);

/* The key of a peer as the handshake proved it, and its address; false for one of an ipc socket, or
 * one that is not known any more. Inside the callback its own peer is always known. */
bool transport_peer_identity(const struct transport *transport, transport_peer peer,
    unsigned char ret_key[KEY_BYTES], char ret_address[TRANSPORT_ADDRESS_MAX]);

/* May be called inside its own callback, which then gets no further frame. */
void transport_destroy(struct transport *transport);

/* Queues a frame (copied). A peer that is unknown or gone, or whose queue is full, loses it
 * silently. */
void transport_send(struct transport *transport, transport_peer peer, struct slice frame);
/* As transport_send without a copy: takes `bytes` (from malloc), frees it when sent. */
void transport_send_owned(
    struct transport *transport, transport_peer peer, char *bytes, size_t length);
/* Stops reading frames (back-pressure) or goes on; sending is not affected. */
void transport_pause(struct transport *transport, bool paused);
/* Connections that a bound socket knows now: those that spoke and were not found gone by a send. */
size_t transport_peer_count(const struct transport *transport);

#endif
