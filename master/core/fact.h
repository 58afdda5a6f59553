/*
 * fact.h - what the master makes durable: rows. A fact is the new row of its run, attempt, span, …,
 * whole, written in place by its key; writing one twice is the same as once. The core makes them,
 * the store keeps them and gives them back at a restart. All texts and bytes borrow the batch's
 * arena.
 */
#ifndef MASTER_CORE_FACT_H
#define MASTER_CORE_FACT_H

#include "common/dag/plan.h"
#include "common/hash.h"
#include "proto/proto.h"

enum { WORKER_KEY_BYTES = 32, BOOT_ID_BYTES = 16 };

/* Key: dag. The last number that was given to a run of it. */
struct dag_row {
    struct slice dag;
    uint32_t last_number;
};

/* Key: number. A worker is its public key; the number stands for it in other rows. */
struct worker_row {
    uint32_t number; /* 1, 2, … */
    unsigned char key[WORKER_KEY_BYTES];
    struct slice name;
    struct slice host;
    bool draining; /* a person's wish */
    bool removed;  /* its key is barred; the row stays for what it ran */
};

/* Key: session. Written when a session opens. */
struct session_row {
    uint64_t session;
    uint32_t worker;   /* number */
    uint64_t instance; /* of the runner */
    unsigned char boot[BOOT_ID_BYTES];
    uint64_t epoch;
    uint64_t leader;
    uint64_t stamp; /* the worker's boot time at its registration: sessions of one boot are ordered
                       by it */
    int64_t opened_at; /* wall */
};

/* Key: key. Written at submit, at its start (queued -> running), at a cancel, at its end, at a
 * retry. */
struct run_row {
    uint64_t key;   /* random, never 0 */
    uint64_t order; /* of submission, ascending */
    struct slice dag;
    uint32_t number;
    uint32_t state; /* enum run_state */
    bool cancelled; /* the durable wish */
    uint32_t task_count;
    struct hash plan;
    struct slice bundle;   /* hash of the manifest, 32 bytes, or empty */
    struct slice context;  /* JSON: {"values": {ds, …}, "params": {…}} */
    struct slice key_text; /* --key, or empty; unique in its dag */
    bool date_given;       /* logical_date is unique in its dag but for --again */
    int64_t logical_date, submitted_at, started_at, ended_at; /* wall; 0: not yet */
};

/* Key: id. Written at its assignment and at its end; and once more, assigned with the reason
 * WORKER_LOST, when its lease is over and its task waits for a person. */
struct attempt_row {
    struct attempt_id id;
    uint32_t round;   /* 0, and one more after each reset of its task */
    uint32_t state;   /* ATTEMPT_ASSIGNED, or an end */
    uint32_t worker;  /* number */
    uint64_t session; /* in which it was assigned */
    uint64_t epoch;
    int64_t assigned_at, started_at, ended_at; /* wall */
    int64_t exit_code;
    uint32_t signal;
    uint32_t reason;
    struct slice error;
    struct slice outputs;   /* a JSON object, or empty */
    struct slice artifacts; /* hash of the manifest, or empty */
    uint64_t log_bytes;
};

/*
 * Key: (run, order). The tasks first..last ended without an attempt (or apart from their last one),
 * or were reset. Applied in their order: an end overrides the attempts of the same round; a reset
 * begins the next round.
 */
struct span_row {
    uint64_t run;
    uint32_t order;
    uint32_t first, last; /* task indices, inclusive */
    uint32_t state;       /* a task's end, SPAN_RESET or SPAN_CANCEL_WISH */
    uint32_t reason;
    struct slice error; /* one line, or empty */
    int64_t at;         /* wall */
};

enum {
    SPAN_RESET = 0,
    SPAN_CANCEL_WISH = 100 /* a person cancelled it while an attempt was alive */
};

/* Key: request. The answer to a client's changing request, as an encoded frame. */
struct request_row {
    uint64_t request;
    struct slice answer;
    int64_t at;
};

/* Key: key. Who joined by a token: a key of the cluster, with its role. Written at its join, when
 * it goes by another name, and at its removal, after which it never comes back. */
struct peer_row {
    unsigned char key[WORKER_KEY_BYTES];
    uint32_t role; /* enum role: ROLE_WORKER, ROLE_OPERATOR or ROLE_VIEWER */
    struct slice name, host;
    uint64_t token; /* by which it joined */
    int64_t joined_at;
    int64_t removed_at; /* 0: it belongs to the cluster */
};

/* Key: token. The secret is nowhere here. Written when made, and when revoked; its uses are the
 * peers that name it. */
struct token_row {
    uint64_t token; /* random, never 0; shown as 16 hex digits */
    unsigned char key[WORKER_KEY_BYTES];
    uint32_t role;
    uint32_t uses;
    int64_t created_at, expires_at, revoked_at; /* wall; 0: not revoked */
    struct slice label;
};

/* Where a connection was found: of one name the lowest counts. */
enum connection_source {
    CONNECTION_ENVIRONMENT = 1, /* REEVE_CONN_NAME of the master */
    CONNECTION_AIRFLOW = 2,     /* AIRFLOW_CONN_NAME, likewise */
    CONNECTION_FILE = 3,        /* --connections */
    CONNECTION_STORE = 4,
};

/* Key: id. Written when it is found or set, when it is replaced or gone (sealed still: what had it
 * may still send its log), when another key seals it; and once more with nothing in it, which takes
 * the row away. */
struct connection_row {
    uint64_t id; /* random, never 0 */
    uint32_t source;
    struct slice name; /* of the environment: the variable's, behind its prefix */
    uint64_t key;      /* id of the key that sealed it */
    struct slice sealed;
    int64_t set_at, replaced_at; /* wall; 0: it counts */
};

/* Key: number. Every change by a person, and every refusal. */
struct audit_row {
    uint64_t number; /* 1, 2, … */
    int64_t at;
    uint32_t role; /* of who asked; ROLE_NONE: not known */
    struct slice who;
    struct slice address; /* or empty: this host */
    struct slice action;  /* the request's name, or what was refused */
    struct slice target;
    struct slice text;
    bool refused;
    uint32_t count; /* refusals alike within a minute are one row */
};

/* Key: (id, note). What an operator noted for later attempts of its task. */
struct note_row {
    struct attempt_id id;
    uint32_t note;     /* its number: grows within the attempt */
    int64_t at;        /* wall */
    struct slice text; /* a JSON object */
};

/* Key: id. What its worker said of an attempt's end when that counted no more. Kept only where the
 * attempt is that worker's, and lost to its silence. */
struct late_row {
    struct attempt_id id;
    uint32_t worker;                       /* number; not read back */
    uint32_t state;                        /* as its worker had it */
    int64_t told_at, started_at, ended_at; /* wall */
    bool sure; /* false: its runner had died, and ended_at is the latest that can be */
};

/* Key: (worker, instance, boot). An agent has killed what a dead runner left: what was given up
 * before may have gone on till then. The first word counts. */
struct swept_row {
    uint32_t worker; /* number */
    uint64_t instance;
    unsigned char boot[BOOT_ID_BYTES];
    int64_t at; /* wall */
};

enum fact_kind {
    FACT_DAG,
    FACT_WORKER,
    FACT_SESSION,
    FACT_RUN,
    FACT_ATTEMPT,
    FACT_SPAN,
    FACT_REQUEST,
    FACT_PEER,
    FACT_TOKEN,
    FACT_AUDIT,
    FACT_CONNECTION,
    FACT_NOTE,
    FACT_LATE,
    FACT_SWEPT,
    FACT_RESTORED, /* no row: what a restored store had to wait out is over */
    FACT_KIND_COUNT
};

struct fact {
    enum fact_kind kind;
    union {
        struct dag_row dag;
        struct worker_row worker;
        struct session_row session;
        struct run_row run;
        struct attempt_row attempt;
        struct span_row span;
        struct request_row request;
        struct peer_row peer;
        struct token_row token;
        struct audit_row audit;
        struct connection_row connection;
        struct note_row note;
        struct late_row late;
        struct swept_row swept;
    };
};

#endif
