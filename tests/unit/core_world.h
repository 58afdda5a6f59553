/*
 * core_world.h - the master's core among fake workers, for its unit tests: real plans, real frames,
 * a clock that the test moves, and the rows of what was committed. Each batch is committed at once;
 * what a batch may send, and when, is checked here for every test.
 */
#ifndef TESTS_UNIT_CORE_WORLD_H
#define TESTS_UNIT_CORE_WORLD_H

#include "common/dag/compile.h"
#include "master/core/core.h"
#include "proto/channel.h"
#include "tests/sim/world.h"

/* Heads a DAG whose attempts have a lease of LEASE_MS. */
#define LEASE "default_args: {lease: 60s, kill_grace: 2s}\n"
enum { LEASE_MS = 60000, MARGIN_MS = LEASE_MS / 5 + 5000 };

enum { FAKES_MAX = 8, WORLD_RUNS_MAX = 128 };

/* A worker that says what the test wants. */
struct fake {
    uint64_t peer, session, instance, dead_instance;
    uint64_t says_epoch; /* in its PLAIN frames; 0: the world's */
    unsigned char key[32], boot[16];
    char name[8];
    const char *queue, *cluster;
    const char *labels[4], *users[4];  /* up to the first NULL */
    struct operator_line operators[2]; /* up to the first without a name */
    bool leaving, full;                /* so its heartbeats say */
    uint32_t slots;
    bool beats; /* heartbeats while time passes */
    const unsigned char
        *proven; /* by the handshake of its connection: 32 bytes; NULL: it is local */
    uint64_t next_beat_ms;
    struct channel channel;
    /* What it was told, in order, since it was last emptied. */
    struct message *inbox;
    size_t inbox_count, inbox_capacity;
    /* The last of each. */
    const struct msg_registered *registered;
    uint32_t again, refused;
    struct slice refused_text;
    uint64_t acked_stamp;
};

struct core_world {
    struct core *core;
    struct effects *batch;
    struct arena arena; /* all that was decoded */
    uint64_t now_ms;
    int64_t now_wall;
    uint64_t epoch, next_session, next_request;
    struct rows rows;
    struct fake fakes[FAKES_MAX];
    uint32_t fake_count;
    uint64_t keys[WORLD_RUNS_MAX]; /* of the runs, in the order of their submits … */
    struct buffer plans[WORLD_RUNS_MAX];
    struct plan views[WORLD_RUNS_MAX];
    uint32_t run_count;
    const char *context; /* of the next submits: JSON */
    bool restored;       /* the next start accepts a restored store */
    /* Of the last request. */
    struct message answer;
    /* Of the last batch. */
    struct fact *facts;
    size_t fact_count;
    struct access_effect *accesses;
    size_t access_count;
    struct change_effect last_change; /* as its watchers hear of it; zero: there was none */
};

struct core_world *world_create(void);
void world_destroy(struct core_world *world);
/* The master ends and starts again from its rows. */
void world_restart(struct core_world *world);

/* One event and the end of its batch. */
void world_event(struct core_world *world, struct event event);
/* A client's event, under a request of its own unless it has one, until it is answered. */
void world_ask(struct core_world *world, struct event event);
/* Lets time pass, in steps of at most 100 ms, while the fakes that beat do so. */
void world_pass(struct core_world *world, uint64_t ms);
/* Steps until the core has no work left; returns how many steps that took. */
uint32_t world_drain(struct core_world *world);

/* Submits a DAG; its text may be a format. Returns the run's key. */
uint64_t world_submit(struct core_world *world, const char *yaml);
void world_cancel(struct core_world *world, uint64_t run, uint32_t task);
void world_retry(struct core_world *world, uint64_t run, uint32_t task, bool only);
void world_mark(struct core_world *world, uint64_t run, uint32_t task, uint32_t state);
/* `undo`: undrain. Returns the answer's text. */
const char *world_drain_worker(struct core_world *world, const char *worker, bool undo);
bool world_was_refused(const struct core_world *world);
/* What the last answer says, when it is a refusal or `done`; else "". Ends with a NUL. */
const char *world_answer_text(const struct core_world *world);
/* The newest row of the audit log, or NULL. */
const struct audit_row *world_last_audit(const struct core_world *world);

uint32_t world_task_state(const struct core_world *world, uint64_t run, uint32_t task);
uint32_t world_run_state(const struct core_world *world, uint64_t run);
/* The newest row of an attempt, or NULL. */
const struct attempt_row *world_attempt(
    const struct core_world *world, uint64_t run, uint32_t task, uint32_t attempt);

struct attempt_id attempt_named(uint64_t run, uint32_t task, uint32_t attempt);
/* A worker of so many slots that is up. */
struct fake *fake_up(struct core_world *world, uint32_t slots);
/* What it says of an attempt when it registers. */
struct held_attempt fake_holds(const struct fake *fake, struct attempt_id id, uint32_t holding);
/* The first task of a new run runs on a new worker of one slot. */
struct fake *world_run_one(struct core_world *world, const char *yaml, uint64_t *ret_run);

/* A worker with a key, a boot and a runner of its own; it beats. */
struct fake *fake_add(struct core_world *world, uint32_t slots);
/* A new session that lists `held`; the answer is taken. */
void fake_register(
    struct core_world *world, struct fake *fake, const struct held_attempt *held, uint32_t count);
/* The same registration again, as a network would repeat it. `now`: the stamp that it carries. */
void fake_send_register(struct core_world *world, struct fake *fake, uint64_t now,
    const struct held_attempt *held, uint32_t count);
void fake_beat(struct core_world *world, struct fake *fake);
/* A NUMBERED message. */
void fake_say(
    struct core_world *world, struct fake *fake, enum message_id number, const void *body);
/* Bytes as they are. */
void fake_send(struct core_world *world, const struct fake *fake, struct slice bytes);
void fake_empty(struct fake *fake);
/* How many messages of this number are in its inbox. */
uint32_t fake_count(const struct fake *fake, uint32_t number);
/* The body of the index-th message of this number, or NULL. */
const void *fake_told(const struct fake *fake, uint32_t number, uint32_t index);
/* The assignment of a task that was told last, or NULL. */
const struct msg_assign *fake_assign(const struct fake *fake, uint32_t task);

void fake_started(struct core_world *world, struct fake *fake, struct attempt_id id);
void fake_ended(struct core_world *world, struct fake *fake, struct attempt_id id, uint32_t state);
void fake_given_back(struct core_world *world, struct fake *fake, struct attempt_id id);

#endif
