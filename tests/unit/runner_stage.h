/*
 * runner_stage.h - a runner with real processes, and a test that plays its agent. Every helper
 * fails the test when what it waits for does not come in time.
 */
#ifndef TESTS_RUNNER_STAGE_H
#define TESTS_RUNNER_STAGE_H

#include "proto/proto.h"
#include "worker/runner_client.h"

#include <stdbool.h>
#include <sys/types.h>

enum { PATIENCE_MS = 20000, GRACE_MS = 300 };

struct agent {
    char folder[64];
    uint64_t instance;
    struct runner_client *client;
    struct arena arena;  /* of every message of the test */
    struct arena frames; /* their bytes */
    struct frame_reader reader;
    bool reading;
    int fd, channel; /* came with the frame that is being read; -1: none */
};

void connect_agent(struct agent *agent);
void disconnect_agent(struct agent *agent);
void say(struct agent *agent, enum message_id number, const void *body);
/* The next message; number 0: the connection has ended. */
struct message next_message(struct agent *agent);
/* The next message of this kind; others are passed over. */
const void *expect(struct agent *agent, enum message_id number);
void wait_readable(int fd);
void wait_for_end(struct agent *agent);
int teardown(void **state);
/* Sends the order; returns the read end of the pipe. */
int start_with(
    struct agent *agent, struct msg_runner_start *start, struct slice *arguments, uint32_t count);
int start_bash(struct agent *agent, struct attempt_id id, const char *script);
/* As start_bash, of an operator; its socket's other end too. */
int start_operator(struct agent *agent, struct attempt_id id, const char *script, int *ret_channel);
void read_line(int fd, char *line, size_t size);
void assert_line(int fd, const char *text);
pid_t read_pid(int fd);
void assert_end_of_pipe(int fd);
void assert_gone(pid_t pid);
void ask_kill(struct agent *agent, struct attempt_id id);
void forget(struct agent *agent, struct attempt_id id);
void assert_text(struct slice text, const char *expected);
int setup_cgroups(void **state);
int setup_no_cgroups(void **state);

extern const struct attempt_id A;
extern const struct attempt_id B;

/* A test twice: with cgroups and without. */
#define BOTH(name)                                                                                 \
    {#name "_cgroups", name, setup_cgroups, teardown, NULL},                                       \
    {                                                                                              \
#name "_no_cgroups", name, setup_no_cgroups, teardown, NULL                                \
    }

#endif
