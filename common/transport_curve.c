#include "common/endpoint.h"
#include "common/limits.h"
#include "common/transport_internal.h"

#include <netdb.h>

/*
 * What a stranger can hold of us. A connection that says nothing, or shakes hands slowly, is cut
 * after TRANSPORT_HANDSHAKE_MS; one that announces more than FRAME_MAX_BYTES at once; one that
 * speaks without CURVE, at its greeting.
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
    /* Addresses of one host name that are bound. */
    ADDRESSES_MAX = 8,
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

/* ---- bind ---- */

static int bind_one(struct transport *transport, struct endpoint *endpoint, struct error *error)
{
    char text[ENDPOINT_TEXT_MAX];
    endpoint_text(endpoint, text);
    if (zmq_bind(transport->handle, text) != 0) {
        if (errno == EADDRINUSE)
            return error_set(error, ERR_REFUSED,
                "%s: the port is taken; another master, or another program, listens there", text);
        return error_set_errno(
            error, errno == EACCES ? ERR_DENIED : ERR_USAGE, errno, "%s: cannot be bound", text);
    }
    size_t length = sizeof text;
    struct endpoint bound;
    if (zmq_getsockopt(transport->handle, ZMQ_LAST_ENDPOINT, text, &length) != 0 ||
        endpoint_parse(text, &bound, NULL) != 0)
        return error_set(error, ERR_IO, "%s: its port is not known", text);
    endpoint->port = bound.port;
    transport->port = bound.port;
    return 0;
}

static bool came_before(const struct addrinfo *first, const struct addrinfo *address)
{
    for (const struct addrinfo *at = first; at != address; at = at->ai_next) {
        if (at->ai_addrlen == address->ai_addrlen &&
            memcmp(at->ai_addr, address->ai_addr, at->ai_addrlen) == 0)
            return true;
    }
    return false;
}

/* At each address of the name, with one port: `localhost` is two addresses, and a client that is
 * given the name may take either. Those that this host lacks are left out, unless it is all. */
static int bind_addresses(struct transport *transport, const struct addrinfo *addresses,
    uint16_t port, struct error *error)
{
    int count = 0, bound = 0, rc = 0;
    struct endpoint endpoint = {.port = port};
    for (const struct addrinfo *at = addresses; at != NULL && count < ADDRESSES_MAX;
         at = at->ai_next) {
        if (came_before(addresses, at) || getnameinfo(at->ai_addr, at->ai_addrlen, endpoint.host,
                                              sizeof endpoint.host, NULL, 0, NI_NUMERICHOST) != 0)
            continue;
        count++;
        rc = bind_one(transport, &endpoint, error);
        if (rc == ERR_REFUSED || rc == ERR_DENIED)
            return rc;
        bound += rc == 0;
    }
    return bound > 0 ? 0 : rc;
}

static int bind_tcp(struct transport *transport, struct endpoint *endpoint, struct error *error)
{
    if (strcmp(endpoint->host, "*") == 0)
        return bind_one(transport, endpoint, error);
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *addresses;
    int failed = getaddrinfo(endpoint->host, NULL, &hints, &addresses);
    if (failed != 0)
        return error_set(error, ERR_USAGE, "%s: is no address of this host: %s", endpoint->host,
            gai_strerror(failed));
    int rc = bind_addresses(transport, addresses, endpoint->port, error);
    freeaddrinfo(addresses);
    return rc;
}

int transport_bind_curve(struct loop *loop, const char *endpoint, const struct key_pair *keys,
    transport_frame_fn callback, void *context, struct transport **ret_transport,
    struct error *error)
{
    struct endpoint at;
    struct transport *transport;
    int rc = endpoint_parse(endpoint, &at, error);
    if (rc == 0 && !transport_admits())
        rc = error_set(error, ERR_DENIED, "%s: nobody decides whose key is let in", endpoint);
    if (rc == 0)
        rc = transport_open(loop, ZMQ_ROUTER, callback, context, &transport, error);
    if (rc != 0)
        return rc;
    set_tcp_options(transport);
    set_int(transport, ZMQ_CURVE_SERVER, 1);
    set_bytes(transport, ZMQ_CURVE_SECRETKEY, keys->secret_key, KEY_BYTES);
    set_bytes(transport, ZMQ_ZAP_DOMAIN, TRANSPORT_ZAP_DOMAIN, strlen(TRANSPORT_ZAP_DOMAIN));
    transport->last_number = UINT64_C(1) << 63;
    rc = bind_tcp(transport, &at, error);
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

/* ---- connect ---- */

int transport_connect_curve(struct loop *loop, const char *endpoint,
    const struct transport_identity *identity, transport_frame_fn callback, void *context,
    struct transport **ret_transport, struct error *error)
{
    struct endpoint to;
    struct transport *transport;
    char text[ENDPOINT_TEXT_MAX];
    int rc = endpoint_parse(endpoint, &to, error);
    if (rc == 0 && !endpoint_is_definite(&to))
        rc = error_set(error, ERR_USAGE, "%s: nobody can connect there", endpoint);
    if (rc == 0)
        rc = transport_open(loop, ZMQ_DEALER, callback, context, &transport, error);
    if (rc != 0)
        return rc;
    set_tcp_options(transport);
    set_int(transport, ZMQ_CONNECT_TIMEOUT, TRANSPORT_CONNECT_TIMEOUT_MS);
    set_bytes(transport, ZMQ_CURVE_SERVERKEY, identity->server, KEY_BYTES);
    set_bytes(transport, ZMQ_CURVE_PUBLICKEY, identity->keys->public_key, KEY_BYTES);
    set_bytes(transport, ZMQ_CURVE_SECRETKEY, identity->keys->secret_key, KEY_BYTES);
    endpoint_text(&to, text);
    rc = trouble_create(transport, text, error);
    if (rc == 0 && zmq_connect(transport->handle, text) != 0)
        rc = error_set_errno(error, ERR_USAGE, errno, "%s", endpoint);
    if (rc != 0) {
        transport_destroy(transport);
        return rc;
    }
    *ret_transport = transport;
    return 0;
}
