/*
 * A host: its agent and runner with the socket between them, its disk, and the processes of its
 * tasks. The agent, the runner and the host die apart; processes live until somebody kills them or
 * they end.
 */
#include "common/memory.h"
#include "common/table.h"
#include "tests/sim/world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static void agent_step_now(struct world *world, struct host *host, struct agent_event *event);
static void runner_step_now(struct world *world, struct host *host, struct runner_event *event);

/* ---- its clock ---- */

uint64_t host_clock(const struct world *world, const struct host *host)
{
    return host->clock_ms + (world->now_ms - WORLD_START_MS) * host->clock_rate / 1000;
}

/* True milliseconds until its clock shows `due_ms`, at least one. */
static uint64_t delay_until(const struct world *world, const struct host *host, uint64_t due_ms)
{
    uint64_t now_ms = host_clock(world, host);
    return due_ms > now_ms ? ((due_ms - now_ms) * 1000 + host->clock_rate - 1) / host->clock_rate
                           : 1;
}

/* ---- processes ---- */

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

static void process_end(struct world *world, struct process *process)
{
    tell(world, "process %u@%u of run %llx ends on host %u", process->id.task, process->id.attempt,
        (unsigned long long)process->id.run, process->host);
    checker_process_ended(world, process);
    process->number = 0;
}

/* The runner that made it reaps it; when that is dead, nobody does. */
static void process_exits(struct world *world, const struct happening *happening)
{
    for (size_t i = 0; i < world->process_count; i++) {
        struct process *process = &world->processes[i];
        if (process->number != happening->number)
            continue;
        struct host *host = &world->hosts[process->host];
        struct runner_event event = {.kind = RUNNER_EVENT_EXITED,
            .now_ms = host_clock(world, host),
            .id = process->id,
            .status = happening->number2 != 0 ? SIGTERM : process->status};
        bool reaped = host->runner != NULL && host->instance == process->instance;
        process_end(world, process);
        if (reaped)
            runner_step_now(world, host, &event);
        return;
    }
}

static void spawn(struct world *world, struct host *host, const struct runner_effect *effect)
{
    size_t slot = 0;
    while (slot < world->process_count && world->processes[slot].number != 0)
        slot++;
    if (slot == world->process_count) {
        vector_reserve(&world->processes, world->process_count, &world->process_capacity);
        world->process_count++;
    }
    struct process *process = &world->processes[slot];
    uint64_t runs_ms = 0;
    *process = (struct process){.number = ++world->next_process,
        .host = host->index,
        .instance = host->instance,
        .id = effect->id};
    workload_process(world, &process->id, process, &runs_ms);
    tell(world, "process %u@%u of run %llx starts on host %u for %llu ms", process->id.task,
        process->id.attempt, (unsigned long long)process->id.run, host->index,
        (unsigned long long)runs_ms);
    checker_process_started(world, process, host_clock(world, host));
    plan_ahead(world, runs_ms, process_exits)->number = process->number;
    struct runner_event event = {.kind = RUNNER_EVENT_SPAWNED,
        .now_ms = host_clock(world, host),
        .id = process->id,
        .pid = process->number};
    runner_step_now(world, host, &event);
}

static void kill_tree(struct world *world, struct host *host, const struct attempt_id *id)
{
    struct process *process = process_of(world, host, id);
    struct runner_event event = {.now_ms = host_clock(world, host), .id = *id};
    if (process != NULL) {
        process_end(world, process);
        event.kind = RUNNER_EVENT_EXITED;
        event.status = SIGKILL;
    } else {
        event.kind = RUNNER_EVENT_EMPTY;
    }
    runner_step_now(world, host, &event);
}

static void terminate(struct world *world, struct host *host, const struct attempt_id *id)
{
    const struct process *process = process_of(world, host, id);
    if (process == NULL || process->stubborn)
        return;
    struct happening *happening = plan_ahead(world, 1 + draw_below(world, 50), process_exits);
    happening->number = process->number;
    happening->number2 = 1;
}

/* ---- the socket between agent and runner: in order, reliable while both live ---- */

static void arrive_at_runner(struct world *world, const struct happening *happening);
static void arrive_at_agent(struct world *world, const struct happening *happening);

static void pass_on(
    struct world *world, struct host *host, uint32_t number, const void *body, happening_fn arrive)
{
    struct buffer bytes = {0};
    struct frame_header header = {.version = PROTOCOL_VERSION};
    frame_begin(&bytes, &header);
    message_encode(&bytes, number, body);
    struct happening *happening = plan_ahead(world, 1, arrive);
    happening->host = host->index;
    happening->number = host->connection;
    happening->bytes = bytes.data;
    happening->length = bytes.length;
}

static bool decode(
    const struct happening *happening, struct arena *arena, struct message *ret_message)
{
    struct frame_reader reader;
    return frame_open(slice_make(happening->bytes, happening->length), arena, &reader, NULL) == 0 &&
           frame_next(&reader, ret_message, NULL) == 1;
}

static void arrive_at_runner(struct world *world, const struct happening *happening)
{
    struct host *host = &world->hosts[happening->host];
    struct arena arena = {0};
    struct runner_event event = {.kind = RUNNER_EVENT_MESSAGE, .now_ms = host_clock(world, host)};
    if (host->runner != NULL && host->connection == happening->number &&
        decode(happening, &arena, &event.message))
        runner_step_now(world, host, &event);
    arena_fini(&arena);
}

static void arrive_at_agent(struct world *world, const struct happening *happening)
{
    struct host *host = &world->hosts[happening->host];
    struct arena arena = {0};
    if (host->agent != NULL && host->agent_paused_until > world->now_ms) {
        struct happening *later =
            plan_ahead(world, host->agent_paused_until - world->now_ms, arrive_at_agent);
        later->host = happening->host;
        later->number = happening->number;
        later->bytes = xstrndup(happening->bytes, happening->length);
        later->length = happening->length;
        return;
    }
    struct agent_event event = {.kind = AGENT_EVENT_RUNNER};
    if (host->agent != NULL && host->connection == happening->number &&
        decode(happening, &arena, &event.runner))
        agent_step_now(world, host, &event);
    arena_fini(&arena);
}

/* ---- the runner ---- */

static void runner_wakes(struct world *world, const struct happening *happening)
{
    struct host *host = &world->hosts[happening->host];
    struct runner_event event = {.kind = RUNNER_EVENT_TIMER, .now_ms = host_clock(world, host)};
    if (host->runner != NULL && host->runner_life == happening->number &&
        host->runner_version == happening->number2)
        runner_step_now(world, host, &event);
}

static void forget_runner(struct world *world, struct host *host)
{
    runner_core_destroy(host->runner);
    host->runner = NULL;
    host->runner_life = ++world->next_life;
}

/* An agent that is there sees it, and exits to be started afresh. */
static void runner_exits(struct world *world, struct host *host)
{
    for (size_t i = 0; i < world->process_count; i++) {
        const struct process *process = &world->processes[i];
        if (process->number != 0 && process->host == host->index &&
            process->instance == host->instance)
            violated(world, "runner %u ends and leaves a process", host->index);
    }
    tell(world, "runner %u ends", host->index);
    forget_runner(world, host);
    agent_crash(world, host->index);
}

static void carry_out_runner(
    struct world *world, struct host *host, const struct runner_effect *effect)
{
    switch (effect->kind) {
    case RUNNER_EFFECT_SEND:
        if (host->connection != 0)
            pass_on(world, host, effect->number, effect->body, arrive_at_agent);
        break;
    case RUNNER_EFFECT_SPAWN:
        spawn(world, host, effect);
        break;
    case RUNNER_EFFECT_TERMINATE:
        terminate(world, host, &effect->id);
        break;
    case RUNNER_EFFECT_KILL:
        kill_tree(world, host, &effect->id);
        break;
    case RUNNER_EFFECT_EXIT:
        runner_exits(world, host);
        break;
    case RUNNER_EFFECT_KEEP:
    case RUNNER_EFFECT_FORGET:
        break;
    }
}

/* Effects of a step may lead to further steps: each has its own list. */
static void runner_step_now(struct world *world, struct host *host, struct runner_event *event)
{
    struct runner_effects effects = {0};
    uint64_t life = host->runner_life;
    runner_core_step(host->runner, event, &effects);
    for (size_t i = 0; i < effects.count && host->runner_life == life; i++)
        carry_out_runner(world, host, &effects.items[i]);
    runner_effects_fini(&effects);
    if (host->runner == NULL || host->runner_life != life)
        return;
    uint64_t due = runner_core_next_ms(host->runner);
    if (due == UINT64_MAX)
        return;
    struct happening *happening = plan_ahead(world, delay_until(world, host, due), runner_wakes);
    happening->host = host->index;
    happening->number = life;
    happening->number2 = ++host->runner_version;
}

/* ---- the disk ---- */

static void keep_result(struct host *host, const struct happening *happening)
{
    for (size_t i = 0; i < host->result_count; i++) {
        if (host->results[i].used &&
            memcmp(attempt_key(&host->results[i].id).ptr, attempt_key(&happening->id).ptr, 20) == 0)
            return;
    }
    vector_reserve(&host->results, host->result_count, &host->result_capacity);
    host->results[host->result_count++] = (struct saved_result){
        .bytes = xstrndup(happening->bytes, happening->length),
        .length = happening->length,
        .id = happening->id,
        .used = true,
    };
}

static void drop_result(struct world *world, struct host *host, const struct attempt_id *id)
{
    for (size_t i = 0; i < host->result_count; i++) {
        struct saved_result *result = &host->results[i];
        if (result->used && memcmp(attempt_key(&result->id).ptr, attempt_key(id).ptr, 20) == 0) {
            checker_result_dropped(world, id);
            result->used = false;
            free(result->bytes);
            result->bytes = NULL;
        }
    }
}

/* ---- what the agent asks of its host takes a while ---- */

static void prepared(struct world *world, const struct happening *happening)
{
    struct host *host = &world->hosts[happening->host];
    if (host->agent == NULL || host->agent_life != happening->number)
        return;
    struct agent_event event = {.kind = AGENT_EVENT_PREPARED};
    event.prepared.id = happening->id;
    /* Its disk is full for a moment. */
    if (world_is_bad(world) && draw_percent(world, 3))
        event.prepared.reason = REASON_NOT_STARTED;
    agent_step_now(world, host, &event);
}

static void collected(struct world *world, const struct happening *happening)
{
    struct host *host = &world->hosts[happening->host];
    if (host->agent == NULL || host->agent_life != happening->number)
        return;
    struct agent_event event = {.kind = AGENT_EVENT_COLLECTED};
    event.collected.id = happening->id;
    event.collected.outputs = slice_of("{\"rows\":\"3\"}");
    agent_step_now(world, host, &event);
}

static void saved(struct world *world, const struct happening *happening)
{
    struct host *host = &world->hosts[happening->host];
    if (host->agent == NULL || host->agent_life != happening->number)
        return;
    keep_result(host, happening);
    checker_result_saved(world, &happening->id);
    struct agent_event event = {.kind = AGENT_EVENT_SAVED, .saved = happening->id};
    agent_step_now(world, host, &event);
}

static struct happening *later(
    struct world *world, struct host *host, const struct attempt_id *id, happening_fn happen)
{
    struct happening *happening = plan_ahead(world, 1 + draw_below(world, 40), happen);
    happening->host = host->index;
    happening->number = host->agent_life;
    happening->id = *id;
    return happening;
}

static void save(struct world *world, struct host *host, const struct agent_effect *effect)
{
    struct buffer bytes = {0};
    struct frame_header header = {.version = PROTOCOL_VERSION, .number = 1};
    frame_begin(&bytes, &header);
    message_encode(&bytes, MESSAGE_ended, effect->save);
    struct happening *happening = later(world, host, &effect->id, saved);
    happening->bytes = bytes.data;
    happening->length = bytes.length;
}

/* ---- what passes between agent and master, for the checker ---- */

static void see_message(struct host *host, const struct message *message)
{
    uint64_t answered = 0;
    if (message->number == MESSAGE_register)
        host->registered_ms = ((const struct msg_register *)message->body)->now;
    else if (message->number == MESSAGE_registered)
        answered = host->registered_ms;
    else if (message->number == MESSAGE_heartbeat_ack)
        answered = ((const struct msg_heartbeat_ack *)message->body)->stamp;
    else if (message->number == MESSAGE_assign)
        answered = ((const struct msg_assign *)message->body)->stamp;
    if (answered > host->answered_ms)
        host->answered_ms = answered;
}

/* Whatever the agent makes of it: an answer says that the master has heard this host. */
static void see_frame(struct host *host, struct slice frame)
{
    struct arena arena = {0};
    struct frame_reader reader;
    struct message message;
    if (frame_open(arena_copy(&arena, frame), &arena, &reader, NULL) == 0) {
        while (frame_next(&reader, &message, NULL) == 1)
            see_message(host, &message);
    }
    arena_fini(&arena);
}

/* ---- the agent ---- */

static void agent_starts_again(struct world *world, const struct happening *happening)
{
    host_start(world, happening->host);
}

/* It was stopped, or removed, and is started again. Its last word to the runner may be lost. */
static void agent_exits(struct world *world, struct host *host, const struct agent_effect *effect)
{
    static const struct msg_runner_stop stop = {0};
    if (!host->stopped && !joins_may_bar(world, host))
        violated(world, "an agent exits: %.*s", SLICE_PRINT(effect->exit.text));
    tell(world, "agent %u ends: %.*s", host->index, SLICE_PRINT(effect->exit.text));
    if (host->runner != NULL && draw_percent(world, 50)) {
        struct runner_event event = {.kind = RUNNER_EVENT_MESSAGE,
            .now_ms = host_clock(world, host),
            .message = {MESSAGE_runner_stop, &stop}};
        runner_step_now(world, host, &event);
    }
    agent_crash(world, host->index);
}

static void carry_out_agent(
    struct world *world, struct host *host, const struct agent_effect *effect)
{
    switch (effect->kind) {
    case AGENT_SEND:
        see_frame(host, effect->frame);
        send_to_master(world, host->index, effect->frame);
        break;
    case AGENT_RUNNER:
        if (host->runner != NULL)
            pass_on(world, host, effect->runner.number, effect->runner.body, arrive_at_runner);
        break;
    case AGENT_PREPARE:
        (void)later(world, host, &effect->id, prepared);
        break;
    case AGENT_COLLECT:
        (void)later(world, host, &effect->id, collected);
        break;
    case AGENT_SAVE:
        save(world, host, effect);
        break;
    case AGENT_DROP:
        drop_result(world, host, &effect->id);
        break;
    case AGENT_LEADER:
        host->epoch = effect->leader.epoch;
        host->leader = effect->leader.leader;
        (void)snprintf(
            host->cluster, sizeof host->cluster, "%.*s", SLICE_PRINT(effect->leader.cluster));
        break;
    case AGENT_REGISTERED:
        tell(world, "host %u is registered", host->index);
        host->dead_instance = 0;
        break;
    case AGENT_NOTE:
        tell(world, "host %u notes: %.*s", host->index, SLICE_PRINT(effect->note));
        break;
    case AGENT_EXIT:
        agent_exits(world, host, effect);
        break;
    case AGENT_DISCARD:
        break;
    }
}

static void agent_wakes(struct world *world, const struct happening *happening)
{
    struct host *host = &world->hosts[happening->host];
    if (host->agent == NULL || host->agent_life != happening->number ||
        host->agent_version != happening->number2)
        return;
    struct agent_event event = {.kind = AGENT_EVENT_TIMER};
    agent_step_now(world, host, &event);
}

static void agent_schedule(struct world *world, struct host *host)
{
    uint64_t due = agent_next_ms(host->agent);
    if (due == UINT64_MAX)
        return;
    uint64_t delay = delay_until(world, host, due);
    if (host->agent_paused_until > world->now_ms + delay)
        delay = host->agent_paused_until - world->now_ms;
    struct happening *happening = plan_ahead(world, delay, agent_wakes);
    happening->host = host->index;
    happening->number = host->agent_life;
    happening->number2 = ++host->agent_version;
}

/* A paused agent does nothing; what comes to it is lost here, which a slow network may do as well.
 */
static void agent_step_now(struct world *world, struct host *host, struct agent_event *event)
{
    uint64_t life = host->agent_life;
    if (host->agent_paused_until > world->now_ms && event->kind == AGENT_EVENT_TIMER) {
        agent_schedule(world, host);
        return;
    }
    event->now_ms = host_clock(world, host);
    event->random = draw(world) | 1;
    struct agent_effects effects = {0};
    struct agent_event flush = {
        .kind = AGENT_EVENT_FLUSH, .now_ms = host_clock(world, host), .random = draw(world) | 1};
    agent_step(host->agent, event, &effects);
    agent_step(host->agent, &flush, &effects);
    for (size_t i = 0; i < effects.count && host->agent_life == life; i++)
        carry_out_agent(world, host, &effects.items[i]);
    agent_effects_fini(&effects);
    if (host->agent != NULL && host->agent_life == life)
        agent_schedule(world, host);
}

static void frame_later(struct world *world, const struct happening *happening)
{
    host_frame(world, happening->host, slice_make(happening->bytes, happening->length));
}

void host_frame(struct world *world, uint32_t index, struct slice frame)
{
    struct host *host = &world->hosts[index];
    if (host->agent == NULL)
        return;
    if (host->agent_paused_until > world->now_ms) {
        struct happening *happening =
            plan_ahead(world, host->agent_paused_until - world->now_ms, frame_later);
        happening->host = index;
        happening->bytes = xstrndup(frame.ptr, frame.length);
        happening->length = frame.length;
        return;
    }
    see_frame(host, frame);
    struct agent_event event = {.kind = AGENT_EVENT_FRAME, .frame = frame};
    agent_step_now(world, host, &event);
}

/* ---- lives ---- */

/* An agent that finds its runner dead kills what that left, before anything else. */
static void sweep(struct world *world, const struct host *host, uint64_t instance)
{
    for (size_t i = 0; i < world->process_count; i++) {
        struct process *process = &world->processes[i];
        if (process->number != 0 && process->host == host->index && process->instance == instance)
            process_end(world, process);
    }
}

static void runner_start(struct world *world, struct host *host)
{
    if (host->last_instance != 0) {
        sweep(world, host, host->last_instance);
        host->dead_instance = host->last_instance;
    }
    host->instance = draw(world) | 1;
    host->last_instance = host->instance;
    host->runner_life = ++world->next_life;
    host->runner = runner_core_create(host->instance, host->boot, 1, host_clock(world, host));
}

static void load_results(struct world *world, struct host *host)
{
    for (size_t i = 0; i < host->result_count; i++) {
        if (!host->results[i].used)
            continue;
        struct happening bytes = {
            .bytes = host->results[i].bytes, .length = host->results[i].length};
        struct arena arena = {0};
        struct message message;
        if (!decode(&bytes, &arena, &message))
            violated(world, "a saved result cannot be read");
        struct agent_event event = {.kind = AGENT_EVENT_LOADED,
            .now_ms = host_clock(world, host),
            .random = 1,
            .loaded = *(const struct msg_ended *)message.body};
        struct agent_effects effects = {0};
        agent_step(host->agent, &event, &effects);
        agent_effects_fini(&effects);
        arena_fini(&arena);
    }
}

void host_start(struct world *world, uint32_t index)
{
    struct host *host = &world->hosts[index];
    host->index = index;
    if (host->agent != NULL || (host->remote && !host->joined))
        return;
    host->up = true;
    host->agent_life = ++world->next_life;
    host->agent_paused_until = 0;
    host->peer = ++world->next_life * HOSTS_MAX + index;
    host->slots = 1 + (uint32_t)(hash_mix(world->seed + host->like) % 3);
    if (host->runner == NULL)
        runner_start(world, host);
    struct slice queue = slice_of("default"), labels[2], user = slice_of("etl");
    uint32_t has = host_has(world, index), label_count = 0;
    if ((has & HAS_GPU) != 0)
        labels[label_count++] = slice_of("gpu");
    if ((has & HAS_ZONE) != 0)
        labels[label_count++] = slice_of("zone=eu");
    host->stopped = false;
    char name[16];
    (void)snprintf(name, sizeof name, "w%u", host->like);
    struct agent_config config = {
        .name = slice_of(name),
        .host = slice_of(name),
        .software = slice_of("sim"),
        .slots = host->slots,
        .queues = {&queue, 1},
        .labels = {labels, label_count},
        .users = {&user, (has & HAS_USER) != 0},
        .epoch = host->epoch,
        .leader = host->leader,
        .cluster = slice_of(host->cluster),
        .dead_instance = host->dead_instance,
        .now_ms = host_clock(world, host),
    };
    memcpy(config.key, host->key, sizeof config.key);
    memcpy(config.boot, host->boot, sizeof config.boot);
    tell(world, "agent %u starts, runner %s", index,
        host->dead_instance != 0 ? "was dead" : "lives");
    host->agent = agent_create(&config);
    load_results(world, host);
    host->connection = ++world->next_life;
    struct runner_event connected = {
        .kind = RUNNER_EVENT_CONNECTED, .now_ms = host_clock(world, host)};
    runner_step_now(world, host, &connected);
}

void agent_crash(struct world *world, uint32_t index)
{
    struct host *host = &world->hosts[index];
    if (host->agent == NULL)
        return;
    tell(world, "agent %u crashes", index);
    agent_destroy(host->agent);
    host->agent = NULL;
    host->agent_life = ++world->next_life;
    host->connection = 0;
    if (host->runner != NULL) {
        struct runner_event gone = {
            .kind = RUNNER_EVENT_DISCONNECTED, .now_ms = host_clock(world, host)};
        runner_step_now(world, host, &gone);
    }
    plan_ahead(world, 50 + draw_below(world, 15000), agent_starts_again)->host = index;
}

void agent_stop(struct world *world, uint32_t index, bool now)
{
    struct host *host = &world->hosts[index];
    if (host->agent == NULL || host->agent_paused_until > world->now_ms)
        return;
    tell(world, "agent %u is told to stop%s", index, now ? " now" : "");
    host->stopped = true;
    struct agent_event event = {.kind = now ? AGENT_EVENT_STOP : AGENT_EVENT_LEAVE};
    agent_step_now(world, host, &event);
}

uint32_t host_has(const struct world *world, uint32_t index)
{
    return (uint32_t)hash_mix(world->seed * 31 + world->hosts[index].like) & HAS_ALL;
}

void agent_pause(struct world *world, uint32_t index, uint64_t ms)
{
    tell(world, "agent %u is paused for %llu ms", index, (unsigned long long)ms);
    world->hosts[index].agent_paused_until = world->now_ms + ms;
}

/* Its agent sees the end of its pidfd, kills what is left, and exits to be started afresh. */
void runner_crash(struct world *world, uint32_t index)
{
    struct host *host = &world->hosts[index];
    if (host->runner == NULL)
        return;
    tell(world, "runner %u crashes", index);
    uint64_t instance = host->instance;
    forget_runner(world, host);
    if (host->agent == NULL)
        return;
    sweep(world, host, instance);
    agent_crash(world, index);
}

void host_reboot(struct world *world, uint32_t index)
{
    struct host *host = &world->hosts[index];
    tell(world, "host %u reboots", index);
    for (size_t i = 0; i < world->process_count; i++) {
        if (world->processes[i].number != 0 && world->processes[i].host == index)
            process_end(world, &world->processes[i]);
    }
    if (host->runner != NULL)
        forget_runner(world, host);
    agent_crash(world, index);
    for (size_t i = 0; i < sizeof host->boot; i++)
        host->boot[i] = (unsigned char)draw(world);
    host->dead_instance = 0;
    host->last_instance = 0;
}

void hosts_fini(struct world *world)
{
    for (uint32_t i = 0; i < world->host_count; i++) {
        struct host *host = &world->hosts[i];
        agent_destroy(host->agent);
        runner_core_destroy(host->runner);
        for (size_t r = 0; r < host->result_count; r++)
            free(host->results[r].bytes);
        free(host->results);
    }
    free(world->processes);
}
