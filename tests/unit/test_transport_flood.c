/*
 * What strangers may do to a port: another process attacks it with plain TCP while an admitted peer
 * goes on talking. Memory and descriptors stay bounded.
 */
#include "common/clock.h"
#include "common/loop.h"
#include "transport_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    FILES = 512,           /* this process may have open */
    CONNECTIONS_MAX = 700, /* of the attacker */
#ifdef __SANITIZE_ADDRESS__
    MEMORY_MAX_MB = 512, /* which keeps what was freed */
#else
    MEMORY_MAX_MB = 48,
#endif
};

enum attack { SILENT, GREETING, HUGE, GARBAGE, PLAIN, HALF, WAIT_CUT };

struct order {
    enum attack attack;
    int count;
    uint16_t port;
};

struct attacker {
    struct stage *stage;
    pid_t pid;
    int line; /* orders go down, their ends come up */
    bool done;
};

/* ---- the other process ---- */

static int opened[CONNECTIONS_MAX];
static int opened_count;

/* -1 when the port did not answer for 0.3 s. */
static int open_connection(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct pollfd item = {.fd = fd, .events = POLLOUT};
    if (fd < 0)
        return -1;
    (void)!connect(fd, (const struct sockaddr *)&address, sizeof address);
    if (poll(&item, 1, 300) == 1 && (item.revents & (POLLERR | POLLHUP)) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

static void speak(int fd, enum attack attack)
{
    static const char greeting[64] = "\xff\0\0\0\0\0\0\0\1\x7f\3\1CURVE";
    static const char plain[64] = "\xff\0\0\0\0\0\0\0\1\x7f\3\1NULL";
    static const char huge[9] = "\6\0\0\0\2\0\0\0\0"; /* a command of 8 GB */
    static const char hello[202] = "\4\xc8\5HELLO\1";
    char bytes[4096];
    struct pollfd item = {.fd = fd, .events = POLLIN};
    if (attack == GARBAGE) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (char)(rand() >> 7);
        (void)!send(fd, bytes, sizeof bytes, MSG_NOSIGNAL);
    }
    if (attack == PLAIN)
        (void)!send(fd, plain, sizeof plain, MSG_NOSIGNAL);
    if (attack != GREETING && attack != HUGE && attack != HALF)
        return;
    (void)!send(fd, greeting, sizeof greeting, MSG_NOSIGNAL);
    (void)poll(&item, 1, 1000);
    if (attack == HUGE)
        (void)!send(fd, huge, sizeof huge, MSG_NOSIGNAL);
    if (attack == HALF)
        (void)!send(fd, hello, sizeof hello / 2, MSG_NOSIGNAL);
}

static void carry_out(const struct order *order)
{
    int failed = 0;
    for (int i = 0; i < order->count && failed < 5 && opened_count < CONNECTIONS_MAX; i++) {
        int fd = open_connection(order->port);
        failed = fd < 0 ? failed + 1 : 0;
        if (fd < 0)
            continue;
        opened[opened_count++] = fd;
        speak(fd, order->attack);
    }
}

/* Until the server has ended all of them. */
static void wait_cut(void)
{
    char bytes[4096];
    for (; opened_count > 0; opened_count--) {
        int fd = opened[opened_count - 1];
        struct pollfd item = {.fd = fd, .events = POLLIN};
        ssize_t got;
        do {
            (void)poll(&item, 1, 20000);
            got = recv(fd, bytes, sizeof bytes, 0);
        } while (got > 0);
        (void)close(fd);
    }
}

static void attack_as_told(int line)
{
    struct order order;
    (void)signal(SIGPIPE, SIG_IGN);
    while (recv(line, &order, sizeof order, MSG_WAITALL) == sizeof order) {
        if (order.attack == WAIT_CUT)
            wait_cut();
        else
            carry_out(&order);
        if (send(line, "", 1, MSG_NOSIGNAL) != 1)
            break;
    }
    _exit(0);
}

/* ---- this process ---- */

/* This program again, as the attacker; a fork would take ZeroMQ's library with it. */
static int start_attacker(struct attacker *attacker)
{
    int line[2];
    char number[16];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, line) != 0)
        return -1;
    (void)snprintf(number, sizeof number, "%d", line[1]);
    (void)fcntl(line[0], F_SETFD, FD_CLOEXEC);
    char name[] = "attacker";
    char *const arguments[] = {name, number, NULL};
    int rc = posix_spawn(&attacker->pid, "/proc/self/exe", NULL, NULL, arguments, environ);
    (void)close(line[1]);
    attacker->line = line[0];
    return rc;
}

static int set_up(void **state)
{
    static struct attacker attacker;
    const struct rlimit files = {FILES, FILES * 4};
    attacker = (struct attacker){0};
    *state = &attacker;
    if (start_attacker(&attacker) != 0 || setrlimit(RLIMIT_NOFILE, &files) != 0 ||
        stage_set_up((void **)&attacker.stage) != 0)
        return -1;
    attacker.stage->client = stage_connect(attacker.stage, &attacker.stage->client_keys);
    stage_talk(attacker.stage, attacker.stage->client, "before");
    return 0;
}

static int tear_down(void **state)
{
    struct attacker *attacker = *state;
    (void)close(attacker->line);
    (void)waitpid(attacker->pid, NULL, 0);
    return stage_tear_down((void **)&attacker->stage);
}

static void on_line(void *context, int fd, uint32_t events)
{
    struct attacker *attacker = context;
    char byte;
    (void)events;
    attacker->done |= recv(fd, &byte, 1, MSG_DONTWAIT) == 1;
}

static double memory_mb(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*d %ld", &pages), 1);
    (void)fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

static double processor_s(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void give_order(struct attacker *attacker, enum attack attack, int count)
{
    const struct order order = {attack, count, (uint16_t)transport_port(attacker->stage->server)};
    assert_int_equal(send(attacker->line, &order, sizeof order, 0), sizeof order);
}

/* Has it done while the healthy peer talks, and looks at what it costs all the while. */
static void attack(struct attacker *attacker, enum attack attack, int count)
{
    struct stage *stage = attacker->stage;
    double before_mb = memory_mb();
    attacker->done = false;
    give_order(attacker, attack, count);
    assert_int_equal(loop_watch(stage->loop, attacker->line, POLLIN, on_line, attacker, NULL), 0);
    while (!attacker->done) {
        stage_talk(stage, stage->client, "still here");
        /* The least number that is free: what else we open would find one. */
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_in_range(fd, 3, FILES - 8);
        (void)close(fd);
        assert_true(memory_mb() - before_mb < MEMORY_MAX_MB);
    }
    loop_forget(stage->loop, attacker->line);
}

/* Waits, and does nothing else, until the server has ended all connections. */
static void wait_until_cut(struct attacker *attacker)
{
    struct pollfd item = {.fd = attacker->line, .events = POLLIN};
    char byte;
    give_order(attacker, WAIT_CUT, 0);
    assert_int_equal(poll(&item, 1, 30000), 1);
    assert_int_equal(recv(attacker->line, &byte, 1, 0), 1);
}

static void flood_of_silent_connections_leaves_descriptors_and_is_cut(void **state)
{
    struct attacker *attacker = *state;
    struct stage *stage = attacker->stage;
    attack(attacker, SILENT, CONNECTIONS_MAX);
    double before_s = processor_s();
    uint64_t start_ms = clock_boot_ms();
    wait_until_cut(attacker);
    /* They were cut, and cost nothing meanwhile: half a core was what libzmq took when it ran out
       of descriptors. */
    assert_true(clock_boot_ms() - start_ms < 25000);
    assert_true(processor_s() - before_s < 0.5);
    /* The door is open again. */
    stage_talk(stage, stage->client, "after");
    transport_destroy(stage->client);
    stage->client = stage_connect(stage, &stage->client_keys);
    stage_talk(stage, stage->client, "another");
}

static void flood_of_8_gb_frames_is_refused_at_their_beginning(void **state)
{
    attack(*state, HUGE, 200);
}

static void flood_of_garbage_and_half_handshakes_disturbs_nobody(void **state)
{
    struct attacker *attacker = *state;
    attack(attacker, GARBAGE, 100);
    attack(attacker, PLAIN, 50);
    attack(attacker, HALF, 50);
    attack(attacker, GREETING, 50);
    assert_int_equal(stage_asked(attacker->stage), 1);
}

#define FLOOD_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv)
{
    if (argc == 2)
        attack_as_told(atoi(argv[1]));
    const struct CMUnitTest tests[] = {
        FLOOD_TEST(flood_of_silent_connections_leaves_descriptors_and_is_cut),
        FLOOD_TEST(flood_of_8_gb_frames_is_refused_at_their_beginning),
        FLOOD_TEST(flood_of_garbage_and_half_handshakes_disturbs_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
