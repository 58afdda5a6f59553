/*
 * A wire that swallows everything, as a pulled plug does: the connection looks whole to the kernel
 * for many minutes. Between client and server stands a relay that can be told to swallow.
 */
#include "common/clock.h"
#include "common/loop.h"
#include "transport_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

struct relay {
    int listener, stop[2]; /* closing stop[1] ends it */
    uint16_t port, server_port;
    atomic_bool swallows;
    pthread_t thread;
};

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
}

/* False when the connection ended. */
static bool pass(struct relay *relay, int from, int to)
{
    char bytes[65536];
    ssize_t got = recv(from, bytes, sizeof bytes, 0);
    if (got <= 0)
        return false;
    return atomic_load(&relay->swallows) || send(to, bytes, (size_t)got, MSG_NOSIGNAL) == got;
}

/* One connection at a time. */
static void *pass_on(void *context)
{
    struct relay *relay = context;
    struct pollfd items[3] = {
        {.fd = relay->stop[0], .events = POLLIN}, {.events = POLLIN}, {.events = POLLIN}};
    for (;;) {
        struct sockaddr_in server = loopback(relay->server_port);
        items[1].fd = relay->listener;
        items[2].fd = -1;
        if (poll(items, 3, -1) < 0 || items[0].revents != 0)
            return NULL;
        items[1].fd = accept(relay->listener, NULL, NULL);
        items[2].fd = socket(AF_INET, SOCK_STREAM, 0);
        bool whole = connect(items[2].fd, (struct sockaddr *)&server, sizeof server) == 0;
        while (whole && poll(items, 3, -1) > 0 && items[0].revents == 0) {
            if (items[1].revents != 0)
                whole = pass(relay, items[1].fd, items[2].fd);
            if (whole && items[2].revents != 0)
                whole = pass(relay, items[2].fd, items[1].fd);
        }
        (void)close(items[1].fd);
        (void)close(items[2].fd);
    }
}

static void relay_start(struct relay *relay, const struct stage *stage)
{
    struct sockaddr_in address = loopback(0);
    socklen_t length = sizeof address;
    relay->server_port = (uint16_t)transport_port(stage->server);
    relay->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(relay->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(relay->listener, 16), 0);
    assert_int_equal(getsockname(relay->listener, (struct sockaddr *)&address, &length), 0);
    relay->port = ntohs(address.sin_port);
    assert_int_equal(pipe(relay->stop), 0);
    assert_int_equal(pthread_create(&relay->thread, NULL, pass_on, relay), 0);
}

static void relay_stop(struct relay *relay)
{
    (void)close(relay->stop[1]);
    (void)pthread_join(relay->thread, NULL);
    (void)close(relay->stop[0]);
    (void)close(relay->listener);
}

static void silence_of_the_wire_is_noticed_by_heartbeats(void **state)
{
    struct stage *stage = *state;
    struct relay relay = {0};
    relay_start(&relay, stage);
    (void)snprintf(stage->endpoint, sizeof stage->endpoint, "tcp://127.0.0.1:%u", relay.port);
    stage->client = stage_connect(stage, &stage->client_keys);
    stage_talk(stage, stage->client, "before");
    uint64_t start_ms = clock_boot_ms();
    atomic_store(&relay.swallows, true);
    stage_wait_trouble(stage, "the connection was lost");
    assert_true(clock_boot_ms() - start_ms < 29000);
    atomic_store(&relay.swallows, false);
    stage_wait_up(stage);
    stage_talk(stage, stage->client, "after");
    relay_stop(&relay);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            silence_of_the_wire_is_noticed_by_heartbeats, stage_set_up, stage_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
