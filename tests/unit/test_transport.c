#include "common/transport/transport.h"

#include "common/clock.h"
#include "common/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A hang is a failure: every run of the loop ends by this timer at the latest. */
enum { PATIENCE_MS = 30000 };

/* A server and a client on one loop; ZeroMQ's own thread carries the frames between them. */
struct fixture {
    struct loop *loop;
    struct transport *server, *client;
    char folder[32];
    char endpoint[64];
    bool late;              /* the loop ended for want of patience */
    uint64_t server_frames; /* received by the server */
    uint64_t client_frames;
    uint64_t wanted; /* stop when server_frames, or client_frames, reach it */
    uint64_t last_number;
    transport_peer last_peer;
    uint64_t frames_this_round, most_in_a_round, rounds;
    uint64_t sent;
    size_t last_length;
    bool echo, destroy_server;
};

static void out_of_patience(void *context)
{
    struct fixture *f = context;
    f->late = true;
    loop_stop(f->loop);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    if (f == NULL || loop_create(&f->loop, NULL) != 0)
        return -1;
    (void)snprintf(f->folder, sizeof f->folder, "/tmp/reeve-XXXXXX");
    if (mkdtemp(f->folder) == NULL)
        return -1;
    (void)snprintf(f->endpoint, sizeof f->endpoint, "ipc://%s/socket", f->folder);
    loop_on_timer(f->loop, out_of_patience, f);
    transport_start();
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    transport_destroy(f->client);
    transport_destroy(f->server);
    transport_stop();
    loop_destroy(f->loop);
    (void)unlink(f->endpoint + strlen("ipc://"));
    (void)rmdir(f->folder);
    free(f);
    return 0;
}

static void run(struct fixture *f)
{
    loop_set_timer(f->loop, clock_boot_ms() + PATIENCE_MS);
    loop_run(f->loop);
    assert_false(f->late);
}

/* Frames that start with a number of 8 bytes arrive in its order, without a gap. */
static void expect_next(struct fixture *f, struct slice frame)
{
    uint64_t number;
    if (frame.length < sizeof number)
        return;
    memcpy(&number, frame.ptr, sizeof number);
    assert_int_equal(number, f->last_number + 1);
    f->last_number = number;
}

static void on_server(void *context, transport_peer peer, struct slice frame)
{
    struct fixture *f = context;
    assert_int_not_equal(peer, 0);
    f->last_peer = peer;
    f->last_length = frame.length;
    f->server_frames++;
    f->frames_this_round++;
    if (!f->echo)
        expect_next(f, frame);
    if (f->echo)
        transport_send(f->server, peer, frame);
    else if (f->server_frames == f->wanted)
        loop_stop(f->loop);
    if (f->destroy_server) {
        transport_destroy(f->server);
        f->server = NULL;
        loop_stop(f->loop);
    }
}

static void on_client(void *context, transport_peer peer, struct slice frame)
{
    struct fixture *f = context;
    assert_int_equal(peer, 0);
    f->last_length = frame.length;
    f->client_frames++;
    expect_next(f, frame);
    if (f->client_frames == f->wanted)
        loop_stop(f->loop);
}

static void bind_server(struct fixture *f)
{
    assert_int_equal(transport_bind(f->loop, f->endpoint, on_server, f, &f->server, NULL), 0);
}

static void connect_client(struct fixture *f)
{
    assert_int_equal(transport_connect(f->loop, f->endpoint, on_client, f, &f->client, NULL), 0);
}

static void send_numbers(struct fixture *f, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        f->sent++;
        transport_send(f->client, 0, slice_make(&f->sent, sizeof f->sent));
    }
}

static void transport_frames_come_back_in_order(void **state)
{
    struct fixture *f = *state;
    bind_server(f);
    connect_client(f);
    f->echo = true;
    f->wanted = 1000;
    send_numbers(f, f->wanted);
    run(f);
    assert_int_equal(f->client_frames, 1000);
    assert_int_equal(f->server_frames, 1000);
}

/* In each round a few frames leave outside any callback, so that sends swallow edges at every
 * possible point. */
static bool send_some(void *context)
{
    struct fixture *f = context;
    f->rounds++;
    for (uint64_t i = 0; i <= f->rounds % 7 && f->sent < f->wanted; i++)
        send_numbers(f, 1);
    return false;
}

static void transport_sends_between_rounds_never_lose_an_edge(void **state)
{
    struct fixture *f = *state;
    bind_server(f);
    connect_client(f);
    f->echo = true;
    f->wanted = 50000;
    loop_on_round(f->loop, send_some, f);
    send_numbers(f, 1);
    run(f);
    assert_int_equal(f->client_frames, f->wanted);
}

static void ping(void *context, transport_peer peer, struct slice frame)
{
    struct fixture *f = context;
    f->client_frames++;
    expect_next(f, frame);
    (void)peer;
    if (f->client_frames == f->wanted)
        loop_stop(f->loop);
    else
        send_numbers(f, 1);
}

static void transport_ping_pong_never_loses_an_edge(void **state)
{
    struct fixture *f = *state;
    bind_server(f);
    assert_int_equal(transport_connect(f->loop, f->endpoint, ping, f, &f->client, NULL), 0);
    f->echo = true;
    f->wanted = 20000;
    send_numbers(f, 1);
    run(f);
    assert_int_equal(f->server_frames, f->wanted);
}

static void transport_frame_sizes_up_to_the_limit_pass(void **state)
{
    struct fixture *f = *state;
    const size_t sizes[] = {0, 1, 33, 34, 255, 256, 65536, FRAME_MAX_BYTES - 1, FRAME_MAX_BYTES};
    bind_server(f);
    connect_client(f);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *bytes = calloc(1, sizes[i] + 1);
        f->wanted = i + 1;
        f->last_number = UINT64_MAX; /* the frames hold zeros: always the next */
        transport_send_owned(f->client, 0, bytes, sizes[i]);
        run(f);
        assert_int_equal(f->last_length, sizes[i]);
    }
}

static void transport_connect_before_bind_delivers_when_the_server_comes(void **state)
{
    struct fixture *f = *state;
    connect_client(f);
    f->wanted = 100;
    send_numbers(f, f->wanted);
    bind_server(f);
    run(f);
    assert_int_equal(f->server_frames, 100);
}

static void transport_client_finds_a_server_that_was_started_again(void **state)
{
    struct fixture *f = *state;
    bind_server(f);
    connect_client(f);
    f->wanted = 1;
    send_numbers(f, 1);
    run(f);
    transport_destroy(f->server);
    bind_server(f);
    /* What is sent into the gap may be lost, so keep sending. */
    f->last_number = UINT64_MAX;
    f->wanted = 2;
    for (int i = 0; i < 100 && f->server_frames < 2; i++) {
        uint32_t word = 7;
        transport_send(f->client, 0, slice_make(&word, sizeof word));
        loop_set_timer(f->loop, clock_boot_ms() + 50);
        loop_run(f->loop);
    }
    assert_true(f->server_frames >= 2);
}

static void transport_peers_have_numbers_of_their_own(void **state)
{
    struct fixture *f = *state;
    struct transport *other = NULL;
    uint32_t word = 1;
    bind_server(f);
    connect_client(f);
    f->wanted = 1;
    transport_send(f->client, 0, slice_make(&word, sizeof word));
    run(f);
    transport_peer first = f->last_peer;
    assert_int_equal(transport_connect(f->loop, f->endpoint, on_client, f, &other, NULL), 0);
    f->wanted = 2;
    transport_send(other, 0, slice_make(&word, sizeof word));
    run(f);
    assert_int_not_equal(f->last_peer, first);
    assert_int_equal(transport_peer_count(f->server), 2);
    /* The first one still has its own. */
    f->wanted = 3;
    transport_send(f->client, 0, slice_make(&word, sizeof word));
    run(f);
    assert_int_equal(f->last_peer, first);
    transport_destroy(other);
}

static void transport_peer_that_came_back_has_a_new_number(void **state)
{
    struct fixture *f = *state;
    uint32_t word = 1;
    bind_server(f);
    transport_peer before = 0;
    for (uint64_t i = 1; i <= 5; i++) {
        connect_client(f);
        f->wanted = i;
        transport_send(f->client, 0, slice_make(&word, sizeof word));
        run(f);
        assert_true(f->last_peer > before);
        before = f->last_peer;
        transport_destroy(f->client);
        f->client = NULL;
    }
}

static void stop_soon(void *context)
{
    struct fixture *f = context;
    loop_stop(f->loop);
}

static void transport_send_to_a_vanished_peer_forgets_it(void **state)
{
    struct fixture *f = *state;
    uint32_t word = 1;
    bind_server(f);
    connect_client(f);
    f->wanted = 1;
    transport_send(f->client, 0, slice_make(&word, sizeof word));
    run(f);
    transport_peer gone = f->last_peer;
    transport_destroy(f->client);
    f->client = NULL;
    /* The end of the connection is seen when the descriptor says so: keep sending until then. */
    loop_on_timer(f->loop, stop_soon, f);
    for (int i = 0; i < 1000 && transport_peer_count(f->server) > 0; i++) {
        transport_send(f->server, gone, slice_make(&word, sizeof word));
        loop_set_timer(f->loop, clock_boot_ms() + 5);
        loop_run(f->loop);
    }
    assert_int_equal(transport_peer_count(f->server), 0);
    transport_send(f->server, gone, slice_make(&word, sizeof word));
    transport_send(f->server, 12345, slice_make(&word, sizeof word));
    transport_send_owned(f->server, gone, calloc(1, 100), 100);
}

static bool measure_round(void *context)
{
    struct fixture *f = context;
    f->rounds++;
    if (f->frames_this_round > f->most_in_a_round)
        f->most_in_a_round = f->frames_this_round;
    f->frames_this_round = 0;
    return false;
}

static void transport_paused_server_gets_nothing_and_sleeps(void **state)
{
    struct fixture *f = *state;
    bind_server(f);
    connect_client(f);
    f->wanted = 10;
    send_numbers(f, 10);
    run(f);
    transport_pause(f->server, true);
    send_numbers(f, 100);
    f->rounds = 0;
    loop_on_round(f->loop, measure_round, f);
    loop_on_timer(f->loop, stop_soon, f);
    loop_set_timer(f->loop, clock_boot_ms() + 200);
    loop_run(f->loop);
    assert_int_equal(f->server_frames, 10);
    assert_true(f->rounds < 50);
    f->wanted = 110;
    transport_pause(f->server, false);
    loop_on_timer(f->loop, out_of_patience, f);
    run(f);
    assert_int_equal(f->server_frames, 110);
}

static void transport_noisy_peer_leaves_the_loop_its_turn(void **state)
{
    struct fixture *f = *state;
    bind_server(f);
    connect_client(f);
    f->wanted = 8000;
    loop_on_round(f->loop, measure_round, f);
    send_numbers(f, f->wanted);
    run(f);
    assert_int_equal(f->server_frames, 8000);
    assert_true(f->most_in_a_round <= 1000);
}

static void transport_full_queue_loses_frames_and_never_blocks(void **state)
{
    struct fixture *f = *state;
    bind_server(f);
    connect_client(f);
    transport_pause(f->server, true);
    for (int i = 0; i < 200000; i++)
        transport_send(f->client, 0, slice_make("12345", 5));
    transport_pause(f->server, false);
    loop_on_timer(f->loop, stop_soon, f);
    loop_set_timer(f->loop, clock_boot_ms() + 500);
    loop_run(f->loop);
    assert_true(f->server_frames >= 8192);
    assert_true(f->server_frames < 200000);
}

static void transport_frames_queued_at_destroy_still_arrive(void **state)
{
    struct fixture *f = *state;
    bind_server(f);
    connect_client(f);
    f->wanted = 1000;
    send_numbers(f, f->wanted);
    transport_destroy(f->client);
    f->client = NULL;
    run(f);
    assert_int_equal(f->server_frames, 1000);
}

static void transport_destroyed_in_its_own_callback_delivers_no_more(void **state)
{
    struct fixture *f = *state;
    bind_server(f);
    connect_client(f);
    f->destroy_server = true;
    send_numbers(f, 100);
    run(f);
    assert_int_equal(f->server_frames, 1);
    assert_null(f->server);
}

static void transport_socket_file_is_private_whatever_the_umask(void **state)
{
    struct fixture *f = *state;
    struct stat status;
    mode_t before = umask(0);
    bind_server(f);
    assert_int_equal(umask(before), 0);
    assert_int_equal(stat(f->endpoint + strlen("ipc://"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
}

static void transport_path_of_107_bytes_binds_and_of_108_is_refused(void **state)
{
    struct fixture *f = *state;
    struct error error = {0};
    char endpoint[128] = "ipc://";
    const size_t prefix = strlen("ipc://");
    (void)snprintf(endpoint + prefix, sizeof endpoint - prefix, "%s/", f->folder);
    memset(endpoint + strlen(endpoint), 'x', prefix + 108 - strlen(endpoint));
    int rc = transport_bind(f->loop, endpoint, on_server, f, &f->server, &error);
    assert_int_equal(rc, ERR_USAGE);
    assert_non_null(strstr(error.text, "at most 107 bytes"));
    assert_int_equal(
        transport_connect(f->loop, endpoint, on_client, f, &f->client, NULL), ERR_USAGE);
    assert_null(f->server);
    endpoint[prefix + 107] = '\0';
    assert_int_equal(transport_bind(f->loop, endpoint, on_server, f, &f->server, NULL), 0);
    transport_destroy(f->server);
    f->server = NULL;
    (void)unlink(endpoint + prefix);
}

static void transport_endpoints_that_are_no_file_are_refused(void **state)
{
    struct fixture *f = *state;
    const char *const endpoints[] = {
        "tcp://127.0.0.1:7411", "ipc://", "ipc://@x", "ipc://*", "x", ""};
    for (size_t i = 0; i < sizeof endpoints / sizeof endpoints[0]; i++) {
        struct error error = {0};
        int rc = transport_bind(f->loop, endpoints[i], on_server, f, &f->server, &error);
        assert_int_equal(rc, ERR_UNSUPPORTED);
        assert_non_null(strstr(error.text, "no ipc:// and the path"));
    }
    assert_null(f->server);
}

static void transport_bind_in_a_missing_folder_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct error error = {0};
    int rc = transport_bind(f->loop, "ipc:///nonexistent/x", on_server, f, &f->server, &error);
    assert_int_equal(rc, ERR_IO);
    assert_non_null(strstr(error.text, "cannot be bound"));
    assert_null(f->server);
}

static void transport_start_leaves_signals_and_environment_alone(void **state)
{
    (void)state;
    struct sigaction action;
    const int signals[] = {SIGINT, SIGTERM, SIGPIPE, SIGHUP};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        assert_int_equal(sigaction(signals[i], NULL, &action), 0);
        assert_ptr_equal(action.sa_handler, SIG_DFL);
    }
    assert_null(getenv("ZSYS_SIGHANDLER"));
}

/* A peer that speaks ZMTP 3.0 by hand, so as to send what our own side never would. */
static int raw_connect(const struct fixture *f)
{
    static const char greeting[64] = "\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL";
    static const char ready[] = "\4\x1c\5READY\xbSocket-Type\0\0\0\6DEALER";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", f->endpoint + strlen("ipc://"));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    /* One step at a time: libzmq 4.3 hangs up on a peer that runs ahead of its greeting. */
    char answer[64];
    assert_int_equal(send(fd, greeting, sizeof greeting, MSG_NOSIGNAL), sizeof greeting);
    assert_int_equal(recv(fd, answer, sizeof answer, MSG_WAITALL), sizeof answer);
    assert_int_equal(send(fd, ready, sizeof ready - 1, MSG_NOSIGNAL), sizeof ready - 1);
    assert_int_equal(recv(fd, answer, 2, MSG_WAITALL), 2);
    ssize_t rest = (unsigned char)answer[1];
    assert_int_equal(recv(fd, answer, (size_t)rest, MSG_WAITALL), rest);
    return fd;
}

static void raw_send(int fd, const void *bytes, size_t length)
{
    assert_int_equal(send(fd, bytes, length, MSG_NOSIGNAL), length);
}

static void transport_message_of_several_parts_is_dropped(void **state)
{
    struct fixture *f = *state;
    bind_server(f);
    int fd = raw_connect(f);
    raw_send(fd, "\1\1a\1\1b\0\1c", 9); /* three parts */
    raw_send(fd, "\1\0\0\1d", 5);       /* an empty part and one more */
    raw_send(fd, "\0\2ok", 4);          /* one frame */
    f->wanted = 1;
    run(f);
    assert_int_equal(f->server_frames, 1);
    assert_int_equal(f->last_length, 2);
    (void)close(fd);
}

static void transport_frame_over_the_limit_closes_the_connection_at_once(void **state)
{
    struct fixture *f = *state;
    bind_server(f);
    int fd = raw_connect(f);
    raw_send(fd, "\0\2ok", 4);
    f->wanted = 1;
    run(f);
    raw_send(fd, "\2\0\0\0\2\0\0\0\0", 9); /* announces 8 GB */
    char bytes[256];
    ssize_t got;
    do {
        got = recv(fd, bytes, sizeof bytes, 0);
    } while (got > 0);
    assert_true(got == 0 || got == -1);
    (void)close(fd);
    /* Others are served as before. */
    connect_client(f);
    f->wanted = 2;
    transport_send(f->client, 0, slice_make("fine", 4));
    run(f);
}

static void transport_garbage_on_the_socket_disturbs_nobody(void **state)
{
    struct fixture *f = *state;
    char noise[4096];
    unsigned seed = 1;
    bind_server(f);
    for (int i = 0; i < 50; i++) {
        for (size_t j = 0; j < sizeof noise; j++)
            noise[j] = (char)(seed = seed * 1103515245u + 12345u, seed >> 16);
        int fd = raw_connect(f);
        /* The server may hang up in the middle of it. */
        (void)!send(fd, noise, sizeof noise, MSG_NOSIGNAL);
        (void)close(fd);
    }
    connect_client(f);
    f->echo = true;
    f->wanted = 1;
    transport_send(f->client, 0, slice_make("fine", 4));
    run(f);
    assert_int_equal(f->client_frames, 1);
}

#define TRANSPORT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TRANSPORT_TEST(transport_frames_come_back_in_order),
        TRANSPORT_TEST(transport_sends_between_rounds_never_lose_an_edge),
        TRANSPORT_TEST(transport_ping_pong_never_loses_an_edge),
        TRANSPORT_TEST(transport_frame_sizes_up_to_the_limit_pass),
        TRANSPORT_TEST(transport_connect_before_bind_delivers_when_the_server_comes),
        TRANSPORT_TEST(transport_client_finds_a_server_that_was_started_again),
        TRANSPORT_TEST(transport_peers_have_numbers_of_their_own),
        TRANSPORT_TEST(transport_peer_that_came_back_has_a_new_number),
        TRANSPORT_TEST(transport_send_to_a_vanished_peer_forgets_it),
        TRANSPORT_TEST(transport_paused_server_gets_nothing_and_sleeps),
        TRANSPORT_TEST(transport_noisy_peer_leaves_the_loop_its_turn),
        TRANSPORT_TEST(transport_full_queue_loses_frames_and_never_blocks),
        TRANSPORT_TEST(transport_frames_queued_at_destroy_still_arrive),
        TRANSPORT_TEST(transport_destroyed_in_its_own_callback_delivers_no_more),
        TRANSPORT_TEST(transport_socket_file_is_private_whatever_the_umask),
        TRANSPORT_TEST(transport_path_of_107_bytes_binds_and_of_108_is_refused),
        TRANSPORT_TEST(transport_endpoints_that_are_no_file_are_refused),
        TRANSPORT_TEST(transport_bind_in_a_missing_folder_is_an_error),
        TRANSPORT_TEST(transport_start_leaves_signals_and_environment_alone),
        TRANSPORT_TEST(transport_message_of_several_parts_is_dropped),
        TRANSPORT_TEST(transport_frame_over_the_limit_closes_the_connection_at_once),
        TRANSPORT_TEST(transport_garbage_on_the_socket_disturbs_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
