/*
 * wire.h - frames with descriptors over a unix stream socket, for both ends of the runner's socket.
 * Never blocks.
 *
 * On the socket a frame is {u32 length, u32 descriptors} in native order, then `length` bytes of
 * proto; its descriptors travel with its first byte. A stream, not SOCK_SEQPACKET, because a packet
 * of FRAME_MAX_BYTES would not fit into a socket's buffer. One owner, one thread.
 */
#ifndef WORKER_RUNNER_WIRE_H
#define WORKER_RUNNER_WIRE_H

#include "common/buffer.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    /* Descriptors of one frame; more is malformed. */
    WIRE_FDS_MAX = 64,
    /* What waits to be sent; at the bound wire_queue refuses, and the owner ends the connection. */
    WIRE_QUEUE_MAX_BYTES = 64 * 1024 * 1024,
};

struct wire_fd {
    uint64_t at; /* offset in the stream of the byte that it goes with, or came with */
    int fd;
};

/* Zero-initialised with fd -1 is "not connected". */
struct wire {
    int fd; /* owned */
    struct buffer in;
    size_t in_done; /* bytes of `in` that are the frame given out last */
    struct buffer out;
    uint64_t out_offset;     /* of out.data[0] in the stream */
    struct wire_fd *out_fds; /* owned descriptors, in order */
    size_t out_fd_count, out_fd_capacity;
    int in_fds[2 * WIRE_FDS_MAX]; /* came, and their frame is not complete yet */
    uint32_t in_fd_count;
    bool ended; /* the peer has closed; `in` may still hold frames */
};

/* Takes fd, a connected non-blocking SOCK_STREAM socket. */
void wire_init(struct wire *wire, int fd);
/* Closes it and every descriptor that it still holds. */
void wire_fini(struct wire *wire);

/*
 * Queues one frame (copied) with its descriptors, which are taken: closed when they were sent, and
 * also after an error. ERR_TOO_BIG beyond FRAME_MAX_BYTES, ERR_NO_SPACE when the queue is full.
 */
int wire_queue(
    struct wire *wire, struct slice frame, const int *fds, uint32_t count, struct error *error);
/* Sends what the socket takes: 0 all is sent, 1 something waits (ask for POLLOUT), ERR_UNREACHABLE
 * the peer is gone. */
int wire_flush(struct wire *wire, struct error *error);

/*
 * The next frame: 1 and *ret_frame, borrowed until the next call, with `*ret_count` descriptors
 * that are the caller's now; 0 nothing is there yet; ERR_UNREACHABLE the peer has closed;
 * ERR_MALFORMED it does not keep to the format (end the connection).
 */
int wire_receive(struct wire *wire, struct slice *ret_frame, int ret_fds[WIRE_FDS_MAX],
    uint32_t *ret_count, struct error *error);

enum { WIRE_PATH_MAX = 108 };
/* FOLDER/runner-INSTANCE.sock; ERR_USAGE by name when that is too long for a socket's address. */
int wire_path(const char *folder, uint64_t instance, char path[WIRE_PATH_MAX], struct error *error);

#endif
