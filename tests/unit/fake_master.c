#include "fake_master.h"

#include "common/file.h"
#include "common/memory.h"
#include "common/random.h"
#include "common/transport/transport.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct port {
    struct fake_master *fake;
    struct transport *transport;
};

struct fake_master {
    char folder[64];
    bool remote;
    struct key_pair keys;
    uint32_t tcp_port; /* 0: any free one, with its next */
    char address[64];
    fake_master_fn answer;
    void *context;
    struct loop *loop;
    struct port control, bulk;
    struct port *asked; /* where the message in hand came from */
    transport_peer peer;
    uint64_t leader;
    atomic_bool over;
    pthread_t thread;
    bool running;
};

static void on_frame(void *context, transport_peer peer, struct slice frame)
{
    struct port *port = context;
    struct arena arena = {0};
    struct frame_reader reader;
    struct message message;
    int rc = frame_open(frame, &arena, &reader, NULL);
    assert(rc == 0);
    port->fake->asked = port;
    port->fake->peer = peer;
    while ((rc = frame_next(&reader, &message, NULL)) == 1)
        port->fake->answer(port->fake, port->fake->context, &message);
    assert(rc == 0);
    arena_fini(&arena);
}

static bool on_round(void *context)
{
    struct fake_master *fake = context;
    if (atomic_load(&fake->over))
        loop_stop(fake->loop);
    return false;
}

static void bind_port(struct fake_master *fake, struct port *port, const char *name)
{
    char endpoint[128];
    (void)snprintf(endpoint, sizeof endpoint, "ipc://%s/%s", fake->folder, name);
    port->fake = fake;
    int rc = transport_bind(fake->loop, endpoint, on_frame, port, &port->transport, NULL);
    assert(rc == 0);
    (void)rc;
}

static int listen_port(struct fake_master *fake, struct port *port, uint32_t number)
{
    char endpoint[64];
    (void)snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", number);
    port->fake = fake;
    const struct transport_place place = {endpoint, &fake->keys, NULL};
    return transport_bind_curve(fake->loop, &place, on_frame, port, &port->transport, NULL);
}

/* A free port whose next one is free, too. */
static void listen_ports(struct fake_master *fake)
{
    for (int i = 0; i < 100; i++) {
        int rc = listen_port(fake, &fake->control, fake->tcp_port);
        assert(rc == 0);
        uint32_t number = transport_port(fake->control.transport);
        if (number < UINT16_MAX && listen_port(fake, &fake->bulk, number + 1) == 0) {
            fake->tcp_port = number;
            return;
        }
        transport_destroy(fake->control.transport);
    }
    abort();
}

static void *serve(void *context)
{
    struct fake_master *fake = context;
    loop_on_round(fake->loop, on_round, fake);
    loop_run(fake->loop);
    transport_destroy(fake->control.transport);
    transport_destroy(fake->bulk.transport);
    return NULL;
}

static void begin(struct fake_master *fake)
{
    int rc = loop_create(&fake->loop, NULL);
    assert(rc == 0);
    fake->leader = random_id();
    if (fake->remote) {
        listen_ports(fake);
        (void)snprintf(fake->address, sizeof fake->address, "tcp://127.0.0.1:%u", fake->tcp_port);
    } else {
        bind_port(fake, &fake->control, "control.sock");
        bind_port(fake, &fake->bulk, "bulk.sock");
    }
    atomic_store(&fake->over, false);
    rc = pthread_create(&fake->thread, NULL, serve, fake);
    assert(rc == 0);
    fake->running = true;
}

static struct fake_master *make(fake_master_fn answer, void *context)
{
    struct fake_master *fake = xcalloc(1, sizeof *fake);
    (void)snprintf(fake->folder, sizeof fake->folder, "/tmp/rv.XXXXXX");
    char *made = mkdtemp(fake->folder);
    assert(made != NULL);
    (void)made;
    fake->answer = answer;
    fake->context = context;
    return fake;
}

struct fake_master *fake_master_start(fake_master_fn answer, void *context)
{
    struct fake_master *fake = make(answer, context);
    begin(fake);
    return fake;
}

struct fake_master *fake_master_start_remote(
    fake_master_fn answer, void *context, transport_admit_fn admit)
{
    struct fake_master *fake = make(answer, context);
    int rc = transport_admit_start(admit, context, NULL);
    assert(rc == 0);
    (void)rc;
    fake->remote = true;
    key_pair_make(&fake->keys);
    begin(fake);
    return fake;
}

const char *fake_master_address(const struct fake_master *fake)
{
    return fake->address;
}

const unsigned char *fake_master_key(const struct fake_master *fake)
{
    return fake->keys.public_key;
}

void fake_master_peer_key(const struct fake_master *fake, unsigned char ret_key[KEY_BYTES])
{
    char address[TRANSPORT_ADDRESS_MAX];
    bool known = transport_peer_identity(fake->asked->transport, fake->peer, ret_key, address);
    assert(known);
    (void)known;
}

void fake_master_stop(struct fake_master *fake)
{
    if (!fake->running)
        return;
    atomic_store(&fake->over, true);
    loop_wake(fake->loop);
    (void)pthread_join(fake->thread, NULL);
    loop_destroy(fake->loop);
    fake->running = false;
}

void fake_master_restart(struct fake_master *fake)
{
    fake_master_stop(fake);
    begin(fake);
}

void fake_master_destroy(struct fake_master *fake)
{
    fake_master_stop(fake);
    if (fake->remote)
        transport_admit_stop();
    (void)file_remove_tree(fake->folder, NULL);
    free(fake);
}

void fake_master_send(struct fake_master *fake, enum message_id number, const void *body)
{
    const struct frame_header header = {
        .version = PROTOCOL_VERSION, .epoch = 1, .leader = fake->leader};
    struct buffer frame = {0};
    frame_begin(&frame, &header);
    message_encode(&frame, number, body);
    transport_send(fake->asked->transport, fake->peer, buffer_slice(&frame));
    buffer_fini(&frame);
}

struct master_search fake_master_search(const struct fake_master *fake)
{
    struct master_search search = {.count = 1};
    (void)snprintf(search.places[0].folder, sizeof search.places[0].folder, "%s", fake->folder);
    search.places[0].source = "--data";
    search.places[0].state = PLACE_HAS_SOCKET;
    return search;
}
