/*
 * core.h - the runner's pure state machine: which attempts there are, when each gets SIGTERM and
 * SIGKILL, and what the agent is told. It reads no clock, makes no system call, keeps no global;
 * the io (or the simulator) brings events and carries out effects. One thread.
 *
 * Life of an attempt:
 *
 *     QUEUED       it waits for a slot; its pipe and its order lie in the io
 *     STARTING     SPAWN is being carried out
 *     RUNNING      its main process runs
 *     TERMINATING  SIGTERM was sent, SIGKILL is due at a known time
 *     KILLING      SIGKILL was sent, the main process is not reaped yet
 *     CLEARING     the main process was reaped, what is left of its tree is being killed
 *     OVER         nothing of it is left; the end is kept until the agent has it on disk
 * (runner_forget)
 *
 * Turns: what was ordered starts in order, the moment that one of the agent's slots is free: when
 * nothing is left of the tree before. Only while its lease leaves time and the newest stamp that
 * came with a renewal or an order is younger than START_FRESH_MS: without an agent that hears the
 * master, nothing starts. A list forgets the stamp: between the agent's answer to the master and
 * the next renewal, what the list calls queued waits, or is taken back, and stays so.
 *
 * Leases: an attempt is good until stamp + lease_ms, where a renewal moves the stamp forward, never
 * back, and a stamp that lies in the future counts as now. SIGTERM a kill grace before the end,
 * SIGKILL at the end, with reason `lease`; a start that comes, or has its turn, inside that grace
 * is answered by runner_exited with reason `not_started`. The execution timeout: SIGTERM at start +
 * timeout_ms, SIGKILL a grace later, reason `timeout`. runner_kill: the same from now on, with its
 * reason. The first reason stays. What was asked to end is killed at the earlier of grace and lease
 * end, and no later renewal moves that.
 *
 * The end: reason exit_code with the code (0 too), signal with the number and code -1, or
 * out_of_memory; after a kill the kill's reason with the true code or signal.
 */
#ifndef WORKER_RUNNER_CORE_H
#define WORKER_RUNNER_CORE_H

#include "common/arena.h"
#include "proto/proto.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct runner_core;

enum { RUNNER_BOOT_BYTES = 16 };
/* Without an agent for so long, the runner ends as soon as nothing runs. */
#define RUNNER_ALONE_MAX_MS (UINT64_C(24) * 60 * 60 * 1000)
/* What an agent's cookie may hold; a longer one is cut. */
enum { RUNNER_COOKIE_MAX_BYTES = 1024 * 1024 };

/* The bytes by which an attempt is known in tables: those of its fields. Borrows `id`. */
static inline struct slice attempt_key(const struct attempt_id *id)
{
    static_assert(offsetof(struct attempt_id, attempt) == 16, "no padding before the last field");
    return slice_make(id, 20);
}

/* ---- events ---- */

enum runner_event_kind {
    /* An agent is connected; an earlier one's connection is closed already. Answered by
       runner_hello. */
    RUNNER_EVENT_CONNECTED,
    /* The agent's connection ended. */
    RUNNER_EVENT_DISCONNECTED,
    /* The agent says `message`: runner_list, _start, _take_back, _kill, _renew, _forget or _stop;
       others are ignored. */
    RUNNER_EVENT_MESSAGE,
    /*
     * The answer to SPAWN, `id` and `pid`: the main process exists and leads its own process group.
     * It must be the next event after the step that asked, with the time at which it was made.
     */
    RUNNER_EVENT_SPAWNED,
    /*
     * `id`, `reason` (not_found, not_executable, worker_error) and `text`: the program could not be
     * started. Either the next event after SPAWN, and no process exists; or later (a program on a
     * network file system), in place of EXITED: the process that should have become it was reaped.
     */
    RUNNER_EVENT_SPAWN_FAILED,
    /*
     * The main process was reaped: `id`, `status` as waitpid gives it, `cpu_us`, `max_rss_kb`, and
     * `out_of_memory` when the kernel killed it for want of memory, or of its own limit
     * (`over_limit`). Once for each SPAWNED.
     */
    RUNNER_EVENT_EXITED,
    /*
     * The answer to the KILL that follows EXITED or SPAWN_FAILED: nothing of the tree of `id` is
     * left; `cpu_us` and `max_rss_kb` are of what was reaped since EXITED.
     */
    RUNNER_EVENT_EMPTY,
    /* runner_core_next_ms() has come. Harmless at any time. */
    RUNNER_EVENT_TIMER,
    /* The runner was asked by SIGTERM to end: it does when it holds no attempt, else the event is
       ignored. */
    RUNNER_EVENT_TERM,
};

struct runner_event {
    enum runner_event_kind kind;
    uint64_t now_ms; /* CLOCK_BOOTTIME; never falls */
    struct attempt_id id;
    struct message message; /* borrowed until the effects have been carried out */
    uint64_t pid;
    uint32_t reason;
    struct slice text; /* one line for a person */
    int status;
    bool out_of_memory;
    bool over_limit;      /* with out_of_memory: its own limit's, not the machine's */
    uint64_t memory_peak; /* bytes, likewise; 0: not known */
    uint64_t cpu_us;
    uint64_t max_rss_kb;
};

/* ---- effects, to be carried out in their order ---- */

enum runner_effect_kind {
    /* To the agent: message `number` with `body`; with `pipe`, the read end of the pipe of `id`,
       and the agent's end of an operator's socket, go with it, where the io still holds them (it
       has none for what was not started). Only while an agent is connected. */
    RUNNER_EFFECT_SEND,
    /* Take up `start` with its pipe: for its SPAWN, or until FORGET. */
    RUNNER_EFFECT_KEEP,
    /* Make the main process of `id`; answered by SPAWNED or SPAWN_FAILED as the very next event.
       At most one a step, and its last effect. The io keeps the pipe's read end until FORGET. */
    RUNNER_EFFECT_SPAWN,
    /* SIGTERM to the process group of `id`. */
    RUNNER_EFFECT_TERMINATE,
    /* SIGKILL to the whole tree of `id`, whatever groups and sessions it made, until nothing is
       left. It may come again; the one after EXITED or SPAWN_FAILED is answered by EMPTY, once. */
    RUNNER_EFFECT_KILL,
    /* The core knows `id` no longer: close the pipe. */
    RUNNER_EFFECT_FORGET,
    /* Send out what was queued, then end the process. Always the last effect. */
    RUNNER_EFFECT_EXIT,
};

struct runner_effect {
    enum runner_effect_kind kind;
    struct attempt_id id;
    uint32_t number;
    bool pipe;
    const void *body;                     /* in the effects' arena */
    const struct msg_runner_start *start; /* of KEEP; borrowed from the event */
};

/* Zero-initialised is empty. A step appends. */
struct runner_effects {
    struct runner_effect *items;
    size_t count;
    size_t capacity;
    struct arena arena;
};

void runner_effects_reset(struct runner_effects *effects); /* keeps the memory */
void runner_effects_fini(struct runner_effects *effects);

/* ---- the machine ---- */

/* `instance` is random and not 0, `pid` the runner's own; both go into runner_hello. The 24 hours
 * count from now_ms. */
struct runner_core *runner_core_create(
    uint64_t instance, const unsigned char boot[RUNNER_BOOT_BYTES], uint64_t pid, uint64_t now_ms);
void runner_core_destroy(struct runner_core *core);

/* By what the io bounds tasks, as runner_hello says it; borrowed for good. Before the first step.
 */
struct runner_limits {
    const char *memory_by, *cpu_by;
};
void runner_core_set_limits(struct runner_core *core, struct runner_limits limits);

/* Appends what is to be done. An answer of the io that the table has as illegal aborts; nothing an
 * agent says can. */
void runner_core_step(
    struct runner_core *core, const struct runner_event *event, struct runner_effects *effects);

/* When the next TIMER event is wanted (boot time), UINT64_MAX: not at all. Ask again after each
 * step. */
uint64_t runner_core_next_ms(const struct runner_core *core);

/*
 * Stopping. runner_stop: no attempt starts any more (not_started); the runner ends when nothing
 * runs and the agent has forgotten every end, or with `now` after killing what runs (reason
 * worker_lost). Without an agent for 24 hours it ends when nothing runs.
 */

#endif
