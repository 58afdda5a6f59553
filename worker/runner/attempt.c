#include "worker/runner/attempt.h"

#include "common/limits.h"
#include "common/memory.h"
#include "common/probe.h"

#include <assert.h>
#include <stdlib.h>

enum action {
    ILLEGAL, /* the io broke its contract */
    IGNORE,  /* doubled or late; nothing to do */
    DO_KEEP,
    DO_SPAWN,
    DO_REFUSE,
    DO_NOTE_PID,
    DO_TERMINATE,
    DO_KILL,
    DO_CLEAR,
    DO_END,
    DO_DROP,
};

struct rule {
    unsigned char next;
    unsigned char action;
};

/* clang-format off */
static const struct rule rules[LIFE_COUNT][INPUT_COUNT] = {
    [LIFE_ABSENT] = {
        [INPUT_START]     = {LIFE_QUEUED,      DO_KEEP},
        [INPUT_REFUSE]    = {LIFE_OVER,        DO_REFUSE},
        [INPUT_TURN]      = {LIFE_ABSENT,      ILLEGAL},
        [INPUT_TAKE_BACK] = {LIFE_ABSENT,      ILLEGAL},
        [INPUT_SPAWNED]   = {LIFE_ABSENT,      ILLEGAL},
        [INPUT_FAILED]    = {LIFE_ABSENT,      ILLEGAL},
        [INPUT_ASK]       = {LIFE_ABSENT,      ILLEGAL},
        [INPUT_FORCE]     = {LIFE_ABSENT,      ILLEGAL},
        [INPUT_EXITED]    = {LIFE_ABSENT,      ILLEGAL},
        [INPUT_EMPTY]     = {LIFE_ABSENT,      ILLEGAL},
        [INPUT_FORGET]    = {LIFE_ABSENT,      ILLEGAL},
    },
    [LIFE_QUEUED] = {
        [INPUT_START]     = {LIFE_QUEUED,      IGNORE},
        [INPUT_REFUSE]    = {LIFE_OVER,        DO_REFUSE},
        [INPUT_TURN]      = {LIFE_STARTING,    DO_SPAWN},
        [INPUT_TAKE_BACK] = {LIFE_OVER,        DO_REFUSE},
        [INPUT_SPAWNED]   = {LIFE_QUEUED,      ILLEGAL},
        [INPUT_FAILED]    = {LIFE_QUEUED,      ILLEGAL},
        [INPUT_ASK]       = {LIFE_OVER,        DO_REFUSE},
        [INPUT_FORCE]     = {LIFE_QUEUED,      ILLEGAL},
        [INPUT_EXITED]    = {LIFE_QUEUED,      ILLEGAL},
        [INPUT_EMPTY]     = {LIFE_QUEUED,      ILLEGAL},
        [INPUT_FORGET]    = {LIFE_QUEUED,      IGNORE},
    },
    [LIFE_STARTING] = {
        [INPUT_START]     = {LIFE_STARTING,    ILLEGAL},
        [INPUT_REFUSE]    = {LIFE_STARTING,    ILLEGAL},
        [INPUT_TURN]      = {LIFE_STARTING,    ILLEGAL},
        [INPUT_TAKE_BACK] = {LIFE_STARTING,    ILLEGAL},
        [INPUT_SPAWNED]   = {LIFE_RUNNING,     DO_NOTE_PID},
        [INPUT_FAILED]    = {LIFE_OVER,        DO_END},
        [INPUT_ASK]       = {LIFE_STARTING,    ILLEGAL},
        [INPUT_FORCE]     = {LIFE_STARTING,    ILLEGAL},
        [INPUT_EXITED]    = {LIFE_STARTING,    ILLEGAL},
        [INPUT_EMPTY]     = {LIFE_STARTING,    ILLEGAL},
        [INPUT_FORGET]    = {LIFE_STARTING,    ILLEGAL},
    },
    [LIFE_RUNNING] = {
        [INPUT_START]     = {LIFE_RUNNING,     IGNORE},
        [INPUT_REFUSE]    = {LIFE_RUNNING,     IGNORE},
        [INPUT_TURN]      = {LIFE_RUNNING,     ILLEGAL},
        [INPUT_TAKE_BACK] = {LIFE_RUNNING,     IGNORE},
        [INPUT_SPAWNED]   = {LIFE_RUNNING,     ILLEGAL},
        [INPUT_FAILED]    = {LIFE_CLEARING,    DO_CLEAR},
        [INPUT_ASK]       = {LIFE_TERMINATING, DO_TERMINATE},
        [INPUT_FORCE]     = {LIFE_RUNNING,     ILLEGAL},
        [INPUT_EXITED]    = {LIFE_CLEARING,    DO_CLEAR},
        [INPUT_EMPTY]     = {LIFE_RUNNING,     ILLEGAL},
        [INPUT_FORGET]    = {LIFE_RUNNING,     IGNORE},
    },
    [LIFE_TERMINATING] = {
        [INPUT_START]     = {LIFE_TERMINATING, IGNORE},
        [INPUT_REFUSE]    = {LIFE_TERMINATING, IGNORE},
        [INPUT_TURN]      = {LIFE_TERMINATING, ILLEGAL},
        [INPUT_TAKE_BACK] = {LIFE_TERMINATING, IGNORE},
        [INPUT_SPAWNED]   = {LIFE_TERMINATING, ILLEGAL},
        [INPUT_FAILED]    = {LIFE_CLEARING,    DO_CLEAR},
        [INPUT_ASK]       = {LIFE_TERMINATING, IGNORE},
        [INPUT_FORCE]     = {LIFE_KILLING,     DO_KILL},
        [INPUT_EXITED]    = {LIFE_CLEARING,    DO_CLEAR},
        [INPUT_EMPTY]     = {LIFE_TERMINATING, ILLEGAL},
        [INPUT_FORGET]    = {LIFE_TERMINATING, IGNORE},
    },
    [LIFE_KILLING] = {
        [INPUT_START]     = {LIFE_KILLING,     IGNORE},
        [INPUT_REFUSE]    = {LIFE_KILLING,     IGNORE},
        [INPUT_TURN]      = {LIFE_KILLING,     ILLEGAL},
        [INPUT_TAKE_BACK] = {LIFE_KILLING,     IGNORE},
        [INPUT_SPAWNED]   = {LIFE_KILLING,     ILLEGAL},
        [INPUT_FAILED]    = {LIFE_CLEARING,    DO_CLEAR},
        [INPUT_ASK]       = {LIFE_KILLING,     IGNORE},
        [INPUT_FORCE]     = {LIFE_KILLING,     ILLEGAL},
        [INPUT_EXITED]    = {LIFE_CLEARING,    DO_CLEAR},
        [INPUT_EMPTY]     = {LIFE_KILLING,     ILLEGAL},
        [INPUT_FORGET]    = {LIFE_KILLING,     IGNORE},
    },
    [LIFE_CLEARING] = {
        [INPUT_START]     = {LIFE_CLEARING,    IGNORE},
        [INPUT_REFUSE]    = {LIFE_CLEARING,    IGNORE},
        [INPUT_TURN]      = {LIFE_CLEARING,    ILLEGAL},
        [INPUT_TAKE_BACK] = {LIFE_CLEARING,    IGNORE},
        [INPUT_SPAWNED]   = {LIFE_CLEARING,    ILLEGAL},
        [INPUT_FAILED]    = {LIFE_CLEARING,    ILLEGAL},
        [INPUT_ASK]       = {LIFE_CLEARING,    IGNORE},
        [INPUT_FORCE]     = {LIFE_CLEARING,    ILLEGAL},
        [INPUT_EXITED]    = {LIFE_CLEARING,    ILLEGAL},
        [INPUT_EMPTY]     = {LIFE_OVER,        DO_END},
        [INPUT_FORGET]    = {LIFE_CLEARING,    IGNORE},
    },
    [LIFE_OVER] = {
        [INPUT_START]     = {LIFE_OVER,        IGNORE},
        [INPUT_REFUSE]    = {LIFE_OVER,        IGNORE},
        [INPUT_TURN]      = {LIFE_OVER,        ILLEGAL},
        [INPUT_TAKE_BACK] = {LIFE_OVER,        IGNORE},
        [INPUT_SPAWNED]   = {LIFE_OVER,        ILLEGAL},
        [INPUT_FAILED]    = {LIFE_OVER,        ILLEGAL},
        [INPUT_ASK]       = {LIFE_OVER,        IGNORE},
        [INPUT_FORCE]     = {LIFE_OVER,        ILLEGAL},
        [INPUT_EXITED]    = {LIFE_OVER,        ILLEGAL},
        [INPUT_EMPTY]     = {LIFE_OVER,        ILLEGAL},
        [INPUT_FORGET]    = {LIFE_ABSENT,      DO_DROP},
    },
};
/* clang-format on */

static bool has_slot(enum life state)
{
    return state >= LIFE_STARTING && state <= LIFE_CLEARING;
}

static uint64_t add_capped(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

struct attempt *attempt_find(const struct runner_core *core, struct attempt_id id)
{
    uint64_t value;
    if (!names_get(&core->by_id, attempt_key(&id), &value))
        return NULL;
    return (struct attempt *)(uintptr_t)value;
}

struct attempt *attempt_add(struct runner_core *core, const struct msg_runner_start *start)
{
    struct attempt *attempt = xcalloc(1, sizeof *attempt);
    attempt->id = start->id;
    attempt->stamp = start->stamp < core->now_ms ? start->stamp : core->now_ms;
    attempt->lease_ms = start->lease_ms;
    if (MUTANT(UNLEASED_FENCED) && start->lease_ms == 0)
        attempt->lease_ms = LEASE_DEFAULT_MS / 10;
    attempt->grace_ms = start->kill_grace_ms;
    attempt->timeout_ms = start->timeout_ms;
    attempt->memory_bytes = start->memory_bytes;
    attempt->operator= start->operator;
    attempt->cookie_length = start->cookie.length < RUNNER_COOKIE_MAX_BYTES
                                 ? start->cookie.length
                                 : RUNNER_COOKIE_MAX_BYTES;
    if (attempt->cookie_length > 0)
        attempt->cookie = xstrndup(start->cookie.ptr, attempt->cookie_length);
    attempt->previous = core->newest;
    *(core->newest != NULL ? &core->newest->next : &core->oldest) = attempt;
    core->newest = attempt;
    if (core->queue == NULL)
        core->queue = attempt;
    names_set(&core->by_id, attempt_key(&attempt->id), (uintptr_t)attempt);
    core->held++;
    return attempt;
}

void attempt_free(struct runner_core *core, struct attempt *attempt)
{
    wheel_disarm(&core->wheel, &attempt->timer);
    free(attempt->cookie);
    free(attempt->error);
    free(attempt);
}

static void attempt_remove(struct runner_core *core, struct attempt *attempt)
{
    (void)names_remove(&core->by_id, attempt_key(&attempt->id));
    *(attempt->previous != NULL ? &attempt->previous->next : &core->oldest) = attempt->next;
    *(attempt->next != NULL ? &attempt->next->previous : &core->newest) = attempt->previous;
    if (core->queue == attempt)
        core->queue = attempt->next;
    core->held--;
    attempt_free(core, attempt);
}

/* When SIGTERM is due for the lease; UINT64_MAX: never. */
uint64_t attempt_lease_ask_at(const struct attempt *attempt)
{
    if (attempt->lease_ms == 0)
        return UINT64_MAX;
    uint64_t end = add_capped(attempt->stamp, attempt->lease_ms);
    return end > attempt->grace_ms ? end - attempt->grace_ms : 0;
}

static uint64_t lease_end(const struct attempt *attempt)
{
    return attempt->lease_ms == 0 ? UINT64_MAX : add_capped(attempt->stamp, attempt->lease_ms);
}

static uint64_t timeout_ask_at(const struct attempt *attempt)
{
    return attempt->timeout_ms == 0 ? UINT64_MAX
                                    : add_capped(attempt->started_at, attempt->timeout_ms);
}

/* When the next signal is due by the clock; UINT64_MAX: none. */
uint64_t attempt_due(const struct attempt *attempt)
{
    if (attempt->state == LIFE_TERMINATING)
        return attempt->kill_at;
    if (attempt->state != LIFE_RUNNING)
        return UINT64_MAX;
    uint64_t lease = MUTANT(FENCE_SKIPPED) ? UINT64_MAX : attempt_lease_ask_at(attempt);
    uint64_t timeout = MUTANT(TIMEOUT_IGNORED) ? UINT64_MAX : timeout_ask_at(attempt);
    return lease < timeout ? lease : timeout;
}

static void attempt_arm(struct runner_core *core, struct attempt *attempt)
{
    uint64_t due = attempt_due(attempt);
    if (due == UINT64_MAX)
        wheel_disarm(&core->wheel, &attempt->timer);
    else
        wheel_arm(&core->wheel, &attempt->timer, due);
}

void attempt_say_end(
    struct runner_core *core, struct attempt *attempt, struct runner_effects *effects)
{
    struct msg_runner_exited body = attempt->end;
    body.error = arena_copy(&effects->arena, slice_of(attempt->error));
    (void)effect_send(core, effects, MESSAGE_runner_exited, &body, sizeof body);
}

static void act_terminate(
    struct runner_core *core, struct attempt *attempt, struct runner_effects *effects)
{
    uint64_t grace_end = add_capped(core->now_ms, attempt->grace_ms);
    uint64_t lease = lease_end(attempt);
    attempt->kill_at = grace_end < lease ? grace_end : lease;
    effect_add(effects, RUNNER_EFFECT_TERMINATE, attempt->id);
}

static void act_end(struct runner_core *core, struct attempt *attempt,
    const struct runner_event *event, struct runner_effects *effects)
{
    if (event->kind == RUNNER_EVENT_SPAWN_FAILED)
        end_note(attempt, event);
    else
        end_add_usage(attempt, event);
    attempt->end.ended_at = core->now_ms;
    attempt_say_end(core, attempt, effects);
}

static void act_refuse(
    struct runner_core *core, struct attempt *attempt, struct runner_effects *effects)
{
    end_note_refusal(attempt, core->stopping);
    attempt->end.ended_at = core->now_ms;
    attempt_say_end(core, attempt, effects);
}

static void act_note_pid(struct runner_core *core, struct attempt *attempt,
    const struct runner_event *event, struct runner_effects *effects)
{
    attempt->pid = event->pid;
    attempt->started_at = core->now_ms;
    struct msg_runner_started body = {
        .id = attempt->id, .pid = attempt->pid, .at = attempt->started_at};
    (void)effect_send(core, effects, MESSAGE_runner_started, &body, sizeof body);
}

static void act(struct runner_core *core, struct attempt *attempt, enum action action,
    const struct runner_event *event, struct runner_effects *effects)
{
    switch (action) {
    case DO_KEEP:
        effect_add(effects, RUNNER_EFFECT_KEEP, attempt->id)->start = event->message.body;
        break;
    case DO_SPAWN:
        core->starting = attempt;
        effect_add(effects, RUNNER_EFFECT_SPAWN, attempt->id);
        break;
    case DO_REFUSE:
        act_refuse(core, attempt, effects);
        break;
    case DO_NOTE_PID:
        act_note_pid(core, attempt, event, effects);
        break;
    case DO_TERMINATE:
        act_terminate(core, attempt, effects);
        break;
    case DO_KILL:
        effect_add(effects, RUNNER_EFFECT_KILL, attempt->id);
        break;
    case DO_CLEAR:
        end_note(attempt, event);
        effect_add(effects, RUNNER_EFFECT_KILL, attempt->id);
        break;
    case DO_END:
        act_end(core, attempt, event, effects);
        break;
    case DO_DROP:
        effect_add(effects, RUNNER_EFFECT_FORGET, attempt->id);
        break;
    case IGNORE:
    case ILLEGAL:
        break;
    }
}

void attempt_step(struct runner_core *core, struct attempt *attempt, enum input input,
    const struct runner_event *event, struct runner_effects *effects)
{
    struct rule rule = rules[attempt->state][input];
    assert(rule.action != ILLEGAL);
    REACHED(RUNNER, attempt->state, input);
    if (rule.action == IGNORE)
        return;
    /* Only what the agent has on its disk is freed here; and turns and the clock have no event. */
    assert((rule.next == LIFE_ABSENT) == (input == INPUT_FORGET));
    assert(event != NULL || rule.action == DO_SPAWN || rule.action == DO_REFUSE ||
           rule.action == DO_TERMINATE || rule.action == DO_KILL);
    core->busy = core->busy + has_slot(rule.next) - has_slot(attempt->state);
    attempt->state = rule.next;
    act(core, attempt, rule.action, event, effects);
    if (rule.next == LIFE_ABSENT)
        attempt_remove(core, attempt);
    else
        attempt_arm(core, attempt);
}

void attempt_ask(struct runner_core *core, struct attempt *attempt, uint32_t reason,
    struct runner_effects *effects)
{
    if (attempt->state == LIFE_RUNNING || attempt->state == LIFE_QUEUED)
        attempt->reason = reason;
    attempt_step(core, attempt, INPUT_ASK, NULL, effects);
}

void attempt_take_back(
    struct runner_core *core, struct attempt *attempt, struct runner_effects *effects)
{
    if (attempt->state == LIFE_QUEUED)
        attempt->reason = REASON_NOT_STARTED;
    if (MUTANT(TURN_AFTER_TAKE_BACK) && attempt->state == LIFE_QUEUED) {
        act_refuse(core, attempt, effects);
        return;
    }
    attempt_step(core, attempt, INPUT_TAKE_BACK, NULL, effects);
}

void attempt_check(
    struct runner_core *core, struct attempt *attempt, struct runner_effects *effects)
{
    if (attempt->state == LIFE_RUNNING && attempt_due(attempt) <= core->now_ms) {
        bool lease = attempt_lease_ask_at(attempt) <= timeout_ask_at(attempt);
        attempt_ask(core, attempt, lease ? REASON_LEASE : REASON_TIMEOUT, effects);
    }
    if (attempt->state == LIFE_TERMINATING && attempt->kill_at <= core->now_ms &&
        !MUTANT(KILL_SPARED))
        attempt_step(core, attempt, INPUT_FORCE, NULL, effects);
    attempt_arm(core, attempt);
}

struct attempt *attempt_next_in_turn(struct runner_core *core)
{
    while (core->queue != NULL && core->queue->state != LIFE_QUEUED)
        core->queue = core->queue->next;
    return core->queue;
}

bool attempt_is_illegal(enum life state, enum input input)
{
    return rules[state][input].action == ILLEGAL;
}
