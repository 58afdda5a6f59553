#include "worker/io/stop_port.h"

#include "common/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Who asks while so many wait is not heard. */
enum { LISTENERS_MAX = 8 };

static const char now_text[] = "1 now";
static const char drain_text[] = "1 drain";

struct stop_port {
    struct loop *loop;
    char *path;
    int fd;
    int listeners[LISTENERS_MAX];
    size_t listener_count;
    stop_wish_fn wished;
    void *context;
};

static int make_socket(const char *path, struct sockaddr_un *address, struct error *error)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address->sun_path)
        return error_set(error, ERR_USAGE, "%s: too long for a socket", path);
    memcpy(address->sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    return fd >= 0 ? fd : error_set_errno(error, ERR_IO, errno, "no socket to tell the agent by");
}

/* ---- the agent's end ---- */

static void drop(struct stop_port *port, int fd)
{
    loop_forget(port->loop, fd);
    (void)close(fd);
    for (size_t i = 0; i < port->listener_count; i++) {
        if (port->listeners[i] == fd)
            port->listeners[i] = port->listeners[--port->listener_count];
    }
}

static void on_listener(void *context, int fd, uint32_t events)
{
    struct stop_port *port = context;
    char text[STOP_TEXT_MAX];
    struct stop_wish wish = {0};
    (void)events;
    if (!stop_port_read(fd, text)) {
        drop(port, fd);
        return;
    }
    wish.now = strcmp(text, now_text) == 0;
    bool drain = strncmp(text, drain_text, sizeof drain_text - 1) == 0;
    if (drain)
        wish.within_ms = strtoull(text + sizeof drain_text - 1, NULL, 10);
    if (wish.now || drain)
        port->wished(port->context, &wish);
    else
        stop_port_tell(port, "the agent does not understand: it is of another version");
}

static void on_connection(void *context, int fd, uint32_t events)
{
    struct stop_port *port = context;
    (void)events;
    int listener = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    if (listener < 0)
        return;
    if (port->listener_count == LISTENERS_MAX ||
        loop_watch(port->loop, listener, EPOLLIN, on_listener, port, NULL) != 0) {
        (void)close(listener);
        return;
    }
    port->listeners[port->listener_count++] = listener;
}

int stop_port_open(struct loop *loop, const char *path, stop_wish_fn wished, void *context,
    struct stop_port **ret_port, struct error *error)
{
    struct sockaddr_un address;
    int fd = make_socket(path, &address, error);
    if (fd < 0)
        return fd;
    (void)unlink(path);
    int rc = 0;
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 4) != 0)
        rc = error_set_errno(error, ERR_IO, errno, "%s", path);
    struct stop_port *port = xcalloc(1, sizeof *port);
    *port = (struct stop_port){.loop = loop, .fd = fd, .wished = wished, .context = context};
    if (rc == 0)
        rc = loop_watch(loop, fd, EPOLLIN, on_connection, port, error);
    if (rc != 0) {
        (void)close(fd);
        free(port);
        return rc;
    }
    port->path = xstrdup(path);
    *ret_port = port;
    return 0;
}

void stop_port_close(struct stop_port *port)
{
    if (port == NULL)
        return;
    while (port->listener_count > 0)
        drop(port, port->listeners[0]);
    loop_forget(port->loop, port->fd);
    (void)close(port->fd);
    (void)unlink(port->path);
    free(port->path);
    free(port);
}

void stop_port_tell(struct stop_port *port, const char *text)
{
    for (size_t i = 0; i < port->listener_count; i++)
        (void)send(port->listeners[i], text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* ---- the other end ---- */

int stop_port_wish(const char *path, const struct stop_wish *wish, int *ret_fd, struct error *error)
{
    struct sockaddr_un address;
    char text[64];
    int fd = make_socket(path, &address, error);
    if (fd < 0)
        return fd;
    int length = wish->now
                     ? snprintf(text, sizeof text, "%s", now_text)
                     : snprintf(text, sizeof text, "%s %" PRIu64, drain_text, wish->within_ms);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        send(fd, text, (size_t)length, MSG_NOSIGNAL) != length) {
        int rc = error_set_errno(error, ERR_UNREACHABLE, errno, "%s", path);
        (void)close(fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

bool stop_port_read(int fd, char ret_text[STOP_TEXT_MAX])
{
    ssize_t length;
    do {
        length = recv(fd, ret_text, STOP_TEXT_MAX - 1, 0);
    } while (length < 0 && errno == EINTR);
    if (length <= 0)
        return false;
    ret_text[length] = '\0';
    return true;
}
