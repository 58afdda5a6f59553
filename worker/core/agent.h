/*
 * agent.h - the agent of a host: a pure state machine between the master, the runner and the host's
 * disk.
 *
 *     agent_step(agent, event, effects)
 *
 * Time (boot time) and random numbers arrive inside events. It does no I/O; its effects are carried
 * out in order by worker/io, or by the simulator. A batch is any number of steps and then one
 * AGENT_EVENT_FLUSH, which starts what may start and makes the frames.
 *
 * An attempt's way:  taken -> (files prepared) -> started -> running -> (exited; outputs, artifacts
 * and log collected) -> (result saved on disk) -> told to the master -> settled, forgotten. No-ops
 * are answered at once and leave no trace here.
 */
#ifndef WORKER_CORE_AGENT_H
#define WORKER_CORE_AGENT_H

#include "common/arena.h"
#include "common/limits.h"
#include "proto/proto.h"

struct agent;

struct agent_config {
    unsigned char key[32];             /* the worker's public key: its id */
    struct slice name, host, software; /* copied, as all below */
    unsigned char boot[16];
    uint32_t slots;
    struct texts queues;
    /* What the disk remembers of the leadership that was followed last; 0 and empty at first. */
    uint64_t epoch, leader;
    struct slice cluster;
    /* Runners of this boot that were found dead and whose trees were killed, the last one last; at
     * most DEAD_RUNNERS_MAX. Each is told in a registration of its own. */
    const uint64_t *dead;
    uint32_t dead_count;
    uint64_t now_ms;
    struct texts labels;
    struct texts users; /* as whom tasks may run, the default first; none: as the agent alone */
    const struct operator_line *operators; /* that this host has */
    uint32_t operator_count;
};

/* How busy the host is: what a heartbeat says of it. All zero: not known. */
struct agent_load {
    uint32_t cpus, cpu_permille;
    uint64_t memory_bytes, memory_used;
    uint64_t disk_bytes, disk_free;
};

/* What a leaving agent still waits for, in tasks. */
struct agent_rest {
    uint32_t running; /* their processes may be alive */
    uint32_t ending;  /* their files are being collected or saved */
    uint32_t results; /* that are not settled */
};

enum agent_event_kind {
    AGENT_EVENT_TIMER, /* due at agent_next_ms(), or at any time */
    AGENT_EVENT_FLUSH,
    AGENT_EVENT_FRAME,     /* from the master */
    AGENT_EVENT_LOADED,    /* before anything else: a result that lies on disk */
    AGENT_EVENT_RUNNER,    /* a message of the runner; runner_hello is the first of a connection */
    AGENT_EVENT_PREPARED,  /* AGENT_PREPARE is done, or failed */
    AGENT_EVENT_COLLECTED, /* AGENT_COLLECT is done */
    AGENT_EVENT_SAVED,     /* AGENT_SAVE is written, and outlives the agent */
    AGENT_EVENT_DISK,      /* the spool's disk became full, or has room again */
    AGENT_EVENT_STOP,      /* `stop --now`: kill what runs, report it, end */
    AGENT_EVENT_LOAD,      /* of the host; before a heartbeat that should say it */
    AGENT_EVENT_NOTED,     /* an operator left a note; answered by AGENT_NOTED, however late */
    AGENT_EVENT_PROGRESS,  /* an operator said how far it is */
    AGENT_EVENT_BREACH,    /* an operator broke its contract: end it */
    AGENT_EVENT_LEAVE,     /* `stop`: take nothing more, end when nothing runs and all is with the
                              master; again whenever `logs` has changed */
    AGENT_EVENT_KIND_COUNT
};

struct agent_event {
    enum agent_event_kind kind;
    uint64_t now_ms;
    uint64_t random; /* fresh with every event, not 0 */
    union {
        struct slice frame;
        struct msg_ended loaded; /* what AGENT_SAVE wrote */
        struct message runner;
        struct {
            struct attempt_id id;
            enum reason reason; /* REASON_NONE: prepared; NOT_STARTED: not here and now, it goes
                                   back to the master; else why it fails (WORKER_ERROR, ARTIFACT,
                                   NOT_FOUND, …) */
            struct slice error; /* one line */
        } prepared;
        struct {
            struct attempt_id id;
            struct slice outputs;   /* a JSON object, or empty */
            struct slice artifacts; /* hash of the manifest, or empty; it and its files are kept by
                                       the master */
            uint64_t log_bytes;     /* of the whole stream */
            enum reason reason;     /* REASON_NONE; or OUTPUT, ARTIFACT: a success that is none;
                                       OPERATOR: an end by itself that breaks the contract */
            struct slice error;     /* with NONE: what its operator says of its failure */
            bool no_retry;          /* its operator says that another try cannot help */
        } collected;
        struct msg_note note;
        struct msg_progress progress;
        struct attempt_id breach;
        struct attempt_id saved;
        bool full;
        struct agent_load load;
        struct {
            size_t logs; /* that the master has not kept */
        } leave;
    };
};

enum agent_effect_kind {
    AGENT_SEND,    /* a frame to the master */
    AGENT_RUNNER,  /* a message to the runner; runner_start with the two ends of the attempt's pipe
                    */
    AGENT_PREPARE, /* make the attempt's folder, bundle, artifacts, files and pipe; answer PREPARED
                    */
    AGENT_DISCARD, /* an attempt that is never started: stop preparing, remove its files; no answer
                    */
    AGENT_COLLECT, /* it ended: drain its pipe, read its outputs, hand up its artifacts if
                      `success`; answer COLLECTED */
    AGENT_SAVE, /* write the result to disk, sync it soon unless it is settled by then; answer SAVED
                 */
    AGENT_DROP, /* the result is settled: remove it and the attempt's folder; its log stays until it
                   is kept */
    AGENT_LEADER,     /* remember epoch, leader and cluster on disk */
    AGENT_REGISTERED, /* a session is open; its `dead` need not be told again. `assign` paths: see
                         bundles */
    AGENT_NOTED,      /* tell the operator what became of its note; it may come twice */
    AGENT_NOTE,       /* something a person should read in the log */
    AGENT_EXIT        /* end the process with this status */
};

struct agent_effect {
    enum agent_effect_kind kind;
    struct attempt_id id; /* PREPARE, DISCARD, COLLECT, SAVE, DROP */
    union {
        struct slice frame;
        struct message runner;
        const struct msg_assign *prepare;
        struct {
            /* The assign that it came from, but for text, arguments and env (they are not kept
             * while it runs). */
            const struct msg_assign *assign;
            bool success; /* it exited as a success: outputs and artifacts count */
        } collect;
        const struct msg_ended *save;
        struct {
            uint64_t epoch, leader;
            struct slice cluster;
        } leader;
        struct {
            struct slice bundles; /* the master's folder of blobs, on its own host */
            uint64_t dead;        /* the runner of whose death the master knows now; 0: none */
        } registered;
        struct slice note;
        struct msg_noted noted;
        struct {
            int status;
            struct slice text;
        } exit;
    };
};

/* Owned by the caller; everything pointed to lies in the arena. */
struct agent_effects {
    struct arena arena;
    struct agent_effect *items;
    size_t count, capacity;
};
void agent_effects_reset(struct agent_effects *effects);
void agent_effects_fini(struct agent_effects *effects);

struct agent *agent_create(const struct agent_config *config);
void agent_destroy(struct agent *agent);
void agent_step(
    struct agent *agent, const struct agent_event *event, struct agent_effects *effects);
/* When the next AGENT_EVENT_TIMER is wanted (boot time); UINT64_MAX: never. */
uint64_t agent_next_ms(const struct agent *agent);
/* Attempts whose processes may be alive: what goes on when the agent ends. */
uint32_t agent_running(const struct agent *agent);
/* When the first of them is killed (boot time) unless an agent comes back before; UINT64_MAX: none
 * has a lease. */
uint64_t agent_lease_ends_ms(const struct agent *agent);
struct agent_rest agent_rest(const struct agent *agent);
/* When the next heartbeat is due (boot time), for whoever tells the load before it; UINT64_MAX:
 * there is no session. */
uint64_t agent_beat_ms(const struct agent *agent);
bool agent_is_registered(const struct agent *agent);
/* The agent's own session, for the bulk connection; 0 while there is none. */
uint64_t agent_session(const struct agent *agent);

/* Walks every invariant; aborts at the first that does not hold. */
void agent_check(const struct agent *agent);

#endif
