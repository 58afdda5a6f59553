#include "worker/runner/core.h"

#include "common/limits.h"
#include "common/memory.h"
#include "common/probe.h"
#include "worker/runner/attempt.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

/* ---- turns ---- */

/* Stamps are the agent's, of what the master has answered; one from the future counts as now. */
static uint64_t hear_stamp(struct runner_core *core, uint64_t stamp)
{
    if (stamp > core->now_ms)
        stamp = core->now_ms;
    if (stamp > core->fresh)
        core->fresh = stamp;
    return stamp;
}

static bool may_never_start(const struct runner_core *core, const struct attempt *attempt)
{
    return core->stopping || core->now_ms >= attempt_lease_ask_at(attempt);
}

/* Whoever gave the orders may have given them up when nobody has heard of him for a while. */
static bool may_start_now(const struct runner_core *core)
{
    bool slot = core->slots == 0 || core->busy < core->slots || MUTANT(SLOTS_IGNORED);
    bool heard = core->fresh != 0 && core->now_ms - core->fresh < START_FRESH_MS;
    return core->starting == NULL && slot && (heard || MUTANT(STALE_ACK_START));
}

/* In order, one a step: the answer to its SPAWN is the next event, and after that the next comes.
 */
static void start_in_turn(struct runner_core *core, struct runner_effects *effects)
{
    struct attempt *attempt;
    while (may_start_now(core) && (attempt = attempt_next_in_turn(core)) != NULL) {
        bool never = may_never_start(core, attempt);
        attempt_step(core, attempt, never ? INPUT_REFUSE : INPUT_TURN, NULL, effects);
    }
}

/* ---- what the agent says ---- */

static void take_start(
    struct runner_core *core, const struct runner_event *event, struct runner_effects *effects)
{
    const struct msg_runner_start *start = event->message.body;
    struct attempt *attempt = attempt_find(core, start->id);
    if (attempt == NULL)
        attempt = attempt_add(core, start);
    hear_stamp(core, start->stamp);
    attempt_step(
        core, attempt, may_never_start(core, attempt) ? INPUT_REFUSE : INPUT_START, event, effects);
}

static void take_kill(
    struct runner_core *core, const struct runner_event *event, struct runner_effects *effects)
{
    const struct msg_runner_kill *kill = event->message.body;
    struct attempt *attempt = attempt_find(core, kill->id);
    if (attempt == NULL)
        return;
    attempt_ask(
        core, attempt, kill->reason != REASON_NONE ? kill->reason : REASON_CANCELLED, effects);
    attempt_check(core, attempt, effects);
}

/* Timers stay where they are: one that comes early is armed again by attempt_check. */
static void take_renew(struct runner_core *core, const struct msg_runner_renew *renew)
{
    uint64_t stamp = hear_stamp(core, renew->stamp);
    for (struct attempt *attempt = core->oldest; attempt != NULL; attempt = attempt->next) {
        if (attempt->stamp < stamp)
            attempt->stamp = stamp;
    }
}

static void take_list(
    struct runner_core *core, const struct msg_runner_list *list, struct runner_effects *effects)
{
    core->slots = list->slots;
    /* What is said to wait waits until the agent has heard what shall go on. */
    core->fresh = 0;
    for (struct attempt *attempt = core->oldest; attempt != NULL; attempt = attempt->next) {
        struct msg_runner_holds holds = {.id = attempt->id,
            .cookie =
                arena_copy(&effects->arena, slice_make(attempt->cookie, attempt->cookie_length)),
            .pid = attempt->pid,
            .started_at = attempt->started_at,
            .over = attempt->state == LIFE_OVER,
            .queued = attempt->state == LIFE_QUEUED,
            .operator= attempt->operator, };
        struct runner_effect *effect =
            effect_send(core, effects, MESSAGE_runner_holds, &holds, sizeof holds);
        if (effect == NULL)
            return;
        effect->id = attempt->id;
        effect->pipe = true;
        if (attempt->state == LIFE_OVER)
            attempt_say_end(core, attempt, effects);
    }
    struct msg_runner_listed listed = {.nonce = list->nonce};
    (void)effect_send(core, effects, MESSAGE_runner_listed, &listed, sizeof listed);
}

static void take_stop(
    struct runner_core *core, const struct msg_runner_stop *stop, struct runner_effects *effects)
{
    core->stopping = true;
    core->stopping_now |= stop->now;
    for (struct attempt *attempt = core->oldest; attempt != NULL; attempt = attempt->next) {
        if (!stop->now && attempt->state != LIFE_QUEUED)
            continue;
        attempt_ask(core, attempt, REASON_WORKER_STOPPED, effects);
        attempt_check(core, attempt, effects);
    }
}

static void take_message(
    struct runner_core *core, const struct runner_event *event, struct runner_effects *effects)
{
    const void *body = event->message.body;
    struct attempt *attempt;
    switch (event->message.number) {
    case MESSAGE_runner_list:
        take_list(core, body, effects);
        break;
    case MESSAGE_runner_start:
        take_start(core, event, effects);
        break;
    case MESSAGE_runner_kill:
        take_kill(core, event, effects);
        break;
    case MESSAGE_runner_renew:
        take_renew(core, body);
        break;
    case MESSAGE_runner_forget:
        attempt = attempt_find(core, ((const struct msg_runner_forget *)body)->id);
        if (attempt != NULL)
            attempt_step(core, attempt, INPUT_FORGET, event, effects);
        break;
    case MESSAGE_runner_take_back:
        attempt = attempt_find(core, ((const struct msg_runner_take_back *)body)->id);
        if (attempt != NULL)
            attempt_take_back(core, attempt, effects);
        break;
    case MESSAGE_runner_stop:
        take_stop(core, body, effects);
        break;
    default:
        break;
    }
}

/* ---- what the io says ---- */

static void take_connected(struct runner_core *core, struct runner_effects *effects)
{
    core->connected = true;
    wheel_disarm(&core->wheel, &core->alone);
    struct msg_runner_hello hello = {
        .version = PROTOCOL_HOST_VERSION,
        .instance = core->instance,
        .boot = slice_make(core->boot, RUNNER_BOOT_BYTES),
        .pid = core->pid,
        .queues = true,
        .operators = true,
        .memory_limit_by = slice_of(core->limits.memory_by),
        .cpu_limit_by = slice_of(core->limits.cpu_by),
    };
    (void)effect_send(core, effects, MESSAGE_runner_hello, &hello, sizeof hello);
}

static void alone_begin(struct runner_core *core)
{
    core->connected = false;
    core->alone_since = core->now_ms;
    wheel_arm(&core->wheel, &core->alone, core->now_ms + RUNNER_ALONE_MAX_MS);
}

static void take_process(struct runner_core *core, const struct runner_event *event,
    enum input input, struct runner_effects *effects)
{
    struct attempt *attempt = attempt_find(core, event->id);
    assert(attempt != NULL);
    if (core->starting != NULL) {
        assert(core->starting == attempt);
        core->starting = NULL;
    }
    attempt_step(core, attempt, input, event, effects);
}

static void take_timer(struct runner_core *core, struct runner_effects *effects)
{
    struct wheel_timer *timer;
    while ((timer = wheel_pop(&core->wheel, core->now_ms)) != NULL) {
        /* The one that is no attempt's has done its work by coming: see may_end. */
        if (timer != &core->alone)
            attempt_check(core, (struct attempt *)timer, effects);
    }
}

/* `ask`: this very event asks the runner to end if it holds nothing. */
static bool may_end(const struct runner_core *core, bool ask)
{
    bool alone = !core->connected && core->now_ms - core->alone_since >= RUNNER_ALONE_MAX_MS;
    if (core->held == 0)
        return ask || alone || core->stopping;
    return core->busy == 0 && (alone || core->stopping_now);
}

static void dispatch(
    struct runner_core *core, const struct runner_event *event, struct runner_effects *effects)
{
    switch (event->kind) {
    case RUNNER_EVENT_CONNECTED:
        take_connected(core, effects);
        break;
    case RUNNER_EVENT_DISCONNECTED:
        alone_begin(core);
        break;
    case RUNNER_EVENT_MESSAGE:
        take_message(core, event, effects);
        break;
    case RUNNER_EVENT_SPAWNED:
        take_process(core, event, INPUT_SPAWNED, effects);
        break;
    case RUNNER_EVENT_SPAWN_FAILED:
        take_process(core, event, INPUT_FAILED, effects);
        break;
    case RUNNER_EVENT_EXITED:
        take_process(core, event, INPUT_EXITED, effects);
        break;
    case RUNNER_EVENT_EMPTY:
        take_process(core, event, INPUT_EMPTY, effects);
        break;
    case RUNNER_EVENT_TIMER:
        take_timer(core, effects);
        break;
    case RUNNER_EVENT_TERM:
        break;
    }
}

#ifdef REEVE_CHECKS
static void core_check(const struct runner_core *core)
{
    uint32_t held = 0;
    uint32_t busy = 0;
    bool may_wait = false;
    for (const struct attempt *attempt = core->oldest; attempt != NULL; attempt = attempt->next) {
        held++;
        busy += attempt->state != LIFE_OVER && attempt->state != LIFE_QUEUED;
        may_wait |= attempt == core->queue;
        assert(attempt->state != LIFE_ABSENT && (attempt->state != LIFE_QUEUED || may_wait));
        assert((attempt->state == LIFE_STARTING) == (attempt == core->starting));
        assert(attempt_find(core, attempt->id) == attempt);
        /* A deadline without a timer would let an attempt outlive its lease. */
        uint64_t due = attempt_due(attempt);
        assert(wheel_is_armed(&attempt->timer) == (due != UINT64_MAX));
        assert(due == UINT64_MAX || attempt->timer.due_ms <= due);
    }
    assert(held == core->held && busy == core->busy && core->by_id.count == held);
}
#endif

void runner_core_step(
    struct runner_core *core, const struct runner_event *event, struct runner_effects *effects)
{
    assert(event->now_ms >= core->now_ms);
    assert(core->starting == NULL || event->kind == RUNNER_EVENT_SPAWNED ||
           event->kind == RUNNER_EVENT_SPAWN_FAILED);
    if (core->ended)
        return;
    core->now_ms = event->now_ms;
    dispatch(core, event, effects);
    start_in_turn(core, effects);
    if (may_end(core, event->kind == RUNNER_EVENT_TERM)) {
        core->ended = true;
        effect_add(effects, RUNNER_EFFECT_EXIT, (struct attempt_id){0});
    }
#ifdef REEVE_CHECKS
    core_check(core);
#endif
}

uint64_t runner_core_next_ms(const struct runner_core *core)
{
    return core->ended ? UINT64_MAX : wheel_next_ms(&core->wheel);
}

struct runner_core *runner_core_create(
    uint64_t instance, const unsigned char boot[RUNNER_BOOT_BYTES], uint64_t pid, uint64_t now_ms)
{
    static_assert(offsetof(struct attempt, timer) == 0, "take_timer casts");
    static_assert(WHEEL_NEVER == UINT64_MAX, "next_ms says so");
    assert(instance != 0);
    struct runner_core *core = xcalloc(1, sizeof *core);
    core->instance = instance;
    memcpy(core->boot, boot, RUNNER_BOOT_BYTES);
    core->pid = pid;
    core->now_ms = now_ms;
    wheel_init(&core->wheel, now_ms);
    alone_begin(core);
    return core;
}

void runner_core_set_limits(struct runner_core *core, struct runner_limits limits)
{
    core->limits = limits;
}

void runner_core_destroy(struct runner_core *core)
{
    if (core == NULL)
        return;
    struct attempt *attempt = core->oldest;
    while (attempt != NULL) {
        struct attempt *next = attempt->next;
        attempt_free(core, attempt);
        attempt = next;
    }
    names_fini(&core->by_id);
    free(core);
}
