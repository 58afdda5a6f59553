/*
 * ship.h - brings logs to the master: for each attempt log_open -> log_have, then chunks under
 * credit as the spool grows, then log_end -> kept, and the spool goes. One that was never begun is
 * sent from its first byte without asking. Streams take turns, a chunk each. One thread.
 */
#ifndef WORKER_IO_SHIP_H
#define WORKER_IO_SHIP_H

#include "worker/io/bulk.h"
#include "worker/io/spool.h"

struct ship;
struct stream;

/* `bulk` is borrowed and outlives it. */
struct ship *ship_create(struct bulk *bulk);
/* The spools stay on disk. */
void ship_destroy(struct ship *ship);

/*
 * A log to be shipped: takes the spool (copied; the caller's is closed by that). `begun`: some of
 * it may have been sent by an earlier agent.
 */
struct stream *ship_add(
    struct ship *ship, const struct attempt_id *id, const struct spool *spool, bool begun);
/* The stream's own spool, to be filled; call ship_grown then. */
struct spool *stream_spool(struct stream *stream);
void ship_grown(struct ship *ship, struct stream *stream);
/*
 * Nothing follows. The stream is not the caller's any more: it goes when the master has kept it, at
 * once when it is empty. Returns its length.
 */
uint64_t ship_end(struct ship *ship, struct stream *stream);
/*
 * As ship_end, and the spool stays until ship_saved: while no result with that length is on disk,
 * the next agent learns it from the spool alone.
 */
uint64_t ship_end_unsaved(struct ship *ship, struct stream *stream);
void ship_saved(struct ship *ship, const struct attempt_id *id);
/* Forgets it, and removes its spool. */
void ship_drop(struct ship *ship, struct stream *stream);

/* Sends what may be sent; call in each round, before bulk_flush. */
void ship_pump(struct ship *ship, uint64_t now_ms);
/* Logs that the master has not kept, of tasks that run too. */
size_t ship_count(const struct ship *ship);
/* Bytes that their spools hold on disk. */
uint64_t ship_bytes(const struct ship *ship);
/* Some log has waited so long for the master that the connection should be renewed. */
bool ship_is_stuck(const struct ship *ship, uint64_t now_ms);

#endif
