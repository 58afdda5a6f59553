/*
 * checker.h - the judge of the simulated world: it sees what the world sees, and shares no code
 * with the cores.
 */
#ifndef SIM_CHECKER_H
#define SIM_CHECKER_H

#include "tests/sim/world.h"

/* ---- its memory ---- */

struct seen_attempt {
    uint32_t state;
    uint64_t instance; /* of the runner that spawned it; 0: none did */
    bool there;        /* its process has not ended */
    bool saved;        /* its result is on a disk */
    bool undone;       /* rows of it went with a store */
};

/* What is durable of one task. */
struct seen_task {
    uint32_t alive;       /* processes that execute */
    uint32_t last_number; /* the newest attempt that was ever spawned */
    uint32_t end;         /* enum task_state, or 0 */
    uint32_t round;
    uint32_t failures; /* in this round */
    bool cancel_wish;
    uint64_t cancel_ms;
    bool ruled;                    /* its trigger rule held by what was durable, in this round */
    struct seen_attempt *attempts; /* by number - 1 */
    size_t attempt_count, attempt_capacity;
};

struct seen_run {
    uint64_t key;
    const struct sim_run *plan;
    uint32_t state;
    uint32_t alive;
    bool cancelled;
    bool vanished; /* its rows went with a store */
    uint64_t cancelled_ms;
    struct seen_task *tasks;
};

enum { WORKERS_MAX = 4 * HOSTS_MAX, SEEN_RUNS_MAX = 2 * RUNS_MAX };

struct checker {
    struct seen_run runs[SEEN_RUNS_MAX];
    uint32_t run_count;
    uint64_t epoch;
    bool draining[WORKERS_MAX], removed[WORKERS_MAX]; /* by number */
    struct table dead;                                /* instances of runners */
    struct {
        unsigned char key[32];
        bool removed;
    } peers[2 * HOSTS_MAX];
    uint32_t peer_count;
    struct backup *backup; /* what was durable when somebody copied the store; or NULL */
};

/* ---- backup.c: what was durable when the store was copied ---- */

void checker_keep(struct world *world);
/* The copy is restored, and what came after it is lost: it does not count any more. */
void checker_go_back(struct world *world);
void checker_forget_backup(struct checker *checker);

/* ---- checker.c ---- */

struct checker *checker_create(void);
void checker_destroy(struct checker *checker);
/* `now_ms` by the clock of its host. */
void checker_process_started(struct world *world, const struct process *process, uint64_t now_ms);
void checker_process_ended(struct world *world, const struct process *process);
/* A process executes nothing while its host stands still, and what its runner leaves of it then
 * goes on. */
void checker_process_frozen(struct world *world, const struct process *process);
void checker_process_thawed(struct world *world, const struct process *process);
/* This runner is dead: what it ran may be said to have never been. */
void checker_runner_died(struct world *world, uint64_t instance);
/* A result is on its worker's disk, and is removed from it. */
void checker_result_saved(struct world *world, const struct attempt_id *id);
void checker_result_dropped(struct world *world, const struct attempt_id *id);
/* What a person cancelled, or a restored store does not know, is not there for ever. */
void checker_cancels(struct world *world);
/* When its cancel was recorded; 0: it was not cancelled. */
uint64_t checker_cancelled_ms(struct world *world, const struct attempt_id *id);
/* Facts became durable. */
void checker_committed(struct world *world, const struct fact *facts, size_t count);
void checker_epoch(struct world *world, uint64_t epoch);
/* True when every acknowledged run has ended. */
bool checker_all_ended(const struct world *world);
/* After the last fault and the time for recovery. */
void checker_finish(struct world *world);

/* ---- losses.c: new rows of attempts, and tasks that a span names ---- */

void losses_see_attempt(struct world *world, const struct attempt_row *row);
void losses_see_span(struct world *world, const struct span_row *row, uint32_t task);
/* A second attempt of an idempotent task, beside one whose process is on this host, or NULL. */
void losses_see_double(struct world *world, const struct attempt_row *row, const struct host *host);
/* What the master sends at once: acknowledgements of heartbeats. */
void losses_see_sent(struct world *world, uint64_t peer, struct slice frame);

/* ---- questions.c: somebody asks what something waits for ---- */

void questions_begin(struct world *world);

#endif
