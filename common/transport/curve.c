#include "common/limits.h"
#include "common/transport/internal.h"

/*
 * What a stranger can hold of us. A connection that says nothing, or shakes hands slowly, is cut
 * after TRANSPORT_HANDSHAKE_MS (it costs 4 kB, after its greeting 14 kB); one that announces more
 * than FRAME_MAX_BYTES at once; one that speaks without CURVE, at its greeting. What cannot be
 * bounded more closely: libzmq reads a part of the handshake of any size up to the greatest frame's
 * before it looks at it, so each unfinished handshake may hold 8 MiB, as far as they were really
 * sent. How many there are is the door's to bound. An admitted peer can have RECEIVE_QUEUE_FRAMES
 * of the greatest frames wait while its transport is paused.
 */
enum {
    /* A peer that vanished without a word is found after at most the sum of these. */
    HEARTBEAT_INTERVAL = 4000,
    HEARTBEAT_TIMEOUT = 8000,
    /* The kernel's way, for a connection that ZeroMQ gave up but could not close. */
    KEEPALIVE_IDLE_S = 30,
    KEEPALIVE_INTERVAL_S = 10,
    KEEPALIVE_COUNT = 3,
    /* What CURVE adds to a frame, generously: its command name, nonce, flags and authenticator are
       33 bytes. */
    CURVE_FRAME_EXTRA = 64,
};

static void set_int(struct transport *transport, int option, int value)
{
    int rc = zmq_setsockopt(transport->handle, option, &value, sizeof value);
    assert(rc == 0);
    (void)rc;
}

static void set_bytes(struct transport *transport, int option, const void *bytes, size_t length)
{
    int rc = zmq_setsockopt(transport->handle, option, bytes, length);
    assert(rc == 0);
    (void)rc;
}

/* Before bind and connect, as all options. */
static void set_tcp_options(struct transport *transport)
{
    int64_t frame_max = FRAME_MAX_BYTES + CURVE_FRAME_EXTRA;
    transport->curve = true;
    set_bytes(transport, ZMQ_MAXMSGSIZE, &frame_max, sizeof frame_max);
    set_int(transport, ZMQ_IPV6, 1);
    set_int(transport, ZMQ_HANDSHAKE_IVL, TRANSPORT_HANDSHAKE_MS);
    set_int(transport, ZMQ_HEARTBEAT_IVL, HEARTBEAT_INTERVAL);
    set_int(transport, ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT);
    set_int(transport, ZMQ_TCP_KEEPALIVE, 1);
    set_int(transport, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S);
    set_int(transport, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_INTERVAL_S);
    set_int(transport, ZMQ_TCP_KEEPALIVE_CNT, KEEPALIVE_COUNT);
}

int transport_bind_curve(struct loop *loop, const struct transport_place *place,
    transport_frame_fn callback, void *context, struct transport **ret_transport,
    struct error *error)
{
    struct endpoint at;
    struct transport *transport;
    int rc = endpoint_parse(place->endpoint, &at, error);
    if (rc == 0 && !transport_admits())
        rc =
            error_set(error, ERR_DENIED, "%s: nobody decides whose key is let in", place->endpoint);
    if (rc == 0)
        rc = transport_open(loop, ZMQ_ROUTER, callback, context, &transport, error);
    if (rc != 0)
        return rc;
    set_tcp_options(transport);
    set_int(transport, ZMQ_CURVE_SERVER, 1);
    set_bytes(transport, ZMQ_CURVE_SECRETKEY, place->keys->secret_key, KEY_BYTES);
    set_bytes(transport, ZMQ_ZAP_DOMAIN, TRANSPORT_ZAP_DOMAIN, strlen(TRANSPORT_ZAP_DOMAIN));
    transport->last_number = UINT64_C(1) << 63;
    rc = door_create(transport, &at, error);
    if (rc != 0) {
        transport_destroy(transport);
        return rc;
    }
    *ret_transport = transport;
    return 0;
}

uint32_t transport_port(const struct transport *transport)
{
    return transport->port;
}

int transport_connect_curve(struct loop *loop, const struct transport_place *place,
    transport_frame_fn callback, void *context, struct transport **ret_transport,
    struct error *error)
{
    struct endpoint to;
    struct transport *transport;
    char text[ENDPOINT_TEXT_MAX];
    int rc = endpoint_parse(place->endpoint, &to, error);
    if (rc == 0 && !endpoint_is_definite(&to))
        rc = error_set(error, ERR_USAGE, "%s: nobody can connect there", place->endpoint);
    if (rc == 0)
        rc = transport_open(loop, ZMQ_DEALER, callback, context, &transport, error);
    if (rc != 0)
        return rc;
    set_tcp_options(transport);
    set_int(transport, ZMQ_CONNECT_TIMEOUT, TRANSPORT_CONNECT_TIMEOUT_MS);
    set_bytes(transport, ZMQ_CURVE_SERVERKEY, place->server, KEY_BYTES);
    set_bytes(transport, ZMQ_CURVE_PUBLICKEY, place->keys->public_key, KEY_BYTES);
    set_bytes(transport, ZMQ_CURVE_SECRETKEY, place->keys->secret_key, KEY_BYTES);
    endpoint_text(&to, text);
    rc = trouble_create(transport, text, error);
    if (rc == 0 && zmq_connect(transport->handle, text) != 0)
        rc = error_set_errno(error, ERR_USAGE, errno, "%s", place->endpoint);
    if (rc != 0) {
        transport_destroy(transport);
        return rc;
    }
    *ret_transport = transport;
    return 0;
}
