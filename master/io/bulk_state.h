/*
 * bulk_state.h - what the parts of the bulk port share. Internal; all of it belongs to the bulk
 * thread, but for what bulk_sync.c says.
 */
#ifndef MASTER_IO_BULK_STATE_H
#define MASTER_IO_BULK_STATE_H

#include "common/loop.h"
#include "common/table.h"
#include "common/transport.h"
#include "common/wheel.h"
#include "master/io/bulk.h"
#include "master/io/bulk_sync.h"

#include <pthread.h>
#include <stdatomic.h>

struct bulk {
    struct bulk_config config;
    char *endpoint;
    pthread_t thread;
    struct loop *loop;
    struct transport *transport;
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

/* A sync is done. */
void bulk_log_synced(struct bulk *bulk, const struct sync_job *job);
void bulk_blob_synced(struct bulk *bulk, const struct sync_job *job);
/* Timers that are due. */
void bulk_log_tick(struct bulk *bulk, uint64_t now_ms);
void bulk_logs_fini(struct bulk *bulk);
void bulk_blobs_fini(struct bulk *bulk);

#endif
