#include "common/limits.h"
#include "common/transport/internal.h"
#include "transport_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

static void transport_curve_peer_is_its_key_and_address(void **state)
{
    struct stage *s = *state;
    unsigned char key[KEY_BYTES];
    char address[TRANSPORT_ADDRESS_MAX];
    s->client = stage_connect(s, &s->client_keys);
    stage_talk(s, s->client, "hello");
    assert_true(s->last_peer >> 63);
    assert_true(transport_peer_identity(s->server, s->last_peer, key, address));
    assert_memory_equal(key, s->client_keys.public_key, KEY_BYTES);
    assert_string_equal(address, "127.0.0.1");
    assert_false(transport_peer_identity(s->server, s->last_peer + 1, key, address));
}

static void transport_curve_key_that_is_not_admitted_is_not_heard(void **state)
{
    struct stage *s = *state;
    struct key_pair stranger_keys;
    key_pair_make(&stranger_keys);
    struct transport *stranger = stage_connect(s, &stranger_keys);
    transport_send(stranger, 0, slice_of("let me in"));
    stage_wait_asked(s, 1);
    assert_int_equal(s->refused, 1);
    assert_memory_equal(s->last_refused, stranger_keys.public_key, KEY_BYTES);
    s->client = stage_connect(s, &s->client_keys);
    stage_talk(s, s->client, "hello");
    assert_int_equal(s->server_frames, 1);
    transport_destroy(stranger);
}

static void transport_curve_server_with_another_key_gets_nothing(void **state)
{
    struct stage *s = *state;
    struct key_pair right = s->server_keys;
    key_pair_make(&s->server_keys); /* what the client believes */
    struct transport *deceived = stage_connect(s, &s->client_keys);
    transport_send(deceived, 0, slice_of("secret"));
    s->server_keys = right;
    s->client = stage_connect(s, &s->client_keys);
    for (int i = 0; i < 20; i++)
        stage_talk(s, s->client, "hello");
    assert_int_equal(s->server_frames, 20);
    assert_int_equal(stage_asked(s), 1);
    transport_destroy(deceived);
}

static void transport_curve_client_without_curve_is_not_heard(void **state)
{
    struct stage *s = *state;
    void *plain = stage_dealer();
    assert_int_equal(zmq_connect(plain, s->endpoint), 0);
    stage_dealer_send(plain, "plain");
    s->client = stage_connect(s, &s->client_keys);
    for (int i = 0; i < 20; i++)
        stage_talk(s, s->client, "hello");
    assert_int_equal(s->server_frames, 20);
    (void)zmq_close(plain);
}

/* What comes of binding, or of connecting, to an endpoint that is refused. */
static int bind_refused(struct stage *s, const char *endpoint, struct error *error)
{
    const struct transport_place place = {endpoint, &s->server_keys, NULL};
    struct transport *other = NULL;
    int rc = transport_bind_curve(s->loop, &place, NULL, NULL, &other, error);
    assert_null(other);
    return rc;
}

static int connect_refused(struct stage *s, const char *endpoint)
{
    const struct transport_place place = {endpoint, &s->client_keys, s->server_keys.public_key};
    struct transport *other = NULL;
    int rc = transport_connect_curve(s->loop, &place, NULL, NULL, &other, NULL);
    assert_null(other);
    return rc;
}

static void transport_curve_without_a_judge_is_not_bound(void **state)
{
    struct stage *s = *state;
    struct error error = {0};
    transport_admit_stop();
    assert_int_equal(bind_refused(s, "tcp://127.0.0.1:0", &error), ERR_DENIED);
    assert_non_null(strstr(error.text, "nobody decides"));
}

/* libzmq lets every key in when nobody answers. */
static void transport_curve_peers_let_in_by_nobody_are_not_heard(void **state)
{
    struct stage *s = *state;
    void *dealer = stage_dealer();
    void *monitor = zmq_socket(zsys_init(), ZMQ_PAIR);
    char byte;
    transport_admit_stop();
    stage_dealer_curve(dealer, s, &s->client_keys);
    assert_int_equal(
        zmq_socket_monitor(dealer, "inproc://watch", ZMQ_EVENT_HANDSHAKE_SUCCEEDED), 0);
    assert_int_equal(zmq_connect(monitor, "inproc://watch"), 0);
    assert_int_equal(zmq_connect(dealer, s->endpoint), 0);
    assert_true(zmq_recv(monitor, &byte, 1, 0) > 0);
    stage_dealer_send(dealer, "hello");
    zmq_pollitem_t item = {.socket = s->server->handle, .events = ZMQ_POLLIN};
    assert_int_equal(zmq_poll(&item, 1, 10000), 1);
    s->server->unsure = true; /* poll took the edge */
    for (int i = 0; i < 2; i++) {
        loop_stop(s->loop);
        stage_run(s);
    }
    assert_int_equal(s->server_frames, 0);
    assert_false(s->server->readable); /* it was taken, and dropped */
    assert_int_equal(transport_peer_count(s->server), 0);
    (void)zmq_socket_monitor(dealer, NULL, 0);
    (void)zmq_close(monitor);
    (void)zmq_close(dealer);
}

static void transport_curve_frame_sizes_up_to_the_limit_pass(void **state)
{
    struct stage *s = *state;
    const size_t sizes[] = {0, 1, 255, 65536, FRAME_MAX_BYTES - 1, FRAME_MAX_BYTES};
    s->client = stage_connect(s, &s->client_keys);
    s->echo = true;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        s->client_wanted = i + 1;
        transport_send_owned(s->client, 0, calloc(1, sizes[i] + 1), sizes[i]);
        stage_run(s);
        assert_int_equal(s->last_length, sizes[i]);
    }
}

/* ---- routing ids ---- */

static void transport_curve_peer_that_chooses_its_id_is_not_heard(void **state)
{
    struct stage *s = *state;
    const char *const ids[] = {"worker-1", "\1abcd", "\0abc", "\0abcde"};
    const size_t lengths[] = {8, 5, 4, 6};
    void *dealers[4];
    for (int i = 0; i < 4; i++) {
        dealers[i] = stage_dealer();
        stage_dealer_curve(dealers[i], s, &s->client_keys);
        assert_int_equal(zmq_setsockopt(dealers[i], ZMQ_ROUTING_ID, ids[i], lengths[i]), 0);
        assert_int_equal(zmq_connect(dealers[i], s->endpoint), 0);
        stage_dealer_send(dealers[i], "chosen");
    }
    stage_wait_asked(s, 4);
    s->client = stage_connect(s, &s->client_keys);
    for (int i = 0; i < 20; i++)
        stage_talk(s, s->client, "hello");
    assert_int_equal(s->server_frames, 20);
    for (int i = 0; i < 4; i++)
        (void)zmq_close(dealers[i]);
}

/* The routing id of the peer that spoke last. */
static struct slice id_of_last(struct stage *s, char id[8])
{
    const struct peer *peer = transport_peer_find(s->server, s->last_peer);
    assert_int_equal(peer->length, 5);
    memcpy(id, peer->routing_id, peer->length);
    return slice_make(id, peer->length);
}

/* A dealer of another admitted key that has chosen this routing id, and speaks. */
static void *squat(struct stage *s, struct slice id, const struct key_pair *keys)
{
    uint64_t asked = stage_asked(s);
    void *squatter = stage_dealer();
    stage_dealer_curve(squatter, s, keys);
    assert_int_equal(zmq_setsockopt(squatter, ZMQ_ROUTING_ID, id.ptr, id.length), 0);
    assert_int_equal(zmq_connect(squatter, s->endpoint), 0);
    stage_dealer_send(squatter, "squatter");
    stage_dealer_send(squatter, "squatter");
    stage_wait_asked(s, asked + 1);
    return squatter;
}

static void transport_curve_squatter_of_a_live_peer_gets_nothing(void **state)
{
    struct stage *s = *state;
    struct key_pair other_keys;
    char id[8];
    key_pair_make(&other_keys);
    stage_admit(s, &other_keys);
    s->client = stage_connect(s, &s->client_keys);
    stage_talk(s, s->client, "hello");
    transport_peer victim = s->last_peer;
    void *squatter = squat(s, id_of_last(s, id), &other_keys);
    for (int i = 0; i < 20; i++)
        stage_talk(s, s->client, "still me");
    assert_int_equal(s->last_peer, victim);
    assert_int_equal(s->server_frames, 21);
    char byte;
    assert_int_equal(zmq_recv(squatter, &byte, 1, ZMQ_DONTWAIT), -1);
    (void)zmq_close(squatter);
}

static void transport_curve_squatter_of_a_dead_peer_is_itself(void **state)
{
    struct stage *s = *state;
    struct key_pair other_keys;
    unsigned char key[KEY_BYTES];
    char address[TRANSPORT_ADDRESS_MAX], id[8];
    key_pair_make(&other_keys);
    stage_admit(s, &other_keys);
    struct transport *bystander = stage_connect(s, &s->client_keys);
    s->client = stage_connect(s, &s->client_keys);
    stage_talk(s, s->client, "hello");
    transport_peer victim = s->last_peer;
    struct slice victim_id = id_of_last(s, id);
    transport_destroy(s->client);
    s->client = NULL;
    void *squatter = squat(s, victim_id, &other_keys);
    /* As long as the server does not know of the death, it refuses the squatter. */
    for (;;) {
        s->server_wanted = s->server_frames + 1;
        transport_send(bystander, 0, slice_of("bystander"));
        stage_run(s);
        if (strcmp(s->last_text, "squatter") == 0)
            break;
        (void)zmq_close(squatter);
        squatter = squat(s, victim_id, &other_keys);
    }
    assert_int_not_equal(s->last_peer, victim);
    assert_true(transport_peer_identity(s->server, s->last_peer, key, address));
    assert_memory_equal(key, other_keys.public_key, KEY_BYTES);
    /* The victim's number leads to nobody. */
    assert_false(transport_peer_identity(s->server, victim, key, address));
    transport_send(s->server, victim, slice_of("for the victim alone"));
    transport_send(s->server, s->last_peer, slice_of("for you"));
    char text[32];
    assert_int_equal(zmq_recv(squatter, text, sizeof text, 0), 7);
    assert_memory_equal(text, "for you", 7);
    (void)zmq_close(squatter);
    transport_destroy(bystander);
}

/* libzmq ends the process when it gives an id that a peer has chosen: nobody may foresee one. */
static void transport_curve_automatic_ids_cannot_be_foreseen(void **state)
{
    struct stage *s = *state;
    char first[8], second[8];
    for (int i = 0; i < 2; i++) {
        /* As if two processes were started in one second. */
        srand(1);
        transport_start();
        stage_bind(s, "tcp://127.0.0.1:0");
        s->client = stage_connect(s, &s->client_keys);
        stage_talk(s, s->client, "hello");
        (void)id_of_last(s, i == 0 ? first : second);
        transport_destroy(s->client);
        s->client = NULL;
    }
    assert_memory_not_equal(first, second, 5);
}

/* ---- endpoints ---- */

static void transport_curve_binds_names_addresses_and_all(void **state)
{
    struct stage *s = *state;
    const char *const endpoints[] = {
        "tcp://*:0", "tcp://127.0.0.1:0", "tcp://[::1]:0", "tcp://localhost:0"};
    unsigned char key[KEY_BYTES];
    char address[TRANSPORT_ADDRESS_MAX];
    for (size_t i = 0; i < sizeof endpoints / sizeof endpoints[0]; i++) {
        stage_bind(s, endpoints[i]);
        assert_int_not_equal(transport_port(s->server), 0);
        if (strstr(endpoints[i], "::1") != NULL)
            (void)snprintf(s->endpoint, sizeof s->endpoint, "tcp://[::1]:%u",
                (unsigned)transport_port(s->server));
        s->client = stage_connect(s, &s->client_keys);
        stage_talk(s, s->client, "hello");
        assert_true(transport_peer_identity(s->server, s->last_peer, key, address));
        assert_string_equal(address, strstr(endpoints[i], "::1") != NULL ? "::1" : "127.0.0.1");
        transport_destroy(s->client);
        s->client = NULL;
    }
}

static void transport_curve_taken_port_is_refused(void **state)
{
    struct stage *s = *state;
    struct error error = {0};
    assert_int_equal(bind_refused(s, s->endpoint, &error), ERR_REFUSED);
    assert_non_null(strstr(error.text, "the port is taken"));
}

static void transport_curve_endpoints_that_are_none_are_refused(void **state)
{
    struct stage *s = *state;
    const char *const bad[] = {"", "ipc:///x", "tcp://", "tcp://host", "tcp://:1", "tcp://a:65536",
        "tcp://a:-1", "tcp://a;b:1", "tcp://[]:1", "tcp://[a]:1", "tcp://a b:1", "tcp://::1:1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(bind_refused(s, bad[i], NULL), ERR_USAGE);
        assert_int_equal(connect_refused(s, bad[i]), ERR_USAGE);
    }
    assert_int_equal(connect_refused(s, "tcp://*:1"), ERR_USAGE);
    assert_int_equal(connect_refused(s, "tcp://127.0.0.1:0"), ERR_USAGE);
    /* An address that this host has not. */
    assert_int_equal(bind_refused(s, "tcp://203.0.113.1:0", NULL), ERR_USAGE);
}

/* ---- trouble ---- */

/* A TCP listener on a free port of loopback, where the client is sent. */
static int listen_raw(struct stage *s)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    (void)snprintf(
        s->endpoint, sizeof s->endpoint, "tcp://127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
    return fd;
}

static void transport_curve_port_where_nobody_listens_is_refused_in_words(void **state)
{
    struct stage *s = *state;
    char endpoint[64];
    (void)close(listen_raw(s));
    s->client = stage_connect(s, &s->client_keys);
    assert_null(transport_trouble(s->client));
    assert_false(transport_is_up(s->client));
    stage_wait_trouble(s, "the connection is refused");
    assert_int_equal(strncmp(transport_trouble(s->client), s->endpoint, strlen(s->endpoint)), 0);
    memcpy(endpoint, s->endpoint, sizeof endpoint);
    stage_bind(s, endpoint);
    stage_wait_up(s);
    stage_talk(s, s->client, "there you are");
}

static void transport_curve_unknown_key_is_told_so_and_tries_again(void **state)
{
    struct stage *s = *state;
    struct key_pair keys;
    key_pair_make(&keys);
    s->client = stage_connect(s, &keys);
    stage_wait_trouble(s, "our key is not known there");
    stage_wait_asked(s, 2);
    assert_non_null(strstr(transport_trouble(s->client), "our key is not known there"));
    stage_admit(s, &keys);
    stage_wait_up(s);
    stage_talk(s, s->client, "hello");
}

static void transport_curve_lost_connection_is_told_and_found_again(void **state)
{
    struct stage *s = *state;
    char endpoint[64];
    s->client = stage_connect(s, &s->client_keys);
    stage_wait_up(s);
    memcpy(endpoint, s->endpoint, sizeof endpoint);
    transport_destroy(s->server);
    s->server = NULL;
    stage_wait_trouble(s, "the connection ");
    assert_false(transport_is_up(s->client));
    stage_bind(s, endpoint);
    stage_wait_up(s);
    stage_talk(s, s->client, "hello");
}

static void transport_curve_wrong_server_is_told_so(void **state)
{
    struct stage *s = *state;
    key_pair_make(&s->server_keys); /* what the client believes */
    s->client = stage_connect(s, &s->client_keys);
    stage_wait_trouble(s, "not the server whose key we were given");
}

static void transport_curve_name_that_is_none_is_told_so(void **state)
{
    struct stage *s = *state;
    /* A label over 63 letters: no name server is asked. */
    char endpoint[128];
    const struct transport_place place = {endpoint, &s->client_keys, s->server_keys.public_key};
    (void)snprintf(endpoint, sizeof endpoint, "tcp://%070d:7411", 1);
    endpoint[6] = 'a';
    assert_int_equal(transport_connect_curve(s->loop, &place, NULL, NULL, &s->client, NULL), 0);
    stage_wait_trouble(s, "its name cannot be resolved");
}

static void transport_curve_server_without_curve_is_told_so(void **state)
{
    struct stage *s = *state;
    void *plain = zmq_socket(zsys_init(), ZMQ_ROUTER);
    size_t length = sizeof s->endpoint;
    assert_int_equal(zmq_bind(plain, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(plain, ZMQ_LAST_ENDPOINT, s->endpoint, &length), 0);
    s->client = stage_connect(s, &s->client_keys);
    stage_wait_trouble(s, "is not encrypted");
    (void)zmq_close(plain);
}

/* Answers one connection as a web server does. */
static void *answer_web(void *context)
{
    static const char answer[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    char bytes[512];
    int fd = accept(*(int *)context, NULL, NULL);
    (void)!recv(fd, bytes, sizeof bytes, 0);
    (void)send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL);
    (void)shutdown(fd, SHUT_WR);
    (void)!recv(fd, bytes, sizeof bytes, 0);
    (void)close(fd);
    return NULL;
}

/* libzmq would give such a server up for ever. */
static void transport_curve_web_server_is_told_so_and_tried_again(void **state)
{
    struct stage *s = *state;
    int fd = listen_raw(s);
    char endpoint[64];
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, answer_web, &fd), 0);
    s->client = stage_connect(s, &s->client_keys);
    stage_wait_trouble(s, "something else than a reeve master");
    (void)pthread_join(thread, NULL);
    (void)close(fd);
    memcpy(endpoint, s->endpoint, sizeof endpoint);
    stage_bind(s, endpoint);
    stage_wait_up(s);
    stage_talk(s, s->client, "hello");
}

/* ---- ends ---- */

static void transport_curve_client_finds_a_server_that_was_started_again(void **state)
{
    struct stage *s = *state;
    char endpoint[64];
    s->client = stage_connect(s, &s->client_keys);
    stage_talk(s, s->client, "hello");
    memcpy(endpoint, s->endpoint, sizeof endpoint);
    stage_bind(s, endpoint);
    stage_wait_asked(s, 2);
    stage_talk(s, s->client, "hello again");
}

static void transport_curve_stops_while_handshakes_are_under_way(void **state)
{
    struct stage *s = *state;
    struct transport *clients[STAGE_PEERS_MAX];
    for (int round = 0; round < 4; round++) {
        uint64_t asked = stage_asked(s);
        for (int i = 0; i < STAGE_PEERS_MAX; i++) {
            clients[i] = stage_connect(s, &s->client_keys);
            transport_send(clients[i], 0, slice_of("hello"));
        }
        stage_wait_asked(s, asked + 1);
        if (round % 2 == 0)
            transport_admit_stop();
        transport_destroy(s->server);
        s->server = NULL;
        for (int i = 0; i < STAGE_PEERS_MAX; i++)
            transport_destroy(clients[i]);
        transport_admit_stop();
        assert_int_equal(stage_start(s), 0);
    }
}

#define CURVE_TEST(name) cmocka_unit_test_setup_teardown(name, stage_set_up, stage_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CURVE_TEST(transport_curve_peer_is_its_key_and_address),
        CURVE_TEST(transport_curve_key_that_is_not_admitted_is_not_heard),
        CURVE_TEST(transport_curve_server_with_another_key_gets_nothing),
        CURVE_TEST(transport_curve_client_without_curve_is_not_heard),
        CURVE_TEST(transport_curve_without_a_judge_is_not_bound),
        CURVE_TEST(transport_curve_peers_let_in_by_nobody_are_not_heard),
        CURVE_TEST(transport_curve_frame_sizes_up_to_the_limit_pass),
        CURVE_TEST(transport_curve_peer_that_chooses_its_id_is_not_heard),
        CURVE_TEST(transport_curve_squatter_of_a_live_peer_gets_nothing),
        CURVE_TEST(transport_curve_squatter_of_a_dead_peer_is_itself),
        CURVE_TEST(transport_curve_automatic_ids_cannot_be_foreseen),
        CURVE_TEST(transport_curve_binds_names_addresses_and_all),
        CURVE_TEST(transport_curve_taken_port_is_refused),
        CURVE_TEST(transport_curve_endpoints_that_are_none_are_refused),
        CURVE_TEST(transport_curve_port_where_nobody_listens_is_refused_in_words),
        CURVE_TEST(transport_curve_unknown_key_is_told_so_and_tries_again),
        CURVE_TEST(transport_curve_lost_connection_is_told_and_found_again),
        CURVE_TEST(transport_curve_wrong_server_is_told_so),
        CURVE_TEST(transport_curve_name_that_is_none_is_told_so),
        CURVE_TEST(transport_curve_server_without_curve_is_told_so),
        CURVE_TEST(transport_curve_web_server_is_told_so_and_tried_again),
        CURVE_TEST(transport_curve_client_finds_a_server_that_was_started_again),
        CURVE_TEST(transport_curve_stops_while_handshakes_are_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
