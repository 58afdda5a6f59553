#include "operators/probe/probe.h"

#include "common/memory.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct target {
    const char *host; /* a name, an address, or a folder of sockets */
    char port[16];
    bool postgres;
    bool several; /* hosts may stand in a list */
    int timeout_ms;
};

static int64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- sockets ---- */

static int wait_for(int fd, short events, int timeout_ms)
{
    struct pollfd poller = {.fd = fd, .events = events};
    int ready = poll(&poller, 1, timeout_ms);
    return ready > 0 ? 0 : ready == 0 ? ETIMEDOUT : errno;
}

/* 0, or an errno; the socket is connected and does not block. */
static int connect_to(const struct sockaddr *address, socklen_t size, int timeout_ms, int *ret_fd)
{
    int number = 0;
    socklen_t length = sizeof number;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    if (connect(fd, address, size) != 0) {
        number = errno == EINPROGRESS ? wait_for(fd, POLLOUT, timeout_ms) : errno;
        if (number == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &length) != 0)
            number = errno;
    }
    if (number == 0)
        *ret_fd = fd;
    else
        (void)close(fd);
    return number;
}

/* A server answers a wish for TLS with one letter, whoever asks. */
static bool speaks_postgres(int fd, int timeout_ms)
{
    static const unsigned char wish[8] = {0, 0, 0, 8, 4, 210, 22, 47};
    char answer = '\0';
    if (send(fd, wish, sizeof wish, MSG_NOSIGNAL) != (ssize_t)sizeof wish ||
        wait_for(fd, POLLIN, timeout_ms) != 0 || recv(fd, &answer, 1, 0) != 1)
        return false;
    return answer == 'S' || answer == 'N';
}

/* What was found behind an address; 0, or an errno that is told by the caller. */
static int look(const struct target *target, const struct sockaddr *address, socklen_t size,
    const char *shown, struct buffer *out)
{
    int fd = -1;
    int64_t began = now_us();
    int number = connect_to(address, size, target->timeout_ms, &fd);
    if (number != 0)
        return number;
    bool postgres = target->postgres && speaks_postgres(fd, target->timeout_ms);
    (void)close(fd);
    if (target->postgres && !postgres)
        return EPROTO;
    buffer_printf(out, "reached %s%s in %.1f ms", shown, postgres ? ", PostgreSQL answers," : "",
        (double)(now_us() - began) / 1000);
    return 0;
}

static int unreachable(const char *what, int number, struct error *error)
{
    if (number == EPROTO)
        return error_set(
            error, ERR_UNREACHABLE, "%s: something answers, and it is no PostgreSQL", what);
    return error_set(error, number == ETIMEDOUT ? ERR_TIMEOUT : ERR_UNREACHABLE, "%s: %s", what,
        number == ETIMEDOUT ? "no answer" : strerrordesc_np(number));
}

static int look_at_folder(const struct target *target, struct buffer *out, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length = snprintf(
        address.sun_path, sizeof address.sun_path, "%s/.s.PGSQL.%s", target->host, target->port);
    if (length < 0 || (size_t)length >= sizeof address.sun_path)
        return error_set(error, ERR_USAGE, "%s: too long for a socket's folder", target->host);
    int number = look(target, (const struct sockaddr *)(const void *)&address, sizeof address,
        address.sun_path, out);
    return number == 0 ? 0 : unreachable(address.sun_path, number, error);
}

/* Every address of the name, until one answers; the last one's error is told. */
static int look_at_host(const struct target *target, struct buffer *out, struct error *error)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    char shown[NI_MAXHOST + 300];
    int number = 0;
    int rc = getaddrinfo(target->host, target->port, &hints, &list);
    if (rc != 0)
        return error_set(error, ERR_NOT_FOUND, "%s: its address cannot be found: %s", target->host,
            gai_strerror(rc));
    for (const struct addrinfo *at = list; at != NULL; at = at->ai_next) {
        char number_text[NI_MAXHOST] = "?";
        (void)getnameinfo(
            at->ai_addr, at->ai_addrlen, number_text, sizeof number_text, NULL, 0, NI_NUMERICHOST);
        (void)snprintf(
            shown, sizeof shown, "%.200s:%s (%s)", target->host, target->port, number_text);
        number = look(target, at->ai_addr, at->ai_addrlen, shown, out);
        if (number == 0)
            break;
    }
    freeaddrinfo(list);
    return number == 0 ? 0 : unreachable(shown, number, error);
}

/* ---- where a connection points ---- */

/* Behind its scheme (k8s://https:// is one), before its path. */
static char *bare_host(struct slice host)
{
    char *text = xstrndup(host.ptr, host.length);
    char *bare = text, *scheme;
    while ((scheme = strstr(bare, "://")) != NULL)
        bare = scheme + 3;
    if (bare[0] != '/')
        bare[strcspn(bare, "/")] = '\0';
    memmove(text, bare, strlen(bare) + 1);
    return text;
}

static bool is_https(struct slice host)
{
    return host.length >= 8 && memcmp(host.ptr, "https://", 8) == 0;
}

static uint32_t port_of(const struct connection *connection)
{
    if (connection->port > 0)
        return connection->port;
    if (connection_kind(connection->type) == CONNECTION_HTTP && is_https(connection->host))
        return 443;
    return connection_default_port(connection);
}

static bool is_no_host(const struct connection *connection)
{
    struct slice host = connection->host;
    return connection_kind(connection->type) == CONNECTION_SPARK &&
           (slice_is(host, "yarn") || (host.length >= 5 && memcmp(host.ptr, "local", 5) == 0));
}

/* "host:port" of a list of masters: a name or an IPv4 address, with a port of its own. */
static void take_port(struct target *target, char *host)
{
    char *colon = strchr(host, ':');
    if (colon == NULL || strchr(colon + 1, ':') != NULL)
        return;
    *colon = '\0';
    (void)snprintf(target->port, sizeof target->port, "%s", colon + 1);
}

/* libpq and Spark take several hosts: the first that answers. */
static int look_at_any(struct target *target, const char *hosts, struct buffer *out,
    char ret_host[PROBE_HOST_BYTES], struct error *error)
{
    int rc = ERR_USAGE;
    for (const char *at = hosts; rc != 0 && *at != '\0';) {
        size_t length = target->several ? strcspn(at, ",") : strlen(at);
        char *host = xstrndup(at, length);
        if (!target->postgres)
            take_port(target, host);
        target->host = host;
        rc = host[0] == '/' ? look_at_folder(target, out, error) : look_at_host(target, out, error);
        if (rc == 0)
            (void)snprintf(ret_host, PROBE_HOST_BYTES, "%s", host);
        free(host);
        at += length + (at[length] == ',');
    }
    return rc;
}

int probe_connection(const struct connection *connection, int timeout_ms,
    struct buffer *ret_reached, char ret_host[PROBE_HOST_BYTES], struct error *error)
{
    enum connection_kind kind = connection_kind(connection->type);
    struct target target = {.timeout_ms = timeout_ms,
        .postgres = kind == CONNECTION_POSTGRES,
        .several = kind == CONNECTION_POSTGRES || kind == CONNECTION_SPARK};
    ret_host[0] = '\0';
    uint32_t port = port_of(connection);
    if (is_no_host(connection)) {
        buffer_printf(
            ret_reached, "%.*s: there is no address to reach", SLICE_PRINT(connection->host));
        return 0;
    }
    char *hosts = bare_host(
        connection->host.length > 0 || !target.postgres ? connection->host : slice_of("localhost"));
    int rc = 0;
    (void)snprintf(target.port, sizeof target.port, "%u", port);
    if (hosts[0] == '\0')
        rc = error_set(error, ERR_USAGE, "it has no host: nothing to reach");
    else if (port == 0)
        rc = error_set(error, ERR_USAGE, "it has no port, and its type has none of its own");
    else
        rc = look_at_any(&target, hosts, ret_reached, ret_host, error);
    free(hosts);
    return rc;
}
