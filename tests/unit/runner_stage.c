#include "runner_stage.h"

#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

const struct attempt_id A = {.run = 9, .task = 1, .attempt = 1};
const struct attempt_id B = {.run = 9, .task = 2, .attempt = 1};

void connect_agent(struct agent *agent)
{
    struct error error;
    if (runner_connect(agent->folder, agent->instance, &agent->client, &error) != 0)
        fail_msg("%s", error.text);
    agent->reading = false;
}

void disconnect_agent(struct agent *agent)
{
    runner_client_destroy(agent->client);
    agent->client = NULL;
}

static void say_with(
    struct agent *agent, enum message_id number, const void *body, const int *fds, uint32_t count)
{
    struct frame_header header = {.version = PROTOCOL_VERSION};
    struct buffer frame = {0};
    frame_begin(&frame, &header);
    message_encode(&frame, number, body);
    struct pollfd poller = {.fd = runner_client_fd(agent->client), .events = POLLOUT};
    int code = runner_client_send(agent->client, buffer_slice(&frame), fds, count, NULL);
    while (code == 1 && poll(&poller, 1, PATIENCE_MS) == 1)
        code = runner_client_flush(agent->client, NULL);
    assert_int_equal(code, 0);
    buffer_fini(&frame);
}

void say(struct agent *agent, enum message_id number, const void *body)
{
    say_with(agent, number, body, NULL, 0);
}

void wait_readable(int fd)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    if (poll(&poller, 1, PATIENCE_MS) != 1)
        fail_msg("nothing came in time");
}

/* The next frame; false: the connection has ended. */
static bool next_frame(struct agent *agent)
{
    for (;;) {
        struct slice bytes;
        int fds[RUNNER_FDS_MAX];
        uint32_t count;
        int code = runner_client_receive(agent->client, &bytes, fds, &count, NULL);
        if (code < 0)
            return false;
        if (code == 0) {
            wait_readable(runner_client_fd(agent->client));
            continue;
        }
        assert_true(count <= 2);
        agent->fd = count >= 1 ? fds[0] : -1;
        agent->channel = count == 2 ? fds[1] : -1;
        bytes = arena_copy(&agent->frames, bytes);
        assert_int_equal(frame_open(bytes, &agent->arena, &agent->reader, NULL), 0);
        agent->reading = true;
        return true;
    }
}

struct message next_message(struct agent *agent)
{
    struct message message = {0};
    for (;;) {
        if (agent->reading && frame_next(&agent->reader, &message, NULL) == 1)
            return message;
        if (!next_frame(agent))
            return (struct message){0};
    }
}

const void *expect(struct agent *agent, enum message_id number)
{
    for (;;) {
        struct message message = next_message(agent);
        if (message.number == number)
            return message.body;
        if (message.number == 0)
            fail_msg("the runner has closed the connection before %s", message_name(number));
    }
}

static int setup(struct agent **ret_agent, bool no_cgroups)
{
    struct agent *agent = calloc(1, sizeof *agent);
    struct error error;
    (void)snprintf(agent->folder, sizeof agent->folder, "/tmp/reeve-XXXXXX");
    if (mkdtemp(agent->folder) == NULL)
        return -1;
    struct runner_start_options options = {.folder = agent->folder, .no_cgroups = no_cgroups};
    if (runner_start(&options, &agent->instance, &error) != 0)
        fail_msg("%s", error.text);
    connect_agent(agent);
    (void)expect(agent, MESSAGE_runner_hello);
    *ret_agent = agent;
    return 0;
}

int setup_cgroups(void **state)
{
    return setup((struct agent **)state, false);
}

int setup_no_cgroups(void **state)
{
    return setup((struct agent **)state, true);
}

void wait_for_end(struct agent *agent)
{
    wait_readable(runner_client_pidfd(agent->client));
}

int teardown(void **state)
{
    struct agent *agent = *state;
    if (agent->client != NULL) {
        struct msg_runner_stop stop = {.now = true};
        struct frame_header header = {.version = PROTOCOL_VERSION};
        struct buffer frame = {0};
        frame_begin(&frame, &header);
        message_encode(&frame, MESSAGE_runner_stop, &stop);
        (void)runner_client_send(agent->client, buffer_slice(&frame), NULL, 0, NULL);
        buffer_fini(&frame);
        wait_for_end(agent);
        disconnect_agent(agent);
    }
    runner_forget_socket(agent->folder, agent->instance);
    (void)rmdir(agent->folder);
    arena_fini(&agent->arena);
    arena_fini(&agent->frames);
    free(agent);
    return 0;
}

/* ---- tasks ---- */

static struct slice environment[] = {
    {"PATH=/usr/bin:/bin", 18},
    {"REEVE_SCOPE=forged", 18},
    {"GREETING=hello", 14},
};

static void fill(struct msg_runner_start *start, struct slice *arguments, uint32_t count)
{
    start->arguments = (struct texts){arguments, count};
    start->env = (struct texts){environment, sizeof environment / sizeof *environment};
    if (start->folder.length == 0)
        start->folder = slice_of("/tmp");
    start->stamp = clock_boot_ms();
    if (start->lease_ms == 0)
        start->lease_ms = 300000;
    if (start->kill_grace_ms == 0)
        start->kill_grace_ms = GRACE_MS;
    start->cookie = slice_of("biscuit");
}

int start_with(
    struct agent *agent, struct msg_runner_start *start, struct slice *arguments, uint32_t count)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    int fds[2] = {fcntl(ends[0], F_DUPFD_CLOEXEC, 0), ends[1]};
    fill(start, arguments, count);
    say_with(agent, MESSAGE_runner_start, start, fds, 2);
    return ends[0];
}

int start_operator(struct agent *agent, struct attempt_id id, const char *script, int *ret_channel)
{
    struct slice arguments[] = {slice_of("bash"), slice_of("-c"), slice_of(script)};
    struct msg_runner_start start = {.id = id, .operator= true };
    int ends[2], sockets[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    int fds[4] = {fcntl(ends[0], F_DUPFD_CLOEXEC, 0), ends[1],
        fcntl(sockets[0], F_DUPFD_CLOEXEC, 0), sockets[1]};
    fill(&start, arguments, 3);
    say_with(agent, MESSAGE_runner_start, &start, fds, 4);
    *ret_channel = sockets[0];
    return ends[0];
}

int start_bash(struct agent *agent, struct attempt_id id, const char *script)
{
    struct slice arguments[] = {slice_of("bash"), slice_of("-c"), slice_of(script)};
    struct msg_runner_start start = {.id = id};
    return start_with(agent, &start, arguments, 3);
}

void read_line(int fd, char *line, size_t size)
{
    size_t length = 0;
    while (length + 1 < size) {
        wait_readable(fd);
        if (read(fd, line + length, 1) != 1 || line[length] == '\n')
            break;
        length++;
    }
    line[length] = '\0';
}

void assert_line(int fd, const char *text)
{
    char line[512];
    read_line(fd, line, sizeof line);
    assert_string_equal(line, text);
}

pid_t read_pid(int fd)
{
    char line[32];
    read_line(fd, line, sizeof line);
    pid_t pid = atoi(line);
    assert_true(pid > 1);
    return pid;
}

void assert_end_of_pipe(int fd)
{
    char byte;
    wait_readable(fd);
    assert_int_equal(read(fd, &byte, 1), 0);
    (void)close(fd);
}

void assert_gone(pid_t pid)
{
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(errno, ESRCH);
}

void ask_kill(struct agent *agent, struct attempt_id id)
{
    struct msg_runner_kill body = {.id = id, .reason = REASON_CANCELLED};
    say(agent, MESSAGE_runner_kill, &body);
}

void forget(struct agent *agent, struct attempt_id id)
{
    struct msg_runner_forget body = {.id = id};
    say(agent, MESSAGE_runner_forget, &body);
}

void assert_text(struct slice text, const char *expected)
{
    char copy[1100];
    (void)snprintf(copy, sizeof copy, "%.*s", SLICE_PRINT(text));
    assert_string_equal(copy, expected);
}
