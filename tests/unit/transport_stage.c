#include "transport_stage.h"

#include "common/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <czmq.h>

enum { PATIENCE_MS = 30000 };

static void out_of_patience(void *context)
{
    struct stage *stage = context;
    stage->late = true;
    loop_stop(stage->loop);
}

static bool stage_is_known(const struct stage *stage, const unsigned char key[KEY_BYTES])
{
    for (int i = 0; i < stage->key_count; i++) {
        if (memcmp(stage->keys[i], key, KEY_BYTES) == 0)
            return true;
    }
    return false;
}

/* On the thread that answers handshakes. */
static bool admit(void *context, const unsigned char key[KEY_BYTES], const char *address)
{
    struct stage *stage = context;
    (void)pthread_mutex_lock(&stage->mutex);
    bool known = stage_is_known(stage, key);
    stage->asked++;
    if (!known) {
        stage->refused++;
        memcpy(stage->last_refused, key, KEY_BYTES);
    }
    assert(strncmp(address, "127.0.0.1", 9) == 0 || strcmp(address, "::1") == 0);
    (void)pthread_mutex_unlock(&stage->mutex);
    loop_wake(stage->loop);
    return known;
}

static void on_server(void *context, transport_peer peer, struct slice frame)
{
    struct stage *stage = context;
    stage->last_peer = peer;
    stage->last_length = frame.length;
    (void)snprintf(stage->last_text, sizeof stage->last_text, "%.*s",
        (int)(frame.length < 63 ? frame.length : 63), frame.ptr);
    stage->server_frames++;
    if (stage->echo)
        transport_send(stage->server, peer, frame);
    if (stage->server_frames == stage->server_wanted)
        loop_stop(stage->loop);
}

static void on_client(void *context, transport_peer peer, struct slice frame)
{
    struct stage *stage = context;
    assert_int_equal(peer, 0);
    stage->last_length = frame.length;
    stage->client_frames++;
    if (stage->client_frames == stage->client_wanted)
        loop_stop(stage->loop);
}

uint64_t stage_asked(struct stage *stage)
{
    (void)pthread_mutex_lock(&stage->mutex);
    uint64_t asked = stage->asked;
    (void)pthread_mutex_unlock(&stage->mutex);
    return asked;
}

static bool is_content(struct stage *stage)
{
    if (stage->asked_wanted != 0)
        return stage_asked(stage) >= stage->asked_wanted;
    if (stage->up_wanted)
        return transport_is_up(stage->client);
    const char *trouble = stage->client != NULL ? transport_trouble(stage->client) : NULL;
    return stage->trouble_wanted != NULL && trouble != NULL &&
           strstr(trouble, stage->trouble_wanted) != NULL;
}

static bool on_round(void *context)
{
    struct stage *stage = context;
    if (is_content(stage))
        loop_stop(stage->loop);
    return false;
}

int stage_set_up(void **state)
{
    struct stage *stage = calloc(1, sizeof *stage);
    *state = stage;
    if (stage == NULL || loop_create(&stage->loop, NULL) != 0)
        return -1;
    (void)pthread_mutex_init(&stage->mutex, NULL);
    loop_on_timer(stage->loop, out_of_patience, stage);
    loop_on_round(stage->loop, on_round, stage);
    key_pair_make(&stage->server_keys);
    key_pair_make(&stage->client_keys);
    stage_admit(stage, &stage->client_keys);
    transport_start();
    return stage_start(stage);
}

int stage_start(struct stage *stage)
{
    int rc = transport_admit_start(admit, stage, NULL);
    if (rc == 0)
        stage_bind(stage, "tcp://127.0.0.1:0");
    return rc;
}

int stage_tear_down(void **state)
{
    struct stage *stage = *state;
    transport_destroy(stage->client);
    transport_destroy(stage->server);
    transport_admit_stop();
    transport_stop();
    loop_destroy(stage->loop);
    (void)pthread_mutex_destroy(&stage->mutex);
    free(stage);
    return 0;
}

void stage_admit(struct stage *stage, const struct key_pair *keys)
{
    (void)pthread_mutex_lock(&stage->mutex);
    memcpy(stage->keys[stage->key_count++], keys->public_key, KEY_BYTES);
    (void)pthread_mutex_unlock(&stage->mutex);
}

void stage_bind(struct stage *stage, const char *endpoint)
{
    const struct transport_place place = {endpoint, &stage->server_keys, NULL};
    int rc;
    transport_destroy(stage->server);
    stage->server = NULL;
    /* ZeroMQ closes on a thread of its own: the port is free in a moment. */
    do {
        rc = transport_bind_curve(stage->loop, &place, on_server, stage, &stage->server, NULL);
    } while (rc == ERR_REFUSED);
    assert_int_equal(rc, 0);
    (void)snprintf(stage->endpoint, sizeof stage->endpoint, "tcp://127.0.0.1:%u",
        (unsigned)transport_port(stage->server));
}

struct transport *stage_connect(struct stage *stage, const struct key_pair *keys)
{
    const struct transport_place place = {stage->endpoint, keys, stage->server_keys.public_key};
    struct transport *client;
    assert_int_equal(
        transport_connect_curve(stage->loop, &place, on_client, stage, &client, NULL), 0);
    return client;
}

void stage_run(struct stage *stage)
{
    loop_set_timer(stage->loop, clock_boot_ms() + PATIENCE_MS);
    loop_run(stage->loop);
    if (stage->late && stage->client != NULL && transport_trouble(stage->client) != NULL)
        print_message("%s\n", transport_trouble(stage->client));
    assert_false(stage->late);
}

void stage_wait_asked(struct stage *stage, uint64_t count)
{
    stage->asked_wanted = count;
    stage_run(stage);
    stage->asked_wanted = 0;
}

void stage_wait_trouble(struct stage *stage, const char *words)
{
    stage->trouble_wanted = words;
    stage_run(stage);
    stage->trouble_wanted = NULL;
}

void stage_wait_up(struct stage *stage)
{
    stage->up_wanted = true;
    stage_run(stage);
    stage->up_wanted = false;
    assert_null(transport_trouble(stage->client));
}

void stage_talk(struct stage *stage, struct transport *client, const char *text)
{
    stage->echo = true;
    stage->client_wanted = stage->client_frames + 1;
    transport_send(client, 0, slice_of(text));
    stage_run(stage);
    assert_string_equal(stage->last_text, text);
    stage->echo = false;
}

void *stage_dealer(void)
{
    void *dealer = zmq_socket(zsys_init(), ZMQ_DEALER);
    int linger = 0;
    assert_non_null(dealer);
    assert_int_equal(zmq_setsockopt(dealer, ZMQ_LINGER, &linger, sizeof linger), 0);
    return dealer;
}

void stage_dealer_curve(void *dealer, const struct stage *stage, const struct key_pair *keys)
{
    assert_int_equal(
        zmq_setsockopt(dealer, ZMQ_CURVE_SERVERKEY, stage->server_keys.public_key, KEY_BYTES), 0);
    assert_int_equal(zmq_setsockopt(dealer, ZMQ_CURVE_PUBLICKEY, keys->public_key, KEY_BYTES), 0);
    assert_int_equal(zmq_setsockopt(dealer, ZMQ_CURVE_SECRETKEY, keys->secret_key, KEY_BYTES), 0);
}

void stage_dealer_send(void *dealer, const char *text)
{
    assert_int_equal(zmq_send(dealer, text, strlen(text), 0), strlen(text));
}
