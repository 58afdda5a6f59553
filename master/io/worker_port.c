#include "master/io/worker_port.h"

#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/memory.h"
#include "master/io/trace.h"

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

static void step_frame(struct worker_port *port, transport_peer peer, struct slice bytes)
{
    struct event event = {.kind = EVENT_FRAME, .frame = {peer, bytes}};
    pipeline_step(port->pipeline, &event);
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

static void on_frame(void *context, transport_peer peer, struct slice frame)
{
    struct worker_port *port = context;
    if (port->trace)
        trace_frame("worker", peer, "<", frame);
    if ((may_step(port) && port->first == NULL) || is_heartbeat(port, frame))
        step_frame(port, peer, frame);
    else
        queue_frame(port, peer, frame);
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
    if (port->transport != NULL)
        transport_send(port->transport, peer, frame);
}

struct slice worker_port_name(const struct worker_port *port, uint32_t number)
{
    uint64_t address;
    if (!table_get(&port->names, number, &address))
        return slice_of(NULL);
    return slice_of((const char *)(uintptr_t)address);
}

void worker_port_set_name(struct worker_port *port, uint32_t number, struct slice name)
{
    uint64_t address;
    if (slice_equal(worker_port_name(port, number), name))
        return;
    if (table_get(&port->names, number, &address))
        free((char *)(uintptr_t)address);
    table_set(&port->names, number, (uintptr_t)xstrndup(name.ptr, name.length));
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
    uint64_t address;
    for (uint64_t number = 1; port->names.count > 0 && number <= UINT32_MAX; number++) {
        if (table_get(&port->names, number, &address))
            free((char *)(uintptr_t)address);
        (void)table_remove(&port->names, number);
    }
    table_fini(&port->names);
    arena_fini(&port->scratch);
    free(port->states);
    *port = (struct worker_port){0};
}
