/*
 * core.h - the master's scheduler: a pure state machine over runs, tasks, attempts and workers.
 *
 *     core_step(core, event, effects)
 *
 * Time, ids and randomness arrive inside events; effects are appended. The core does no I/O and
 * reads no clock. It belongs to one thread. A batch is any number of steps and then one
 * EVENT_FLUSH, which dispatches what is ready and makes the frames; the owner then commits the
 * batch's facts and lets its messages out. While core_has_work() the owner goes on with EVENT_TIMER
 * steps without waiting for anything: a step does bounded work.
 *
 * A restart: core_create, then LOAD events for what store_load gives (dags, workers, tokens, peers,
 * sessions, runs), then EVENT_LOADED, which tells the ports of every key that may speak, then
 * anything else. Nothing is re-decided by loading: it appends no facts.
 */
#ifndef MASTER_CORE_CORE_H
#define MASTER_CORE_CORE_H

#include "master/core/effects.h"

struct core;

struct core_config {
    uint64_t epoch;
    uint64_t leader;
    unsigned char
        boot[BOOT_ID_BYTES]; /* of the master's host: whoever shares it shares its clock */
    struct slice cluster;    /* the store's id; copied */
    struct slice bundles;    /* where local workers read bundles; copied */
    uint64_t now_ms;
    uint64_t last_order; /* the highest of all runs in the store, ended ones too; 0: none */
    /* An older store was brought back: until every lease of what the fleet may hold has run out,
     * nothing is dispatched. Runs up to this one skip so many numbers of attempts. */
    bool restoring;
    uint64_t restored_order;
    uint32_t attempts_from;
    uint64_t last_audit; /* the highest number of an audit row; 0: none */
};

enum event_kind {
    EVENT_TIMER, /* due at core_next_ms(), or at any time */
    EVENT_FLUSH, /* the end of a batch */
    EVENT_FRAME, /* from a worker */
    EVENT_SUBMIT,
    EVENT_CANCEL,
    EVENT_RETRY,
    EVENT_MARK,
    EVENT_LOAD_DAG,
    EVENT_LOAD_WORKER,
    EVENT_LOAD_SESSION,
    EVENT_LOAD_RUN, /* at a restart, and for an ended run that somebody asks about */
    EVENT_LOADED,
    EVENT_JOIN,         /* by a token's key */
    EVENT_CREATE_TOKEN, /* and the three after it: persons */
    EVENT_REVOKE_TOKEN,
    EVENT_DRAIN,
    EVENT_REMOVE_WORKER,
    EVENT_LOST_WORKER, /* a person's word that its host is gone */
    EVENT_AUDIT,       /* the ports refused something: make it a row */
    EVENT_LOAD_PEER,
    EVENT_LOAD_TOKEN,
    EVENT_LOAD_CONNECTION,
    EVENT_FIND_CONNECTION, /* in the environment or the file: nobody asked, nobody is answered */
    EVENT_LOSE_CONNECTION, /* it is not there any more */
    EVENT_SET_CONNECTION,  /* and the two after it: persons */
    EVENT_REMOVE_CONNECTION,
    EVENT_RESEAL, /* every row, by another key */
    EVENT_KIND_COUNT
};

/* A compiled DAG that the owner keeps mapped from EVENT_SUBMIT or EVENT_LOAD_RUN until
 * effects->forgotten names the run. */
struct submit_event {
    uint64_t key; /* random, not 0: the new run's */
    struct plan plan;
    struct hash plan_hash;
    struct slice bundle; /* hash of the manifest, or empty: nothing lies beside the DAG's file */
    struct slice
        context; /* JSON {"values": {…}, "params": {…}} but for run_id, dag, task, attempt */
    struct slice key_text; /* --key, or empty */
    int64_t logical_date;
    bool date_given; /* refused when a run of this date is in memory, but for `again`; the owner
                        asks the store first */
    bool again;
    struct texts warnings; /* passed on to the answer */
};

struct load_run_event {
    struct run_row run;
    struct plan plan;
    const struct span_row *spans;
    size_t span_count;
    const struct attempt_row *attempts;
    size_t attempt_count;
    const struct note_row *notes;
    size_t note_count;
};

/* An operator's note for later attempts of its task. */
struct task_note {
    uint32_t attempt, id;
    int64_t at;        /* wall */
    struct slice text; /* a JSON object */
};

#define TASK_ALL UINT32_MAX

/* Who asks. Over TCP a peer is its key, proven by the handshake; on the master's own sockets it is
 * local, and has none. */
struct actor {
    uint32_t role;        /* enum role; 0 (a simulated or internal event) counts as local */
    struct slice key;     /* 32 bytes, or empty: local */
    struct slice name;    /* of a peer; empty: local, or not known */
    struct slice address; /* or empty: this host */
};

struct event {
    enum event_kind kind;
    uint64_t now_ms;    /* boot time, never falls */
    int64_t now_wall;   /* for what is shown, and for retries' due times */
    uint64_t ticket;    /* client events: names the answer */
    uint64_t request;   /* client events: asked again, the first answer is given again */
    struct actor actor; /* client events, JOIN, AUDIT, and FRAME: a worker's */
    /* Client events that change something: what the audit log calls it (the message's name, the
     * run, task, worker or token). */
    struct slice action, target;
    union {
        struct {
            uint64_t peer;
            struct slice bytes;
        } frame;
        struct {
            unsigned char key[WORKER_KEY_BYTES]; /* of who joins; actor.key is the token's */
            struct slice name, host;
        } join;
        struct {
            uint64_t token; /* random, not 0 */
            unsigned char key[WORKER_KEY_BYTES];
            uint32_t role, uses;
            uint64_t valid_ms;
            struct slice label;
            /* For the answer. */
            struct slice server_key;
            struct texts addresses;
        } create_token;
        uint64_t revoke_token;
        struct {
            struct slice worker; /* its name */
            bool undo;           /* DRAIN */
        } worker_change;
        struct {
            struct slice text; /* one line; actor, action and target beside it */
            uint32_t count;
        } audit;
        struct {
            struct connection_row row;
            struct slice document; /* opened: JSON; empty where it could not be */
            bool keep;             /* SET: one that is there is not replaced */
        } connection;
        struct {
            const struct connection_row *rows; /* id, key and sealed are taken */
            size_t count;
        } reseal;
        struct peer_row peer;
        struct token_row token;
        struct submit_event submit;
        /* CANCEL, RETRY, MARK: the run is in memory (the owner has loaded it: core_has_run). */
        struct {
            uint64_t run;
            uint32_t task;        /* or TASK_ALL */
            bool only;            /* RETRY: not the tasks below */
            struct slice context; /* RETRY: the new context, or empty: as it was */
            uint32_t state;       /* MARK: TASK_SUCCESS, TASK_SKIPPED or TASK_FAILED */
            struct slice note;    /* MARK */
        } change;
        struct dag_row dag;
        struct worker_row worker;
        struct session_row session;
        struct load_run_event load;
    };
};

struct core *core_create(const struct core_config *config);
void core_destroy(struct core *core);
void core_step(struct core *core, const struct event *event, struct effects *effects);
/* When the next EVENT_TIMER is wanted (boot time); UINT64_MAX: never. */
uint64_t core_next_ms(const struct core *core);
bool core_has_work(const struct core *core);

/* ---- views, for status; valid until the next step ---- */

/* 0 when no run of that name is in memory. */
uint64_t core_find_run(const struct core *core, struct slice dag, uint32_t number);
bool core_has_run(const struct core *core, uint64_t run);

struct run_view {
    const struct plan *plan;
    struct slice dag;
    uint32_t number;
    uint32_t state; /* enum run_state */
    bool cancelled;
    struct slice context;
    int64_t logical_date, submitted_at, started_at, ended_at;
    uint32_t counts[TASK_CANCELLING + 1]; /* tasks by enum task_state, as stored (not as shown) */
};
/* False when it is not in memory. */
bool core_view_run(const struct core *core, uint64_t run, struct run_view *ret_view);

struct task_view {
    uint32_t state;   /* as shown: unreachable and cancelling in their place */
    uint32_t attempt; /* the last number that was given, or 0 */
    uint32_t tries;
    uint32_t reason;
    int64_t due_at; /* wall, while retrying; else 0 */
    /* The live attempt (state ATTEMPT_ASSIGNED …_CANCELLING as shown), or live = false. */
    bool live;
    uint32_t attempt_state;
    uint32_t worker; /* number */
    int64_t assigned_at, started_at;
    /* Another attempt that may be alive beside it, as shown; 0: there is none. */
    uint32_t elder, elder_state;
    const struct task_note *notes; /* of all its attempts, oldest first */
    size_t note_count;
    struct slice progress; /* of the live one: what its operator said last */
    int64_t progress_done, progress_total;
};
bool core_view_task(
    const struct core *core, uint64_t run, uint32_t task, struct task_view *ret_view);

struct worker_view {
    uint32_t number;
    struct slice name, host, software, key;
    uint32_t state; /* enum worker_state */
    uint32_t slots, running, in_hand;
    uint64_t heartbeat_age_ms;
    int64_t registered_at;
    const struct slice *queues;
    uint32_t queue_count;
    bool full;
    bool removed; /* not to be listed: its key was, and nothing of it can run any more */
    struct texts labels, users;
    const struct operator_line *operators;
    uint32_t operator_count;
    struct msg_heartbeat load; /* the last: cpu, memory, disk; zeros when none came */
    struct slice address;      /* or empty: on the master's host */
    struct slice memory_limit_by, cpu_limit_by; /* msg_register's */
};
/* Workers by index from 0, live or gone; false past the last. */
bool core_view_worker(
    const struct core *core, uint32_t index, uint64_t now_ms, struct worker_view *ret_view);

struct token_view {
    const struct token_row *row;
    uint32_t used;
};
/* Tokens by index from 0, the oldest first; false past the last. */
bool core_view_token(const struct core *core, uint32_t index, struct token_view *ret_view);
/* Peers by index from 0, removed ones too; false past the last. */
bool core_view_peer(const struct core *core, uint32_t index, const struct peer_row **ret_row);
struct connection_view {
    const struct connection_row *row;
    struct slice document; /* empty: it cannot be opened */
};
/* Connections by index from 0, replaced ones too; false past the last. */
bool core_view_connection(
    const struct core *core, uint32_t index, struct connection_view *ret_view);
/* Whether a name is found anywhere. */
bool core_has_connection(const struct core *core, struct slice name);
/* The worker of a live attempt: number, or 0 when it is not in memory. */
uint32_t core_attempt_worker(const struct core *core, const struct attempt_id *id);

/* What a task (or, TASK_ALL, a run) in memory waits for: lines and texts lie in the arena. */
void core_explain(const struct core *core, uint64_t run, uint32_t task, struct arena *arena,
    struct msg_explained *ret_explained);

/* One sentence that a person can act on, why nothing of this run goes on ("no worker serves queue
 * \"gpu\""), or empty. */
void core_explain_run(const struct core *core, uint64_t run, struct buffer *ret_text);
/* True when a frame told of a higher epoch: nothing is dispatched any more, and `text` says why. */
bool core_is_fenced(const struct core *core, struct slice *ret_text);

/* Walks every invariant; aborts with a text at the first that does not hold. */
void core_check(const struct core *core);

#endif
