/*
 * The life of a worker: gone -> up <-> silent -> gone, or draining in place of up; its signs of
 * life and the end of its sessions. register.c opens them.
 */
#include "common/limits.h"
#include "common/memory.h"
#include "common/probe.h"
#include "master/core/state.h"

#include <stdlib.h>

/* ---- the lifecycle ---- */

enum { UP_ = WORKER_UP, DRA = WORKER_DRAINING, SIL = WORKER_SILENT, GON = WORKER_GONE, ___ = 0 };

/* state x event -> next state; ___ is illegal. */
static const uint8_t transitions[WORKER_GONE + 1][WORKER_EVENT_COUNT] = {
    /*                  register traffic silence close gone drain undrain */
    [WORKER_UP] = {UP_, UP_, SIL, SIL, GON, DRA, UP_},
    [WORKER_DRAINING] = {UP_, DRA, SIL, SIL, GON, DRA, UP_},
    [WORKER_SILENT] = {UP_, UP_, ___, SIL, GON, SIL, SIL},
    [WORKER_GONE] = {UP_, ___, ___, ___, ___, GON, GON},
};

uint32_t worker_next_state(uint32_t state, enum worker_event event)
{
    assert(state >= WORKER_UP && state <= WORKER_GONE && event < WORKER_EVENT_COUNT);
    return transitions[state][event];
}

void worker_move(struct core *core, struct worker *worker, enum worker_event event)
{
    uint32_t next = worker_next_state(worker->state, event);
    assert(next != 0 && "the event is legal in this state");
    REACHED(WORKER, worker->state, event);
    if (worker->draining || worker->leaving)
        next = worker_next_state(next, WORKER_EVENT_DRAIN);
    if (next == worker->state)
        return;
    bool heard = worker_is_heard(worker);
    worker->state = next;
    worker->state_at = core->now_wall;
    worker_refresh(core, worker);
    if (heard == worker_is_heard(worker))
        return;
    attempts_weigh(core, worker);
    worker_show_attempts(core, worker);
}

struct worker *worker_by_key(const struct core *core, const unsigned char *key)
{
    uint64_t index = 0;
    if (!names_get(&core->workers_by_key, slice_make(key, WORKER_KEY_BYTES), &index))
        return NULL;
    return core->workers[index];
}

struct worker *worker_create(struct core *core, const unsigned char *key)
{
    struct worker *worker = xcalloc(1, sizeof *worker);
    vector_reserve(&core->workers, core->worker_count, &core->worker_capacity);
    core->workers[core->worker_count] = worker;
    names_set(&core->workers_by_key, slice_make(key, WORKER_KEY_BYTES), core->worker_count);
    core->worker_count++;
    worker->timer_kind = TIMER_WORKER;
    worker->number = (uint32_t)core->worker_count;
    memcpy(worker->key, key, WORKER_KEY_BYTES);
    worker->state = WORKER_GONE;
    worker->attempts = NONE;
    worker->over_at = NONE;
    worker->shortest_lease_ms = UINT64_MAX;
    channel_init(&worker->channel);
    return worker;
}

static void texts_free(struct texts *texts)
{
    for (uint32_t i = 0; i < texts->count; i++)
        slice_free(&texts->items[i]);
    free(texts->items);
    *texts = (struct texts){0};
}

void worker_free_description(struct worker *worker)
{
    slice_free(&worker->name);
    slice_free(&worker->host);
    slice_free(&worker->software);
    slice_free(&worker->address);
    slice_free(&worker->memory_limit_by);
    slice_free(&worker->cpu_limit_by);
    texts_free(&worker->queues);
    texts_free(&worker->labels);
    texts_free(&worker->users);
    for (uint32_t i = 0; i < worker->operator_count; i++) {
        slice_free(&worker->operators[i].name);
        slice_free(&worker->operators[i].version);
        slice_free(&worker->operators[i].problem);
    }
    free(worker->operators);
    worker->operators = NULL;
    worker->operator_count = 0;
}

void worker_destroy(struct worker *worker)
{
    worker_free_description(worker);
    free(worker->members);
    channel_fini(&worker->channel);
    free(worker);
}

void worker_fact(struct core *core, const struct worker *worker)
{
    struct arena *arena = &core->effects->arena;
    struct worker_row *row = &effects_add_fact(core->effects, FACT_WORKER)->worker;
    row->number = worker->number;
    memcpy(row->key, worker->key, sizeof row->key);
    row->name = arena_copy(arena, worker->name);
    row->host = arena_copy(arena, worker->host);
    row->draining = worker->draining;
    row->removed = worker->removed;
}

void worker_mark_dirty(struct core *core, struct worker *worker)
{
    if (worker->dirty)
        return;
    worker->dirty = true;
    vector_reserve(&core->dirty, core->dirty_count, &core->dirty_capacity);
    core->dirty[core->dirty_count++] = worker->number - 1;
}

void worker_show_attempts(struct core *core, const struct worker *worker)
{
    for (uint32_t slot = worker->attempts; slot != NONE; slot = core->attempts[slot]->next) {
        const struct attempt *attempt = core->attempts[slot];
        if ((attempt->flags & ATTEMPT_FLAG_EXPIRED) == 0)
            task_show(core, &core->runs[attempt->run], attempt->task, (struct slice){0});
    }
}

/* ---- time ---- */

static uint64_t session_end_ms(const struct worker *worker)
{
    uint64_t lease = worker->shortest_lease_ms;
    if (lease > LEASE_DEFAULT_MS && worker->attempts == NONE)
        lease = LEASE_DEFAULT_MS;
    return lease == UINT64_MAX ? UINT64_MAX : worker->heartbeat_ms + lease;
}

void worker_arm(struct core *core, struct worker *worker)
{
    if (!worker->open) {
        wheel_disarm(&core->wheel, &worker->timer);
        return;
    }
    /* Traffic without heartbeats keeps a worker from being silent, and its session not. */
    uint64_t silence = worker->traffic_ms + SILENT_AFTER_MS, due = session_end_ms(worker);
    if (worker->state != WORKER_SILENT && silence < due)
        due = silence;
    if (due == UINT64_MAX)
        wheel_disarm(&core->wheel, &worker->timer);
    else
        wheel_arm(&core->wheel, &worker->timer, due);
}

void worker_arm_attempts(struct core *core, const struct worker *worker)
{
    for (uint32_t slot = worker->attempts; slot != NONE; slot = core->attempts[slot]->next) {
        struct attempt *attempt = core->attempts[slot];
        attempt_clear_asked(core, attempt);
        if (!wheel_is_armed(&attempt->expiry))
            attempt_arm(core, attempt, worker->heartbeat_ms);
    }
}

void worker_left(struct core *core, struct worker *worker)
{
    if (!worker->open && worker->attempts == NONE)
        worker_move(core, worker, WORKER_EVENT_GONE);
}

void worker_close(struct core *core, struct worker *worker)
{
    worker->open = false;
    (void)table_remove(&core->sessions, worker->channel.session);
    channel_open(&worker->channel, worker->channel.session); /* what it is owed is forgotten */
    worker_stand(core, worker);
    wheel_disarm(&core->wheel, &worker->timer);
    worker_arm_attempts(core, worker);
    worker_move(core, worker, worker->attempts == NONE ? WORKER_EVENT_GONE : WORKER_EVENT_CLOSE);
}

void worker_follow_wishes(struct core *core, struct worker *worker)
{
    bool wished = worker->draining || worker->leaving;
    worker_move(core, worker, wished ? WORKER_EVENT_DRAIN : WORKER_EVENT_UNDRAIN);
    if (worker->state != WORKER_DRAINING)
        return;
    for (uint32_t slot = worker->attempts; slot != NONE; slot = core->attempts[slot]->next) {
        struct attempt *attempt = core->attempts[slot];
        if (attempt->state == ATTEMPT_ASSIGNED && attempt->flags == 0)
            attempt_ask_back(core, attempt);
    }
}

/* What is still open there runs out with its lease, as ever when a session ends. It waits for this
 * word. */
void worker_leave(struct core *core, struct worker *worker)
{
    struct msg_register_again again = {.session = worker->channel.session};
    worker_close(core, worker);
    effects_add_send(core->effects, worker->peer,
        plain_frame(core, NULL, MESSAGE_register_again, &again), false);
}

void worker_timer(struct core *core, struct worker *worker)
{
    if (!worker->open)
        return;
    if (core->now_ms >= session_end_ms(worker)) {
        worker_close(core, worker);
        return;
    }
    if (worker_is_heard(worker) && core->now_ms >= worker->traffic_ms + SILENT_AFTER_MS)
        worker_move(core, worker, WORKER_EVENT_SILENCE);
    worker_arm(core, worker);
}

void worker_traffic(struct core *core, struct worker *worker)
{
    worker->traffic_ms = core->now_ms;
    worker_move(core, worker, WORKER_EVENT_TRAFFIC);
    worker_arm(core, worker);
}

void worker_set_clock(const struct core *core, struct worker *worker, uint64_t boot_ms)
{
    bool same = memcmp(worker->boot, core->boot, sizeof worker->boot) == 0;
    worker->clock_offset =
        same ? core->clock_offset : (int64_t)((uint64_t)core->now_wall - boot_ms);
}

int64_t worker_wall(const struct core *core, const struct worker *worker, uint64_t boot_ms)
{
    int64_t wall = (int64_t)((uint64_t)worker->clock_offset + boot_ms);
    return wall > 0 && wall < core->now_wall ? wall : core->now_wall;
}

void worker_fit_hand(const struct core *core, struct worker *worker)
{
    uint64_t passed = core->now_ms - worker->paced_ms;
    if (passed < PACE_MS)
        return;
    uint64_t hand = (uint64_t)worker->ended * HAND_MS / passed;
    uint64_t most = (uint64_t)worker->slots * HAND_SLOTS_MAX;
    hand = hand < worker->slots ? worker->slots : hand;
    worker->hand = (uint32_t)(hand < most ? hand : most);
    worker->ended = 0;
    worker->paced_ms = core->now_ms;
}

/* One may be overtaken on its way, and be told twice. */
enum { BEHIND_BEATS = 3 };

void worker_heartbeat(struct core *core, struct worker *worker, const struct msg_heartbeat *message)
{
    worker_fit_hand(core, worker);
    worker->heartbeat_ms = core->now_ms;
    worker->behind = worker->frame_ack < worker->channel.acked ? worker->behind + 1 : 0;
    if (message->stamp > worker->heartbeat_stamp) {
        worker->heartbeat_stamp = message->stamp;
        worker_set_clock(core, worker, message->stamp);
    }
    worker->full = message->full;
    worker->resting = false;
    worker->load = *message;
    if (worker->leaving != message->leaving) {
        worker->leaving = message->leaving;
        worker_follow_wishes(core, worker);
    }
    /* It knows less of this session than it did: its machine was brought back as it once was. */
    if (worker->behind >= BEHIND_BEATS) {
        worker_close(core, worker);
        return;
    }
    struct msg_heartbeat_ack ack = {.stamp = message->stamp};
    effects_add_send(core->effects, worker->peer,
        plain_frame(core, &worker->channel, MESSAGE_heartbeat_ack, &ack), true);
    channel_resend(&worker->channel, core->now_ms);
    worker_mark_dirty(core, worker);
    worker_refresh(core, worker);
}
