#include "worker/io/host_state.h"
#include "worker/io/runners.h"

#include "common/limits.h"
#include "common/log.h"
#include "common/stop_point.h"

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

/* From the end of its connection to the end of the process. */
enum { DEATH_MS = 1000 };

/* ---- from the runner ---- */

/* An attempt that it holds is taken over before the core hears of it. */
static void adopt(struct host *host, const struct msg_runner_holds *holds, int fds[2])
{
    attempts_adopt(host->attempts, &holds->id, fds[0], fds[1]);
    fds[0] = -1;
    fds[1] = -1;
}

static void on_listed(struct host *host)
{
    if (host->listed)
        return;
    host->listed = true;
    attempts_clean(host->attempts);
    leaving_listed(host);
}

static void log_limits(const struct msg_runner_hello *hello)
{
    struct slice memory = hello->memory_limit_by;
    if (memory.length == 0)
        log_warn("the runner is an older one: it does not limit the memory and cpus of tasks");
    else if (slice_is(memory, "rlimit"))
        log_info("`memory` limits each process of a task, not all of them together: no cgroup with "
                 "the memory controller may be used here; `cpus` by %.*s",
            SLICE_PRINT(hello->cpu_limit_by));
    else
        log_info("`memory` limits a whole task by %.*s, `cpus` by %.*s", SLICE_PRINT(memory),
            SLICE_PRINT(hello->cpu_limit_by));
}

static void take_message(struct host *host, const struct message *message, int fds[2])
{
    if (message->body == NULL)
        return;
    if (message->number == MESSAGE_runner_hello)
        log_limits(message->body);
    if (message->number == MESSAGE_runner_holds)
        adopt(host, message->body, fds);
    host_step(host, (struct agent_event){.kind = AGENT_EVENT_RUNNER, .runner = *message});
    if (message->number == MESSAGE_runner_holds)
        attempts_listen(host->attempts, &((const struct msg_runner_holds *)message->body)->id);
    if (message->number == MESSAGE_runner_listed)
        on_listed(host);
}

static int take_frame(struct host *host, struct slice frame, int fds[2], struct error *error)
{
    struct frame_reader reader;
    struct message message;
    arena_reset(&host->runner.arena);
    int rc = frame_open_host(frame, &host->runner.arena, &reader, error);
    while (rc == 0 && (rc = frame_next(&reader, &message, error)) == 1) {
        take_message(host, &message, fds);
        rc = 0;
    }
    return rc;
}

static void died(struct host *host)
{
    struct error error = {0};
    log_error("the runner has died; killing what it left");
    if (runners_bury(&host->identity, host->folder, host->runner.instance, &error) != 0)
        log_error("%s", error.text);
    host_end(host, HOST_EXIT_AGAIN);
}

static void on_death(void *context, int fd, uint32_t events)
{
    struct host *host = context;
    (void)events;
    loop_forget(host->loop, fd);
    if (!host->ending)
        died(host);
}

/* The connection is over: mostly because the process ends, which its pidfd shows a moment later. */
static void lost(struct host *host, const struct error *error)
{
    struct pollfd poller = {.fd = runner_client_pidfd(host->runner.client), .events = POLLIN};
    loop_forget(host->loop, runner_client_fd(host->runner.client));
    if (host->ending)
        return;
    if (error->code == ERR_UNREACHABLE && poll(&poller, 1, DEATH_MS) == 1) {
        died(host);
        return;
    }
    log_error("the runner does not answer: %s", error->text);
    host_end(host, HOST_EXIT_AGAIN);
}

static void on_runner(void *context, int fd, uint32_t events)
{
    struct host *host = context;
    struct error error = {0};
    struct slice frame;
    int fds[RUNNER_FDS_MAX];
    uint32_t count;
    int rc = 0;
    (void)fd;
    if ((events & EPOLLOUT) != 0)
        runner_link_flush(host);
    while ((rc = runner_client_receive(host->runner.client, &frame, fds, &count, &error)) == 1) {
        for (uint32_t i = 2; i < count; i++)
            (void)close(fds[i]);
        for (uint32_t i = count; i < 2; i++)
            fds[i] = -1;
        rc = take_frame(host, frame, fds, &error);
        for (uint32_t i = 0; i < 2; i++) {
            if (fds[i] >= 0)
                (void)close(fds[i]);
        }
        if (rc < 0)
            break;
    }
    if (rc < 0)
        lost(host, &error);
}

/* ---- to the runner ---- */

void runner_link_flush(struct host *host)
{
    struct runner_link *link = &host->runner;
    struct error error = {0};
    bool tells = link->frame.length > 0;
    if (tells)
        stop_here(STOP_RUNNER_TELLING);
    int rc = tells ? runner_client_send(link->client, buffer_slice(&link->frame), link->fds,
                         link->fd_count, &error)
                   : runner_client_flush(link->client, &error);
    if (tells)
        stop_here(STOP_RUNNER_TOLD);
    buffer_clear(&link->frame);
    link->fd_count = 0;
    if (rc < 0) {
        lost(host, &error);
        return;
    }
    if ((rc == 1) == link->wants_write)
        return;
    link->wants_write = rc == 1;
    (void)loop_watch(host->loop, runner_client_fd(link->client),
        EPOLLIN | (link->wants_write ? EPOLLOUT : 0u), on_runner, host, NULL);
}

static void append(struct host *host, uint32_t number, const void *body)
{
    struct runner_link *link = &host->runner;
    static const struct frame_header header = {.version = PROTOCOL_HOST_VERSION};
    if (link->frame.length == 0)
        frame_begin(&link->frame, &header);
    message_encode(&link->frame, (enum message_id)number, body);
}

static void say_start(struct host *host, const struct msg_runner_start *message)
{
    struct runner_link *link = &host->runner;
    struct msg_runner_start start = *message;
    int fds[START_FDS_MAX];
    /* What was not prepared here is missing from the runner's next list, and told as never started.
     */
    uint32_t count = attempts_start(host->attempts, &start, fds);
    if (count == 0)
        return;
    if (link->fd_count + count > RUNNER_FDS_MAX)
        runner_link_flush(host);
    append(host, MESSAGE_runner_start, &start);
    for (uint32_t i = 0; i < count; i++)
        link->fds[link->fd_count++] = fds[i];
    attempts_started(host->attempts, &start.id);
}

void runner_link_say(struct host *host, const struct message *message)
{
    if (message->number == MESSAGE_runner_start)
        say_start(host, message->body);
    else
        append(host, message->number, message->body);
    if (host->runner.frame.length >= FRAME_TARGET_BYTES)
        runner_link_flush(host);
}

/* ---- its life ---- */

int runner_link_open(struct host *host, struct error *error)
{
    struct runner_link *link = &host->runner;
    int rc =
        loop_watch(host->loop, runner_client_fd(link->client), EPOLLIN, on_runner, host, error);
    if (rc == 0)
        rc = loop_watch(
            host->loop, runner_client_pidfd(link->client), EPOLLIN, on_death, host, error);
    return rc;
}

void runner_link_fini(struct runner_link *link)
{
    runner_client_destroy(link->client);
    for (uint32_t i = 0; i < link->fd_count; i++)
        (void)close(link->fds[i]);
    buffer_fini(&link->frame);
    arena_fini(&link->arena);
}
