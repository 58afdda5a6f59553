/*
 * bulk_state.h - what the parts of the bulk port share. Internal; all of it belongs to the bulk
 * thread, but for what bulk_sync.c says.
 */
#ifndef MASTER_IO_BULK_STATE_H
#define MASTER_IO_BULK_STATE_H

#include "common/loop.h"
#include "common/table.h"
#include "common/transport/transport.h"
#include "common/wheel.h"
#include "master/io/bulk.h"
#include "master/io/bulk_sync.h"
#include "master/io/versions.h"

#include <pthread.h>
#include <stdatomic.h>

struct bulk {
    struct bulk_config config;
    pthread_t thread;
    struct loop *loop;
    struct transport *transport;
    struct transport *remote; /* or NULL */
    struct versions versions;
    struct names verdicts; /* peer and attempt -> whether that worker may send its log */
    atomic_bool stopping;
    bool failed;
    struct arena arena;   /* of the frame that is being handled */
    struct table credit;  /* peer -> bytes it sent that were not given back yet */
    struct names logs;    /* attempt -> struct log_state, where something is pending */
    struct names uploads; /* hash -> struct upload */
    struct wheel readers; /* of clients that wait for a log */
    uint32_t reader_count;
    struct wheel stalls; /* of senders that wait for disk space */
    struct bulk_sync *sync;
    uint64_t told_full_ms;
};

/* ---- bulk.c ---- */

void bulk_send(struct bulk *bulk, transport_peer peer, enum message_id number, const void *body);
void bulk_refuse(
    struct bulk *bulk, transport_peer peer, uint64_t request, const struct error *error);
/* The peer may send chunks: its window, once. */
void bulk_open_credit(struct bulk *bulk, transport_peer peer);
/* So many bytes of its chunks were dealt with. */
void bulk_return_credit(struct bulk *bulk, transport_peer peer, size_t bytes);
/* What a failed write means: true when there is no space, which mends itself; else the process
 * ends. */
bool bulk_is_full(struct bulk *bulk, const struct error *error);

/* Whether this peer may (still) say this, or be told what follows from it. */
bool bulk_may(struct bulk *bulk, transport_peer peer, uint32_t message);

/* ---- bulk_claim.c ---- */

/* Whether this worker may send this attempt's log. False when it may not, and was told; or when
 * that is asked at this moment, and it will be told from where to go on. */
bool bulk_owns(
    struct bulk *bulk, transport_peer peer, const struct actor *actor, const struct attempt_id *id);
void bulk_take_claims(struct bulk *bulk);

/* Senders wait so long for disk space before they try again. */
enum { BULK_STALL_MS = 1000 };

/* ---- handlers, one a message ---- */

void bulk_log_open(struct bulk *bulk, transport_peer peer, const struct msg_log_open *body);
void bulk_log_chunk(struct bulk *bulk, transport_peer peer, const struct msg_log_chunk *body);
void bulk_log_end(struct bulk *bulk, transport_peer peer, const struct msg_log_end *body);
void bulk_log_read(struct bulk *bulk, transport_peer peer, const struct msg_log_read *body);
void bulk_blob_offer(struct bulk *bulk, transport_peer peer, const struct msg_blob_offer *body);
void bulk_blob_chunk(struct bulk *bulk, transport_peer peer, const struct msg_blob_chunk *body);
void bulk_blob_read(struct bulk *bulk, transport_peer peer, const struct msg_blob_read *body);

/* What the peer said of this log before it was known to be its own is to be said again. */
void bulk_log_owned(struct bulk *bulk, transport_peer peer, const struct attempt_id *id);
/* A sync is done. */
void bulk_log_synced(struct bulk *bulk, const struct sync_job *job);
void bulk_blob_synced(struct bulk *bulk, const struct sync_job *job);
/* Timers that are due. */
void bulk_log_tick(struct bulk *bulk, uint64_t now_ms);
void bulk_logs_fini(struct bulk *bulk);
void bulk_blobs_fini(struct bulk *bulk);

#endif
