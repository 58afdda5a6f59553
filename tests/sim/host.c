/*
 * A host: its agent and runner with the socket between them, and its disk. The agent, the runner
 * and the host die apart, and stand still apart.
 */
#include "common/memory.h"
#include "common/probe.h"
#include "common/table.h"
#include "tests/sim/checker.h"
#include "tests/sim/notes.h"

#include <stdio.h>
#include <stdlib.h>

enum { AWAY_MS = 15000, LONG_AWAY_MS = 200000 };

/* ---- its clock ---- */

uint64_t host_clock(const struct world *world, const struct host *host)
{
    return host->clock_ms + (world->now_ms - WORLD_START_MS) * host->clock_rate / 1000;
}

/* When its clock will show `due_ms`, or UINT64_MAX; not before the next millisecond. */
static uint64_t time_of(const struct world *world, const struct host *host, uint64_t due_ms)
{
    uint64_t now_ms = host_clock(world, host);
    if (due_ms == UINT64_MAX)
        return UINT64_MAX;
    if (due_ms <= now_ms)
        return world->now_ms + 1;
    return world->now_ms + ((due_ms - now_ms) * 1000 + host->clock_rate - 1) / host->clock_rate;
}

/* ---- effects: each step has its own list, for it may lead to further steps ---- */

struct step_effects {
    struct agent_effects agent;
    struct runner_effects runner;
};

static struct step_effects *take_effects(struct world *world)
{
    if (world->spare_count > 0)
        return world->spares[--world->spare_count];
    return xcalloc(1, sizeof(struct step_effects));
}

static void give_effects(struct world *world, struct step_effects *effects)
{
    agent_effects_reset(&effects->agent);
    runner_effects_reset(&effects->runner);
    vector_reserve(&world->spares, world->spare_count, &world->spare_capacity);
    world->spares[world->spare_count++] = effects;
}

/* ---- the socket between agent and runner: in order, reliable while both live ---- */

static void arrive_at_runner(struct world *world, const struct happening *happening);
static void arrive_at_agent(struct world *world, const struct happening *happening);

static struct happening *pass_on(
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
    return happening;
}

/* The same once more, when who stands still goes on. */
static void put_off(struct world *world, const struct happening *happening, uint64_t until_ms)
{
    struct happening *later = plan_ahead(world, until_ms - world->now_ms, happening->happen);
    later->host = happening->host;
    later->number = happening->number;
    later->number2 = happening->number2;
    later->length = happening->length;
    later->id = happening->id;
    if (happening->bytes != NULL)
        later->bytes = xstrndup(happening->bytes, happening->length);
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
    if (host->runner_paused_until > world->now_ms) {
        put_off(world, happening, host->runner_paused_until);
        return;
    }
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
        put_off(world, happening, host->agent_paused_until);
        return;
    }
    struct agent_event event = {.kind = AGENT_EVENT_RUNNER};
    if (host->agent != NULL && host->connection == happening->number &&
        decode(happening, &arena, &event.runner)) {
        agent_step_now(world, host, &event);
        if (event.runner.number == MESSAGE_runner_holds)
            notes_adopted(world, host, &((const struct msg_runner_holds *)event.runner.body)->id);
    }
    arena_fini(&arena);
}

/* ---- the runner ---- */

static void runner_wakes(struct world *world, const struct happening *happening)
{
    struct host *host = &world->hosts[happening->host];
    struct runner_event event = {.kind = RUNNER_EVENT_TIMER, .now_ms = host_clock(world, host)};
    if (!alarm_rings(world, &host->runner_alarm, happening) || host->runner == NULL)
        return;
    if (host->runner_paused_until > world->now_ms)
        alarm_set(world, &host->runner_alarm, host->runner_paused_until, happening);
    else
        runner_step_now(world, host, &event);
}

void runner_forget(struct world *world, struct host *host)
{
    checker_runner_died(world, host->instance);
    host->runner_paused_until = 0;
    runner_core_destroy(host->runner);
    host->runner = NULL;
    host->runner_life = ++world->next_life;
}

/* An agent that is there sees it, and exits to be started afresh. */
static void runner_exits(struct world *world, struct host *host)
{
    if (process_is_there(world, host))
        violated(world, "runner %u ends and leaves a process", host->index);
    tell(world, "runner %u ends", host->index);
    runner_forget(world, host);
    agent_crash(world, host->index);
}

static void carry_out_runner(
    struct world *world, struct host *host, const struct runner_effect *effect)
{
    switch (effect->kind) {
    case RUNNER_EFFECT_SEND:
        if (host->connection != 0)
            pass_on(world, host, effect->number, effect->body, arrive_at_agent)->number =
                host->answered;
        break;
    case RUNNER_EFFECT_SPAWN:
        process_spawn(world, host, &effect->id);
        break;
    case RUNNER_EFFECT_TERMINATE:
        process_terminate(world, host, &effect->id);
        break;
    case RUNNER_EFFECT_KILL:
        process_kill(world, host, &effect->id);
        break;
    case RUNNER_EFFECT_EXIT:
        runner_exits(world, host);
        break;
    case RUNNER_EFFECT_KEEP:
    case RUNNER_EFFECT_FORGET:
        break;
    }
}

void runner_step_now(struct world *world, struct host *host, struct runner_event *event)
{
    struct step_effects *effects = take_effects(world);
    uint64_t life = host->runner_life;
    runner_core_step(host->runner, event, &effects->runner);
    for (size_t i = 0; i < effects->runner.count && host->runner_life == life; i++) {
        bool answered = effects->runner.items[i].kind == RUNNER_EFFECT_SPAWN;
        carry_out_runner(world, host, &effects->runner.items[i]);
        if (host->runner_life == life && !answered && dies_here(world))
            runner_crash(world, host->index);
    }
    give_effects(world, effects);
    if (host->runner == NULL || host->runner_life != life)
        return;
    alarm_set(world, &host->runner_alarm, time_of(world, host, runner_core_next_ms(host->runner)),
        &(struct happening){.happen = runner_wakes, .host = host->index});
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

/* Whether the agent that asked for it is there to hear of it; one that stands still hears later. */
static bool is_at_work(
    struct world *world, const struct host *host, const struct happening *happening)
{
    if (host->agent == NULL || host->agent_life != happening->number)
        return false;
    if (host->agent_paused_until <= world->now_ms)
        return true;
    put_off(world, happening, host->agent_paused_until);
    return false;
}

static void prepared(struct world *world, const struct happening *happening)
{
    struct host *host = &world->hosts[happening->host];
    if (!is_at_work(world, host, happening))
        return;
    struct agent_event event = {.kind = AGENT_EVENT_PREPARED};
    event.prepared.id = happening->id;
    /* Its disk is full for a moment. */
    if (world_is_bad(world) && draw_percent(world, DICE_HOSTS, 3))
        event.prepared.reason = REASON_NOT_STARTED;
    else if (draw_percent(world, DICE_HOSTS, 1))
        event.prepared.reason = REASON_ARTIFACT;
    agent_step_now(world, host, &event);
}

static void collected(struct world *world, const struct happening *happening)
{
    struct host *host = &world->hosts[happening->host];
    if (!is_at_work(world, host, happening))
        return;
    struct agent_event event = {.kind = AGENT_EVENT_COLLECTED};
    event.collected.id = happening->id;
    event.collected.outputs = slice_of("{\"rows\":\"3\"}");
    if (draw_percent(world, DICE_HOSTS, 1))
        event.collected.reason = REASON_OUTPUT;
    agent_step_now(world, host, &event);
}

static void saved(struct world *world, const struct happening *happening)
{
    struct host *host = &world->hosts[happening->host];
    if (!is_at_work(world, host, happening))
        return;
    keep_result(host, happening);
    checker_result_saved(world, &happening->id);
    struct agent_event event = {.kind = AGENT_EVENT_SAVED, .saved = happening->id};
    agent_step_now(world, host, &event);
}

static struct happening *later(
    struct world *world, struct host *host, const struct attempt_id *id, happening_fn happen)
{
    struct happening *happening = plan_ahead(world, 1 + draw_below(world, DICE_HOSTS, 40), happen);
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
static void see_frame(struct world *world, struct host *host, struct slice frame)
{
    struct frame_reader reader;
    struct message message;
    arena_reset(&world->scratch);
    if (frame_open(arena_copy(&world->scratch, frame), &world->scratch, &reader, NULL) != 0)
        return;
    host->seen_epoch = reader.header.epoch;
    while (frame_next(&reader, &message, NULL) == 1)
        see_message(host, &message);
}

/* ---- the agent ---- */

void agent_starts_again(struct world *world, const struct happening *happening)
{
    host_start(world, happening->host);
}

/* It was stopped, or removed, and is started again. Its last word to the runner may be lost. */
static void agent_exits(struct world *world, struct host *host, const struct agent_effect *effect)
{
    static const struct msg_runner_stop stop = {0};
    if (!host->stopped && !joins_may_bar(world, host) && !world->restore.ever)
        violated(world, "an agent exits: %.*s", SLICE_PRINT(effect->exit.text));
    tell(world, "agent %u ends: %.*s", host->index, SLICE_PRINT(effect->exit.text));
    if (host->runner != NULL && draw_percent(world, DICE_HOSTS, 50)) {
        struct runner_event event = {.kind = RUNNER_EVENT_MESSAGE,
            .now_ms = host_clock(world, host),
            .message = {MESSAGE_runner_stop, &stop}};
        runner_step_now(world, host, &event);
    }
    agent_crash(world, host->index);
}

/* What an agent says may come too late or find it done: a question after the start, a start that is
 * there already. */
static void tell_runner_of(struct world *world, struct host *host, const struct message *message)
{
    (void)pass_on(world, host, message->number, message->body, arrive_at_runner);
    if (message->number != MESSAGE_runner_start || !world_is_bad(world) ||
        !draw_percent(world, DICE_HOSTS, 8))
        return;
    struct msg_runner_take_back back = {.id = ((const struct msg_runner_start *)message->body)->id};
    if (draw_percent(world, DICE_HOSTS, 50))
        (void)pass_on(world, host, MESSAGE_runner_take_back, &back, arrive_at_runner);
    (void)pass_on(world, host, message->number, message->body, arrive_at_runner);
}

static void arrive_stammer(struct world *world, const struct happening *happening)
{
    const struct host *host = &world->hosts[happening->host];
    if (host->runner != NULL && process_is_of(world, host, &happening->id))
        arrive_at_runner(world, happening);
}

void agent_stammers(struct world *world, uint32_t index, const struct attempt_id *id)
{
    struct host *host = &world->hosts[index];
    struct msg_runner_start start = {.id = *id};
    struct msg_runner_take_back back = {.id = *id};
    struct msg_runner_forget forget = {.id = *id};
    struct msg_runner_kill kill = {.id = *id, .reason = REASON_CANCELLED};
    const struct message words[] = {
        {MESSAGE_runner_start, &start},
        {MESSAGE_runner_take_back, &back},
        {MESSAGE_runner_forget, &forget},
        {MESSAGE_runner_kill, &kill},
    };
    uint32_t dice = draw_below(world, DICE_HOSTS, 6);
    const struct message *said = &words[dice < 4 ? dice : 0];
    if (host->connection == 0 || !world_is_bad(world))
        return;
    struct happening *happening = pass_on(world, host, said->number, said->body, arrive_stammer);
    happening->id = *id;
}

/* As the worker's identity does on disk. */
static void dead_forget(struct host *host, uint64_t instance)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < host->dead_count; i++) {
        if (host->dead[i] != instance)
            host->dead[kept++] = host->dead[i];
    }
    host->dead_count = kept;
}

static void dead_remember(struct host *host, uint64_t instance)
{
    dead_forget(host, instance);
    if (host->dead_count == DEAD_RUNNERS_MAX)
        dead_forget(host, host->dead[0]);
    host->dead[host->dead_count++] = instance;
}

static void carry_out_agent(
    struct world *world, struct host *host, const struct agent_effect *effect)
{
    switch (effect->kind) {
    case AGENT_SEND:
        /* One with a session registers no more. */
        if (!agent_is_registered(host->agent))
            see_frame(world, host, effect->frame);
        send_to_master(world, host->index, effect->frame);
        break;
    case AGENT_RUNNER:
        if (host->runner != NULL)
            tell_runner_of(world, host, &effect->runner);
        break;
    case AGENT_PREPARE:
        notes_told(world, effect->prepare);
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
        dead_forget(host, effect->registered.dead);
        if (!world->restore.reigns)
            host->follows = host->seen_epoch;
        break;
    case AGENT_NOTE:
        tell(world, "host %u notes: %.*s", host->index, SLICE_PRINT(effect->note));
        break;
    case AGENT_EXIT:
        agent_exits(world, host, effect);
        break;
    case AGENT_NOTED:
        notes_answered(world, host, &effect->noted);
        break;
    case AGENT_DISCARD:
        break;
    }
}

static void agent_wakes(struct world *world, const struct happening *happening)
{
    struct host *host = &world->hosts[happening->host];
    struct agent_event event = {.kind = AGENT_EVENT_TIMER};
    if (alarm_rings(world, &host->agent_alarm, happening) && host->agent != NULL)
        agent_step_now(world, host, &event);
}

static void agent_schedule(struct world *world, struct host *host)
{
    uint64_t at_ms = time_of(world, host, agent_next_ms(host->agent));
    if (host->agent_paused_until > at_ms)
        at_ms = host->agent_paused_until;
    alarm_set(world, &host->agent_alarm, at_ms,
        &(struct happening){.happen = agent_wakes, .host = host->index});
}

/* A paused agent does nothing; what comes to it is lost here, which a slow network may do as well.
 */
void agent_step_now(struct world *world, struct host *host, struct agent_event *event)
{
    uint64_t life = host->agent_life;
    if (host->agent_paused_until > world->now_ms && event->kind == AGENT_EVENT_TIMER) {
        agent_schedule(world, host);
        return;
    }
    event->now_ms = host_clock(world, host);
    event->random = draw(world, DICE_HOSTS) | 1;
    struct step_effects *effects = take_effects(world);
    struct agent_event flush = {.kind = AGENT_EVENT_FLUSH,
        .now_ms = host_clock(world, host),
        .random = draw(world, DICE_HOSTS) | 1};
    agent_step(host->agent, event, &effects->agent);
    agent_step(host->agent, &flush, &effects->agent);
    for (size_t i = 0; i < effects->agent.count && host->agent_life == life; i++) {
        carry_out_agent(world, host, &effects->agent.items[i]);
        if (host->agent_life == life && dies_here(world))
            agent_crash(world, host->index);
    }
    give_effects(world, effects);
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
    see_frame(world, host, frame);
    struct agent_event event = {.kind = AGENT_EVENT_FRAME, .frame = frame};
    agent_step_now(world, host, &event);
}

/* ---- lives ---- */

static void runner_start(struct world *world, struct host *host)
{
    if (host->last_instance != 0) {
        /* An agent that finds its runner dead kills what that left, before anything else. */
        if (!MUTANT(SWEEP_SKIPPED))
            processes_sweep(world, host, host->last_instance);
        dead_remember(host, host->last_instance);
    }
    host->instance = draw(world, DICE_HOSTS) | 1;
    if (MUTANT(INSTANCE_REUSED) && host->last_instance != 0)
        host->instance = host->last_instance;
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

static void arrive_connection(struct world *world, const struct happening *happening)
{
    struct host *host = &world->hosts[happening->host];
    struct runner_event event = {.kind = RUNNER_EVENT_CONNECTED, .now_ms = host_clock(world, host)};
    if (host->runner_paused_until > world->now_ms) {
        put_off(world, happening, host->runner_paused_until);
    } else if (host->runner != NULL && host->connection == happening->number) {
        host->answered = happening->number;
        runner_step_now(world, host, &event);
    }
}

/* Nobody is told when another agent has come meanwhile. */
static void arrive_disconnection(struct world *world, const struct happening *happening)
{
    struct host *host = &world->hosts[happening->host];
    struct runner_event event = {
        .kind = RUNNER_EVENT_DISCONNECTED, .now_ms = host_clock(world, host)};
    if (host->runner_paused_until > world->now_ms)
        put_off(world, happening, host->runner_paused_until);
    else if (host->runner_life == happening->number && host->runner != NULL &&
             host->connection == 0)
        runner_step_now(world, host, &event);
}

void host_start(struct world *world, uint32_t index)
{
    struct host *host = &world->hosts[index];
    host->index = index;
    if (host->agent != NULL || (host->remote && !host->joined))
        return;
    if (host->frozen) {
        plan_ahead(world, host->agent_paused_until - world->now_ms, agent_starts_again)->host =
            index;
        return;
    }
    host->up = true;
    host->agent_life = ++world->next_life;
    host->agent_paused_until = 0;
    host->peer = ++world->next_life * HOSTS_MAX + index;
    host->slots = 1 + (uint32_t)(hash_mix(world->seed + host->like) % world->scale.slots);
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
    struct operator_line operator_line = {.name = slice_of("op")};
    struct agent_config config = {
        .operators = &operator_line,
        .operator_count = 1,
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
        .dead = host->dead,
        .dead_count = host->dead_count,
        .now_ms = host_clock(world, host),
    };
    memcpy(config.key, host->key, sizeof config.key);
    memcpy(config.boot, host->boot, sizeof config.boot);
    tell(world, "agent %u starts, runner %s", index, host->dead_count != 0 ? "was dead" : "lives");
    host->agent = agent_create(&config);
    load_results(world, host);
    host->connection = ++world->next_life;
    struct happening *connected = plan_ahead(world, 0, arrive_connection);
    connected->host = index;
    connected->number = host->connection;
}

void agent_is_away(struct world *world, uint32_t index)
{
    world->hosts[index].stays_away = world->hosts[index].agent != NULL;
    agent_crash(world, index);
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
    struct happening *gone = plan_ahead(world, 0, arrive_disconnection);
    gone->host = index;
    gone->number = host->runner_life;
    uint32_t away_ms = draw_below(world, DICE_HOSTS, AWAY_MS);
    if (host->stays_away) {
        host->stays_away = false;
        away_ms = draw_below(world, DICE_HOSTS, LONG_AWAY_MS);
    }
    plan_ahead(world, 50 + away_ms, agent_starts_again)->host = index;
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
    arena_fini(&world->scratch);
    while (world->spare_count > 0) {
        struct step_effects *spare = world->spares[--world->spare_count];
        agent_effects_fini(&spare->agent);
        runner_effects_fini(&spare->runner);
        free(spare);
    }
    free(world->spares);
}
