#include "worker/runner/io.h"

#include "common/boot.h"
#include "common/clock.h"
#include "common/limits.h"
#include "common/loop.h"
#include "common/memory.h"
#include "common/stop_point.h"
#include "worker/runner/core.h"
#include "worker/runner/processes.h"
#include "worker/runner/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    /* Frames taken from the agent in one round, so that deadlines are looked at in between. */
    ROUND_FRAMES_MAX = 16,
    /* At the end: how long the last messages may take to leave. */
    FAREWELL_MS = 2000,
    /* An idle runner gives memory of a large frame back. */
    ARENA_KEEP_BYTES = 256 * 1024,
};

struct runner {
    struct loop *loop;
    struct runner_core *core;
    struct processes *processes;
    struct runner_effects effects;
    struct wire wire; /* to the agent; fd -1: none */
    bool wants_write;
    bool broken;          /* it does not read: its queue is full */
    bool more;            /* frames may be left in `wire` that no poll will tell of */
    struct arena arena;   /* of the frame that is being taken */
    struct buffer frame;  /* messages that go out with this round */
    struct order_fds fds; /* of the order that is being taken; -1: none, or taken */
    struct spawn_failure failure;
    int listener;
    char path[WIRE_PATH_MAX];
};

static const struct order_fds no_fds = {{-1, -1}, {-1, -1}};

/* ---- to the agent ---- */

static void step(struct runner *runner, struct runner_event event);

static void connection_end(struct runner *runner)
{
    if (runner->wire.fd < 0)
        return;
    loop_forget(runner->loop, runner->wire.fd);
    wire_fini(&runner->wire);
    buffer_clear(&runner->frame);
    runner->wants_write = false;
    runner->broken = false;
    runner->more = false;
    step(runner, (struct runner_event){.kind = RUNNER_EVENT_DISCONNECTED});
}

/* False: the queue is full; the round ends the connection. */
static bool frame_send(struct runner *runner, const int *fds, uint32_t count)
{
    if (runner->frame.length == 0)
        return true;
    int code = wire_queue(&runner->wire, buffer_slice(&runner->frame), fds, count, NULL);
    buffer_clear(&runner->frame);
    return code == 0;
}

/* The agent's ends of what the attempt has: the second only with the first. Returns how many. */
static uint32_t fds_copy(const struct runner *runner, struct attempt_id id, int copies[2])
{
    const int fds[2] = {
        processes_pipe(runner->processes, id), processes_channel(runner->processes, id)};
    uint32_t count = 0;
    while (count < 2 && fds[count] >= 0) {
        copies[count] = fcntl(fds[count], F_DUPFD_CLOEXEC, 0);
        if (copies[count] < 0)
            break;
        count++;
    }
    return count;
}

static void message_send(struct runner *runner, const struct runner_effect *effect)
{
    static const struct frame_header header = {.version = PROTOCOL_HOST_VERSION};
    if (runner->wire.fd < 0)
        return;
    int copies[2];
    uint32_t count = effect->pipe ? fds_copy(runner, effect->id, copies) : 0;
    /* A message with descriptors has a frame of its own. */
    if (count > 0 || runner->frame.length >= FRAME_TARGET_BYTES)
        runner->broken |= !frame_send(runner, NULL, 0);
    if (runner->frame.length == 0)
        frame_begin(&runner->frame, &header);
    message_encode(&runner->frame, (enum message_id)effect->number, effect->body);
    if (count > 0)
        runner->broken |= !frame_send(runner, copies, count);
}

static void on_agent(void *context, int fd, uint32_t events);

static void agent_flush(struct runner *runner)
{
    if (runner->wire.fd < 0)
        return;
    bool tells = runner->frame.length > 0;
    if (tells)
        stop_here(STOP_AGENT_TELLING);
    bool queued = frame_send(runner, NULL, 0) && !runner->broken;
    int code = queued ? wire_flush(&runner->wire, NULL) : ERR_NO_SPACE;
    if (tells)
        stop_here(STOP_AGENT_TOLD);
    if (code < 0) {
        connection_end(runner);
        return;
    }
    bool wants_write = code == 1;
    if (wants_write == runner->wants_write)
        return;
    runner->wants_write = wants_write;
    (void)loop_watch(runner->loop, runner->wire.fd, EPOLLIN | (wants_write ? EPOLLOUT : 0u),
        on_agent, runner, NULL);
}

/* The last messages are not lost with the process: what is in the socket's buffer stays readable.
 */
static void farewell(struct runner *runner)
{
    uint64_t until = clock_boot_ms() + FAREWELL_MS;
    if (runner->wire.fd < 0 || !frame_send(runner, NULL, 0))
        return;
    while (wire_flush(&runner->wire, NULL) == 1 && clock_boot_ms() < until) {
        struct pollfd poller = {.fd = runner->wire.fd, .events = POLLOUT};
        (void)poll(&poller, 1, FAREWELL_MS);
    }
}

/* ---- effects ---- */

/* Makes the process and turns `event` into the answer for the core. */
static void carry_out_spawn(
    struct runner *runner, const struct runner_effect *effect, struct runner_event *event)
{
    pid_t pid = processes_spawn(runner->processes, effect->id, &runner->failure);
    stop_here(STOP_TASK_BORN);
    *event = (struct runner_event){
        .kind = pid > 0 ? RUNNER_EVENT_SPAWNED : RUNNER_EVENT_SPAWN_FAILED,
        .id = effect->id,
        .pid = (uint64_t)pid,
        .reason = runner->failure.reason,
        .text = slice_of(runner->failure.text),
    };
}

/* True when the core wants `event` next. */
static bool carry_out(
    struct runner *runner, const struct runner_effect *effect, struct runner_event *event)
{
    switch (effect->kind) {
    case RUNNER_EFFECT_SEND:
        message_send(runner, effect);
        break;
    case RUNNER_EFFECT_KEEP:
        stop_here(STOP_TASK_ORDERED);
        processes_keep(runner->processes, effect->start, &runner->fds);
        runner->fds = no_fds;
        break;
    case RUNNER_EFFECT_SPAWN:
        carry_out_spawn(runner, effect, event);
        return true;
    case RUNNER_EFFECT_TERMINATE:
        stop_here(STOP_TASK_TERMINATING);
        processes_terminate(runner->processes, effect->id);
        break;
    case RUNNER_EFFECT_KILL:
        stop_here(STOP_TASK_KILLING);
        processes_kill(runner->processes, effect->id);
        break;
    case RUNNER_EFFECT_FORGET:
        stop_here(STOP_TASK_FORGOTTEN);
        processes_forget(runner->processes, effect->id);
        break;
    case RUNNER_EFFECT_EXIT:
        farewell(runner);
        loop_stop(runner->loop);
        break;
    }
    return false;
}

static void step(struct runner *runner, struct runner_event event)
{
    bool again = true;
    while (again) {
        again = false;
        event.now_ms = clock_boot_ms();
        runner_effects_reset(&runner->effects);
        runner_core_step(runner->core, &event, &runner->effects);
        for (size_t i = 0; i < runner->effects.count; i++)
            again = carry_out(runner, &runner->effects.items[i], &event);
    }
}

/* ---- from the agent ---- */

static void fds_close(const int *fds, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (fds[i] >= 0)
            (void)close(fds[i]);
    }
}

static void pair_take(int pair[2], int *fds, uint32_t count, uint32_t *used)
{
    if (count - *used < 2)
        return;
    for (int i = 0; i < 2; i++) {
        pair[i] = fds[*used];
        fds[(*used)++] = -1;
    }
}

static void message_take(struct runner *runner, const struct message *message)
{
    step(runner, (struct runner_event){.kind = RUNNER_EVENT_MESSAGE, .message = *message});
    fds_close(runner->fds.pipe, 2);
    fds_close(runner->fds.channel, 2);
    runner->fds = no_fds;
}

static int frame_take(struct runner *runner, struct slice bytes, int *fds, uint32_t count)
{
    struct frame_reader reader;
    struct message message;
    uint32_t used = 0;
    int code = frame_open_host(bytes, &runner->arena, &reader, NULL);
    while (code == 0) {
        int got = frame_next(&reader, &message, NULL);
        if (got <= 0) {
            code = got;
            break;
        }
        if (message.body == NULL)
            continue;
        if (message.number == MESSAGE_runner_start) {
            const struct msg_runner_start *start = message.body;
            pair_take(runner->fds.pipe, fds, count, &used);
            if (start->operator)
                pair_take(runner->fds.channel, fds, count, &used);
        }
        message_take(runner, &message);
    }
    fds_close(fds, count);
    if (runner->arena.total > ARENA_KEEP_BYTES)
        arena_fini(&runner->arena);
    else
        arena_reset(&runner->arena);
    return code;
}

static void agent_read(struct runner *runner)
{
    runner->more = false;
    for (int i = 0; i < ROUND_FRAMES_MAX; i++) {
        struct slice frame;
        int fds[WIRE_FDS_MAX];
        uint32_t count;
        int code = wire_receive(&runner->wire, &frame, fds, &count, NULL);
        if (code == 0)
            return;
        if (code > 0)
            code = frame_take(runner, frame, fds, count);
        if (code < 0) {
            connection_end(runner);
            return;
        }
    }
    runner->more = true;
}

static void on_agent(void *context, int fd, uint32_t events)
{
    struct runner *runner = context;
    if (fd == runner->wire.fd && (events & ~(uint32_t)EPOLLOUT) != 0)
        agent_read(runner);
}

/* The socket is 0600, and yet: who may not read our memory shall not start programs as us. */
static bool peer_is_allowed(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

static void on_listener(void *context, int listener, uint32_t events)
{
    struct runner *runner = context;
    (void)events;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    if (!peer_is_allowed(fd)) {
        (void)close(fd);
        return;
    }
    connection_end(runner);
    if (loop_watch(runner->loop, fd, EPOLLIN, on_agent, runner, NULL) != 0) {
        (void)close(fd);
        return;
    }
    wire_init(&runner->wire, fd);
    step(runner, (struct runner_event){.kind = RUNNER_EVENT_CONNECTED});
}

/* ---- children and time ---- */

static void on_process(void *context, const struct runner_event *event)
{
    stop_here(event->kind == RUNNER_EVENT_EMPTY ? STOP_TASK_CLEARED : STOP_TASK_REAPED);
    step(context, *event);
}

static void on_signal(void *context, int signal)
{
    struct runner *runner = context;
    if (signal == SIGTERM)
        step(runner, (struct runner_event){.kind = RUNNER_EVENT_TERM});
    else
        processes_reap(runner->processes, on_process, runner);
}

static void on_timer(void *context)
{
    step(context, (struct runner_event){.kind = RUNNER_EVENT_TIMER});
}

static bool on_round(void *context)
{
    struct runner *runner = context;
    if (runner->more)
        agent_read(runner);
    processes_clear(runner->processes, clock_boot_ms(), on_process, runner);
    agent_flush(runner);
    processes_end_pipes(runner->processes);
    uint64_t core = runner_core_next_ms(runner->core);
    uint64_t processes = processes_next_ms(runner->processes);
    loop_set_timer(runner->loop, core < processes ? core : processes);
    return runner->more;
}

/* ---- beginning and end ---- */

/* Bound and listening under a temporary name first: who finds the socket finds somebody behind it.
 */
static int listen_at(struct runner *runner, const char *folder, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length = snprintf(address.sun_path, sizeof address.sun_path, "%s/%s%d", folder,
        ".tmp-runner-", (int)getpid());
    if (length < 0 || (size_t)length >= sizeof address.sun_path)
        return error_set(error, ERR_USAGE, "the folder's name %s is too long", folder);
    runner->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (runner->listener < 0)
        return error_set_errno(error, ERR_IO, errno, "socket");
    (void)unlink(address.sun_path);
    mode_t mask = umask(0177);
    int bound =
        bind(runner->listener, (const struct sockaddr *)(const void *)&address, sizeof address);
    (void)umask(mask);
    if (bound != 0 || listen(runner->listener, 8) != 0 ||
        rename(address.sun_path, runner->path) != 0)
        return error_set_errno(error, ERR_IO, errno, "cannot listen on %s", runner->path);
    return 0;
}

static int loop_prepare(struct runner *runner, struct error *error)
{
    static const int signals[] = {SIGCHLD, SIGTERM};
    int code = loop_create(&runner->loop, error);
    if (code == 0)
        code = loop_on_signals(runner->loop, signals, 2, on_signal, runner, error);
    if (code == 0)
        code = loop_watch(runner->loop, runner->listener, EPOLLIN, on_listener, runner, error);
    if (code != 0)
        return code;
    loop_on_timer(runner->loop, on_timer, runner);
    loop_on_round(runner->loop, on_round, runner);
    return 0;
}

int runner_open(const char *folder, uint64_t instance, bool use_cgroups, struct runner **ret_runner,
    struct error *error)
{
    unsigned char boot[RUNNER_BOOT_BYTES];
    struct runner *runner = xcalloc(1, sizeof *runner);
    runner->wire.fd = -1;
    runner->listener = -1;
    runner->fds = no_fds;
    int code = boot_read(boot, error);
    if (code == 0)
        code = wire_path(folder, instance, runner->path, error);
    if (code == 0)
        code = listen_at(runner, folder, error);
    if (code == 0)
        code = loop_prepare(runner, error);
    if (code != 0) {
        runner_close(runner);
        return code;
    }
    runner->processes = processes_create(instance, use_cgroups);
    runner->core = runner_core_create(instance, boot, (uint64_t)getpid(), clock_boot_ms());
    runner_core_set_limits(runner->core, processes_limits(runner->processes));
    *ret_runner = runner;
    return 0;
}

void runner_run(struct runner *runner)
{
    loop_set_timer(runner->loop, runner_core_next_ms(runner->core));
    loop_run(runner->loop);
}

void runner_close(struct runner *runner)
{
    if (runner == NULL)
        return;
    if (runner->listener >= 0) {
        (void)unlink(runner->path);
        (void)close(runner->listener);
    }
    wire_fini(&runner->wire);
    processes_destroy(runner->processes);
    runner_core_destroy(runner->core);
    runner_effects_fini(&runner->effects);
    arena_fini(&runner->arena);
    buffer_fini(&runner->frame);
    loop_destroy(runner->loop);
    free(runner);
}
