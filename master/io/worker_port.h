/*
 * worker_port.h - frames from workers on their way to the core, in the order of their arrival.
 * While no batch may be begun only heartbeats are stepped; the others wait, up to a bound. Belongs
 * to the loop's thread.
 */
#ifndef MASTER_IO_WORKER_PORT_H
#define MASTER_IO_WORKER_PORT_H

#include "common/table.h"
#include "master/io/admission.h"
#include "master/io/pipeline.h"
#include "master/io/versions.h"

struct queued_frame;

struct worker_port {
    struct transport *transport;
    struct transport *remote; /* the gate's (gate.h), or NULL */
    struct admission *admission;
    struct versions *versions;
    struct pipeline *pipeline;
    struct queued_frame *first, *last;
    size_t queued_bytes;
    uint64_t dropped; /* frames at the bound; their senders repeat them */
    bool held;        /* nothing but heartbeats is stepped, though the pipeline is open */
    bool trace;
    struct arena scratch;
    /* What the log has said of each worker, and their names by number. */
    uint32_t *states;
    size_t state_count, state_capacity;
    uint64_t opened_ms, looked_ms;
    struct table known; /* number -> struct known_worker */
};

int worker_port_open(
    struct worker_port *port, struct loop *loop, const char *endpoint, struct error *error);
void worker_port_fini(struct worker_port *port);

/* Whether a message of this number is one for this port. */
bool worker_port_takes(uint32_t message);
/* A frame of a remote worker, which holds nothing else than such messages. */
void worker_port_take(struct worker_port *port, transport_peer peer, struct slice frame);

/* Steps what waits while the pipeline is open. */
void worker_port_step(struct worker_port *port);
bool worker_port_has_work(const struct worker_port *port);

/* A frame to a worker. */
void worker_port_send(struct worker_port *port, uint64_t peer, struct slice frame);

/* The name of a worker's number; empty when it is not known. */
struct slice worker_port_name(const struct worker_port *port, uint32_t number);
/* Its public key; NULL when it is not known. */
const unsigned char *worker_port_key(const struct worker_port *port, uint32_t number);
void worker_port_know(struct worker_port *port, const struct worker_row *row);
/* Logs which workers came, fell silent or went since it last looked; looks a few times a second at
 * most. */
void worker_port_log_changes(struct worker_port *port, const struct core *core, uint64_t now_ms);

#endif
