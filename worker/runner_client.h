/*
 * runner_client.h - the agent's side of the runner: starts one, finds those that live, talks to
 * them, and clears up after one that died. Every call but runner_start, runner_connect and
 * runner_sweep returns at once.
 *
 * A runner's socket is FOLDER/runner-INSTANCE.sock; FOLDER is the data directory's private/.
 *
 * What an agent does at its start, before it registers:
 *     for each instance of runner_find: runner_connect; when that says ERR_UNREACHABLE the runner
 * is dead: runner_sweep, then runner_forget_socket when none lives: runner_start (before the agent
 * has threads), runner_connect with each: the first frame holds runner_hello; say runner_list, wait
 * for runner_listed
 */
#ifndef WORKER_RUNNER_CLIENT_H
#define WORKER_RUNNER_CLIENT_H

#include "common/error.h"
#include "common/slice.h"
#include "worker/runner/wire.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct runner_client;

/* Most descriptors of one frame: a frame may hold that many halves of runner_start's pipes. */
enum { RUNNER_FDS_MAX = WIRE_FDS_MAX };

struct runner_instances {
    uint64_t *items;
    size_t count;
    size_t capacity;
};

/* The instances that have a socket in folder, dead or alive. */
int runner_find(const char *folder, struct runner_instances *ret_instances, struct error *error);
void runner_instances_fini(struct runner_instances *instances);

struct runner_start_options {
    const char *folder;
    const char *program; /* NULL: `reeve-runner` beside the running program */
    bool no_cgroups;
};

/* Starts a runner, in a session of its own, and returns when it listens. Its errors come from its
   stderr, which is the caller's until then. It is a child of the caller; runner_client_destroy
   reaps it when it has ended. */
int runner_start(
    const struct runner_start_options *options, uint64_t *ret_instance, struct error *error);

/* ERR_UNREACHABLE: no runner lives behind that socket. It ends the connection of any agent before.
 */
int runner_connect(
    const char *folder, uint64_t instance, struct runner_client **ret_client, struct error *error);
void runner_client_destroy(struct runner_client *client);

/* To be watched for EPOLLIN, and for EPOLLOUT while runner_client_flush returns 1. */
int runner_client_fd(const struct runner_client *client);
/* Becomes readable (EPOLLIN) when the runner's process ends. */
int runner_client_pidfd(const struct runner_client *client);
pid_t runner_client_pid(const struct runner_client *client);
/* Whether runner_start would start another program file: this one was started before an upgrade. */
bool runner_client_is_outdated(const struct runner_client *client);

/*
 * Queues a frame of messages (copied) and sends what the socket takes. The descriptors belong to
 * the frame's runner_start messages, in order, read end and write end for each; they are taken:
 * closed when sent, and after an error. Returns 0, 1 when something waits for EPOLLOUT,
 * ERR_UNREACHABLE, ERR_NO_SPACE (it does not read), ERR_TOO_BIG.
 */
int runner_client_send(struct runner_client *client, struct slice frame, const int *fds,
    uint32_t count, struct error *error);
int runner_client_flush(struct runner_client *client, struct error *error);

/*
 * The next frame: 1 and *ret_frame (borrowed until the next call); a frame with a runner_holds may
 * bring one descriptor, the read end of that attempt's pipe, the caller's to close. An attempt that
 * never started, whose pipe was refused or which the runner could not duplicate, brings none. 0:
 * nothing yet. ERR_UNREACHABLE: the runner ended, or another agent took its place. Call until 0.
 */
int runner_client_receive(struct runner_client *client, struct slice *ret_frame,
    int ret_fds[RUNNER_FDS_MAX], uint32_t *ret_count, struct error *error);

/* Kills everything that a dead runner left on this host, and waits until it is gone; ERR_TIMEOUT
   when something is still there after timeout_ms: then its attempts must not be called lost. */
int runner_sweep(uint64_t instance, uint64_t timeout_ms, struct error *error);
/* Removes the socket of a dead runner. */
void runner_forget_socket(const char *folder, uint64_t instance);

#endif
