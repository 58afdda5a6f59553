#include "common/clock.h"
#include "common/memory.h"
#include "common/random.h"
#include "common/transport/internal.h"

#include <inttypes.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

/*
 * What ZeroMQ tells of a client's connection, for a person; and the tries that it does not make:
 * after a server that refused our key, or that spoke something else, it never tries again (libzmq
 * takes both for errors of the protocol). Its events say so only by what does not follow: a
 * connection that ended without a CONNECT_RETRIED behind it was given up. So each end arms a timer,
 * and each sign of another try disarms it.
 */

enum {
    RETRY_FIRST_MS = 500,
    RETRY_LAST_MS = 8000,
    /* How much sooner than its time a timeout may seem to be over here. */
    SLACK_MS = 500,
    EVENTS = ZMQ_EVENT_CONNECT_DELAYED | ZMQ_EVENT_CONNECT_RETRIED | ZMQ_EVENT_CLOSED |
             ZMQ_EVENT_CONNECTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
             ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
             ZMQ_EVENT_HANDSHAKE_FAILED_AUTH,
};

struct trouble {
    struct loop *loop;
    void *handle; /* of the client's socket */
    void *monitor;
    int monitor_fd, timer_fd;
    uint64_t since_ms; /* the connect or the handshake that is under way */
    uint64_t retry_ms; /* to wait before our next try */
    bool up;
    bool told; /* why this try failed */
    bool denied;
    char endpoint[ENDPOINT_TEXT_MAX];
    char text[ENDPOINT_TEXT_MAX + 160]; /* empty: none */
};

static void say(struct trouble *trouble, const char *words)
{
    trouble->told = true;
    (void)snprintf(trouble->text, sizeof trouble->text, "%.*s: %s", ENDPOINT_TEXT_MAX,
        trouble->endpoint, words);
}

/* 0 disarms. */
static void set_timer(struct trouble *trouble, uint64_t after_ms)
{
    const struct itimerspec when = {.it_value = {.tv_sec = (time_t)(after_ms / 1000),
                                        .tv_nsec = (long)(after_ms % 1000 * 1000000)}};
    int rc = timerfd_settime(trouble->timer_fd, 0, &when, NULL);
    assert(rc == 0);
    (void)rc;
}

static bool took_all_of(const struct trouble *trouble, uint64_t limit_ms)
{
    return clock_boot_ms() - trouble->since_ms + SLACK_MS >= limit_ms;
}

static void on_begin(struct trouble *trouble)
{
    trouble->since_ms = clock_boot_ms();
    set_timer(trouble, 0);
}

static void on_up(struct trouble *trouble)
{
    trouble->up = true;
    trouble->denied = false;
    trouble->text[0] = '\0';
    trouble->retry_ms = RETRY_FIRST_MS;
}

static void on_end(struct trouble *trouble)
{
    if (trouble->up)
        say(trouble, "the connection was lost");
    else if (!trouble->told)
        say(trouble, "something else than a reeve master answers there");
    trouble->up = false;
    set_timer(trouble, trouble->retry_ms + random_id() % (trouble->retry_ms / 4));
}

/* ZeroMQ will try again by itself. Without a word before it got no socket for the address. */
static void on_retry(struct trouble *trouble)
{
    if (!trouble->told)
        say(trouble, "its name cannot be resolved");
    trouble->told = false;
    set_timer(trouble, 0);
}

static void on_protocol_error(struct trouble *trouble, uint32_t value)
{
    if (value == ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC)
        say(trouble, "it is not the server whose key we were given");
    else if (value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)
        say(trouble, "what answers there is not encrypted: no reeve master's port for others");
    else
        say(trouble, "what answers there does not keep to the protocol");
}

static void on_event(struct trouble *trouble, uint16_t event, uint32_t value)
{
    switch (event) {
    case ZMQ_EVENT_CONNECT_DELAYED:
    case ZMQ_EVENT_CONNECTED:
        on_begin(trouble);
        break;
    case ZMQ_EVENT_CLOSED:
        say(trouble, took_all_of(trouble, TRANSPORT_CONNECT_TIMEOUT_MS)
                         ? "does not answer (a wrong address, or a firewall)"
                         : "the connection is refused, or there is no way to it");
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        say(trouble, took_all_of(trouble, TRANSPORT_HANDSHAKE_MS)
                         ? "something is there, but does not answer as a reeve master does"
                         : "it hung up on us: not the server whose key we were given, or not yet "
                           "ready");
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        on_protocol_error(trouble, value);
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        trouble->denied = true;
        say(trouble, "our key is not known there (never joined, or removed)");
        break;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        on_up(trouble);
        break;
    case ZMQ_EVENT_DISCONNECTED:
        on_end(trouble);
        break;
    case ZMQ_EVENT_CONNECT_RETRIED:
        on_retry(trouble);
        break;
    default:
        break;
    }
}

/* False when no event waits. One is two parts: the event with its value, and the endpoint. */
static bool take_event(struct trouble *trouble)
{
    unsigned char bytes[sizeof(uint16_t) + sizeof(uint32_t)];
    char endpoint[ENDPOINT_TEXT_MAX];
    if (zmq_recv(trouble->monitor, bytes, sizeof bytes, ZMQ_DONTWAIT) != sizeof bytes)
        return false;
    (void)zmq_recv(trouble->monitor, endpoint, sizeof endpoint, ZMQ_DONTWAIT);
    uint16_t event;
    uint32_t value;
    memcpy(&event, bytes, sizeof event);
    memcpy(&value, bytes + sizeof event, sizeof value);
    on_event(trouble, event, value);
    return true;
}

static void on_monitor(void *context, int fd, uint32_t events)
{
    (void)fd;
    (void)events;
    while (take_event(context))
        continue;
}

static void on_timer(void *context, int fd, uint32_t events)
{
    struct trouble *trouble = context;
    uint64_t count;
    (void)events;
    if (read(fd, &count, sizeof count) != sizeof count)
        return;
    trouble->retry_ms *= 2;
    if (trouble->retry_ms > RETRY_LAST_MS)
        trouble->retry_ms = RETRY_LAST_MS;
    trouble->told = false;
    (void)zmq_disconnect(trouble->handle, trouble->endpoint);
    (void)zmq_connect(trouble->handle, trouble->endpoint);
}

static int watch(struct trouble *trouble, struct error *error)
{
    char name[64];
    size_t length = sizeof trouble->monitor_fd;
    /* Without a bound on what waits: ZeroMQ's own thread would wait for us, and all its connections
       with it. It makes some events a second at most. */
    const int none = 0;
    (void)snprintf(name, sizeof name, "inproc://trouble-%016" PRIx64, random_id());
    if (trouble->timer_fd < 0 || trouble->monitor == NULL ||
        zmq_setsockopt(trouble->monitor, ZMQ_RCVHWM, &none, sizeof none) != 0 ||
        zmq_socket_monitor(trouble->handle, name, EVENTS) != 0 ||
        zmq_connect(trouble->monitor, name) != 0 ||
        zmq_getsockopt(trouble->monitor, ZMQ_FD, &trouble->monitor_fd, &length) != 0)
        return error_set_errno(error, ERR_IO, errno, "%s: cannot be watched", trouble->endpoint);
    int rc = loop_watch(trouble->loop, trouble->monitor_fd, EPOLLIN, on_monitor, trouble, error);
    /* The descriptor tells of what comes after somebody found nothing. */
    on_monitor(trouble, trouble->monitor_fd, 0);
    if (rc == 0)
        rc = loop_watch(trouble->loop, trouble->timer_fd, EPOLLIN, on_timer, trouble, error);
    return rc;
}

int trouble_create(struct transport *transport, const char *endpoint, struct error *error)
{
    struct trouble *trouble = xcalloc(1, sizeof *trouble);
    transport->trouble = trouble;
    trouble->loop = transport->loop;
    trouble->handle = transport->handle;
    trouble->retry_ms = RETRY_FIRST_MS;
    (void)snprintf(trouble->endpoint, sizeof trouble->endpoint, "%s", endpoint);
    trouble->monitor_fd = -1;
    trouble->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    trouble->monitor = zmq_socket(zsys_init(), ZMQ_PAIR);
    return watch(trouble, error);
}

void trouble_destroy(struct trouble *trouble)
{
    if (trouble == NULL)
        return;
    /* First the sender, which would wait for a receiver. */
    (void)zmq_socket_monitor(trouble->handle, NULL, 0);
    if (trouble->monitor_fd >= 0)
        loop_forget(trouble->loop, trouble->monitor_fd);
    if (trouble->monitor != NULL)
        (void)zmq_close(trouble->monitor);
    if (trouble->timer_fd >= 0) {
        loop_forget(trouble->loop, trouble->timer_fd);
        (void)close(trouble->timer_fd);
    }
    free(trouble);
}

const char *transport_trouble(const struct transport *transport)
{
    const struct trouble *trouble = transport->trouble;
    return trouble != NULL && trouble->text[0] != '\0' ? trouble->text : NULL;
}

bool transport_is_up(const struct transport *transport)
{
    return transport->trouble != NULL && transport->trouble->up;
}

bool transport_is_denied(const struct transport *transport)
{
    return transport->trouble != NULL && transport->trouble->denied;
}
