#include "common/memory.h"
#include "common/random.h"
#include "common/transport/internal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

/*
 * The listening sockets of a tcp transport, and a thread that shuts them while descriptors run
 * short. A stranger may open connections as fast as the network lets him; each lives until its
 * handshake is late. libzmq takes them all: with no descriptor left it asks again and again, which
 * costs half a core, and whatever else the process wants to open fails. So descriptors are kept
 * back. Shut means that the kernel drops the packets of new connections (a filter on the listening
 * socket, which nobody needs a privilege for); those that are there go on.
 */

enum {
    /* Kept for everything else that the process opens. */
    RESERVE = 256,
    /* Connections that the kernel holds until they are accepted: a fleet may come back at once.
       They are still to come in when a door is shut. */
    BACKLOG_MAX = 1024,
    LISTENERS_MAX = 8, /* addresses of one host name; more are not bound */
    /* A shut door is tried so often. */
    PATIENCE_MS = 200,
};

struct door {
    void *handle; /* of the bound socket */
    void *monitor;
    int listeners[LISTENERS_MAX]; /* ours beside libzmq's */
    int count;
    int stop_fd;
    /* Descriptors are handed out from the lowest number: one that has this means that there are
       this many. */
    int shut_at, open_below;
    int backlog;
    bool shut;
    bool started;
    pthread_t thread;
};

/* ---- listening ---- */

/* Two ports may be open in a process, each with its backlog. */
static void set_marks(struct door *door)
{
    struct rlimit limit;
    rlim_t files = 1024;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        files = limit.rlim_cur < 1000000 ? limit.rlim_cur : 1000000;
    door->backlog = files / 8 < BACKLOG_MAX ? (int)files / 8 : BACKLOG_MAX;
    int kept = RESERVE < (int)files / 4 ? RESERVE : (int)files / 4;
    door->shut_at = (int)files - kept - 2 * door->backlog;
    door->open_below = door->shut_at - door->shut_at / 8;
}

static int listen_at(const struct door *door, const struct addrinfo *at, uint16_t port)
{
    const int on = 1, off = 0;
    struct sockaddr_storage address;
    memcpy(&address, at->ai_addr, at->ai_addrlen);
    if (address.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&address)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)&address)->sin_port = htons(port);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address.ss_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, (const struct sockaddr *)&address, at->ai_addrlen) == 0 &&
        listen(fd, door->backlog) == 0)
        return fd;
    int failed = errno;
    (void)close(fd);
    errno = failed;
    return -1;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    (void)getsockname(fd, (struct sockaddr *)&address, &length);
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

/* libzmq gets the descriptor, we keep a copy. */
static int hand_over(struct transport *transport, int fd)
{
    struct door *door = transport->door;
    char text[64];
    const int none = -1;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) {
        int failed = errno;
        (void)close(fd);
        errno = failed;
        return -1;
    }
    door->listeners[door->count++] = copy;
    transport->port = port_of(fd);
    /* Of the text only the scheme matters. */
    (void)snprintf(text, sizeof text, "tcp://127.0.0.1:%u", (unsigned)transport->port);
    (void)zmq_setsockopt(transport->handle, ZMQ_USE_FD, &fd, sizeof fd);
    int rc = zmq_bind(transport->handle, text);
    (void)zmq_setsockopt(transport->handle, ZMQ_USE_FD, &none, sizeof none);
    return rc;
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

/* -1 and errno, unless it listens at this address. */
static int bind_at(struct transport *transport, const struct addrinfo *at)
{
    int fd = listen_at(transport->door, at, transport->port);
    return fd < 0 ? -1 : hand_over(transport, fd);
}

/*
 * At each address of the name, with one port: `localhost` is two addresses, and a client that is
 * given the name may take either. Those that this host lacks are left out, unless it is all of
 * them. Returns 0 or an errno.
 */
static int bind_all(struct transport *transport, const struct addrinfo *addresses)
{
    struct door *door = transport->door;
    int failed = 0;
    for (const struct addrinfo *at = addresses; at != NULL; at = at->ai_next) {
        if (door->count == LISTENERS_MAX || came_before(addresses, at))
            continue;
        if (bind_at(transport, at) == 0)
            continue;
        failed = errno;
        if (failed != EADDRNOTAVAIL && failed != EAFNOSUPPORT)
            return failed;
    }
    return door->count > 0 ? 0 : failed;
}

static int bind_host(
    struct transport *transport, const char *host, const char *text, struct error *error)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *addresses;
    int unknown = getaddrinfo(host, NULL, &hints, &addresses);
    if (unknown != 0)
        return error_set(
            error, ERR_USAGE, "%s: is no address of this host: %s", text, gai_strerror(unknown));
    int failed = bind_all(transport, addresses);
    freeaddrinfo(addresses);
    if (failed == EADDRINUSE)
        return error_set(error, ERR_REFUSED,
            "%s: the port is taken; another master, or another program, listens there", text);
    if (failed != 0)
        return error_set_errno(
            error, failed == EACCES ? ERR_DENIED : ERR_USAGE, failed, "%s: cannot be bound", text);
    return 0;
}

static int bind_endpoint(
    struct transport *transport, const struct endpoint *endpoint, struct error *error)
{
    char text[ENDPOINT_TEXT_MAX];
    endpoint_text(endpoint, text);
    transport->port = endpoint->port;
    if (strcmp(endpoint->host, "*") != 0)
        return bind_host(transport, endpoint->host, text, error);
    /* :: takes IPv4 too, where the host has IPv6 at all. */
    int rc = bind_host(transport, "::", text, error);
    return rc == ERR_USAGE ? bind_host(transport, "0.0.0.0", text, error) : rc;
}

/* ---- watching ---- */

static void shut(struct door *door)
{
    static struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
    const struct sock_fprog filter = {.len = 1, .filter = &nothing};
    for (int i = 0; i < door->count; i++)
        (void)setsockopt(door->listeners[i], SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
    door->shut = true;
}

/* When there are enough descriptors again. */
static void try_open(struct door *door)
{
    int number = fcntl(door->stop_fd, F_DUPFD_CLOEXEC, 0);
    if (number >= 0)
        (void)close(number);
    if (number < 0 || number >= door->open_below)
        return;
    const int unused = 0;
    for (int i = 0; i < door->count; i++)
        (void)setsockopt(door->listeners[i], SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused);
    door->shut = false;
}

/* An event and its value, then the endpoint. False when none waits. */
static bool take_event(struct door *door)
{
    unsigned char bytes[sizeof(uint16_t) + sizeof(uint32_t)];
    char endpoint[ENDPOINT_TEXT_MAX];
    uint16_t event;
    uint32_t value;
    if (zmq_recv(door->monitor, bytes, sizeof bytes, ZMQ_DONTWAIT) != sizeof bytes)
        return false;
    (void)zmq_recv(door->monitor, endpoint, sizeof endpoint, ZMQ_DONTWAIT);
    memcpy(&event, bytes, sizeof event);
    memcpy(&value, bytes + sizeof event, sizeof value);
    if (!door->shut && (event == ZMQ_EVENT_ACCEPT_FAILED || value >= (uint32_t)door->shut_at))
        shut(door);
    return true;
}

static void *watch(void *context)
{
    struct door *door = context;
    zmq_pollitem_t items[] = {
        {.socket = door->monitor, .events = ZMQ_POLLIN},
        {.fd = door->stop_fd, .events = ZMQ_POLLIN},
    };
    while ((items[1].revents & ZMQ_POLLIN) == 0) {
        while (take_event(door))
            continue;
        if (door->shut)
            try_open(door);
        (void)zmq_poll(items, 2, door->shut ? PATIENCE_MS : -1);
    }
    return NULL;
}

static int start_watching(struct door *door, struct error *error)
{
    char name[64];
    sigset_t all, before;
    (void)snprintf(name, sizeof name, "inproc://door-%016" PRIx64, random_id());
    door->stop_fd = eventfd(0, EFD_CLOEXEC);
    door->monitor = zmq_socket(zsys_init(), ZMQ_PAIR);
    if (door->stop_fd < 0 || door->monitor == NULL ||
        zmq_socket_monitor(door->handle, name, ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_ACCEPT_FAILED) != 0 ||
        zmq_connect(door->monitor, name) != 0)
        return error_set_errno(error, ERR_IO, errno, "a door cannot be watched");
    /* Signals are the loop's. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&door->thread, NULL, watch, door);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0)
        return error_set_errno(error, ERR_IO, failed, "a thread cannot be made");
    door->started = true;
    return 0;
}

int door_create(struct transport *transport, const struct endpoint *endpoint, struct error *error)
{
    struct door *door = xcalloc(1, sizeof *door);
    transport->door = door;
    door->handle = transport->handle;
    door->stop_fd = -1;
    set_marks(door);
    int rc = bind_endpoint(transport, endpoint, error);
    return rc != 0 ? rc : start_watching(door, error);
}

void door_destroy(struct door *door)
{
    const uint64_t one = 1;
    if (door == NULL)
        return;
    /* First the sender of events, which waits for a receiver. */
    (void)zmq_socket_monitor(door->handle, NULL, 0);
    if (door->started) {
        ssize_t written = write(door->stop_fd, &one, sizeof one);
        assert(written == sizeof one);
        (void)written;
        (void)pthread_join(door->thread, NULL);
    }
    if (door->monitor != NULL)
        (void)zmq_close(door->monitor);
    if (door->stop_fd >= 0)
        (void)close(door->stop_fd);
    for (int i = 0; i < door->count; i++)
        (void)close(door->listeners[i]);
    free(door);
}
