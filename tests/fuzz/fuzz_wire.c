/*
 * The runner's socket: whatever a peer writes there, in whatever pieces, frames come out of it or
 * the connection ends; a start that is read can be made into what execve wants, or is refused.
 */
#include "common/hash.h"
#include "proto/proto.h"
#include "worker/runner/order.h"
#include "worker/runner/wire.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds)
{
    if (!holds)
        abort();
}

static void take_start(const struct msg_runner_start *start, struct arena *arena)
{
    struct spawn_order order = {0};
    struct spawn_failure failure = {0};
    if (!order_make(start, "scope", arena, &order, &failure)) {
        demand(failure.text[0] != '\0');
        return;
    }
    uint32_t count = 0;
    while (order.arguments[count] != NULL)
        count++;
    demand(count == start->arguments.count);
}

static void take_frame(struct slice frame)
{
    struct arena arena = {0};
    struct frame_reader reader;
    struct message message;
    if (frame_open_host(frame, &arena, &reader, NULL) == 0) {
        while (frame_next(&reader, &message, NULL) == 1) {
            if (message.number == MESSAGE_runner_start)
                take_start(message.body, &arena);
        }
    }
    arena_fini(&arena);
}

/* Returns false when the connection is over. */
static bool receive_all(struct wire *wire)
{
    int fds[WIRE_FDS_MAX];
    struct slice frame;
    struct error error = {0};
    uint32_t count;
    int rc;
    while ((rc = wire_receive(wire, &frame, fds, &count, &error)) == 1) {
        for (uint32_t i = 0; i < count; i++)
            (void)close(fds[i]);
        take_frame(frame);
    }
    demand(rc == 0 || rc == ERR_UNREACHABLE || rc == ERR_MALFORMED);
    demand(rc == 0 || error.text[0] != '\0');
    return rc == 0;
}

/* The first byte: in pieces of how many bytes, and how many descriptors go with each. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int other = -1;
    int ends[2];
    if (other < 0)
        other = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (size == 0 || size > 100000)
        return 0;
    demand(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    struct wire wire;
    wire_init(&wire, ends[0]);
    size_t piece = 1 + (size_t)(data[0] >> 2) * 64;
    bool alive = true;
    for (size_t at = 1; alive && at < size; at += piece) {
        size_t length = size - at < piece ? size - at : piece;
        struct iovec part = {.iov_base = (void *)(uintptr_t)(data + at), .iov_len = length};
        union {
            struct cmsghdr head;
            char bytes[CMSG_SPACE(sizeof(int) * 3)];
        } control = {.head = {.cmsg_level = SOL_SOCKET,
                         .cmsg_type = SCM_RIGHTS,
                         .cmsg_len = CMSG_LEN(sizeof(int) * (data[0] & 3u))}};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
        for (int i = 0; i < (data[0] & 3); i++)
            ((int *)(void *)CMSG_DATA(&control.head))[i] = other;
        if ((data[0] & 3) != 0) {
            message.msg_control = control.bytes;
            message.msg_controllen = CMSG_SPACE(sizeof(int) * (data[0] & 3u));
        }
        demand(sendmsg(ends[1], &message, MSG_NOSIGNAL) == (ssize_t)length);
        alive = receive_all(&wire);
    }
    (void)close(ends[1]);
    if (alive)
        demand(!receive_all(&wire));
    wire_fini(&wire);
    return 0;
}
