#include "master/io/worker_port.h"

#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/stop_point.h"
#include "master/io/trace.h"
#include "proto/roles.h"

#include <stdlib.h>

enum {
    /* Frames that wait while two batches are in flight. More are dropped: what is in them is
       numbered, or repeated by its nature, and comes again. */
    QUEUE_MAX_BYTES = 64 * 1024 * 1024,
    /* A heartbeat is short; a longer frame holds more than one. */
    HEARTBEAT_MAX_BYTES = 256,
    /* With more workers the log may be a little late. */
    LOOK_WORKERS_MAX = 64,
    LOOK_EVERY_MS = 250,
};

struct queued_frame {
    struct queued_frame *next;
    transport_peer peer;
    size_t length;
    char bytes[];
};

struct known_worker {
    char *name;
    unsigned char key[WORKER_KEY_BYTES];
};

/* Who speaks is looked up at this moment: a key may have been removed while its frame waited. */
static void step_frame(struct worker_port *port, transport_peer peer, struct slice bytes)
{
    struct speaker speaker = {.actor = {.role = ROLE_LOCAL}};
    if (peer_is_remote(peer)) {
        if (port->remote == NULL)
            return;
        admission_speaker(port->admission, port->remote, peer, &speaker);
        if (speaker.actor.role != ROLE_WORKER)
            return;
    }
    struct event event = {.kind = EVENT_FRAME, .actor = speaker.actor, .frame = {peer, bytes}};
    pipeline_step(port->pipeline, &event);
}

bool worker_port_takes(uint32_t message)
{
    return message >= MESSAGE_register && message <= MESSAGE_leave;
}

static void queue_frame(struct worker_port *port, transport_peer peer, struct slice bytes)
{
    if (port->queued_bytes + bytes.length > QUEUE_MAX_BYTES) {
        port->dropped++;
        return;
    }
    struct queued_frame *frame = xmalloc(sizeof *frame + bytes.length);
    frame->next = NULL;
    frame->peer = peer;
    frame->length = bytes.length;
    if (bytes.length > 0)
        memcpy(frame->bytes, bytes.ptr, bytes.length);
    if (port->last != NULL)
        port->last->next = frame;
    else
        port->first = frame;
    port->last = frame;
    port->queued_bytes += bytes.length;
}

/* It has no numbered messages, and nothing but a heartbeat. */
static bool is_heartbeat(struct worker_port *port, struct slice bytes)
{
    struct frame_reader reader;
    struct message message;
    if (bytes.length > HEARTBEAT_MAX_BYTES)
        return false;
    arena_reset(&port->scratch);
    return frame_open(bytes, &port->scratch, &reader, NULL) == 0 && reader.header.number == 0 &&
           frame_next(&reader, &message, NULL) == 1 && message.number == MESSAGE_heartbeat &&
           frame_next(&reader, &message, NULL) == 0;
}

static bool may_step(const struct worker_port *port)
{
    return !port->held && pipeline_is_open(port->pipeline);
}

void worker_port_take(struct worker_port *port, transport_peer peer, struct slice frame)
{
    if (port->trace)
        trace_frame("worker", peer, "<", frame);
    if ((may_step(port) && port->first == NULL) || is_heartbeat(port, frame))
        step_frame(port, peer, frame);
    else
        queue_frame(port, peer, frame);
}

/* Of this host. What a worker says is all that the core listens to here. */
static void on_frame(void *context, transport_peer peer, struct slice frame)
{
    static const struct actor local = {.role = ROLE_LOCAL};
    struct worker_port *port = context;
    versions_note(port->versions, peer, &local, frame);
    worker_port_take(port, peer, frame);
}

int worker_port_open(
    struct worker_port *port, struct loop *loop, const char *endpoint, struct error *error)
{
    port->opened_ms = clock_boot_ms();
    return transport_bind(loop, endpoint, on_frame, port, &port->transport, error);
}

static struct queued_frame *pop(struct worker_port *port)
{
    struct queued_frame *frame = port->first;
    port->first = frame->next;
    if (port->first == NULL)
        port->last = NULL;
    port->queued_bytes -= frame->length;
    return frame;
}

void worker_port_step(struct worker_port *port)
{
    if (port->dropped > 0) {
        log_warn("%llu frames of workers were dropped while batches waited for the disk; they "
                 "come again",
            (unsigned long long)port->dropped);
        port->dropped = 0;
    }
    while (port->first != NULL && may_step(port)) {
        struct queued_frame *frame = pop(port);
        step_frame(port, frame->peer, slice_make(frame->bytes, frame->length));
        free(frame);
    }
}

bool worker_port_has_work(const struct worker_port *port)
{
    return port->first != NULL && may_step(port);
}

void worker_port_send(struct worker_port *port, uint64_t peer, struct slice frame)
{
    if (port->trace)
        trace_frame("worker", peer, ">", frame);
    struct transport *transport = peer_is_remote(peer) ? port->remote : port->transport;
    if (transport != NULL)
        transport_send(transport, peer, frame);
    stop_here(STOP_WORKER_TOLD);
}

static struct known_worker *find_known(const struct worker_port *port, uint32_t number)
{
    uint64_t address;
    return table_get(&port->known, number, &address) ? (struct known_worker *)(uintptr_t)address
                                                     : NULL;
}

struct slice worker_port_name(const struct worker_port *port, uint32_t number)
{
    const struct known_worker *known = find_known(port, number);
    return slice_of(known != NULL ? known->name : NULL);
}

const unsigned char *worker_port_key(const struct worker_port *port, uint32_t number)
{
    const struct known_worker *known = find_known(port, number);
    return known != NULL ? known->key : NULL;
}

void worker_port_know(struct worker_port *port, const struct worker_row *row)
{
    struct known_worker *known = find_known(port, row->number);
    if (known == NULL) {
        known = xcalloc(1, sizeof *known);
        table_set(&port->known, row->number, (uintptr_t)known);
    }
    memcpy(known->key, row->key, sizeof known->key);
    if (known->name != NULL && slice_is(row->name, known->name))
        return;
    free(known->name);
    known->name = xstrndup(row->name.ptr, row->name.length);
}

/* Its last heartbeat went to a master before this one. */
static bool is_unheard(const struct worker_port *port, const struct worker_view *view)
{
    return view->state == WORKER_SILENT &&
           view->heartbeat_age_ms > port->looked_ms - port->opened_ms;
}

static void log_state(const struct worker_port *port, const struct worker_view *view)
{
    if (is_unheard(port, view))
        log_warn(
            "worker %.*s has tasks and was not heard of since the start", SLICE_PRINT(view->name));
    else if (view->state == WORKER_SILENT)
        log_warn("worker %.*s is silent: no heartbeat for %llu ms", SLICE_PRINT(view->name),
            (unsigned long long)view->heartbeat_age_ms);
    else
        log_info("worker %.*s on %.*s is %s", SLICE_PRINT(view->name), SLICE_PRINT(view->host),
            worker_state_name(view->state));
}

static void look_at(struct worker_port *port, uint32_t index, const struct worker_view *view)
{
    if (index == port->state_count) {
        vector_reserve(&port->states, port->state_count, &port->state_capacity);
        port->states[port->state_count++] = WORKER_GONE;
    }
    /* After a restart it has its time to come back. */
    bool early = port->looked_ms - port->opened_ms < SILENT_AFTER_MS;
    if (port->states[index] == view->state || (early && is_unheard(port, view)))
        return;
    log_state(port, view);
    port->states[index] = view->state;
}

void worker_port_log_changes(struct worker_port *port, const struct core *core, uint64_t now_ms)
{
    struct worker_view view;
    if (port->state_count > LOOK_WORKERS_MAX && now_ms < port->looked_ms + LOOK_EVERY_MS)
        return;
    port->looked_ms = now_ms;
    for (uint32_t i = 0; core_view_worker(core, i, now_ms, &view); i++)
        look_at(port, i, &view);
}

void worker_port_fini(struct worker_port *port)
{
    transport_destroy(port->transport);
    while (port->first != NULL)
        free(pop(port));
    /* Numbers are given one after another from 1. */
    for (uint32_t number = 1; port->known.count > 0 && number < UINT32_MAX; number++) {
        struct known_worker *known = find_known(port, number);
        if (known == NULL)
            continue;
        (void)table_remove(&port->known, number);
        free(known->name);
        free(known);
    }
    table_fini(&port->known);
    arena_fini(&port->scratch);
    free(port->states);
    *port = (struct worker_port){0};
}
