/*
 * One step of the agent: an event goes to whom it concerns.
 */
#include "worker/core/agent.h"

#include "common/memory.h"
#include "worker/core/state.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void agent_effects_reset(struct agent_effects *effects)
{
    arena_reset(&effects->arena);
    effects->count = 0;
}

void agent_effects_fini(struct agent_effects *effects)
{
    arena_fini(&effects->arena);
    free(effects->items);
    *effects = (struct agent_effects){0};
}

static void keep_texts(struct texts *ret_copy, const struct texts *texts)
{
    ret_copy->items = xcalloc(texts->count, sizeof *ret_copy->items);
    ret_copy->count = texts->count;
    for (uint32_t i = 0; i < texts->count; i++)
        ret_copy->items[i] = slice_keep(texts->items[i]);
}

static void free_texts(struct texts *texts)
{
    for (uint32_t i = 0; i < texts->count; i++)
        slice_free(&texts->items[i]);
    free(texts->items);
}

static void keep_operators(struct agent *agent, const struct agent_config *config)
{
    agent->operators = xcalloc(config->operator_count, sizeof *agent->operators);
    agent->operator_count = config->operator_count;
    for (uint32_t i = 0; i < config->operator_count; i++)
        agent->operators[i] = (struct operator_line){
            .name = slice_keep(config->operators[i].name),
            .version = slice_keep(config->operators[i].version),
            .problem = slice_keep(config->operators[i].problem),
        };
}

static void free_operators(struct agent *agent)
{
    for (uint32_t i = 0; i < agent->operator_count; i++) {
        slice_free(&agent->operators[i].name);
        slice_free(&agent->operators[i].version);
        slice_free(&agent->operators[i].problem);
    }
    free(agent->operators);
}

struct agent *agent_create(const struct agent_config *config)
{
    struct agent *agent = xcalloc(1, sizeof *agent);
    memcpy(agent->key, config->key, sizeof agent->key);
    memcpy(agent->boot, config->boot, sizeof agent->boot);
    agent->name = slice_keep(config->name);
    agent->host = slice_keep(config->host);
    agent->software = slice_keep(config->software);
    agent->cluster = slice_keep(config->cluster);
    agent->slots = config->slots;
    keep_texts(&agent->queues, &config->queues);
    keep_texts(&agent->labels, &config->labels);
    keep_texts(&agent->users, &config->users);
    keep_operators(agent, config);
    agent->epoch = config->epoch;
    agent->leader = config->leader;
    assert(config->dead_count <= DEAD_RUNNERS_MAX);
    for (uint32_t i = 0; i < config->dead_count; i++)
        agent->dead[agent->dead_count++] = config->dead[i];
    agent->now_ms = config->now_ms;
    agent->announce_ms = UINT64_MAX;
    channel_init(&agent->channel);
    return agent;
}

void agent_destroy(struct agent *agent)
{
    if (agent == NULL)
        return;
    for (struct held *held = agent->first, *next = NULL; held != NULL; held = next) {
        next = held->next;
        slice_free(&held->cookie);
        slice_free(&held->result);
        slice_free(&held->exit_error);
        held_forget_said(held);
        free(held);
    }
    names_fini(&agent->held);
    free_texts(&agent->queues);
    free_texts(&agent->labels);
    free_texts(&agent->users);
    free_operators(agent);
    slice_free(&agent->memory_limit_by);
    slice_free(&agent->cpu_limit_by);
    slice_free(&agent->name);
    slice_free(&agent->host);
    slice_free(&agent->software);
    slice_free(&agent->cluster);
    channel_fini(&agent->channel);
    buffer_fini(&agent->frame);
    free(agent);
}

struct agent_effect *add_effect(struct agent *agent, enum agent_effect_kind kind)
{
    struct agent_effects *effects = agent->effects;
    vector_reserve(&effects->items, effects->count, &effects->capacity);
    struct agent_effect *effect = &effects->items[effects->count++];
    *effect = (struct agent_effect){.kind = kind};
    return effect;
}

void tell_runner(struct agent *agent, enum message_id number, const void *body, size_t size)
{
    void *copy = arena_alloc(&agent->effects->arena, size);
    memcpy(copy, body, size);
    add_effect(agent, AGENT_RUNNER)->runner = (struct message){number, copy};
}

void note(struct agent *agent, const char *format, ...)
{
    char text[600];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    uint64_t hash = hash_bytes(slice_of(text));
    if (hash == agent->noted)
        return;
    agent->noted = hash;
    struct slice copy = arena_copy(&agent->effects->arena, slice_of(text));
    add_effect(agent, AGENT_NOTE)->note = copy;
}

static void flush(struct agent *agent)
{
    start_waiting(agent);
    session_flush(agent);
}

static void take(struct agent *agent, const struct agent_event *event)
{
    switch (event->kind) {
    case AGENT_EVENT_TIMER:
        break;
    case AGENT_EVENT_FLUSH:
        flush(agent);
        break;
    case AGENT_EVENT_FRAME:
        session_frame(agent, event->frame);
        break;
    case AGENT_EVENT_LOADED:
        take_loaded(agent, &event->loaded);
        break;
    case AGENT_EVENT_RUNNER:
        take_runner(agent, &event->runner);
        break;
    case AGENT_EVENT_PREPARED:
        take_prepared(agent, event);
        break;
    case AGENT_EVENT_COLLECTED:
        take_collected(agent, event);
        break;
    case AGENT_EVENT_SAVED:
        take_saved(agent, &event->saved);
        break;
    case AGENT_EVENT_DISK:
        /* At once, or what is given back for want of space comes again. */
        if (event->full && !agent->full)
            agent->next_beat_ms = agent->now_ms;
        agent->full = event->full;
        break;
    case AGENT_EVENT_STOP:
        session_stop(agent);
        break;
    case AGENT_EVENT_LOAD:
        agent->load = event->load;
        break;
    case AGENT_EVENT_NOTED:
        take_note(agent, &event->note);
        break;
    case AGENT_EVENT_PROGRESS:
        take_progress(agent, &event->progress);
        break;
    case AGENT_EVENT_BREACH:
        take_breach(agent, &event->breach);
        break;
    case AGENT_EVENT_LEAVE:
        session_leave(agent, event->leave.logs);
        break;
    case AGENT_EVENT_KIND_COUNT:
        assert(!"an event has a kind");
    }
}

void agent_step(struct agent *agent, const struct agent_event *event, struct agent_effects *effects)
{
    if (event->now_ms > agent->now_ms)
        agent->now_ms = event->now_ms;
    agent->random = event->random;
    agent->effects = effects;
    take(agent, event);
    session_timer(agent);
    agent->effects = NULL;
#ifdef REEVE_CHECKS
    agent_check(agent);
#endif
}

uint64_t agent_next_ms(const struct agent *agent)
{
    return session_next_ms(agent);
}

uint32_t agent_running(const struct agent *agent)
{
    return agent->counts[HELD_QUEUED] + agent->counts[HELD_RUNNING];
}

uint64_t agent_lease_ends_ms(const struct agent *agent)
{
    uint64_t first = UINT64_MAX;
    for (const struct held *held = agent->first; held != NULL; held = held->next) {
        uint64_t stamp = held->stamp > agent->acked_stamp ? held->stamp : agent->acked_stamp;
        if (!held_has_process(held) || held->lease_ms == 0 || stamp == 0)
            continue;
        uint64_t end = stamp + held->lease_ms - held->kill_grace_ms;
        first = end < first ? end : first;
    }
    return first;
}

struct agent_rest agent_rest(const struct agent *agent)
{
    return (struct agent_rest){
        .running = agent_running(agent),
        .ending = agent->counts[HELD_COLLECTING] + agent->counts[HELD_SAVING],
        .results = agent->counts[HELD_ENDED],
    };
}

uint64_t agent_beat_ms(const struct agent *agent)
{
    return agent->phase == SESSION_OPEN ? agent->next_beat_ms : UINT64_MAX;
}

bool agent_is_registered(const struct agent *agent)
{
    return agent->phase == SESSION_OPEN;
}

uint64_t agent_session(const struct agent *agent)
{
    return agent->phase == SESSION_OPEN ? agent->session : 0;
}
