/*
 * state.h - the agent core's memory, for the agent core's own files.
 */
#ifndef WORKER_CORE_STATE_H
#define WORKER_CORE_STATE_H

#include "common/table.h"
#include "proto/channel.h"
#include "worker/core/agent.h"

#include <assert.h>

/* The life of an attempt on its worker; the table is in attempt.c. */
enum held_state {
    HELD_PREPARING = 1, /* taken; its files are being made */
    HELD_PREPARED,
    HELD_QUEUED, /* the runner has it, and starts it when a slot is free */
    HELD_RUNNING,
    HELD_COLLECTING, /* it ended; outputs, artifacts and log are collected */
    HELD_SAVING,     /* its result is being written */
    HELD_ENDED,      /* its result is on disk, until it is settled */
    HELD_GONE,
    HELD_STATE_COUNT
};

enum held_event {
    HELD_EVENT_PREPARED,
    HELD_EVENT_FAILED, /* it could not be prepared */
    HELD_EVENT_START,
    HELD_EVENT_STARTED,
    HELD_EVENT_EXITED,
    HELD_EVENT_COLLECTED,
    HELD_EVENT_SAVED,
    HELD_EVENT_DISCARD, /* killed, taken back or unwanted before its start */
    HELD_EVENT_SETTLED,
    HELD_EVENT_COUNT
};

struct held {
    struct attempt_id id;
    uint8_t state; /* enum held_state */
    bool forgotten_by_runner;
    bool killed;
    bool operator;     /* an operator program */
    uint64_t listed;   /* the nonce of the runner's last list that named it */
    uint64_t instance; /* of the runner that has or had it */
    uint64_t stamp;    /* that its assignment rests on */
    uint64_t lease_ms, kill_grace_ms, timeout_ms;
    uint64_t memory_bytes; /* its limits; 0: none */
    uint32_t cpu_permille;
    struct slice cookie;             /* owned: the encoded assign but for text, arguments and env */
    struct slice result;             /* owned: the encoded msg_ended, from COLLECTING's end on */
    struct msg_runner_exited exited; /* its text is owned by exit_error */
    struct slice exit_error;
    struct slice note; /* owned: the note that is not answered; empty: none */
    uint32_t note_id;
    struct slice progress; /* owned: the text */
    int64_t progress_done, progress_total;
    bool progress_known;
    bool progress_new;    /* to be told with the next heartbeat */
    uint64_t announce_ms; /* when the master is told that it runs; 0: told, or nothing to tell */
    uint64_t started_at, pid;
    struct held *next, *previous; /* all, oldest first */
};

/* offline -> listing -> registering -> open -> listing … */
enum session_phase {
    SESSION_OFFLINE,     /* no runner */
    SESSION_LISTING,     /* a session was drawn; the runner has not answered */
    SESSION_REGISTERING, /* the master has not answered */
    SESSION_OPEN
};

struct agent {
    unsigned char key[32], boot[16];
    struct slice name, host, software, cluster; /* owned */
    struct texts queues, labels, users;         /* owned */
    struct operator_line *operators;            /* owned */
    uint32_t operator_count;
    bool runner_knows_operators;
    struct slice memory_limit_by, cpu_limit_by; /* owned; the runner's */
    uint32_t slots;
    uint64_t epoch, leader;
    uint64_t dead[DEAD_RUNNERS_MAX]; /* of which the master does not know, the last one last */
    uint32_t dead_count;

    uint64_t now_ms, random;
    struct agent_effects *effects; /* of the step that goes on */

    enum session_phase phase;
    uint64_t session;
    uint64_t instance; /* of the live runner */
    uint32_t ahead;    /* so many starts may wait in it for a slot */
    uint64_t nonce;    /* of the list that was asked for */
    uint64_t register_stamp;
    uint64_t acked_stamp; /* the newest stamp that the master acknowledged in this session */
    uint64_t next_beat_ms;
    uint64_t gather_ms;   /* what is to be said waits until then for more; 0: nothing waits */
    uint64_t announce_ms; /* the earliest of all, or UINT64_MAX */
    struct channel channel;
    struct buffer frame;
    bool full, stopping;
    uint64_t stop_by_ms;
    bool leaving, leave_said;
    uint64_t leave_by_ms; /* with nothing left to wait for but the master's ear; 0: there is more */
    size_t logs_left;     /* that the master has not kept */
    struct agent_load load;
    uint64_t mute_until_ms; /* the master speaks another version: not asked before */
    uint64_t noted;         /* hash of the last note, so that a repeated refusal is written once */

    struct names held; /* by attempt_key -> struct held * */
    struct held *first, *last;
    uint32_t counts[HELD_STATE_COUNT];
};

/* ---- attempt.c ---- */

struct held *held_find(const struct agent *agent, const struct attempt_id *id);
struct held *held_create(struct agent *agent, const struct attempt_id *id, enum held_state state);
/* By the table; the attempt stays. */
void held_move(struct agent *agent, struct held *held, enum held_event event);
/* By the table; nothing is left of it. */
void held_remove(struct agent *agent, struct held *held, enum held_event event);
/* The next state by the table, 0 when illegal. */
uint32_t held_next_state(uint32_t state, enum held_event event);
static inline bool held_is_waiting(const struct held *held)
{
    return held->state == HELD_PREPARING || held->state == HELD_PREPARED;
}
/* Or may have one by now: only the runner knows. */
static inline bool held_has_process(const struct held *held)
{
    return held->state == HELD_QUEUED || held->state == HELD_RUNNING;
}
void take_assign(struct agent *agent, const struct msg_assign *message);
void take_kill(struct agent *agent, const struct msg_kill *message);
void take_take_back(struct agent *agent, const struct msg_take_back *message);
void take_settled(struct agent *agent, const struct msg_settled *message);
void take_runner(struct agent *agent, const struct message *message);
void take_prepared(struct agent *agent, const struct agent_event *event);
void take_collected(struct agent *agent, const struct agent_event *event);
void take_saved(struct agent *agent, const struct attempt_id *id);
void take_loaded(struct agent *agent, const struct msg_ended *ended);
/* Tells the master what has been running for a while. */
void announce_started(struct agent *agent);
/* Starts what may start, in order. */
void start_waiting(struct agent *agent);
/* Never to be started: its files go. */
void held_discard(struct agent *agent, struct held *held);
void held_kill(struct agent *agent, struct held *held, enum reason reason);
/* What has not started goes back to the master, what may have started once the runner has said that
 * it did not; `held` may be gone then. */
void held_give_back(struct agent *agent, struct held *held, const char *why);
/* Tells the master the result again, in a new session. */
void held_tell_end(struct agent *agent, const struct held *held);
/* Attempts of which the runner's finished list knew nothing are over: they never started. */
void held_drop_unlisted(struct agent *agent);

/* ---- said.c: what operators say ---- */

void take_note(struct agent *agent, const struct msg_note *note);
void take_noted(struct agent *agent, const struct msg_noted *message);
void take_progress(struct agent *agent, const struct msg_progress *progress);
void take_breach(struct agent *agent, const struct attempt_id *id);
/* In a new session: what is not answered goes again, and how far it is. */
void say_again(struct agent *agent, struct held *held);
/* What is new, with a heartbeat. */
void tell_progress(struct agent *agent);
void held_forget_said(struct held *held);

/* ---- session.c ---- */

/* A PLAIN message of this session. */
void send_plain(struct agent *agent, enum message_id number, const void *body);

void session_begin(struct agent *agent);
void session_runner_listed(struct agent *agent);
void session_timer(struct agent *agent);
void session_frame(struct agent *agent, struct slice bytes);
void session_flush(struct agent *agent);
void session_stop(struct agent *agent);
void session_leave(struct agent *agent, size_t logs);
uint64_t session_next_ms(const struct agent *agent);

/* ---- agent.c ---- */

struct agent_effect *add_effect(struct agent *agent, enum agent_effect_kind kind);
/* A message to the runner; the body is copied, its texts must outlive the step's effects. */
void tell_runner(struct agent *agent, enum message_id number, const void *body, size_t size);
void note(struct agent *agent, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
