/*
 * How many tasks a second go through the runner: plays an agent that keeps N slots busy with `bash
 * -c true`, each with a pipe of its own and a start and end that are told. To compare: `time xargs
 * -P2` over the same command.
 *
 *     bench_runner [tasks] [slots] [cgroups: 0 or 1]
 */
#include "common/clock.h"
#include "proto/proto.h"
#include "worker/runner_client.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct bench {
    struct runner_client *client;
    struct buffer frame;
    uint32_t wanted;
    uint32_t started;
    uint32_t ended;
    int *pipes; /* by task */
    struct arena arena;
};

static const struct frame_header header = {.version = PROTOCOL_VERSION};

static void die(const char *what)
{
    (void)fprintf(stderr, "bench_runner: %s\n", what);
    exit(1);
}

static void send_frame(struct bench *bench, const int *fds, uint32_t count)
{
    struct error error;
    if (runner_client_send(bench->client, buffer_slice(&bench->frame), fds, count, &error) != 0)
        die(error.text);
    buffer_clear(&bench->frame);
}

static void start_next(struct bench *bench)
{
    static struct slice arguments[] = {{"bash", 4}, {"-c", 2}, {"true", 4}};
    static struct slice env[] = {{"PATH=/usr/local/bin:/usr/bin:/bin", 33}, {"LANG=C", 6}};
    if (bench->started == bench->wanted)
        return;
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        die("pipe");
    bench->pipes[bench->started] = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
    struct msg_runner_start start = {
        .id = {.run = 1, .task = bench->started, .attempt = 1},
        .arguments = {arguments, 3},
        .env = {env, 2},
        .folder = {"/tmp", 4},
        .stamp = clock_boot_ms(),
        .lease_ms = 300000,
        .kill_grace_ms = 10000,
    };
    bench->started++;
    frame_begin(&bench->frame, &header);
    message_encode(&bench->frame, MESSAGE_runner_start, &start);
    send_frame(bench, fds, 2);
}

static void take_end(struct bench *bench, const struct msg_runner_exited *end)
{
    struct msg_runner_forget forget = {.id = end->id};
    char byte;
    if (end->exit_code != 0)
        die("a task failed");
    if (read(bench->pipes[end->id.task], &byte, 1) != 0)
        die("a pipe did not end");
    (void)close(bench->pipes[end->id.task]);
    bench->ended++;
    start_next(bench);
    frame_begin(&bench->frame, &header);
    message_encode(&bench->frame, MESSAGE_runner_forget, &forget);
    send_frame(bench, NULL, 0);
}

static void take_frame(struct bench *bench, struct slice bytes)
{
    struct frame_reader reader;
    struct message message;
    if (frame_open(bytes, &bench->arena, &reader, NULL) != 0)
        die("a damaged frame");
    while (frame_next(&reader, &message, NULL) == 1) {
        if (message.number == MESSAGE_runner_exited)
            take_end(bench, message.body);
    }
    arena_reset(&bench->arena);
}

static void run(struct bench *bench, uint32_t slots)
{
    for (uint32_t i = 0; i < slots; i++)
        start_next(bench);
    while (bench->ended < bench->wanted) {
        struct slice frame;
        int fds[RUNNER_FDS_MAX];
        uint32_t count;
        int code = runner_client_receive(bench->client, &frame, fds, &count, NULL);
        if (code < 0)
            die("the runner is gone");
        if (code == 1) {
            take_frame(bench, frame);
            continue;
        }
        struct pollfd poller = {.fd = runner_client_fd(bench->client), .events = POLLIN};
        (void)poll(&poller, 1, -1);
    }
}

static void print_pss(pid_t pid)
{
    char path[64];
    char line[128];
    (void)snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        long kb;
        if (sscanf(line, "Pss: %ld", &kb) == 1)
            (void)printf("the runner holds %ld kB (PSS)\n", kb);
    }
    if (file != NULL)
        (void)fclose(file);
}

int main(int argc, char **argv)
{
    struct bench bench = {.wanted = argc > 1 ? (uint32_t)atoi(argv[1]) : 5000};
    uint32_t slots = argc > 2 ? (uint32_t)atoi(argv[2]) : 2;
    char folder[] = "/tmp/reeve-XXXXXX";
    struct error error;
    uint64_t instance;
    if (mkdtemp(folder) == NULL)
        die("mkdtemp");
    struct runner_start_options options = {
        .folder = folder, .no_cgroups = argc > 3 && atoi(argv[3]) == 0};
    if (runner_start(&options, &instance, &error) != 0 ||
        runner_connect(folder, instance, &bench.client, &error) != 0)
        die(error.text);
    bench.pipes = calloc(bench.wanted, sizeof *bench.pipes);
    uint64_t before = clock_boot_ms();
    run(&bench, slots);
    uint64_t took = clock_boot_ms() - before;
    (void)printf("%u tasks in %llu ms with %u slots: %.0f a second\n", bench.wanted,
        (unsigned long long)took, slots, bench.wanted * 1000.0 / (double)(took + (took == 0)));
    print_pss(runner_client_pid(bench.client));
    struct msg_runner_stop stop = {.now = true};
    frame_begin(&bench.frame, &header);
    message_encode(&bench.frame, MESSAGE_runner_stop, &stop);
    send_frame(&bench, NULL, 0);
    struct pollfd poller = {.fd = runner_client_pidfd(bench.client), .events = POLLIN};
    (void)poll(&poller, 1, 10000);
    runner_client_destroy(bench.client);
    free(bench.pipes);
    buffer_fini(&bench.frame);
    arena_fini(&bench.arena);
    return rmdir(folder) != 0;
}
