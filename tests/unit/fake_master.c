#include "fake_master.h"

#include "common/file.h"
#include "common/memory.h"
#include "common/random.h"
#include "common/transport.h"

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

static void *serve(void *context)
{
    struct fake_master *fake = context;
    bind_port(fake, &fake->control, "control.sock");
    bind_port(fake, &fake->bulk, "bulk.sock");
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
    atomic_store(&fake->over, false);
    rc = pthread_create(&fake->thread, NULL, serve, fake);
    assert(rc == 0);
    fake->running = true;
}

struct fake_master *fake_master_start(fake_master_fn answer, void *context)
{
    struct fake_master *fake = xcalloc(1, sizeof *fake);
    (void)snprintf(fake->folder, sizeof fake->folder, "/tmp/rv.XXXXXX");
    char *made = mkdtemp(fake->folder);
    assert(made != NULL);
    (void)made;
    fake->answer = answer;
    fake->context = context;
    begin(fake);
    return fake;
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
