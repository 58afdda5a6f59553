/*
 * effects.h - what a batch of core steps asks the world to do. The io adapter commits the facts in
 * one transaction and only then lets the rest out, in the order of the batches; sends with
 * `at_once` rest on no fact and may leave before. Owned by the io; the core only appends.
 * Everything pointed to lies in the arena.
 */
#ifndef MASTER_CORE_EFFECTS_H
#define MASTER_CORE_EFFECTS_H

#include "common/arena.h"
#include "master/core/fact.h"

/* A frame to a worker. */
struct send_effect {
    uint64_t peer;
    struct slice frame;
    bool at_once;
};

/* The answer to a client's request: one encoded message, without a frame header. */
struct answer_effect {
    uint64_t ticket; /* of the event */
    struct slice message;
};

/* A task or a run as a watcher shall see it now. */
struct change_effect {
    uint64_t run;
    uint32_t task;  /* CHANGE_RUN: the run itself (state: enum run_state) */
    uint32_t state; /* enum task_state, as shown */
    uint32_t attempt;
    uint32_t worker; /* number, or 0 */
    uint32_t reason;
    struct slice error;
    int64_t at;
    struct slice progress; /* what its operator said last, as in msg_progress */
    int64_t progress_done, progress_total;
};

/* Whose key may finish a handshake from now on, and as what; for the ports, once the batch has
 * committed. */
struct access_effect {
    unsigned char key[WORKER_KEY_BYTES];
    uint32_t role;      /* ROLE_NONE: nobody's any more */
    int64_t expires_at; /* wall: a token's; 0: never */
    struct slice name;  /* of a peer; empty: a token's key has none */
};

#define CHANGE_RUN UINT32_MAX

/* An attempt was made, with these connections: its log is masked by them. Before its frame leaves.
 */
struct handed_effect {
    struct attempt_id id;
    struct texts connections; /* names */
};

struct effects {
    struct arena arena;
    struct fact *facts;
    size_t fact_count, fact_capacity;
    struct send_effect *sends;
    size_t send_count, send_capacity;
    struct answer_effect *answers;
    size_t answer_count, answer_capacity;
    struct change_effect *changes;
    size_t change_count, change_capacity;
    struct access_effect *accesses;
    size_t access_count, access_capacity;
    struct handed_effect *handed;
    size_t handed_count, handed_capacity;
    /* Runs that left the core's memory: their plan may be unmapped once this batch has committed.
     */
    uint64_t *forgotten;
    size_t forgotten_count, forgotten_capacity;
    struct effects *next; /* for the owner's queues */
};

struct effects *effects_create(void);
/* Empty again, memory kept. */
void effects_reset(struct effects *effects);
void effects_destroy(struct effects *effects);
/* True when the batch asks for nothing at all. */
bool effects_is_empty(const struct effects *effects);

/* Append; the returned struct is zeroed and to be filled in. Valid until the next append of the
 * same kind. */
struct fact *effects_add_fact(struct effects *effects, enum fact_kind kind);
void effects_add_send(struct effects *effects, uint64_t peer, struct slice frame, bool at_once);
void effects_add_answer(struct effects *effects, uint64_t ticket, struct slice message);
struct change_effect *effects_add_change(struct effects *effects);
struct access_effect *effects_add_access(struct effects *effects);
struct handed_effect *effects_add_handed(struct effects *effects);
void effects_add_forgotten(struct effects *effects, uint64_t run);

#endif
