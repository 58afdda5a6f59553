#include "common/limits.h"
#include "common/memory.h"
#include "common/random.h"
#include "common/transport/internal.h"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/un.h>

/*
 * ZeroMQ's descriptor is edge-triggered: it is readable once when something *may* have changed, and
 * any receive or send may swallow that edge. So whether frames wait is asked (ZMQ_EVENTS) after the
 * descriptor was readable, after each drain, and, for what was sent since, before each sleep of the
 * loop; the answer is kept in `readable`.
 */

enum {
    /* One round delivers so much of one socket; the rest comes in the next round, which does not
       sleep. */
    ROUND_FRAMES_MAX = 1000,
    ROUND_BYTES_MAX = 4 * 1024 * 1024,
    /* Frames queued for one peer; more are lost, as they are when the peer is gone. Senders batch
       into frames of FRAME_TARGET_BYTES and hold at most CHANNEL_UNACKED_MAX_BYTES (1,024 such
       frames) unacknowledged; the rest is room for small ones. */
    SEND_QUEUE_FRAMES = 8192,
    /* Frames of one peer that wait here unread: as many as a batching sender may have
       unacknowledged (64 MiB). Past it they stay in the kernel and then with the sender; what is in
       the kernel when its sender closes is lost, so this is not small. */
    RECEIVE_QUEUE_FRAMES = 1024,
    /* Connections that the kernel holds until they are accepted: a fleet may come back at once. */
    BACKLOG = 1024,
    RECONNECT_FIRST_MS = 100,
    RECONNECT_LAST_MS = 2000,
    /* How long frames queued at transport_destroy may still leave: a client's last answer is not
       cut. */
    LINGER_MS = 200,
    IPC_PATH_MAX_BYTES = sizeof(((struct sockaddr_un *)0)->sun_path) - 1,
};

static const char ipc_prefix[] = "ipc://";

/*
 * ZeroMQ's threads begin with the first socket, with the signals of who makes it, and block them
 * only when they first run: on a busy machine one that has not run yet would take a signal that is
 * the loop's, and end the process.
 */
static void start_threads(void *context)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    void *socket = zmq_socket(context, ZMQ_PAIR);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (socket != NULL)
        (void)zmq_close(socket);
}

void transport_start(void)
{
    /* zsys_init takes SIGINT and SIGTERM unless the environment says so; children must not inherit
     * that word. */
    (void)setenv("ZSYS_SIGHANDLER", "false", 1);
    void *started = zsys_init();
    assert(started != NULL);
    zsys_handler_set(NULL);
    (void)unsetenv("ZSYS_SIGHANDLER");
    /* libzmq draws the first automatic routing id of a socket from rand(), which czmq has seeded
       with the time of day. A peer that can guess them can end this process. */
    unsigned seed;
    random_bytes(&seed, sizeof seed);
    srand(seed);
    start_threads(started);
}

void transport_stop(void)
{
    zsys_shutdown();
}

static void ask_readable(struct transport *transport)
{
    int events = 0;
    size_t length = sizeof events;
    int rc;
    do {
        rc = zmq_getsockopt(transport->handle, ZMQ_EVENTS, &events, &length);
    } while (rc != 0 && errno == EINTR);
    transport->readable = rc == 0 && (events & ZMQ_POLLIN) != 0;
    transport->unsure = false;
}

/* False when nothing waits. Never blocks: a message's parts arrive together. */
static bool receive_part(struct transport *transport, zmq_msg_t *part)
{
    int rc;
    do {
        rc = zmq_msg_recv(part, transport->handle, ZMQ_DONTWAIT);
    } while (rc < 0 && errno == EINTR);
    return rc >= 0;
}

/*
 * Takes one message: for a bound socket its first part is the routing id. *ret_whole says whether
 * it was one frame of a size that we take; any other is dropped here, part by part. False when
 * nothing waits.
 */
static bool receive(struct transport *transport, zmq_msg_t *id, zmq_msg_t *frame, bool *ret_whole)
{
    if (transport->bound && !receive_part(transport, id))
        return false;
    if (transport->bound && !zmq_msg_more(id)) {
        *ret_whole = false;
        return true;
    }
    if (!receive_part(transport, frame))
        return false;
    *ret_whole = !zmq_msg_more(frame) && zmq_msg_size(frame) <= FRAME_MAX_BYTES;
    while (zmq_msg_more(frame) && receive_part(transport, frame))
        continue;
    return true;
}

/* Delivers one message; returns its bytes, or 0 when nothing waits. */
static size_t deliver_one(struct transport *transport)
{
    zmq_msg_t id, frame;
    (void)zmq_msg_init(&id);
    (void)zmq_msg_init(&frame);
    bool whole = false;
    size_t size = 0;
    if (receive(transport, &id, &frame, &whole)) {
        /* An empty one costs work too. */
        size = zmq_msg_size(&frame) + 1;
        transport_peer peer =
            transport->bound && whole ? transport_peer_heard(transport, &id, &frame) : 0;
        if (whole && (peer != 0 || !transport->bound))
            transport->callback(
                transport->context, peer, slice_make(zmq_msg_data(&frame), zmq_msg_size(&frame)));
    }
    (void)zmq_msg_close(&id);
    (void)zmq_msg_close(&frame);
    return size;
}

static void transport_free(struct transport *transport)
{
    transport_peers_fini(transport);
    trouble_destroy(transport->trouble);
    door_destroy(transport->door);
    zsock_destroy(&transport->socket);
    free(transport);
}

/* The loop's source: hands out what waits, up to a bound. */
static void deliver(void *context)
{
    struct transport *transport = context;
    if (!transport->readable || transport->paused)
        return;
    size_t bytes = 0, size = 1;
    transport->delivering = true;
    for (int i = 0; i < ROUND_FRAMES_MAX && bytes < ROUND_BYTES_MAX && size > 0; i++) {
        size = deliver_one(transport);
        bytes += size;
        if (transport->paused || transport->doomed)
            break;
    }
    transport->delivering = false;
    if (transport->doomed)
        transport_free(transport);
    else
        ask_readable(transport);
}

static bool is_ready(void *context)
{
    struct transport *transport = context;
    if (transport->unsure)
        ask_readable(transport);
    return transport->readable && !transport->paused;
}

/* Also while paused: only asking makes the descriptor quiet again. */
static void on_descriptor(void *context, int fd, uint32_t events)
{
    (void)fd;
    (void)events;
    ask_readable(context);
}

/* Only sockets that are files: an abstract name (@) has no permissions, and a wildcard lies where
 * anybody may look. */
static int check_endpoint(const char *endpoint, struct error *error)
{
    const size_t prefix_length = sizeof ipc_prefix - 1;
    if (strncmp(endpoint, ipc_prefix, prefix_length) != 0 ||
        strchr("@*", endpoint[prefix_length]) != NULL)
        return error_set(
            error, ERR_UNSUPPORTED, "%s: no ipc:// and the path of a socket", endpoint);
    size_t length = strlen(endpoint + prefix_length);
    if (length > IPC_PATH_MAX_BYTES)
        return error_set(error, ERR_USAGE,
            "%s: a socket's path has at most %d bytes, this one has %zu; choose a shorter folder",
            endpoint + prefix_length, IPC_PATH_MAX_BYTES, length);
    return 0;
}

/* Options that hold for later binds and connects only: they come first. */
static void set_options(zsock_t *socket)
{
    zsock_set_maxmsgsize(socket, FRAME_MAX_BYTES);
    zsock_set_sndhwm(socket, SEND_QUEUE_FRAMES);
    zsock_set_rcvhwm(socket, RECEIVE_QUEUE_FRAMES);
    zsock_set_linger(socket, LINGER_MS);
    zsock_set_backlog(socket, BACKLOG);
    zsock_set_reconnect_ivl(socket, RECONNECT_FIRST_MS);
    zsock_set_reconnect_ivl_max(socket, RECONNECT_LAST_MS);
}

int transport_open(struct loop *loop, int type, transport_frame_fn callback, void *context,
    struct transport **ret_transport, struct error *error)
{
    zsock_t *socket = zsock_new(type);
    if (socket == NULL)
        return error_set_errno(error, ERR_IO, errno, "a ZeroMQ socket cannot be made");
    set_options(socket);
    struct transport *transport = xcalloc(1, sizeof *transport);
    transport->loop = loop;
    transport->socket = socket;
    transport->handle = zsock_resolve(socket);
    transport->fd = zsock_fd(socket);
    transport->bound = type == ZMQ_ROUTER;
    transport->callback = callback;
    transport->context = context;
    transport->source = (struct loop_source){is_ready, deliver, transport};
    /* A peer that is gone is then an error of the send, and can be forgotten. */
    if (transport->bound)
        zsock_set_router_mandatory(socket, 1);
    int rc = loop_watch(loop, transport->fd, EPOLLIN, on_descriptor, transport, error);
    if (rc != 0) {
        transport_free(transport);
        return rc;
    }
    loop_add_source(loop, &transport->source);
    /* What came before the descriptor was watched may have left no edge. */
    transport->unsure = true;
    *ret_transport = transport;
    return 0;
}

int transport_bind(struct loop *loop, const char *endpoint, transport_frame_fn callback,
    void *context, struct transport **ret_transport, struct error *error)
{
    struct transport *transport;
    int rc = check_endpoint(endpoint, error);
    if (rc == 0)
        rc = transport_open(loop, ZMQ_ROUTER, callback, context, &transport, error);
    if (rc != 0)
        return rc;
    /* The socket file is made by this call, in this thread: 0600 from its first moment. */
    mode_t mask = umask(0177);
    rc = zmq_bind(transport->handle, endpoint);
    int errno_bind = errno;
    (void)umask(mask);
    if (rc != 0) {
        transport_destroy(transport);
        return error_set_errno(error, ERR_IO, errno_bind, "%s: cannot be bound", endpoint);
    }
    *ret_transport = transport;
    return 0;
}

int transport_connect(struct loop *loop, const char *endpoint, transport_frame_fn callback,
    void *context, struct transport **ret_transport, struct error *error)
{
    struct transport *transport;
    int rc = check_endpoint(endpoint, error);
    if (rc == 0)
        rc = transport_open(loop, ZMQ_DEALER, callback, context, &transport, error);
    if (rc != 0)
        return rc;
    if (zmq_connect(transport->handle, endpoint) != 0) {
        rc = error_set_errno(error, ERR_UNREACHABLE, errno, "%s", endpoint);
        transport_destroy(transport);
        return rc;
    }
    *ret_transport = transport;
    return 0;
}

void transport_destroy(struct transport *transport)
{
    if (transport == NULL)
        return;
    loop_forget(transport->loop, transport->fd);
    loop_remove_source(transport->loop, &transport->source);
    if (transport->delivering)
        transport->doomed = true;
    else
        transport_free(transport);
}

static int send_part(struct transport *transport, zmq_msg_t *part, int flags)
{
    int rc;
    do {
        rc = zmq_msg_send(part, transport->handle, flags | ZMQ_DONTWAIT);
    } while (rc < 0 && errno == EINTR);
    return rc;
}

/* Addresses the next frame of a bound socket. False when it cannot go: the peer is unknown, gone or
 * full. */
static bool send_address(struct transport *transport, transport_peer number)
{
    struct peer *peer = transport_peer_find(transport, number);
    if (peer == NULL)
        return false;
    zmq_msg_t id;
    int rc = zmq_msg_init_size(&id, peer->length);
    assert(rc == 0);
    memcpy(zmq_msg_data(&id), peer->routing_id, peer->length);
    rc = send_part(transport, &id, ZMQ_SNDMORE);
    if (rc >= 0)
        return true;
    if (errno == EHOSTUNREACH)
        transport_peer_drop(transport, peer);
    (void)zmq_msg_close(&id);
    return false;
}

/* Takes the message. */
static void send_message(struct transport *transport, transport_peer peer, zmq_msg_t *message)
{
    assert(!transport->doomed && transport->bound == (peer != 0));
    transport->unsure = true;
    bool addressed = !transport->bound || send_address(transport, peer);
    if (!addressed || send_part(transport, message, 0) < 0)
        (void)zmq_msg_close(message);
}

void transport_send(struct transport *transport, transport_peer peer, struct slice frame)
{
    assert(frame.length <= FRAME_MAX_BYTES);
    zmq_msg_t message;
    int rc = zmq_msg_init_size(&message, frame.length);
    assert(rc == 0);
    (void)rc;
    if (frame.length > 0)
        memcpy(zmq_msg_data(&message), frame.ptr, frame.length);
    send_message(transport, peer, &message);
}

/* Called by ZeroMQ's own thread when the frame has left. */
static void free_sent(void *bytes, void *hint)
{
    (void)hint;
    free(bytes);
}

void transport_send_owned(
    struct transport *transport, transport_peer peer, char *bytes, size_t length)
{
    assert(length <= FRAME_MAX_BYTES);
    zmq_msg_t message;
    int rc = zmq_msg_init_data(&message, bytes, length, free_sent, NULL);
    assert(rc == 0);
    (void)rc;
    send_message(transport, peer, &message);
}

void transport_pause(struct transport *transport, bool paused)
{
    transport->paused = paused;
}
