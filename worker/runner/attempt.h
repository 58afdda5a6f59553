/*
 * attempt.h - one attempt in the runner's core: its lifecycle as a table, its deadlines, its end in
 * words. Inside of core.c; nobody else includes it but the test of the table.
 */
#ifndef WORKER_RUNNER_ATTEMPT_H
#define WORKER_RUNNER_ATTEMPT_H

#include "common/table.h"
#include "common/wheel.h"
#include "worker/runner/core.h"

/* core.h tells the states; LIFE_ABSENT is an attempt that is not known. */
enum life {
    LIFE_ABSENT,
    LIFE_QUEUED,
    LIFE_STARTING,
    LIFE_RUNNING,
    LIFE_TERMINATING,
    LIFE_KILLING,
    LIFE_CLEARING,
    LIFE_OVER,
    LIFE_COUNT
};

/* What can happen to one attempt; guards on times have been decided before. */
enum input {
    INPUT_START,  /* runner_start, in time */
    INPUT_REFUSE, /* too late for its lease, or the runner is ending */
    INPUT_TURN,   /* a slot is free for it */
    INPUT_TAKE_BACK,
    INPUT_SPAWNED,
    INPUT_FAILED,
    INPUT_ASK,   /* SIGTERM is wished or due */
    INPUT_FORCE, /* SIGKILL is due */
    INPUT_EXITED,
    INPUT_EMPTY,
    INPUT_FORGET,
    INPUT_COUNT,
};

struct attempt {
    struct wheel_timer timer; /* first: the wheel gives it back */
    struct attempt *next, *previous;
    struct attempt_id id;
    enum life state;
    uint32_t reason; /* why it was asked to end, or not to start; NONE: it was not */
    bool out_of_memory;
    bool over_limit;
    bool operator; /* it has a socket as descriptor 3 */
    uint64_t stamp;
    uint64_t lease_ms;
    uint64_t grace_ms;
    uint64_t timeout_ms;
    uint64_t memory_bytes; /* its limit; 0: none */
    uint64_t memory_peak;  /* when it went beyond; 0: not known */
    uint64_t kill_at;      /* from LIFE_TERMINATING on */
    uint64_t pid;
    uint64_t started_at;
    char *cookie;
    size_t cookie_length;
    char *error;                  /* NULL: none */
    struct msg_runner_exited end; /* built up from EXITED on; without its text */
};

struct runner_core {
    uint64_t instance;
    unsigned char boot[RUNNER_BOOT_BYTES];
    uint64_t pid;
    uint64_t now_ms;
    struct names by_id;     /* key -> struct attempt * */
    struct attempt *oldest; /* in the order of their orders */
    struct attempt *newest;
    struct attempt *queue;    /* before it none is LIFE_QUEUED */
    struct attempt *starting; /* its SPAWN is not answered yet */
    uint32_t held;            /* attempts of any state */
    uint32_t busy;            /* those that have a slot: from LIFE_STARTING to LIFE_CLEARING */
    uint32_t slots;           /* 0: no limit */
    uint64_t fresh;           /* the newest stamp heard of since the last list; 0: none */
    struct wheel wheel;
    struct wheel_timer alone; /* RUNNER_ALONE_MAX_MS after the agent was lost */
    uint64_t alone_since;
    bool connected;
    struct runner_limits limits;
    bool stopping;     /* no attempt starts any more */
    bool stopping_now; /* and ends need not be forgotten before the runner ends */
    bool ended;
};

/* Finds by id; NULL when it is not held. */
struct attempt *attempt_find(const struct runner_core *core, struct attempt_id id);
/* Takes it up as LIFE_ABSENT; attempt_step must follow in the same step. */
struct attempt *attempt_add(struct runner_core *core, const struct msg_runner_start *start);
void attempt_free(struct runner_core *core, struct attempt *attempt);
/* The first that waits for a slot, or NULL. */
struct attempt *attempt_next_in_turn(struct runner_core *core);

/* When the lease wants SIGTERM, and when the next signal of any kind is due; UINT64_MAX: never. */
uint64_t attempt_lease_ask_at(const struct attempt *attempt);
uint64_t attempt_due(const struct attempt *attempt);

/* The one place where states and counts change. `attempt` may be freed by it. Aborts when the table
 * says ILLEGAL. */
void attempt_step(struct runner_core *core, struct attempt *attempt, enum input input,
    const struct runner_event *event, struct runner_effects *effects);
/* Asks it to end, or not to start; the first reason stays. */
void attempt_ask(struct runner_core *core, struct attempt *attempt, uint32_t reason,
    struct runner_effects *effects);
/* What waits for a slot never starts; nothing else is changed by it. */
void attempt_take_back(
    struct runner_core *core, struct attempt *attempt, struct runner_effects *effects);
/* Does what is due by the clock. A timer may come early (the lease was renewed since) or very late,
   and then SIGKILL follows SIGTERM at once. */
void attempt_check(
    struct runner_core *core, struct attempt *attempt, struct runner_effects *effects);
/* Sends its runner_exited; only when it is LIFE_OVER. */
void attempt_say_end(
    struct runner_core *core, struct attempt *attempt, struct runner_effects *effects);

/* True when the table has this pair as illegal. */
bool attempt_is_illegal(enum life state, enum input input);

/* ---- end.c: what is told about an end ---- */

/* The main process is over by this EXITED or SPAWN_FAILED: fills attempt->end and ->error. */
void end_note(struct attempt *attempt, const struct runner_event *event);
/* It never starts, by attempt->reason, or because of its lease or the runner's end. */
void end_note_refusal(struct attempt *attempt, bool stopping);
void end_add_usage(struct attempt *attempt, const struct runner_event *event);
/* The attempt's one line for a person; cut to ATTEMPT_ERROR_MAX_BYTES. */
void end_put_error(struct attempt *attempt, struct slice text);

/* ---- effects.c ---- */

struct runner_effect *effect_add(
    struct runner_effects *effects, enum runner_effect_kind kind, struct attempt_id id);
/* A message to the agent; NULL, and nothing is added, when none is connected. `body` is copied into
   the arena; what it points to must live as long as the effects. */
struct runner_effect *effect_send(struct runner_core *core, struct runner_effects *effects,
    enum message_id number, const void *body, size_t size);

#endif
