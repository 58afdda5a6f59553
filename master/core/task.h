/*
 * task.h - the life of a task, for the core's files. A part of state.h, which includes it; nobody
 * else needs to.
 */
#ifndef MASTER_CORE_TASK_H
#define MASTER_CORE_TASK_H

#include "master/core/state.h"

enum task_event {
    TASK_EVENT_READY = 0, /* its trigger rule holds */
    TASK_EVENT_ASSIGN,    /* an attempt was made */
    TASK_EVENT_START,     /* it runs */
    TASK_EVENT_SUCCESS,   /* the attempt's ends … */
    TASK_EVENT_SKIP,      /* … and, from waiting, the trigger rule's */
    TASK_EVENT_FAIL,
    TASK_EVENT_RETRY,    /* failed, and tries are left */
    TASK_EVENT_BACK,     /* lost or given back: at once again */
    TASK_EVENT_DUE,      /* the retry's delay is over */
    TASK_EVENT_UPSTREAM, /* its trigger rule can never hold */
    TASK_EVENT_CANCEL,
    TASK_EVENT_RESET, /* a recorded retry */
    TASK_EVENT_MARK_SUCCESS,
    TASK_EVENT_MARK_SKIPPED,
    TASK_EVENT_MARK_FAILED,
    TASK_EVENT_HOLD,   /* lost, and a person shall say what becomes of it */
    TASK_EVENT_REVIVE, /* its attempt was set aside, and is here after all */
    TASK_EVENT_COUNT
};

/* Loading only: puts a waiting task into a state, with its counts, and nothing else. `at`: when it
 * came into it, or 0. */
void task_place(struct run *run, uint32_t task, uint32_t state, int64_t at);
/* When it came into its state: wall, to the tenth of a second; 0: not known. */
int64_t task_moved_at(const struct run *run, uint32_t task);
/* Why a task ended without an attempt, or apart from its last one. */
struct cause {
    enum reason reason;
    struct slice error; /* one line, or empty */
};
/* The next state by the table, 0 when it is illegal. */
uint32_t task_next_state(uint32_t state, enum task_event event);
bool task_state_is_end(uint32_t state);
/*
 * The one transition function: moves the task, its run's counts, its lane, its retry timer; queues
 * the spreading of an end to its successors. An illegal event is a programmer's error (asserted).
 * `reason` is kept with the task.
 */
void task_move(
    struct core *core, struct run *run, uint32_t task, enum task_event event, enum reason reason);
/* An end without an attempt, or apart from its last one: task_move and the span that records it. */
void task_end(
    struct core *core, struct run *run, uint32_t task, enum task_event event, struct cause cause);
/* Tells the watchers how the task is shown now. */
void task_show(struct core *core, const struct run *run, uint32_t task, struct slice error);
/* The state as shown. */
uint32_t task_shown_state(const struct core *core, const struct run *run, uint32_t task);
/* Milliseconds to wait after `tries` failures. */
uint64_t task_retry_delay_ms(const struct plan_task *plan, uint32_t tries);
void task_wait_until(struct core *core, struct run *run, uint32_t task, uint64_t delay_ms);
/* Appends a span fact, coalescing neighbours; span_flush writes what is open. */
void span_add(
    struct core *core, struct run *run, uint32_t task, uint32_t state, struct cause cause);
void span_flush(struct core *core);

#endif
