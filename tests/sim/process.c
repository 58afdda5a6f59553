/*
 * The processes of tasks: they run for a while, end by themselves or by a signal, may leave others
 * behind, and live on when their runner dies.
 */
#include "common/memory.h"
#include "common/table.h"
#include "tests/sim/checker.h"
#include "tests/sim/notes.h"

#include <signal.h>

enum {
    /* Of spawns, in a thousand: no such program, at once; or only after a while (a slow disk). */
    SPAWN_FAILS = 4,
    SPAWN_FAILS_LATE = 8,
    STAMMER_PERCENT = 12,
};

static void arrive_exit(struct world *world, const struct happening *happening);

static struct process *process_of(
    struct world *world, const struct host *host, const struct attempt_id *id)
{
    for (size_t i = 0; i < world->process_count; i++) {
        struct process *process = &world->processes[i];
        if (process->number != 0 && process->instance == host->instance &&
            memcmp(attempt_key(&process->id).ptr, attempt_key(id).ptr, 20) == 0)
            return process;
    }
    return NULL;
}

bool process_is_there(const struct world *world, const struct host *host)
{
    for (size_t i = 0; i < world->process_count; i++) {
        const struct process *process = &world->processes[i];
        if (process->number != 0 && process->host == host->index &&
            process->instance == host->instance)
            return true;
    }
    return false;
}

bool process_hangs(struct world *world, uint64_t run)
{
    for (size_t i = 0; i < world->process_count; i++) {
        const struct process *process = &world->processes[i];
        if (process->number != 0 && process->endless && process->id.run == run &&
            checker_cancelled_ms(world, &process->id) == 0)
            return true;
    }
    return false;
}

bool process_exists(const struct world *world, const struct attempt_id *id)
{
    for (size_t i = 0; i < world->process_count; i++) {
        if (world->processes[i].number != 0 &&
            memcmp(attempt_key(&world->processes[i].id).ptr, attempt_key(id).ptr, 20) == 0)
            return true;
    }
    return false;
}

bool process_is_of(const struct world *world, const struct host *host, const struct attempt_id *id)
{
    for (size_t i = 0; i < world->process_count; i++) {
        const struct process *process = &world->processes[i];
        if (process->number != 0 && process->instance == host->instance &&
            memcmp(attempt_key(&process->id).ptr, attempt_key(id).ptr, 20) == 0)
            return true;
    }
    return false;
}

static void process_end(struct world *world, struct process *process)
{
    tell(world, "process %u@%u of run %llx ends on host %u", process->id.task, process->id.attempt,
        (unsigned long long)process->id.run, process->host);
    checker_process_ended(world, process);
    process->number = 0;
}

/* ---- its end ---- */

/* What is left behind lives until its runner's SIGKILL. */
static void main_ends(struct world *world, struct process *process)
{
    if (process->messy)
        process->left = true;
    else
        process_end(world, process);
}

static void say_exit(struct world *world, struct host *host, const struct process *process,
    const struct happening *happening)
{
    struct runner_event event = {.kind = RUNNER_EVENT_EXITED,
        .now_ms = host_clock(world, host),
        .id = process->id,
        .status = happening->number2 != 0 ? (int)happening->number2 : process->status};
    if (process->late) {
        event.kind = RUNNER_EVENT_SPAWN_FAILED;
        event.reason = REASON_NOT_FOUND;
    }
    runner_step_now(world, host, &event);
}

/* A runner that stands still reaps it later. */
static void reap_later(struct world *world, const struct host *host, const struct process *process,
    const struct happening *happening)
{
    struct happening *later =
        plan_ahead(world, host->runner_paused_until - world->now_ms, arrive_exit);
    later->host = host->index;
    later->number = process->number;
    later->number2 = happening->number2;
}

/* The runner that made it reaps it; when that is dead, nobody does. */
static void arrive_exit(struct world *world, const struct happening *happening)
{
    for (size_t i = 0; i < world->process_count; i++) {
        struct process *process = &world->processes[i];
        if (process->number != happening->number || process->left)
            continue;
        struct host *host = &world->hosts[process->host];
        if (host->runner_paused_until > world->now_ms) {
            reap_later(world, host, process, happening);
            return;
        }
        bool reaped = host->runner != NULL && host->instance == process->instance;
        struct process copy = *process;
        if (reaped)
            main_ends(world, process);
        else
            process_end(world, process);
        if (reaped)
            say_exit(world, host, &copy, happening);
        return;
    }
}

/* ---- its beginning ---- */

static void take_down(struct world *world, const struct happening *happening)
{
    for (size_t i = 0; i < world->process_count; i++) {
        const struct process *process = &world->processes[i];
        if (process->number != happening->number || process->frozen)
            continue;
        tell(world, "process %u@%u takes host %u down", process->id.task, process->id.attempt,
            process->host);
        uint32_t host = process->host;
        if (process->takes == TAKES_RUNNER)
            runner_crash(world, host);
        else if (process->takes == TAKES_AGENT)
            agent_crash(world, host);
        else
            host_reboot(world, host);
        return;
    }
}

static void stammer(struct world *world, const struct happening *happening)
{
    for (size_t i = 0; i < world->process_count; i++) {
        const struct process *process = &world->processes[i];
        if (process->number == happening->number)
            agent_stammers(world, process->host, &process->id);
    }
}

void processes_stammer(struct world *world, const struct host *host)
{
    for (size_t i = 0; i < world->process_count; i++) {
        const struct process *process = &world->processes[i];
        if (process->number != 0 && process->host == host->index)
            agent_stammers(world, host->index, &process->id);
    }
}

static struct process *take_slot(struct world *world)
{
    size_t slot = 0;
    while (slot < world->process_count && world->processes[slot].number != 0)
        slot++;
    if (slot == world->process_count) {
        vector_reserve(&world->processes, world->process_count, &world->process_capacity);
        world->process_count++;
    }
    return &world->processes[slot];
}

static void begin(struct world *world, struct process *process, uint64_t runs_ms)
{
    const struct host *host = &world->hosts[process->host];
    if (runs_ms == ENDLESS)
        tell(world, "process %u@%u of run %llx starts on host %u for ever", process->id.task,
            process->id.attempt, (unsigned long long)process->id.run, host->index);
    else
        tell(world, "process %u@%u of run %llx starts on host %u for %llu ms", process->id.task,
            process->id.attempt, (unsigned long long)process->id.run, host->index,
            (unsigned long long)runs_ms);
    checker_process_started(world, process, host_clock(world, host));
    if (runs_ms != ENDLESS)
        plan_ahead(world, runs_ms, arrive_exit)->number = process->number;
    if (draw_percent(world, DICE_HOSTS, 2))
        plan_ahead(world, 1 + draw_below(world, DICE_HOSTS, 3000), stammer)->number =
            process->number;
    if (process->takes != TAKES_NOTHING)
        plan_ahead(world, 1 + draw_below(world, DICE_HOSTS, 3000), take_down)->number =
            process->number;
}

void process_spawn(struct world *world, struct host *host, const struct attempt_id *id)
{
    struct runner_event event = {
        .kind = RUNNER_EVENT_SPAWN_FAILED, .now_ms = host_clock(world, host), .id = *id};
    uint32_t fate = draw_below(world, DICE_HOSTS, 1000);
    if (fate < SPAWN_FAILS) {
        event.reason = REASON_NOT_FOUND;
        runner_step_now(world, host, &event);
        return;
    }
    struct process *process = take_slot(world);
    uint64_t runs_ms = 0;
    *process = (struct process){.number = ++world->next_process,
        .host = host->index,
        .instance = host->instance,
        .started_ms = world->now_ms,
        .late = fate < SPAWN_FAILS_LATE,
        .id = *id};
    workload_process(world, &process->id, process, &runs_ms);
    process->endless = runs_ms == ENDLESS;
    begin(world, process, runs_ms);
    notes_begin(world, host, id);
    event.kind = RUNNER_EVENT_SPAWNED;
    event.pid = process->number;
    runner_step_now(world, host, &event);
}

/* ---- signals ---- */

void process_terminate(struct world *world, struct host *host, const struct attempt_id *id)
{
    const struct process *process = process_of(world, host, id);
    if (process != NULL && draw_percent(world, DICE_HOSTS, STAMMER_PERCENT))
        agent_stammers(world, host->index, id);
    if (process == NULL || process->stubborn)
        return;
    struct happening *happening =
        plan_ahead(world, 1 + draw_below(world, DICE_HOSTS, 50), arrive_exit);
    happening->number = process->number;
    happening->number2 = SIGTERM;
}

static void arrive_empty(struct world *world, const struct happening *happening)
{
    struct host *host = &world->hosts[happening->host];
    if (host->runner == NULL || host->runner_life != happening->number)
        return;
    if (host->runner_paused_until > world->now_ms) {
        struct happening *later =
            plan_ahead(world, host->runner_paused_until - world->now_ms, arrive_empty);
        later->host = happening->host;
        later->number = happening->number;
        later->id = happening->id;
        return;
    }
    struct process *process = process_of(world, host, &happening->id);
    struct runner_event event = {
        .kind = RUNNER_EVENT_EMPTY, .now_ms = host_clock(world, host), .id = happening->id};
    if (process != NULL)
        process_end(world, process);
    runner_step_now(world, host, &event);
}

/* A tree that makes new processes while it is killed takes some rounds. */
void process_kill(struct world *world, struct host *host, const struct attempt_id *id)
{
    struct process *process = process_of(world, host, id);
    struct runner_event event = {
        .kind = RUNNER_EVENT_EMPTY, .now_ms = host_clock(world, host), .id = *id};
    if (process != NULL && draw_percent(world, DICE_HOSTS, STAMMER_PERCENT))
        agent_stammers(world, host->index, id);
    if (process != NULL && process->left) {
        struct happening *happening =
            plan_ahead(world, 1 + draw_below(world, DICE_HOSTS, 50), arrive_empty);
        happening->host = host->index;
        happening->number = host->runner_life;
        happening->id = *id;
        return;
    }
    /* Its last system call takes a moment. */
    if (process != NULL && draw_percent(world, DICE_HOSTS, 30)) {
        struct happening *happening =
            plan_ahead(world, 1 + draw_below(world, DICE_HOSTS, 30), arrive_exit);
        happening->number = process->number;
        happening->number2 = SIGKILL;
        process->killed = true;
        return;
    }
    if (process != NULL) {
        event.kind = RUNNER_EVENT_EXITED;
        event.status = SIGKILL;
        process_end(world, process);
    }
    runner_step_now(world, host, &event);
}

void processes_sweep(struct world *world, const struct host *host, uint64_t instance)
{
    for (size_t i = 0; i < world->process_count; i++) {
        struct process *process = &world->processes[i];
        if (process->number != 0 && process->host == host->index &&
            (instance == 0 || process->instance == instance))
            process_end(world, process);
    }
}

/* ---- a host that stands still ---- */

void processes_freeze(struct world *world, const struct host *host)
{
    for (size_t i = 0; i < world->process_count; i++) {
        struct process *process = &world->processes[i];
        if (process->number == 0 || process->host != host->index || process->frozen)
            continue;
        process->frozen = true;
        process->struck = true;
        checker_process_frozen(world, process);
    }
}

void processes_thaw(struct world *world, const struct host *host)
{
    for (size_t i = 0; i < world->process_count; i++) {
        struct process *process = &world->processes[i];
        /* One that was killed at that moment executes nothing any more. */
        if (process->number == 0 || process->host != host->index || !process->frozen ||
            process->killed)
            continue;
        process->frozen = false;
        checker_process_thawed(world, process);
    }
}
