#include "worker/runner/wire.h"

#include "common/limits.h"
#include "common/memory.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct header {
    uint32_t length;
    uint32_t fds;
};

/* One read; also what an idle connection may keep. */
enum { READ_BYTES = 64 * 1024 };

void wire_init(struct wire *wire, int fd)
{
    *wire = (struct wire){.fd = fd};
}

static void close_all(const int *fds, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        (void)close(fds[i]);
}

void wire_fini(struct wire *wire)
{
    if (wire->fd >= 0)
        (void)close(wire->fd);
    for (size_t i = 0; i < wire->out_fd_count; i++)
        (void)close(wire->out_fds[i].fd);
    free(wire->out_fds);
    close_all(wire->in_fds, wire->in_fd_count);
    buffer_fini(&wire->in);
    buffer_fini(&wire->out);
    *wire = (struct wire){.fd = -1};
}

int wire_path(const char *folder, uint64_t instance, char path[WIRE_PATH_MAX], struct error *error)
{
    static_assert(WIRE_PATH_MAX == sizeof((struct sockaddr_un *)0)->sun_path, "what fits");
    int length = snprintf(path, WIRE_PATH_MAX, "%s/runner-%016" PRIx64 ".sock", folder, instance);
    if (length < 0 || length >= WIRE_PATH_MAX)
        return error_set(error, ERR_USAGE,
            "the path of a socket in %s is longer than %d bytes: choose a shorter data directory",
            folder, WIRE_PATH_MAX - 1);
    return 0;
}

/* ---- out ---- */

int wire_queue(
    struct wire *wire, struct slice frame, const int *fds, uint32_t count, struct error *error)
{
    int code = 0;
    if (frame.length > FRAME_MAX_BYTES || count > WIRE_FDS_MAX)
        code = error_set(error, ERR_TOO_BIG, "a frame of %zu bytes and %u descriptors is too big",
            frame.length, count);
    else if (wire->out.length + frame.length > WIRE_QUEUE_MAX_BYTES)
        code = error_set(error, ERR_NO_SPACE, "the peer does not read: its queue is full");
    if (code != 0) {
        close_all(fds, count);
        return code;
    }
    uint64_t at = wire->out_offset + wire->out.length;
    for (uint32_t i = 0; i < count; i++) {
        vector_reserve(&wire->out_fds, wire->out_fd_count, &wire->out_fd_capacity);
        wire->out_fds[wire->out_fd_count++] = (struct wire_fd){.at = at, .fd = fds[i]};
    }
    struct header header = {.length = (uint32_t)frame.length, .fds = count};
    buffer_append(&wire->out, &header, sizeof header);
    buffer_append_slice(&wire->out, frame);
    return 0;
}

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * WIRE_FDS_MAX)];
};

/*
 * How many bytes may go in one send, and which descriptors go with the first of them: a send ends
 * where the next frame with descriptors begins, since descriptors are attached to a send as a
 * whole.
 */
static size_t next_send(const struct wire *wire, uint32_t *ret_fds)
{
    uint32_t count = 0;
    while (count < wire->out_fd_count && wire->out_fds[count].at == wire->out_offset)
        count++;
    *ret_fds = count;
    if (count == wire->out_fd_count)
        return wire->out.length;
    return (size_t)(wire->out_fds[count].at - wire->out_offset);
}

static void out_fds_drop(struct wire *wire, uint32_t count)
{
    if (count == 0)
        return;
    for (uint32_t i = 0; i < count; i++)
        (void)close(wire->out_fds[i].fd);
    wire->out_fd_count -= count;
    memmove(wire->out_fds, wire->out_fds + count, wire->out_fd_count * sizeof *wire->out_fds);
}

static ssize_t send_once(struct wire *wire)
{
    uint32_t count;
    struct iovec part = {.iov_base = wire->out.data, .iov_len = next_send(wire, &count)};
    union control control = {0};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int) * count);
        int *fds = (int *)(void *)CMSG_DATA(head);
        for (uint32_t i = 0; i < count; i++)
            fds[i] = wire->out_fds[i].fd;
    }
    ssize_t sent = sendmsg(wire->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0)
        out_fds_drop(wire, count);
    return sent;
}

static void out_shrink(struct wire *wire)
{
    if (wire->out.length == 0 && wire->out.capacity > READ_BYTES)
        buffer_fini(&wire->out);
}

int wire_flush(struct wire *wire, struct error *error)
{
    while (wire->out.length > 0) {
        ssize_t sent = send_once(wire);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return 1;
        if (sent < 0)
            return error_set_errno(error, ERR_UNREACHABLE, errno, "send");
        buffer_consume(&wire->out, (size_t)sent);
        wire->out_offset += (uint64_t)sent;
    }
    out_shrink(wire);
    return 0;
}

/* ---- in ---- */

static int take_fds(struct wire *wire, struct msghdr *message, struct error *error)
{
    int code = 0;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head != NULL;
         head = CMSG_NXTHDR(message, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        const int *fds = (const int *)(const void *)CMSG_DATA(head);
        for (size_t i = 0; i < count; i++) {
            if (wire->in_fd_count < sizeof wire->in_fds / sizeof *wire->in_fds) {
                wire->in_fds[wire->in_fd_count++] = fds[i];
                continue;
            }
            (void)close(fds[i]);
            code = error_set(error, ERR_MALFORMED, "more descriptors than frames ask for");
        }
    }
    if (code == 0 && (message->msg_flags & MSG_CTRUNC) != 0)
        code = error_set(error, ERR_MALFORMED, "descriptors were lost: too many open files?");
    return code;
}

/* 1 something came, 0 nothing is there, ERR_UNREACHABLE the peer closed. */
static int read_once(struct wire *wire, struct error *error)
{
    union control control;
    struct iovec part = {.iov_base = buffer_reserve(&wire->in, READ_BYTES), .iov_len = READ_BYTES};
    struct msghdr message = {.msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes};
    ssize_t got = recvmsg(wire->fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (got < 0 && errno == EINTR)
        return 1;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    if (got <= 0) {
        wire->ended = true;
        return error_set(error, ERR_UNREACHABLE, "the other end has closed the connection");
    }
    wire->in.length += (size_t)got;
    int code = take_fds(wire, &message, error);
    return code != 0 ? code : 1;
}

/* As wire_receive, of what was read already. */
static int frame_take(struct wire *wire, struct slice *ret_frame, int ret_fds[WIRE_FDS_MAX],
    uint32_t *ret_count, struct error *error)
{
    struct header header;
    if (wire->in.length < sizeof header)
        return 0;
    memcpy(&header, wire->in.data, sizeof header);
    if (header.length > FRAME_MAX_BYTES || header.fds > WIRE_FDS_MAX)
        return error_set(error, ERR_MALFORMED, "a frame of %u bytes with %u descriptors",
            header.length, header.fds);
    if (wire->in.length < sizeof header + header.length)
        return 0;
    if (wire->in_fd_count < header.fds)
        return error_set(error, ERR_MALFORMED, "a frame came without its descriptors");
    memcpy(ret_fds, wire->in_fds, header.fds * sizeof *ret_fds);
    wire->in_fd_count -= header.fds;
    memmove(wire->in_fds, wire->in_fds + header.fds, wire->in_fd_count * sizeof *wire->in_fds);
    *ret_frame = slice_make(wire->in.data + sizeof header, header.length);
    *ret_count = header.fds;
    wire->in_done = sizeof header + header.length;
    return 1;
}

int wire_receive(struct wire *wire, struct slice *ret_frame, int ret_fds[WIRE_FDS_MAX],
    uint32_t *ret_count, struct error *error)
{
    buffer_consume(&wire->in, wire->in_done);
    wire->in_done = 0;
    for (;;) {
        int code = frame_take(wire, ret_frame, ret_fds, ret_count, error);
        if (code != 0)
            return code;
        if (wire->ended)
            return error_set(error, ERR_UNREACHABLE, "the other end has closed the connection");
        code = read_once(wire, error);
        if (code > 0)
            continue;
        if (code == 0 && wire->in.length == 0 && wire->in.capacity > 2 * READ_BYTES)
            buffer_fini(&wire->in);
        return code;
    }
}
