/*
 * internal.h - what the files of the transport share: transport.c (a socket in a loop), peers.c
 * (who is connected), curve.c (tcp://), door.c (its listeners), admit.c (whose key is let in),
 * trouble.c (why a client is not connected). Nobody else includes it.
 */
#ifndef COMMON_TRANSPORT_INTERNAL_H
#define COMMON_TRANSPORT_INTERNAL_H

#include "common/endpoint.h"
#include "common/hex.h"
#include "common/table.h"
#include "common/transport/transport.h"

#include <czmq.h>

struct trouble;
struct door;

/* A connection of a bound socket, in a list from the longest idle to the last heard. */
struct peer {
    struct peer *idler, *livelier;
    transport_peer number;
    char user_id[HEX_TEXT_SIZE(KEY_BYTES)]; /* the key that the handshake proved; empty on ipc */
    char address[TRANSPORT_ADDRESS_MAX];
    size_t length;
    char routing_id[];
};

struct transport {
    struct loop *loop;
    zsock_t *socket;
    void *handle; /* the same, as zmq knows it */
    int fd;
    bool bound;
    bool curve;
    transport_frame_fn callback;
    void *context;
    struct loop_source source;
    bool readable; /* frames wait */
    bool unsure;   /* something was sent since ZMQ_EVENTS was asked */
    bool paused;
    bool delivering;
    bool doomed;          /* destroyed inside its own callback */
    struct names numbers; /* routing id -> number */
    struct table peers;   /* number -> struct peer */
    struct peer *idlest, *liveliest;
    transport_peer last_number;
    uint16_t port;           /* of a bound tcp socket */
    struct door *door;       /* the same's listeners */
    struct trouble *trouble; /* of a client's tcp socket */
};

/* ---- transport.c ---- */

/* A socket of this type in the loop, not yet bound or connected. */
int transport_open(struct loop *loop, int type, transport_frame_fn callback, void *context,
    struct transport **ret_transport, struct error *error);

/* ---- peers.c ---- */

struct peer *transport_peer_find(const struct transport *transport, transport_peer number);
/* The number of the connection that sent this frame; 0: a frame that must not be heard. */
transport_peer transport_peer_heard(struct transport *transport, zmq_msg_t *id, zmq_msg_t *frame);
void transport_peer_drop(struct transport *transport, struct peer *peer);
void transport_peers_fini(struct transport *transport);

/* ---- admit.c ---- */

/* The ZAP domain of our sockets: without one libzmq would not ask. */
#define TRANSPORT_ZAP_DOMAIN "reeve"
bool transport_admits(void);
/* A peer's address as people know it: without the mark of an IPv4 address on an IPv6 socket. */
const char *transport_plain_address(const char *address);

/* ---- curve.c ---- */

enum {
    TRANSPORT_CONNECT_TIMEOUT_MS = 5000, /* an address that swallows packets: the next try comes */
    TRANSPORT_HANDSHAKE_MS = 5000 /* a connection that does not finish its handshake is cut */
};

/* ---- door.c ---- */

/* Binds, and sets transport->door, also when it fails, and transport->port. */
int door_create(struct transport *transport, const struct endpoint *endpoint, struct error *error);
void door_destroy(struct door *door);

/* ---- trouble.c ---- */

/* Before zmq_connect; the endpoint is what that gets. Sets transport->trouble, also when it fails.
 */
int trouble_create(struct transport *transport, const char *endpoint, struct error *error);
void trouble_destroy(struct trouble *trouble);

#endif
