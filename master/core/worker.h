/*
 * worker.h - what the core's files may do with a worker, and with its frames. A part of state.h,
 * which includes it; nobody else needs to.
 */
#ifndef MASTER_CORE_WORKER_H
#define MASTER_CORE_WORKER_H

#include "master/core/state.h"

/* ---- worker.c, register.c ---- */

enum worker_event {
    WORKER_EVENT_REGISTER,
    WORKER_EVENT_TRAFFIC,
    WORKER_EVENT_SILENCE,
    WORKER_EVENT_CLOSE, /* its session ended, attempts are open */
    WORKER_EVENT_GONE,  /* its session ended, nothing is open */
    WORKER_EVENT_DRAIN, /* it is to take no more tasks */
    WORKER_EVENT_UNDRAIN,
    WORKER_EVENT_COUNT
};

/* The next state by the table, 0 when it is illegal. */
uint32_t worker_next_state(uint32_t state, enum worker_event event);
/* Whoever is up again and is to take no tasks drains at once. */
void worker_move(struct core *core, struct worker *worker, enum worker_event event);
struct worker *worker_by_key(const struct core *core, const unsigned char *key);
struct worker *worker_create(struct core *core, const unsigned char *key);
void worker_destroy(struct worker *worker);
void worker_free_description(struct worker *worker);
/* Attempts that no heartbeat of this session can renew any more: their leases count from the last
 * one that could. Questions have died with the session. */
void worker_arm_attempts(struct core *core, const struct worker *worker);
/*
 * A worker of this very boot has the same clock; of another, the way of its message is in the
 * difference. Without sign, so that no worker's clock can overflow it.
 */
void worker_set_clock(const struct core *core, struct worker *worker, uint64_t boot_ms);
void worker_register(struct core *core, uint64_t peer, const struct frame_header *header,
    const struct msg_register *message);
/* The silence of one, and the end of its session. */
void worker_timer(struct core *core, struct worker *worker);
void worker_arm(struct core *core, struct worker *worker);
void worker_fact(struct core *core, const struct worker *worker);
/* The live worker of this name, or NULL: there is one at most. */
struct worker *worker_live_named(const struct core *core, struct slice name);
void worker_mark_dirty(struct core *core, struct worker *worker);
/* True when it can be given work now. */
bool worker_takes_work(const struct core *core, const struct worker *worker);
/* Heard of lately: what it has is shown as it is. */
static inline bool worker_is_heard(const struct worker *worker)
{
    return worker->state == WORKER_UP || worker->state == WORKER_DRAINING;
}
/* The wall time here of a boot time there, never in the future; its clock may say anything. */
int64_t worker_wall(const struct core *core, const struct worker *worker, uint64_t boot_ms);
/* What it holds at most: what runs, and what is in its hand. */
static inline uint64_t worker_holds_max(const struct worker *worker)
{
    return (uint64_t)worker->slots + worker->hand;
}
/*
 * What it has in hand lasts for HAND_MS at its pace since the last look, PACE_MS ago or more, and
 * is one task a slot at least: the way of an end to the master and of the next task back takes
 * longer than the shortest tasks do. Call when a task ended, and now and then.
 */
void worker_fit_hand(const struct core *core, struct worker *worker);
void worker_show_attempts(struct core *core, const struct worker *worker);
void worker_traffic(struct core *core, struct worker *worker);
void worker_heartbeat(
    struct core *core, struct worker *worker, const struct msg_heartbeat *message);
/* It ends in good order. */
void worker_leave(struct core *core, struct worker *worker);
/* Draining or not: what was wished is shown, and what it has not started is asked back. */
void worker_follow_wishes(struct core *core, struct worker *worker);
/* No ack goes out in this session any more; its attempts' leases run out. */
void worker_close(struct core *core, struct worker *worker);
/* An attempt of it is over: a worker without a session and without attempts is gone. */
void worker_left(struct core *core, struct worker *worker);

/* ---- drain.c ---- */

/* A person's. */
void request_drain(struct core *core, const struct event *event);
/* A person's word that the host of a worker is gone. */
void request_lost(struct core *core, const struct event *event);
/* Whom a person means; NULL: nobody. Names come again: a live worker goes before those that are
 * gone, then the youngest. */
struct worker *worker_named(const struct core *core, struct slice name);
void worker_refuse_unknown(struct core *core, const struct event *event);

/* ---- message.c ---- */

void frame_take(struct core *core, uint64_t peer, struct slice bytes);
/* To this step's actor, with the row in the audit log; it says action, target and text. */
void frame_refuse(struct core *core, uint64_t peer, int code, struct audit_row row);
/* A frame with one PLAIN message, of an open session's channel or of none (NULL); lies in
 * core->frame until the next. */
struct slice plain_frame(
    struct core *core, const struct channel *channel, enum message_id number, const void *body);

#endif
