/*
 * world.h - the simulated world: one thread, one seed, virtual milliseconds. The real cores of
 * master, agent and runner live in it; network, disks, processes and the store are models. Same
 * seed, same story, same trace hash.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "common/buffer.h"
#include "common/table.h"
#include "master/core/core.h"
#include "tests/sim/rows.h"
#include "worker/core/agent.h"
#include "worker/runner/core.h"

struct world;
struct checker;

/* Virtual time begins here. */
#define WORLD_START_MS UINT64_C(1000000)

enum { HOSTS_MAX = 256, RUNS_MAX = 16, REQUESTS_MAX = 1024, NAME_BYTES = 16 };

/* How large a world is, at most. */
struct scale {
    uint32_t hosts, slots, runs, tasks; /* slots of a host, tasks of a run */
    bool full;                          /* not less, either */
};

/* Each part of the world has dice of its own, so that what is left out of one moves little in the
 * others. */
enum dice {
    DICE_WORLD,
    DICE_FAULTS,
    DICE_NETWORK,
    DICE_STORE,
    DICE_HOSTS,
    DICE_PEOPLE,
    DICE_WORKLOAD,
    DICE_CHECKER,
    DICE_NOTES,
    DICE_LEASES,
    DICE_COUNT
};

/* How bad the world is; drawn from the seed. */
struct faults {
    uint32_t loss_percent, double_percent, late_percent; /* of frames */
    uint32_t late_ms;                                    /* at most */
    uint32_t crash_percent;                              /* a mishap each second */
    uint32_t split_percent; /* of steps' effects: a process dies between two of them, in 10,000 */
    bool quiet;             /* few mishaps, and leases that run out */
    uint64_t end_ms;        /* then the world is good */
};

/* What happens at a time: a function, whom it concerns, and what it brings. */
struct happening;
typedef void (*happening_fn)(struct world *world, const struct happening *happening);
struct happening {
    happening_fn happen;
    uint32_t host;
    uint64_t number; /* a life, a version, a process: what makes it void when it changed */
    uint64_t number2;
    char *bytes; /* owned, or NULL */
    size_t length;
    struct attempt_id id;
};

struct due {
    uint64_t at_ms;
    uint64_t order; /* ties: first come first served */
    struct happening *happening;
};

/* When something wants to be woken next. It moves with each step, mostly to a later moment: what is
 * planned stays planned, and is planned again when it comes too early. All zeroes: none. */
struct alarm {
    uint64_t at_ms, planned_ms; /* UINT64_MAX: never; 0: nothing is planned */
    uint64_t number;            /* of what is planned: all before it is void */
};

/* ---- a process of a task ---- */

enum take_down { TAKES_NOTHING, TAKES_RUNNER, TAKES_AGENT, TAKES_HOST };

struct process {
    uint64_t number; /* 0: a free slot */
    uint32_t host;
    uint64_t instance; /* of the runner that made it */
    uint64_t started_ms;
    struct attempt_id id;
    bool struck;   /* its runner did not get the CPU in time: no clock is held against it */
    bool stubborn; /* ignores SIGTERM */
    bool messy;    /* its main process leaves others behind, which only SIGKILL ends */
    bool killed;   /* SIGKILL was sent, its last system call goes on */
    bool left;     /* it has ended, and they are there */
    bool frozen;   /* its host is */
    bool endless;  /* only a signal ends it */
    bool late;     /* it never became the program: its exec failed in the end */
    enum take_down takes;
    int status;
};

/* ---- a host: agent, runner, disk, processes ---- */

struct saved_result {
    char *bytes; /* an encoded frame with one msg_ended */
    size_t length;
    struct attempt_id id;
    bool used;
};

struct host {
    uint32_t index;
    unsigned char key[32], boot[16];
    /* Its boot clock: so much at the world's beginning, and so many of its milliseconds in a true
     * second. */
    uint64_t clock_ms;
    uint32_t clock_rate;
    /* The disk. */
    uint64_t epoch, leader, last_instance, dead[DEAD_RUNNERS_MAX]; /* of which no master knows */
    uint32_t dead_count;
    char cluster[40];
    struct saved_result *results;
    size_t result_count, result_capacity;
    /* What lives. */
    struct agent *agent; /* NULL: down */
    uint64_t agent_life;
    struct alarm agent_alarm;
    uint64_t agent_paused_until, runner_paused_until;
    bool frozen; /* all of it stands still: a machine that was paused */
    struct runner_core *runner;
    uint64_t runner_life;
    struct alarm runner_alarm;
    uint64_t instance;
    uint64_t connection; /* the agent's to the runner; 0: none */
    uint64_t answered;   /* the one that the runner has taken, and answers to */
    uint64_t peer;       /* how the master's transport knows it; anew at each life */
    struct agent_effects agent_effects;
    struct runner_effects runner_effects;
    uint64_t cut_up_until, cut_down_until; /* no frame to, or from, the master passes */
    uint32_t slots;
    /* By its clock: when its last registration was made, and what the master has answered last of
     * what this agent or one before it sent. */
    uint64_t registered_ms, answered_ms;
    bool up;
    bool stays_away;      /* once its agent is dead */
    bool stopped;         /* a person told its agent to stop */
    uint64_t acked_at_ms; /* when the master acknowledged a heartbeat of it: world time */
    /* Whose name and machine it has: its own index, but for the host of a copied directory. */
    uint32_t like;
    uint64_t seen_epoch;   /* of the last frame that passed while it was not registered, or came */
    uint64_t follows;      /* the newest epoch that it surely knows, whatever it has on disk */
    bool remote, joined;   /* it speaks by its key, and belongs to the cluster */
    uint64_t renewed_peer; /* connections since have proven its present key */
};

/* ---- the master ---- */

struct pending_batch {
    struct effects *effects;
    struct pending_batch *next;
};

struct master {
    struct core *core; /* NULL: down */
    uint64_t life;
    struct alarm alarm;
    uint64_t paused_until;
    uint64_t full_until, stuck_until; /* the store's disk */
    uint64_t epoch;
    struct effects *batch; /* being filled */
    struct pending_batch *committing, *committing_last;
    uint32_t in_flight;
    struct rows rows; /* the disk */
};

/* ---- what is asked of it ---- */

/* What a host has and a task may ask for: a bit each. */
enum { HAS_GPU = 1, HAS_ZONE = 2, HAS_USER = 4, HAS_ALL = 7 };

struct sim_task {
    char name[NAME_BYTES];
    uint32_t asks; /* HAS_… */
    uint32_t *parents;
    uint32_t parent_count;
    uint32_t rule;
    uint32_t retries;
    uint32_t on_lost, max_losses;
    bool idempotent;
    bool unleased; /* lease: none */
    bool noop, allow_failure;
    bool notes;                                        /* an operator that leaves some */
    uint32_t fail_percent, hang_percent, long_percent; /* of its attempts */
    uint32_t timeout_s;                                /* 0: none */
    enum take_down takes;                              /* its first attempts, with them */
};

/* What is durable of a task's losses, in this round: losses.c. */
struct seen_losses {
    bool lost;        /* an attempt that may have done something */
    uint32_t workers; /* that were lost */
};

struct sim_run {
    uint64_t request;
    uint64_t key;    /* once submitted; else 0 */
    uint64_t before; /* the key that went with a store, when it was not acknowledged then */
    bool vanished;   /* it was acknowledged, and went with a store */
    char *plan_bytes;
    size_t plan_length;
    struct plan plan;
    uint32_t dag; /* two runs of one number have one DAG */
    uint32_t max_active_runs, max_active_tasks;
    struct sim_task *tasks;
    uint32_t task_count;
    struct seen_losses *losses;        /* by task */
    uint32_t *child_starts, *children; /* task_count + 1; who waits for a task */
    bool acknowledged;
};

struct asked {
    uint64_t request;
    enum event_kind kind;
    uint32_t run; /* of world->runs; DRAIN: the host */
    uint32_t task;
    uint32_t state;
    bool only; /* DRAIN: undo. LOST_WORKER: said of what is over, of a host that may be up */
    bool answered;
    bool followed; /* it was done, and what follows upon it is planned */
};

/* A store that is restored though it is older, and put back or accepted: restore.c. */
struct restore {
    struct rows older, newer; /* the copy; what is set aside while the copy reigns */
    bool reigns;
    bool for_good; /* what it records counts: the newer one is lost */
    bool heard;    /* and its master has heard of a higher epoch */
    bool ever;
};

struct world {
    uint64_t seed, dice[DICE_COUNT];
    struct scale scale;
    uint64_t now_ms, order, hash;
    uint64_t moved_ms;    /* when an attempt ended that was not lost, or the faults were over */
    int64_t wall_jump_ms; /* what people did to the master's wall clock */
    /* What may be left out of a story to make it shorter, by number: see shrink.c. */
    uint32_t items;
    const bool *left_out;
    uint32_t left_out_count;
    struct faults faults;
    struct due *heap;
    size_t heap_count, heap_capacity;
    struct happening **past; /* to be used again */
    size_t past_count, past_capacity;
    struct master master;
    struct restore restore;
    struct host hosts[HOSTS_MAX];
    uint32_t host_count;
    struct process *processes;
    size_t process_count, process_capacity;
    uint64_t next_process, next_life;
    struct sim_run runs[RUNS_MAX];
    uint32_t run_count;
    struct asked asked[REQUESTS_MAX];
    uint32_t asked_count;
    bool has_idempotent;  /* a task */
    bool has_unleased;    /* tasks */
    struct arena scratch; /* for one frame */
    struct step_effects **spares;
    size_t spare_count, spare_capacity;
    struct checker *checker;
    struct notes *notes;               /* notes.c; NULL: none yet */
    uint32_t joins_wanted, joins_done; /* so many uses has the token */
    bool story;                        /* print what happens */
};

/* ---- world.c ---- */

void dice_throw(struct world *world);
uint64_t draw(struct world *world, enum dice dice);
/* 0 .. below - 1 */
uint32_t draw_below(struct world *world, enum dice dice, uint32_t below);
bool draw_percent(struct world *world, enum dice dice, uint32_t percent);
/* Numbers the next thing that could be left out of the story; false: it is. */
bool is_kept(struct world *world);
/* Between two effects of a step, rarely: the process that carries them out dies here. */
bool dies_here(struct world *world);
struct happening *plan_ahead(struct world *world, uint64_t delay_ms, happening_fn happen);
void alarm_set(
    struct world *world, struct alarm *alarm, uint64_t at_ms, const struct happening *happening);
/* Whether what comes is this alarm, at its moment: happening functions begin with it. */
bool alarm_rings(struct world *world, struct alarm *alarm, const struct happening *happening);
bool world_is_bad(const struct world *world);
void tell(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Ends the simulation with the seed and what is wrong. */
void violated(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));
int64_t wall_of(const struct world *world);
/* Takes the next one, or false; whoever takes it frees its bytes. */
bool world_next(struct world *world, struct happening *ret_happening);
void world_forget_happenings(struct world *world);

/* ---- play.c ---- */

struct play {
    uint64_t seed;
    const struct scale *scale;
    bool story;
    const bool *left_out; /* by item, see is_kept */
    uint32_t left_out_count;
    uint32_t *ret_items; /* how many the story has, known before it begins; or NULL */
};
/* Plays one seed and returns its trace hash. Ends the process at a violation. */
uint64_t play_seed(struct world *world, const struct play *play);

/* ---- shrink.c ---- */

/* Items of a story that are left out. */
struct left_out {
    bool *items;
    uint32_t count;
};
/* "3,5-9"; false: it is no such list. */
bool left_out_read(struct left_out *left_out, const char *text);
/* Leaves out of a failing seed's story whatever it fails without, and tells the rest. An exit
 * status: 1, or 0 when it does not fail. */
int shrink_seed(uint64_t seed, const struct scale *scale);

/* ---- faults.c ---- */

enum { FAULTS_MAX_MS = 180000 }; /* they go on for so long, at most */
void faults_draw(struct world *world);
void faults_begin(struct world *world);

/* ---- network.c ---- */

void send_to_master(struct world *world, uint32_t host, struct slice frame);
void send_to_worker(struct world *world, uint64_t peer, struct slice frame);

/* ---- master.c ---- */

void master_start(struct world *world);
void master_crash(struct world *world);
void master_pause(struct world *world, uint64_t ms);
/* The store's disk takes nothing for so long, or takes so long for everything. */
void master_disk_full(struct world *world, uint64_t ms);
void master_disk_stuck(struct world *world, uint64_t ms);
void master_frame(struct world *world, uint64_t peer, struct slice frame);
/* A client's request reaches the master, if it is up. */
void master_request(struct world *world, const struct asked *asked);
void master_fini(struct world *world);
/* Its process ends, and nobody starts it again. */
void master_end(struct world *world);

/* ---- restore.c ---- */

void restore_begin(struct world *world);
void restore_fini(struct world *world);
/* A master of the older store is not started so often that the fleet would take it for a later one.
 */
bool restore_may_start(const struct world *world);
/* Whether nothing passes between this host and the older store's master: it would be right to
 * follow whoever it hears first. */
bool restore_drops(const struct world *world, const struct host *host);
void restore_see_frame(struct world *world, const struct host *host, struct slice frame);

/* ---- joins.c ---- */

void joins_plan(struct world *world);
void joins_begin(struct world *world);
/* CREATE_TOKEN, JOIN and REMOVE_WORKER. */
void joins_ask(struct world *world, const struct asked *asked, struct event *event);
/* Whether its time has come. */
bool joins_may_ask(struct world *world, struct asked *asked);
/* To a join, or the wish for a token. False: to be asked again. */
bool joins_answered(struct world *world, struct asked *asked, const struct message *answer);
/* A person has removed this host's worker. */
void joins_removed(struct world *world, uint32_t host);
/* Who speaks by this connection; its key is put into `key`. */
struct actor joins_actor(const struct world *world, uint64_t peer, unsigned char key[32]);
/* Whether a person may have removed this host. */
bool joins_may_bar(const struct world *world, const struct host *host);

/* ---- host.c ---- */

void host_start(struct world *world, uint32_t index);
void agent_crash(struct world *world, uint32_t index);
/* It dies, and nobody starts it again for long. */
void agent_is_away(struct world *world, uint32_t index);
/* Whether nothing of the worker on this host can run: nor on one with a copy of its directory. */
bool host_is_down(const struct world *world, uint32_t index);
/* Somebody stops its worker: when nothing runs there, or now. */
void agent_stop(struct world *world, uint32_t index, bool now);
/* Labels and users of a host, the same for all its life: HAS_… */
uint32_t host_has(const struct world *world, uint32_t index);
void host_frame(struct world *world, uint32_t index, struct slice frame);
void hosts_fini(struct world *world);
/* The time by the host's own clock. */
uint64_t host_clock(const struct world *world, const struct host *host);
/* Something is said to its runner again of a process that is there. */
void agent_stammers(struct world *world, uint32_t index, const struct attempt_id *id);
void runner_step_now(struct world *world, struct host *host, struct runner_event *event);
/* What is left when its runner is dead. */
void runner_forget(struct world *world, struct host *host);
/* A happening: whoever watches over host->agent starts it again. */
void agent_starts_again(struct world *world, const struct happening *happening);

/* ---- lives.c ---- */

void agent_pause(struct world *world, uint32_t index, uint64_t ms);
void runner_crash(struct world *world, uint32_t index);
void runner_pause(struct world *world, uint32_t index, uint64_t ms);
void host_reboot(struct world *world, uint32_t index);
/* All of it stands still for so long, its clock goes on. */
void host_freeze(struct world *world, uint32_t index, uint64_t ms);
/* Its agent's connection to the master ends, and it makes another. */
void agent_reconnect(struct world *world, uint32_t index);

/* ---- process.c: what runners make and end ---- */

void process_spawn(struct world *world, struct host *host, const struct attempt_id *id);
void process_terminate(struct world *world, struct host *host, const struct attempt_id *id);
/* SIGKILL to the whole tree. */
void process_kill(struct world *world, struct host *host, const struct attempt_id *id);
/* Whatever this runner's instance left; 0: everything on this host. */
void processes_sweep(struct world *world, const struct host *host, uint64_t instance);
/* Something is said again of everything that runs here. */
void processes_stammer(struct world *world, const struct host *host);
void processes_freeze(struct world *world, const struct host *host);
void processes_thaw(struct world *world, const struct host *host);
bool process_is_of(const struct world *world, const struct host *host, const struct attempt_id *id);
bool process_is_there(const struct world *world, const struct host *host);
bool process_exists(const struct world *world, const struct attempt_id *id);
/* Whether one of this run is there that never ends by itself, and nobody has cancelled. */
bool process_hangs(struct world *world, uint64_t run);

void agent_step_now(struct world *world, struct host *host, struct agent_event *event);

/* ---- client.c ---- */

void clients_start(struct world *world);
void client_plan(struct world *world, uint64_t after_ms, struct asked asked);
/* A person may see that a host went down, and say that it is gone. */
void client_write_off(struct world *world, uint32_t host, uint64_t dice);
void client_answer(struct world *world, uint64_t request, struct slice message);

/* ---- workload.c ---- */

/* A random DAG, compiled. */
void workload_make(struct world *world, struct sim_run *run, uint32_t number);
/* How the process of an attempt ends; the same for the same attempt. */
void workload_process(
    struct world *world, const struct attempt_id *id, struct process *process, uint64_t *ret_ms);
/* *ret_ms of a process that only a signal ends. */
#define ENDLESS UINT64_MAX
struct sim_run *workload_find(struct world *world, uint64_t key);
void workload_fini(struct world *world);

#endif
