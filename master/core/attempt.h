/*
 * attempt.h - the life of an attempt, for the core's files. A part of state.h, which includes it;
 * nobody else needs to.
 */
#ifndef MASTER_CORE_ATTEMPT_H
#define MASTER_CORE_ATTEMPT_H

#include "master/core/state.h"

/* Where a live attempt is: its state, but that one whose lease ran out is apart. */
enum attempt_life {
    ATTEMPT_LIFE_ASSIGNED = 1,
    ATTEMPT_LIFE_RUNNING,
    ATTEMPT_LIFE_EXPIRED,
    ATTEMPT_LIFE_OVER
};

enum attempt_event {
    ATTEMPT_EVENT_START,
    ATTEMPT_EVENT_END,    /* by its worker's word */
    ATTEMPT_EVENT_GONE,   /* lost, or given back */
    ATTEMPT_EVENT_EXPIRE, /* lease and margin are over */
    ATTEMPT_EVENT_REVIVE, /* its result is on its way after all */
    ATTEMPT_EVENT_BURY,
    ATTEMPT_EVENT_KILL,
    ATTEMPT_EVENT_COUNT
};

/* The next by the table, 0 when it is illegal. */
uint32_t attempt_next_life(uint32_t life, enum attempt_event event);

/* Of the task's next one. Numbers that may have been given in what a restore lost are left out. */
uint32_t attempt_next_number(const struct core *core, const struct run *run, uint32_t task);
struct attempt *attempt_create(
    struct core *core, struct run *run, uint32_t task, struct worker *worker);
/* A loaded one, of a worker that has not registered yet. */
struct attempt *attempt_restore(struct core *core, struct run *run, const struct attempt_row *row);
/* Two that were loaded, of one task: the younger one was restored last. */
void attempt_restore_elder(struct core *core, struct attempt *younger, struct attempt *elder);
/* Its row, to be filled in. */
struct attempt_row *attempt_add_row(
    struct core *core, const struct attempt *attempt, uint32_t state);
void attempt_destroy(struct core *core, struct attempt *attempt);
struct attempt *attempt_lookup(const struct core *core, const struct attempt_id *id);
struct attempt_id attempt_id_of(const struct core *core, const struct attempt *attempt);
void attempt_started(struct core *core, struct attempt *attempt, int64_t started_at);
/* Its end by its worker's word. */
void attempt_ended(struct core *core, struct attempt *attempt, const struct msg_ended *ended);
/* It is gone, or will never start: over as lost, its task goes on at once. */
void attempt_gone(
    struct core *core, struct attempt *attempt, enum reason reason, struct slice error);
/* Lease and margin are over: its task may go on, or waits for a person; recorded as lost when
 * another is assigned, or its task ends. */
void attempt_expire(struct core *core, struct attempt *attempt);
/* An expired attempt makes room for the next one, or for the task's end. */
void attempt_bury(struct core *core, struct attempt *attempt);
void attempt_kill(struct core *core, struct attempt *attempt, enum reason reason);
/* An expired attempt whose result is on its worker's disk: nothing else is assigned while it is on
 * its way. */
void attempt_revive(struct core *core, struct attempt *attempt);
/* No session renews it: its worker is silent, or is here and does not have it. */
bool attempt_is_unreachable(const struct core *core, const struct attempt *attempt);
void attempt_clear_asked(struct core *core, struct attempt *attempt);
/* Arms its expiry, counted from `base_ms`. */
void attempt_arm(struct core *core, struct attempt *attempt, uint64_t base_ms);
uint32_t attempt_shown_state(const struct core *core, const struct attempt *attempt);

#endif
