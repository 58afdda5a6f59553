/*
 * The life of an attempt on its worker: the table, and what each event does.
 */
#include "common/dag/plan.h"
#include "common/limits.h"
#include "common/memory.h"
#include "common/probe.h"
#include "worker/core/state.h"
#include "worker/runner/core.h"

#include <stdlib.h>

/*
 * What ends sooner is told with its end, which says when it began: a short task is one message to
 * the master, and the running of a longer one is shown a blink later.
 */
enum { ANNOUNCE_AFTER_MS = 20 };

enum {
    PRG = HELD_PREPARING,
    PRD = HELD_PREPARED,
    QUE = HELD_QUEUED,
    RUN = HELD_RUNNING,
    COL = HELD_COLLECTING,
    SAV = HELD_SAVING,
    END = HELD_ENDED,
    GON = HELD_GONE,
    ___ = 0 /* illegal */
};

/*
 * state x event -> next state. What may come twice, or too late (a runner says an exit again at
 * each list), is passed over before it comes here.
 */
/* clang-format off */
static const uint8_t transitions[HELD_STATE_COUNT][HELD_EVENT_COUNT] = {
    /*                   prepared failed start started exited collected saved discard settled */
    [HELD_PREPARING]  = {PRD,     SAV,   ___,  ___,    ___,   ___,      ___,  GON,    ___},
    [HELD_PREPARED]   = {___,     ___,   QUE,  ___,    ___,   ___,      ___,  GON,    ___},
    [HELD_QUEUED]     = {___,     ___,   ___,  RUN,    COL,   ___,      ___,  GON,    ___},
    [HELD_RUNNING]    = {___,     ___,   ___,  ___,    COL,   ___,      ___,  GON,    ___},
    [HELD_COLLECTING] = {___,     ___,   ___,  ___,    ___,   SAV,      ___,  ___,    ___},
    [HELD_SAVING]     = {___,     ___,   ___,  ___,    ___,   ___,      END,  ___,    ___},
    [HELD_ENDED]      = {___,     ___,   ___,  ___,    ___,   ___,      ___,  ___,    GON},
    [HELD_GONE]       = {___,     ___,   ___,  ___,    ___,   ___,      ___,  ___,    ___},
};
/* clang-format on */

uint32_t held_next_state(uint32_t state, enum held_event event)
{
    assert(state >= HELD_PREPARING && state < HELD_STATE_COUNT && event < HELD_EVENT_COUNT);
    return transitions[state][event];
}

struct held *held_find(const struct agent *agent, const struct attempt_id *id)
{
    uint64_t value = 0;
    if (!names_get(&agent->held, attempt_key(id), &value))
        return NULL;
    return (struct held *)(uintptr_t)value;
}

struct held *held_create(struct agent *agent, const struct attempt_id *id, enum held_state state)
{
    struct held *held = xcalloc(1, sizeof *held);
    held->id = *id;
    held->state = (uint8_t)state;
    held->instance = agent->instance;
    held->previous = agent->last;
    if (agent->last != NULL)
        agent->last->next = held;
    else
        agent->first = held;
    agent->last = held;
    agent->counts[state]++;
    names_set(&agent->held, attempt_key(id), (uint64_t)(uintptr_t)held);
    return held;
}

static void destroy(struct agent *agent, struct held *held)
{
    if (held->previous != NULL)
        held->previous->next = held->next;
    else
        agent->first = held->next;
    if (held->next != NULL)
        held->next->previous = held->previous;
    else
        agent->last = held->previous;
    (void)names_remove(&agent->held, attempt_key(&held->id));
    agent->counts[HELD_GONE]--;
    slice_free(&held->cookie);
    slice_free(&held->result);
    slice_free(&held->exit_error);
    held_forget_said(held);
    free(held);
}

/* The one transition function; an illegal event is a programmer's error. */
static void move(struct agent *agent, struct held *held, enum held_event event)
{
    uint32_t next = held_next_state(held->state, event);
    assert(next != 0 && "the event is legal in this state");
    REACHED(HELD, held->state, event);
    agent->counts[held->state]--;
    agent->counts[next]++;
    held->state = (uint8_t)next;
}

void held_move(struct agent *agent, struct held *held, enum held_event event)
{
    move(agent, held, event);
    assert(held->state != HELD_GONE);
}

void held_remove(struct agent *agent, struct held *held, enum held_event event)
{
    move(agent, held, event);
    assert(held->state == HELD_GONE);
    destroy(agent, held);
}

/* ---- cookies: what is needed when it ends, also by an agent that comes after this one ---- */

static struct slice make_cookie(const struct msg_assign *assign)
{
    struct buffer bytes = {0};
    struct msg_assign small = *assign;
    small.text = (struct slice){0};
    small.arguments = (struct texts){0};
    small.env = (struct texts){0};
    small.document = (struct slice){0};
    small.connections.items = NULL;
    small.connections.count = 0;
    small.sources.items = NULL;
    small.sources.count = 0;
    struct frame_header header = {.version = PROTOCOL_HOST_VERSION, .number = 1};
    frame_begin(&bytes, &header);
    message_encode(&bytes, MESSAGE_assign, &small);
    return slice_make(bytes.data, bytes.length);
}

/* The assign of a cookie, in the effects' arena; an unreadable one gives an empty assign. */
static const struct msg_assign *read_cookie(struct agent *agent, const struct held *held)
{
    struct arena *arena = &agent->effects->arena;
    struct frame_reader reader;
    struct message message;
    struct msg_assign *empty = arena_alloc(arena, sizeof *empty);
    empty->id = held->id;
    if (frame_open_host(arena_copy(arena, held->cookie), arena, &reader, NULL) != 0 ||
        frame_next(&reader, &message, NULL) != 1 || message.number != MESSAGE_assign)
        return empty;
    return message.body;
}

/* ---- from the master ---- */

static void give_back(struct agent *agent, const struct attempt_id *id, struct slice why)
{
    struct msg_given_back back = {.id = *id, .why = why};
    channel_add(&agent->channel, MESSAGE_given_back, &back);
}

static bool lease_is_over(
    const struct agent *agent, uint64_t stamp, uint64_t lease_ms, uint64_t grace_ms)
{
    return lease_ms > 0 && agent->now_ms + grace_ms >= stamp + lease_ms;
}

static void end_noop(struct agent *agent, const struct msg_assign *assign)
{
    struct msg_ended ended = {
        .id = assign->id,
        .state = ATTEMPT_SUCCESS,
        .exit_code = -1,
        .started_at = agent->now_ms,
        .ended_at = agent->now_ms,
    };
    channel_add(&agent->channel, MESSAGE_ended, &ended);
}

void take_assign(struct agent *agent, const struct msg_assign *assign)
{
    if (held_find(agent, &assign->id) != NULL)
        return;
    if (agent->stopping || agent->leaving) {
        give_back(agent, &assign->id, slice_of("its worker was stopped"));
        return;
    }
    if (lease_is_over(agent, assign->stamp, assign->lease_ms, assign->kill_grace_ms)) {
        give_back(agent, &assign->id, slice_of("its lease was over when it arrived"));
        return;
    }
    if (assign->kind == OPERATOR_NOOP) {
        end_noop(agent, assign);
        return;
    }
    struct held *held = held_create(agent, &assign->id, HELD_PREPARING);
    held->stamp = assign->stamp;
    held->lease_ms = assign->lease_ms;
    held->kill_grace_ms = assign->kill_grace_ms;
    held->timeout_ms = assign->timeout_ms;
    held->memory_bytes = assign->memory_bytes;
    held->cpu_permille = assign->cpu_permille;
    held->operator= assign->kind == OPERATOR_PROGRAM;
    held->cookie = make_cookie(assign);
    struct agent_effect *effect = add_effect(agent, AGENT_PREPARE);
    effect->id = assign->id;
    effect->prepare = assign;
}

void held_discard(struct agent *agent, struct held *held)
{
    add_effect(agent, AGENT_DISCARD)->id = held->id;
    held_remove(agent, held, HELD_EVENT_DISCARD);
}

void held_kill(struct agent *agent, struct held *held, enum reason reason)
{
    struct msg_runner_kill kill = {.id = held->id, .reason = reason};
    held->killed = true;
    tell_runner(agent, MESSAGE_runner_kill, &kill, sizeof kill);
}

/* What never started leaves nothing that would have to survive: its end is told, not saved. */
void take_kill(struct agent *agent, const struct msg_kill *message)
{
    struct held *held = held_find(agent, &message->id);
    if (held == NULL || MUTANT(KILL_UNHEARD))
        return;
    if (held_has_process(held)) {
        held_kill(agent, held, message->reason);
    } else if (held_is_waiting(held)) {
        struct msg_ended ended = {
            .id = held->id,
            .state = ATTEMPT_CANCELLED,
            .reason = message->reason,
            .exit_code = -1,
            .ended_at = agent->now_ms,
        };
        channel_add(&agent->channel, MESSAGE_ended, &ended);
        held_discard(agent, held);
    }
}

/* Of what waits in the runner only the runner knows whether it has started by now. */
void held_give_back(struct agent *agent, struct held *held, const char *why)
{
    if (held_is_waiting(held)) {
        give_back(agent, &held->id, slice_of(why));
        if (!MUTANT(TAKE_BACK_KEPT))
            held_discard(agent, held);
    } else if (held->state == HELD_QUEUED) {
        struct msg_runner_take_back back = {.id = held->id};
        tell_runner(agent, MESSAGE_runner_take_back, &back, sizeof back);
    }
}

void take_take_back(struct agent *agent, const struct msg_take_back *message)
{
    struct held *held = held_find(agent, &message->id);
    if (held != NULL)
        held_give_back(agent, held, "the master took it back");
}

static void forget_at_runner(struct agent *agent, struct held *held)
{
    struct msg_runner_forget forget = {.id = held->id};
    tell_runner(agent, MESSAGE_runner_forget, &forget, sizeof forget);
    held->forgotten_by_runner = true;
}

void take_settled(struct agent *agent, const struct msg_settled *message)
{
    struct held *held = held_find(agent, &message->id);
    if (held == NULL || held->state != HELD_ENDED)
        return;
    add_effect(agent, AGENT_DROP)->id = held->id;
    held_remove(agent, held, HELD_EVENT_SETTLED);
}

/* ---- starting ---- */

static void start(struct agent *agent, struct held *held)
{
    uint64_t stamp = held->stamp > agent->acked_stamp ? held->stamp : agent->acked_stamp;
    struct msg_runner_start message = {.id = held->id,
        .stamp = stamp,
        .lease_ms = held->lease_ms,
        .kill_grace_ms = held->kill_grace_ms,
        .timeout_ms = held->timeout_ms,
        .memory_bytes = held->memory_bytes,
        .cpu_permille = held->cpu_permille,
        .cookie = arena_copy(&agent->effects->arena, held->cookie),
        .operator= held->operator, };
    tell_runner(agent, MESSAGE_runner_start, &message, sizeof message);
    held_move(agent, held, HELD_EVENT_START);
}

/*
 * In order; one whose files are still being made keeps a slot for itself, and nothing is sent ahead
 * of it into the runner's queue. Nothing starts that rests on an ack older than 3 s: the master may
 * have given it up. The runner looks at that again when the turn comes.
 */
void start_waiting(struct agent *agent)
{
    uint32_t used = agent_running(agent);
    uint32_t most = agent->slots + agent->ahead;
    if (agent->phase != SESSION_OPEN || agent->stopping || agent->leaving ||
        agent->acked_stamp == 0 || agent->now_ms - agent->acked_stamp >= START_FRESH_MS)
        return;
    uint32_t waiting = agent->counts[HELD_PREPARING] + agent->counts[HELD_PREPARED];
    for (struct held *held = agent->first; held != NULL && used < most && waiting > 0;
         held = held->next) {
        if (!held_is_waiting(held))
            continue;
        used++;
        waiting--;
        if (held->state == HELD_PREPARED)
            start(agent, held);
        else
            most = agent->slots;
    }
}

/* ---- its end ---- */

/* The encoded message, kept until it is settled. */
static struct slice encode_end(const struct msg_ended *ended)
{
    struct buffer bytes = {0};
    struct frame_header header = {.version = PROTOCOL_HOST_VERSION, .number = 1};
    frame_begin(&bytes, &header);
    message_encode(&bytes, MESSAGE_ended, ended);
    return slice_make(bytes.data, bytes.length);
}

static const struct msg_ended *read_end(struct agent *agent, const struct held *held)
{
    struct arena *arena = &agent->effects->arena;
    struct frame_reader reader;
    struct message message = {0};
    int code = frame_open_host(arena_copy(arena, held->result), arena, &reader, NULL);
    if (code == 0)
        code = frame_next(&reader, &message, NULL);
    assert(code == 1 && message.number == MESSAGE_ended && "what was encoded here is readable");
    return message.body;
}

void held_tell_end(struct agent *agent, const struct held *held)
{
    channel_add(&agent->channel, MESSAGE_ended, read_end(agent, held));
}

static void save(struct agent *agent, struct held *held, const struct msg_ended *ended)
{
    held->result = encode_end(ended);
    const struct msg_ended *copy = read_end(agent, held);
    struct agent_effect *effect = add_effect(agent, AGENT_SAVE);
    effect->id = held->id;
    effect->save = copy;
}

void take_prepared(struct agent *agent, const struct agent_event *event)
{
    struct held *held = held_find(agent, &event->prepared.id);
    if (held == NULL || held->state != HELD_PREPARING)
        return;
    if (event->prepared.reason == REASON_NONE) {
        held_move(agent, held, HELD_EVENT_PREPARED);
        return;
    }
    if (event->prepared.reason == REASON_NOT_STARTED) {
        give_back(agent, &held->id, event->prepared.error);
        held_discard(agent, held);
        return;
    }
    struct msg_ended ended = {
        .id = held->id,
        .state = ATTEMPT_FAILED,
        .reason = event->prepared.reason,
        .exit_code = -1,
        .error = event->prepared.error,
        .ended_at = agent->now_ms,
    };
    held->forgotten_by_runner = true;
    held_move(agent, held, HELD_EVENT_FAILED);
    save(agent, held, &ended);
}

static bool is_skip_code(const struct msg_assign *assign, int64_t exit_code)
{
    for (size_t i = 0; i < assign->skip_codes.length; i++) {
        if ((unsigned char)assign->skip_codes.ptr[i] == exit_code)
            return true;
    }
    return false;
}

static bool exited_well(const struct msg_runner_exited *exited)
{
    return exited->reason == REASON_EXIT_CODE && exited->exit_code == 0;
}

/* What the runner's word means: a cancel is a cancel, a lease or a stop of the worker is a loss and
 * no failure. */
static void judge(const struct held *held, const struct msg_assign *assign, struct msg_ended *ended)
{
    const struct msg_runner_exited *exited = &held->exited;
    ended->reason = exited->reason;
    ended->state = ATTEMPT_FAILED;
    switch (exited->reason) {
    case REASON_CANCELLED:
        ended->state = ATTEMPT_CANCELLED;
        break;
    case REASON_LEASE:
    case REASON_WORKER_LOST:
    case REASON_WORKER_STOPPED:
        if (!MUTANT(LOSS_AS_FAILURE))
            ended->state = ATTEMPT_LOST;
        break;
    case REASON_EXIT_CODE:
        if (exited->exit_code == 0) {
            ended->state = ATTEMPT_SUCCESS;
            ended->reason = REASON_NONE;
        } else if (is_skip_code(assign, exited->exit_code)) {
            ended->state = ATTEMPT_SKIPPED;
            ended->reason = REASON_SKIP_CODE;
        }
        break;
    default:
        break;
    }
}

/* Did it end by itself, the contract counts; and what its operator says of a failure is the best
 * that is known. */
static void judge_said(const struct agent_event *event, struct msg_ended *ended)
{
    bool by_itself = ended->state == ATTEMPT_SUCCESS || ended->state == ATTEMPT_SKIPPED ||
                     ended->reason == REASON_EXIT_CODE || ended->reason == REASON_SIGNAL ||
                     ended->reason == REASON_OPERATOR;
    if (!by_itself || event->collected.error.length == 0)
        return;
    if (event->collected.reason == REASON_OPERATOR) {
        ended->state = ATTEMPT_FAILED;
        ended->reason = REASON_OPERATOR;
        ended->error = event->collected.error;
    } else if (ended->state == ATTEMPT_FAILED) {
        ended->error = event->collected.error;
        ended->no_retry = event->collected.no_retry;
    }
}

void take_collected(struct agent *agent, const struct agent_event *event)
{
    struct held *held = held_find(agent, &event->collected.id);
    if (held == NULL || held->state != HELD_COLLECTING)
        return;
    struct msg_ended ended = {
        .id = held->id,
        .exit_code = held->exited.exit_code,
        .signal = held->exited.signal,
        .error = held->exit_error,
        .started_at = held->exited.started_at,
        .ended_at = held->exited.ended_at,
        .log_bytes = event->collected.log_bytes,
    };
    judge(held, read_cookie(agent, held), &ended);
    judge_said(event, &ended);
    if (ended.state == ATTEMPT_SUCCESS && event->collected.reason != REASON_NONE) {
        ended.state = ATTEMPT_FAILED;
        ended.reason = event->collected.reason;
        ended.error = event->collected.error;
    } else if (ended.state == ATTEMPT_SUCCESS) {
        ended.outputs = event->collected.outputs;
        ended.artifacts = event->collected.artifacts;
    }
    if (MUTANT(FORGOTTEN_UNSAVED))
        forget_at_runner(agent, held);
    held_move(agent, held, HELD_EVENT_COLLECTED);
    save(agent, held, &ended);
}

void take_saved(struct agent *agent, const struct attempt_id *id)
{
    struct held *held = held_find(agent, id);
    if (held == NULL || held->state != HELD_SAVING)
        return;
    held_move(agent, held, HELD_EVENT_SAVED);
    if (!held->forgotten_by_runner)
        forget_at_runner(agent, held);
    if (agent->phase == SESSION_OPEN)
        held_tell_end(agent, held);
    if (MUTANT(DROPPED_UNSETTLED))
        take_settled(agent, &(struct msg_settled){.id = held->id});
}

void take_loaded(struct agent *agent, const struct msg_ended *ended)
{
    if (held_find(agent, &ended->id) != NULL)
        return;
    struct held *held = held_create(agent, &ended->id, HELD_ENDED);
    held->result = encode_end(ended);
}

/* ---- from the runner ---- */

static void take_hello(struct agent *agent, const struct msg_runner_hello *message)
{
    agent->instance = message->instance;
    agent->ahead = message->queues ? agent->slots * HAND_SLOTS_MAX : 0;
    agent->runner_knows_operators = message->operators;
    slice_free(&agent->memory_limit_by);
    slice_free(&agent->cpu_limit_by);
    agent->memory_limit_by = slice_keep(message->memory_limit_by);
    agent->cpu_limit_by = slice_keep(message->cpu_limit_by);
    session_begin(agent);
}

static void take_holds(struct agent *agent, const struct msg_runner_holds *message)
{
    struct held *held = held_find(agent, &message->id);
    if (held == NULL) {
        held = held_create(agent, &message->id, message->queued ? HELD_QUEUED : HELD_RUNNING);
        held->cookie = slice_keep(message->cookie);
        const struct msg_assign *assign = read_cookie(agent, held);
        held->lease_ms = assign->lease_ms;
        held->kill_grace_ms = assign->kill_grace_ms;
    } else if (held->state == HELD_QUEUED && !message->queued) {
        held_move(agent, held, HELD_EVENT_STARTED);
    }
    held->listed = agent->nonce;
    held->instance = agent->instance;
}

static void take_started(struct agent *agent, const struct msg_runner_started *message)
{
    struct held *held = held_find(agent, &message->id);
    if (held == NULL || held->state != HELD_QUEUED)
        return;
    held_move(agent, held, HELD_EVENT_STARTED);
    held->started_at = message->at;
    held->pid = message->pid;
    held->announce_ms = agent->now_ms + ANNOUNCE_AFTER_MS;
    if (held->announce_ms < agent->announce_ms)
        agent->announce_ms = held->announce_ms;
}

/* A registration's list has told of those that started outside an open session. */
void announce_started(struct agent *agent)
{
    if (agent->now_ms < agent->announce_ms)
        return;
    agent->announce_ms = UINT64_MAX;
    for (struct held *held = agent->first; held != NULL; held = held->next) {
        if (held->announce_ms > agent->now_ms && held->announce_ms < agent->announce_ms)
            agent->announce_ms = held->announce_ms;
        if (held->announce_ms == 0 || held->announce_ms > agent->now_ms)
            continue;
        held->announce_ms = 0;
        struct msg_started started = {.id = held->id, .at = held->started_at, .pid = held->pid};
        if (agent->phase == SESSION_OPEN && held->state == HELD_RUNNING)
            channel_add(&agent->channel, MESSAGE_started, &started);
    }
}

/* Nothing of it has to survive; in the list of a session that is not open yet it is missing. */
static void take_not_started(
    struct agent *agent, struct held *held, const struct msg_runner_exited *message)
{
    forget_at_runner(agent, held);
    give_back(agent, &held->id, message->error);
    held_discard(agent, held);
}

static void take_exited(struct agent *agent, const struct msg_runner_exited *message)
{
    struct held *held = held_find(agent, &message->id);
    /* What ended before the runner's list is named there, and told again. */
    if (held == NULL && agent->phase < SESSION_REGISTERING)
        return;
    if (held == NULL) {
        struct msg_runner_forget forget = {.id = message->id};
        tell_runner(agent, MESSAGE_runner_forget, &forget, sizeof forget);
        return;
    }
    held->listed = agent->nonce;
    if (held->state == HELD_ENDED)
        forget_at_runner(agent, held);
    if (!held_has_process(held))
        return;
    if (message->reason == REASON_NOT_STARTED) {
        take_not_started(agent, held, message);
        return;
    }
    slice_free(&held->exit_error);
    held->announce_ms = 0;
    held->exited = *message;
    held->exit_error = slice_keep(message->error);
    held_move(agent, held, HELD_EVENT_EXITED);
    struct agent_effect *effect = add_effect(agent, AGENT_COLLECT);
    effect->id = held->id;
    const struct msg_assign *assign = read_cookie(agent, held);
    effect = &agent->effects->items[agent->effects->count - 1];
    effect->collect.assign = assign;
    effect->collect.success = exited_well(message);
}

void held_drop_unlisted(struct agent *agent)
{
    for (struct held *held = agent->first, *next = NULL; held != NULL; held = next) {
        next = held->next;
        if (held_has_process(held) && held->listed != agent->nonce)
            held_discard(agent, held);
    }
}

void take_runner(struct agent *agent, const struct message *message)
{
    switch (message->number) {
    case MESSAGE_runner_hello:
        take_hello(agent, message->body);
        break;
    case MESSAGE_runner_holds:
        take_holds(agent, message->body);
        break;
    case MESSAGE_runner_listed:
        if (((const struct msg_runner_listed *)message->body)->nonce == agent->nonce)
            session_runner_listed(agent);
        break;
    case MESSAGE_runner_started:
        take_started(agent, message->body);
        break;
    case MESSAGE_runner_exited:
        take_exited(agent, message->body);
        break;
    default:
        break;
    }
}
