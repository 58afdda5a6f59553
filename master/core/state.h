/*
 * state.h - the core's memory, for the core's own files. Dense indices everywhere: a run, an
 * attempt and a worker are slots of arrays, a task is its index in the plan. Nothing here is on
 * disk.
 *
 * Who changes what: task.c alone changes a task's state and every count that follows from it;
 * attempt.c alone makes and ends attempts; ready.c alone links tasks into lanes, class.c workers
 * into classes; register.c opens sessions, worker.c closes them.
 */
#ifndef MASTER_CORE_STATE_H
#define MASTER_CORE_STATE_H

#include "common/table.h"
#include "common/wheel.h"
#include "master/core/access.h"
#include "master/core/connection.h"
#include "master/core/core.h"
#include "master/core/request.h"
#include "proto/channel.h"

#include <assert.h>
#include <jansson.h>

#define NONE UINT32_MAX

enum task_flag {
    TASK_FLAG_CANCEL = 1 << 0, /* a person wished it cancelled */
};

/* 44 bytes: a million of them are walked at a submit. */
struct task {
    uint8_t state; /* enum task_state */
    uint8_t flags;
    uint8_t reason;
    uint8_t losses; /* of workers, in this round */
    uint16_t round;
    uint16_t tries;                                     /* in this round, but for losses */
    uint32_t attempt;                                   /* the last number that was given */
    uint32_t live;                                      /* attempt slot, or NONE */
    uint32_t lane;                                      /* in run->lanes */
    uint32_t next, previous;                            /* in the lane */
    uint32_t success, failed, skipped, upstream_failed; /* predecessors that ended so */
};
static_assert(sizeof(struct task) == 44, "the hot struct");

/* Tasks of one run, class and priority that are ready, first come first served. */
struct lane {
    uint32_t run; /* slot */
    uint32_t class;
    int32_t priority;
    uint32_t head, tail; /* task indices */
    uint32_t count;
    uint32_t heap_position; /* in its class's heap, or NONE */
};

/* What a task left for those below: kept while its run is in memory. */
struct leaving {
    json_t *outputs; /* an object, or NULL */
    bool has_manifest;
    unsigned char manifest[HASH_BYTES];
};

struct retry_wait {
    struct wheel_timer timer; /* first: the wheel gives it back */
    uint8_t timer_kind;
    uint32_t run;
    uint32_t task;
    int64_t due_wall;
};

struct run {
    uint64_t key; /* 0: a free slot */
    uint64_t order;
    uint32_t dag;
    uint32_t number;
    uint32_t state; /* enum run_state */
    bool cancelled;
    bool date_given;
    uint32_t task_count;
    struct plan plan;
    struct hash plan_hash;
    struct slice bundle;       /* owned */
    struct slice context_text; /* owned */
    json_t *context;
    struct slice key_text; /* owned */
    int64_t logical_date, submitted_at, started_at, ended_at;

    struct task *tasks;
    /* When each came into its state: tenths of a second since the submit, and one; 0: not known.
     * For people; apart from what is walked. */
    uint32_t *moved_ds;
    struct lane *lanes;
    uint32_t lane_count;
    uint32_t counts[TASK_CANCELLING + 1]; /* by state; changed by task_move alone */
    uint32_t fatal;                       /* failed or cancelled, without allow_failure */
    uint32_t active;                      /* assigned or running, noops too */
    bool parked; /* cancelled, or at max_active_tasks: its lanes are out of the heaps */
    uint32_t next_span;
    struct table leavings; /* task -> struct leaving * */
    struct table notes;    /* task -> struct task_notes * */
    struct table waits;    /* task -> struct retry_wait * */
    uint64_t life;         /* of this stay in memory: work that was begun in another one is void */
    uint32_t next_of_dag, previous_of_dag; /* the dag's runs in memory, oldest first */
    uint32_t next_queued, previous_queued; /* the dag's queue */
    uint32_t next_ended;                   /* the cache of ended runs */
    uint64_t ended_flush; /* the flush in which it ended: may be evicted some later */
};

struct dag {
    struct slice name; /* owned */
    uint32_t last_number;
    uint32_t active; /* runs that are running */
    uint32_t first_run, last_run;
    uint32_t queued_head, queued_tail;
};

enum attempt_flag {
    ATTEMPT_FLAG_KILL = 1 << 0,    /* a kill was sent */
    ATTEMPT_FLAG_EXPIRED = 1 << 1, /* its lease and margin ran out: a late result still counts until
                                      another is assigned */
    ATTEMPT_FLAG_ASKED = 1 << 2,   /* a take_back was sent */
    ATTEMPT_FLAG_NOOP = 1 << 3,
    ATTEMPT_FLAG_DOUBTED = 1 << 4, /* idempotent, and nobody hears of it: its task is ready again,
                                      or has a younger attempt */
    ATTEMPT_FLAG_OVERDUE = 1 << 5, /* until all is loaded: its row says that it had expired */
};

/* A live attempt: not in a terminal state. */
struct attempt {
    struct wheel_timer expiry; /* first; armed while its worker's session is closed */
    uint8_t timer_kind;
    uint8_t state; /* ATTEMPT_ASSIGNED or ATTEMPT_RUNNING */
    uint8_t flags;
    bool in_use;
    uint32_t run; /* slot */
    uint32_t task;
    uint32_t number;
    uint32_t worker;         /* index */
    uint32_t next, previous; /* the worker's list */
    uint32_t elder;          /* slot of an older one of its task that may be alive, or NONE */
    uint64_t session;        /* in which it was assigned: stands in its row */
    uint64_t epoch;          /* likewise */
    uint64_t instance;       /* of the runner that has it */
    uint64_t held_in;        /* the session in which its worker has it, and renews it; 0: none */
    uint64_t boot;           /* hash of the boot id of that runner's host */
    uint64_t stamp; /* that host's boot time when the session registered: no older list knows it */
    uint64_t lease_ms;               /* 0: none */
    uint64_t unheard_ms;             /* since when no session renews it: boot time */
    uint64_t lease_ends_ms;          /* with the margin, once no session renews it; 0: never */
    uint64_t assigned_ms;            /* boot time */
    int64_t assigned_at, started_at; /* wall */
    struct msg_progress progress;    /* its text is owned */
};

struct worker {
    struct wheel_timer timer; /* first; silence, then the session's end */
    uint8_t timer_kind;
    uint32_t number; /* in rows: its index + 1 */
    unsigned char key[WORKER_KEY_BYTES];
    struct slice name, host, software; /* owned */
    uint32_t state;                    /* enum worker_state */
    bool open;                         /* a session is open */
    bool full;
    uint64_t peer;
    uint64_t instance;
    unsigned char boot[BOOT_ID_BYTES];
    struct channel channel;   /* its session's number is the session */
    uint64_t heartbeat_ms;    /* receipt of the last heartbeat that was acked, boot time */
    uint64_t heartbeat_stamp; /* and its stamp: the worker's boot time */
    uint64_t session_stamp;   /* the worker's boot time at its last registration */
    uint64_t frame_ack;       /* of the frame that is being taken */
    uint32_t behind;          /* heartbeats in a row that know less than an earlier one did */
    int64_t clock_offset;     /* wall here = the worker's boot time + this */
    uint64_t traffic_ms;      /* the last sign of life */
    int64_t registered_at;
    uint32_t slots;
    uint32_t running; /* but for noops, as the next two */
    uint32_t in_hand;
    uint32_t noops;
    uint32_t hand;                      /* so many it may hold beyond its slots */
    uint32_t ended;                     /* since paced_ms */
    uint64_t paced_ms;                  /* when its pace was looked at last */
    uint64_t shortest_lease_ms;         /* of its attempts, at most; UINT64_MAX: none has one */
    uint32_t attempts;                  /* the list's head: the newest */
    struct texts queues, labels, users; /* owned */
    struct operator_line *operators;    /* owned */
    uint32_t operator_count;
    struct slice address;                       /* owned; empty: on the master's host */
    struct slice memory_limit_by, cpu_limit_by; /* owned; empty: by nothing */
    struct msg_heartbeat load;                  /* the last */
    bool draining;                              /* a person's wish, in its row */
    bool removed;                               /* its key is barred, in its row */
    bool leaving;                               /* its own, said in this session's heartbeats */
    bool resting;     /* gave back what nobody asked for: no more until its next heartbeat */
    int64_t state_at; /* wall: since when it is in its state; 0: not known */
    struct member {
        uint32_t class, position; /* of its seat */
    } * members;
    size_t member_count, member_capacity;
    uint32_t over_at; /* in core->over, or NONE */
    bool dirty;       /* in core->dirty: frames may be made */
};

/*
 * Ready lanes of tasks that ask the same of a worker (queue, labels, user, operator; no-ops, which
 * need no slot, apart), and the workers that have it. One that nobody can serve holds up no other.
 * It lives while a lane names it.
 */
struct class
{
    struct slice key;                    /* owned: by what it is interned; empty: a free slot */
    struct slice queue, run_as, program; /* in the key */
    struct texts labels;                 /* the array is owned, texts in the key */
    bool noop;
    uint32_t lanes;     /* that name it */
    uint32_t next_free; /* slot */
    struct lane_ref {
        uint32_t run, lane;
    } * heap;
    size_t heap_count, heap_capacity;
    /* A heap: who takes the next task first. */
    struct seat {
        uint32_t worker, member; /* index; in its members */
        uint32_t taken, slots;
        bool takes;
    } * seats;
    size_t seat_count, seat_capacity;
    uint64_t free_slots; /* of those that take tasks */
};

enum timer_kind {
    TIMER_ATTEMPT = 1,
    TIMER_WORKER,
    TIMER_RETRY,
    TIMER_REBALANCE,
    TIMER_AUDIT,
    TIMER_RESTORE
};

/* A timer's kind follows it in the struct that embeds it. */
struct any_timer {
    struct wheel_timer timer;
    uint8_t timer_kind;
};
static_assert(offsetof(struct attempt, timer_kind) == offsetof(struct any_timer, timer_kind), "");
static_assert(offsetof(struct worker, timer_kind) == offsetof(struct any_timer, timer_kind), "");
static_assert(
    offsetof(struct retry_wait, timer_kind) == offsetof(struct any_timer, timer_kind), "");
static_assert(offsetof(struct audit, timer_kind) == offsetof(struct any_timer, timer_kind), "");

/* Work that goes on in slices, first come first served: see spread.c. */
enum work_kind {
    WORK_SPREAD, /* a task's end changed: its successors count it */
    WORK_START,  /* evaluate all tasks of a run */
    WORK_CANCEL  /* cancel all tasks of a run */
};

struct work {
    uint8_t kind;
    uint8_t from, to; /* SPREAD: the end that was counted before and is now; 0: none */
    uint32_t run;
    uint32_t task;   /* SPREAD: whose end */
    uint32_t cursor; /* the next successor, or task */
    uint64_t life;   /* of the run */
};

struct core {
    uint64_t epoch, leader;
    unsigned char boot[BOOT_ID_BYTES];
    struct slice cluster, bundles; /* owned */
    int64_t clock_offset;          /* wall time here = boot time here + this */
    uint64_t now_ms;
    int64_t now_wall;
    struct effects *effects;   /* of the step that goes on */
    const struct actor *actor; /* likewise: who speaks */
    bool loaded;               /* EVENT_LOADED came: dispatch may begin */
    bool loading;              /* a run is being loaded: no facts, no changes */
    bool dispatch_more;        /* the last dispatch stopped at its bound */
    bool restoring;            /* an older store was brought back, and its leases are waited out */
    uint64_t restored_order;
    uint32_t attempts_from; /* for runs up to that one */
    bool fenced;
    struct slice fenced_text; /* owned */
    uint64_t flushes, steps;
    uint64_t next_order;
    uint64_t lives; /* of runs, so far */

    struct run *runs;
    size_t run_count, run_capacity;
    uint32_t free_runs; /* by next_of_dag */
    struct table runs_by_key;
    uint32_t ended_head, ended_tail;
    uint32_t ended_count;
    uint64_t ended_tasks;

    struct dag *dags;
    size_t dag_count, dag_capacity;
    struct names dags_by_name;

    struct attempt **attempts; /* slots keep their address: timers are embedded */
    size_t attempt_count, attempt_capacity;
    uint32_t free_attempts; /* by next */
    uint64_t live_attempts;
    uint32_t asked; /* questions (take_back) that are not answered */

    struct worker **workers;
    size_t worker_count, worker_capacity;
    struct names workers_by_key;
    struct table sessions; /* session -> worker index + 1, open ones and those of loaded attempts */
    struct table session_instances; /* session -> instance, of loaded attempts */
    struct table session_boots;     /* session -> hash of the boot id, likewise */
    struct table session_stamps;    /* session -> its stamp, likewise */

    struct class *classes;
    size_t class_count, class_capacity;
    uint32_t free_classes; /* by next_free */
    struct names classes_by_key;
    uint64_t ready_count;
    uint32_t *runnable; /* classes, while it dispatches */
    size_t runnable_count, runnable_capacity;
    uint32_t *over; /* workers that hold more than they have slots */
    size_t over_count, over_capacity;

    uint32_t *dirty; /* workers with messages to frame */
    size_t dirty_count, dirty_capacity;

    struct work *work; /* a ring */
    size_t work_head, work_count, work_capacity;

    struct span_row span; /* grows while neighbours end alike; run 0: none */

    struct request_answer {
        uint64_t request;
        struct slice message; /* owned */
    } * requests;             /* a ring of the last ones */
    size_t request_count, request_next;
    struct table requests_by_id;
    struct outcome outcome; /* of this step's client event */

    struct access access;
    struct audit audit;
    struct connections connections;

    struct wheel wheel;
    struct any_timer rebalance, restore;
    struct arena scratch; /* for one step */
    struct buffer frame;  /* for one frame */
};

/* ---- spread.c ---- */

void work_add(struct core *core, enum work_kind kind, struct run *run);
void work_add_spread(struct core *core, struct run *run, uint32_t task, uint32_t from, uint32_t to);
/* Goes on until the step's bound or until nothing is left. */
void work_go_on(struct core *core);
/* Evaluates a waiting task's trigger rule. */
void task_evaluate(struct core *core, struct run *run, uint32_t task);

/* ---- ready.c ---- */

void lanes_create(struct core *core, struct run *run);
void lanes_destroy(struct core *core, struct run *run);
void lane_push(struct core *core, struct run *run, uint32_t task);
void lane_remove(struct core *core, struct run *run, uint32_t task);
/* The best lane of a class that has one. */
struct lane_ref class_top(const struct class *class);
/* The order in which lanes are served: by priority, then by the runs' order. */
int lanes_compare(const struct core *core, struct lane_ref a, struct lane_ref b);
/* Takes the lanes of a cancelled run, or of one at its cap, out of the heaps, and puts them back
 * when it is neither. */
void run_park(struct core *core, struct run *run);

/* ---- class.c ---- */

/* The class of a task, for one more lane; it may move the array. */
uint32_t class_take(struct core *core, const struct plan *plan, uint32_t task);
/* A lane of it is gone. */
void class_drop(struct core *core, uint32_t class);
void classes_fini(struct core *core);
bool texts_hold(struct texts texts, struct slice text);
/* What the worker says of that operator program, or NULL. */
const struct operator_line *worker_operator(const struct worker *worker, struct slice name);
bool class_suits(const struct class *class, const struct worker *worker);
/* Who takes the next task: of those that can, the one with the smallest share of its slots taken;
 * NULL when none can. */
struct worker *class_pick(struct core *core, struct class *class);
/* Its session opened, with what it serves; and closed. */
void worker_sit(struct core *core, struct worker *worker);
void worker_stand(struct core *core, struct worker *worker);
/* What it holds, or whether it takes tasks, changed. */
void worker_refresh(struct core *core, struct worker *worker);

/* ---- run.c ---- */

struct run *run_create(struct core *core, const struct run_row *row, const struct plan *plan);
void run_destroy(struct core *core, struct run *run);
struct run *run_by_key(const struct core *core, uint64_t key);
static inline uint32_t run_slot(const struct core *core, const struct run *run)
{
    return (uint32_t)(run - core->runs);
}
static inline const struct plan_task *run_plan_task(const struct run *run, uint32_t task)
{
    return &run->plan.tasks[task];
}
enum run_event {
    RUN_EVENT_QUEUE, /* submitted or retried, at max_active_runs */
    RUN_EVENT_START,
    RUN_EVENT_SUCCEED, /* all its tasks have ended … */
    RUN_EVENT_FAIL,
    RUN_EVENT_CANCEL,
    RUN_EVENT_COUNT
};

/* The next state by the table, 0 when it is illegal. */
uint32_t run_next_state(uint32_t state, enum run_event event);
struct dag *dag_get(struct core *core, struct slice name);
void run_fact(struct core *core, const struct run *run);
/* Starts it, or queues it at max_active_runs. */
void run_enqueue(struct core *core, struct run *run);
/* The links alone, for loading too. */
void run_queue(struct core *core, struct run *run);
void run_enter_ended(struct core *core, struct run *run);
void dag_start_queued(struct core *core, uint32_t dag);
/* Ends the run when all its tasks have ended. */
void run_check_end(struct core *core, struct run *run);
void run_show(struct core *core, const struct run *run);
/* Keeps the cache of ended runs bounded. */
void runs_evict(struct core *core);
struct leaving *run_leaving(struct run *run, uint32_t task, bool create);
void run_forget_leaving(struct run *run, uint32_t task);

/* ---- assign.c ---- */

/*
 * Fills the assign message of a task's next attempt, rendered; texts lie in core->scratch.
 * ERR_NOT_FOUND: a value is absent; ERR_TOO_BIG, ERR_INVALID: no process can be given it.
 */
int assign_render(struct core *core, struct run *run, uint32_t task, uint32_t number,
    struct msg_assign *ret_assign, struct error *error);

/* ---- dispatch.c ---- */

void dispatch(struct core *core);
/* Asks for in-hand tasks of full workers while others idle. */
void rebalance(struct core *core);
/* Asks whether the attempt, in its worker's hand, can be given back. */
void attempt_ask_back(struct core *core, struct attempt *attempt);

/* ---- load.c ---- */

void load_run(struct core *core, const struct load_run_event *event);
void load_done(struct core *core);

/* ---- check.c, in test builds ---- */

void core_check_step(const struct core *core);

#include "master/core/attempt.h"
#include "master/core/doubt.h"
#include "master/core/loss.h"
#include "master/core/notes.h"
#include "master/core/task.h"
#include "master/core/worker.h"

#endif
