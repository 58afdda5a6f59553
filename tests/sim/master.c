/*
 * The master's process: its core, batches that commit after a while, crashes that lose what had
 * not.
 */
#include "common/memory.h"
#include "common/probe.h"
#include "tests/sim/checker.h"

#include <stdio.h>
#include <stdlib.h>

enum { COMMIT_MS = 5, SLOW_COMMIT_MS = 3000, FULL_AGAIN_MS = 1000 };
/* What becomes of one commit in so many: it is not made, and the process ends; it is made, and the
 * process ends before anybody hears of it, or when the half has. */
enum { FATE_LOST, FATE_UNANSWERED, FATE_HALF, FATE_GOOD, FATES = 300 };

static void commit_done(struct world *world, const struct happening *happening);
static void wake(struct world *world, const struct happening *happening);

/* What had to wait for the commit: the first `sends` of it. */
static void release(struct world *world, const struct effects *batch, size_t sends)
{
    for (size_t i = 0; i < batch->send_count && i < sends; i++) {
        if (!batch->sends[i].at_once)
            send_to_worker(world, batch->sends[i].peer, batch->sends[i].frame);
    }
    if (MUTANT(ANSWERED_UNCOMMITTED) || sends < batch->send_count)
        return;
    for (size_t i = 0; i < batch->answer_count; i++)
        client_answer(world, batch->answers[i].ticket, batch->answers[i].message);
}

/* What rests on no fact goes at once, with the step that made it. */
static void send_at_once(struct world *world, const struct effects *batch, size_t from)
{
    for (size_t i = from; i < batch->send_count; i++) {
        if (!batch->sends[i].at_once)
            continue;
        losses_see_sent(world, batch->sends[i].peer, batch->sends[i].frame);
        send_to_worker(world, batch->sends[i].peer, batch->sends[i].frame);
    }
}

static struct event event_now(const struct world *world, enum event_kind kind)
{
    return (struct event){.kind = kind, .now_ms = world->now_ms, .now_wall = wall_of(world)};
}

static void schedule(struct world *world)
{
    struct master *master = &world->master;
    uint64_t due = core_next_ms(master->core);
    uint64_t at_ms = due > world->now_ms ? due : world->now_ms + (due != 0);
    if (core_has_work(master->core))
        at_ms = world->now_ms;
    alarm_set(world, &master->alarm, at_ms, &(struct happening){.happen = wake});
}

/* Hands the batch to the store: it commits after a while. */
static void commit(struct world *world)
{
    struct master *master = &world->master;
    struct pending_batch *pending = xcalloc(1, sizeof *pending);
    pending->effects = master->batch;
    master->batch = effects_create();
    if (master->committing == NULL)
        master->committing = pending;
    else
        master->committing_last->next = pending;
    master->committing_last = pending;
    master->in_flight++;
    bool slow = world_is_bad(world) && draw_percent(world, DICE_STORE, 3);
    uint64_t takes_ms = 1 + draw_below(world, DICE_STORE, slow ? SLOW_COMMIT_MS : COMMIT_MS);
    if (master->stuck_until > world->now_ms)
        takes_ms += master->stuck_until - world->now_ms;
    for (size_t i = 0; MUTANT(ANSWERED_UNCOMMITTED) && i < pending->effects->answer_count; i++)
        client_answer(
            world, pending->effects->answers[i].ticket, pending->effects->answers[i].message);
    struct happening *happening = plan_ahead(world, takes_ms, commit_done);
    happening->number = master->life;
}

/* Whoever has heard of a higher epoch gives nothing out any more. */
static void check_fence(struct world *world, size_t first)
{
    const struct effects *batch = world->master.batch;
    for (size_t i = first; world->restore.heard && i < batch->fact_count; i++) {
        const struct fact *fact = &batch->facts[i];
        if (fact->kind == FACT_ATTEMPT && fact->attempt.state == ATTEMPT_ASSIGNED)
            violated(world, "a master that has heard of a higher epoch assigns %u@%u",
                fact->attempt.id.task, fact->attempt.id.attempt);
    }
}

/* The end of a batch, when the store has room for it; else its facts join the next. */
static void flush(struct world *world)
{
    struct master *master = &world->master;
    if (master->in_flight >= 2)
        return;
    struct event event = event_now(world, EVENT_FLUSH);
    size_t before = master->batch->send_count, facts = master->batch->fact_count;
    core_step(master->core, &event, master->batch);
    send_at_once(world, master->batch, before);
    check_fence(world, facts);
    if (!effects_is_empty(master->batch))
        commit(world);
    schedule(world);
}

static void step(struct world *world, const struct event *event)
{
    struct master *master = &world->master;
    size_t before = master->batch->send_count;
    core_step(master->core, event, master->batch);
    send_at_once(world, master->batch, before);
    flush(world);
}

/* A full disk is tried again with the same batch; a process that stands still hears of nothing. */
static bool commit_must_wait(struct world *world, const struct happening *happening)
{
    const struct master *master = &world->master;
    uint64_t wait_ms = 0;
    if (master->full_until > world->now_ms)
        wait_ms = FULL_AGAIN_MS;
    else if (master->paused_until > world->now_ms)
        wait_ms = master->paused_until - world->now_ms;
    if (wait_ms > 0)
        plan_ahead(world, wait_ms, commit_done)->number = happening->number;
    return wait_ms > 0;
}

static void commit_done(struct world *world, const struct happening *happening)
{
    struct master *master = &world->master;
    if (master->core == NULL || master->life != happening->number ||
        commit_must_wait(world, happening))
        return;
    /* The process may die with a commit, and that be done or not. */
    uint32_t fate = world_is_bad(world) ? draw_below(world, DICE_STORE, FATES) : FATE_GOOD;
    if (fate == FATE_LOST) {
        master_crash(world);
        return;
    }
    struct pending_batch *pending = master->committing;
    master->committing = pending->next;
    master->in_flight--;
    struct effects *batch = pending->effects;
    for (size_t i = 0; i < batch->fact_count; i++)
        rows_apply(&master->rows, &batch->facts[i]);
    if (!world->restore.reigns || world->restore.for_good)
        checker_committed(world, batch->facts, batch->fact_count);
    if (fate != FATE_UNANSWERED)
        release(world, batch, fate == FATE_HALF ? batch->send_count / 2 : batch->send_count);
    effects_destroy(batch);
    free(pending);
    if (fate == FATE_UNANSWERED || fate == FATE_HALF)
        master_crash(world);
    else
        flush(world);
}

static void wake(struct world *world, const struct happening *happening)
{
    struct master *master = &world->master;
    if (!alarm_rings(world, &master->alarm, happening) || master->core == NULL)
        return;
    if (master->paused_until > world->now_ms) {
        alarm_set(world, &master->alarm, master->paused_until, happening);
        return;
    }
    struct event event = event_now(world, EVENT_TIMER);
    step(world, &event);
}

/* ---- its life ---- */

/* In the order in which a store gives them. */
static int compare_attempts(const void *a, const void *b)
{
    const struct attempt_id *left = &((const struct attempt_row *)a)->id;
    const struct attempt_id *right = &((const struct attempt_row *)b)->id;
    if (left->task != right->task)
        return left->task < right->task ? -1 : 1;
    return (left->attempt > right->attempt) - (left->attempt < right->attempt);
}

static void load_run(struct world *world, const struct run_row *row)
{
    struct master *master = &world->master;
    struct event event = event_now(world, EVENT_LOAD_RUN);
    struct span_row *spans = xcalloc(master->rows.span_count + 1, sizeof *spans);
    struct attempt_row *attempts = xcalloc(master->rows.attempt_count + 1, sizeof *attempts);
    event.load.run = *row;
    event.load.plan = workload_find(world, row->key)->plan;
    for (size_t i = 0; i < master->rows.span_count; i++) {
        if (master->rows.spans[i].run == row->key)
            spans[event.load.span_count++] = master->rows.spans[i];
    }
    for (size_t i = 0; i < master->rows.attempt_count; i++) {
        if (master->rows.attempts[i].id.run == row->key)
            attempts[event.load.attempt_count++] = master->rows.attempts[i];
    }
    qsort(attempts, event.load.attempt_count, sizeof *attempts, compare_attempts);
    struct note_row *notes = xcalloc(master->rows.note_count + 1, sizeof *notes);
    for (size_t i = 0; i < master->rows.note_count; i++) {
        if (master->rows.notes[i].id.run == row->key)
            notes[event.load.note_count++] = master->rows.notes[i];
    }
    event.load.notes = notes;
    event.load.spans = spans;
    event.load.attempts = attempts;
    core_step(master->core, &event, master->batch);
    free(spans);
    free(attempts);
    free(notes);
}

static bool is_over(uint32_t state)
{
    return state != RUN_QUEUED && state != RUN_RUNNING;
}

static void load_access(struct world *world)
{
    struct master *master = &world->master;
    for (size_t i = 0; i < master->rows.token_count; i++) {
        struct event event = event_now(world, EVENT_LOAD_TOKEN);
        event.token = master->rows.tokens[i];
        core_step(master->core, &event, master->batch);
    }
    for (size_t i = 0; i < master->rows.peer_count; i++) {
        struct event event = event_now(world, EVENT_LOAD_PEER);
        event.peer = master->rows.peers[i];
        core_step(master->core, &event, master->batch);
    }
}

static void load(struct world *world)
{
    struct master *master = &world->master;
    for (size_t i = 0; i < master->rows.dag_count; i++) {
        struct event event = event_now(world, EVENT_LOAD_DAG);
        event.dag = master->rows.dags[i];
        core_step(master->core, &event, master->batch);
    }
    for (size_t i = 0; i < master->rows.worker_count; i++) {
        struct event event = event_now(world, EVENT_LOAD_WORKER);
        event.worker = master->rows.workers[i];
        core_step(master->core, &event, master->batch);
    }
    load_access(world);
    for (size_t i = 0; i < master->rows.session_count; i++) {
        struct event event = event_now(world, EVENT_LOAD_SESSION);
        event.session = master->rows.sessions[i];
        core_step(master->core, &event, master->batch);
    }
    for (size_t i = 0; i < master->rows.run_count; i++) {
        if (!is_over(master->rows.runs[i].state))
            load_run(world, &master->rows.runs[i]);
    }
    if (!effects_is_empty(master->batch))
        violated(world, "loading made facts or messages");
}

void master_start(struct world *world)
{
    struct master *master = &world->master;
    master->life = ++world->next_life;
    if (!restore_may_start(world))
        return;
    world->restore.heard = false;
    master->rows.epoch++;
    master->rows.leader = draw(world, DICE_STORE);
    if (!world->restore.reigns)
        checker_epoch(world, master->rows.epoch);
    struct core_config config = {
        .epoch = master->rows.epoch,
        .leader = master->rows.leader,
        .cluster = slice_of("00000000-0000-4000-8000-000000000001"),
        .now_ms = world->now_ms,
        .last_audit = rows_last_audit(&master->rows),
        .last_order = rows_last_order(&master->rows),
        .restoring = master->rows.restoring,
        .restored_order = master->rows.restored_order,
        .attempts_from = master->rows.attempts_from,
    };
    tell(world, "master starts, epoch %llu", (unsigned long long)master->rows.epoch);
    master->core = core_create(&config);
    master->batch = effects_create();
    load(world);
    struct event event = event_now(world, EVENT_LOADED);
    step(world, &event);
}

static void start_again(struct world *world, const struct happening *happening)
{
    (void)happening;
    if (world->master.core == NULL)
        master_start(world);
}

static void drop_memory(struct master *master)
{
    core_destroy(master->core);
    master->core = NULL;
    effects_destroy(master->batch);
    master->batch = NULL;
    while (master->committing != NULL) {
        struct pending_batch *next = master->committing->next;
        effects_destroy(master->committing->effects);
        free(master->committing);
        master->committing = next;
    }
    master->in_flight = 0;
}

void master_end(struct world *world)
{
    if (world->master.core != NULL)
        drop_memory(&world->master);
    world->master.paused_until = 0;
}

void master_crash(struct world *world)
{
    if (world->master.core == NULL)
        return;
    tell(world, "master crashes");
    drop_memory(&world->master);
    world->master.paused_until = 0;
    (void)plan_ahead(world, 100 + draw_below(world, DICE_STORE, 20000), start_again);
}

void master_pause(struct world *world, uint64_t ms)
{
    if (world->master.paused_until > world->now_ms)
        return;
    tell(world, "master is paused for %llu ms", (unsigned long long)ms);
    world->master.paused_until = world->now_ms + ms;
}

void master_disk_full(struct world *world, uint64_t ms)
{
    tell(world, "the master's disk is full for %llu ms", (unsigned long long)ms);
    world->master.full_until = world->now_ms + ms;
}

void master_disk_stuck(struct world *world, uint64_t ms)
{
    tell(world, "the master's disk is stuck for %llu ms", (unsigned long long)ms);
    world->master.stuck_until = world->now_ms + ms;
}

void master_fini(struct world *world)
{
    if (world->master.core != NULL)
        drop_memory(&world->master);
    rows_fini(&world->master.rows);
}

static void take_frame_later(struct world *world, const struct happening *happening)
{
    master_frame(world, happening->number, slice_make(happening->bytes, happening->length));
}

/* A paused process finds its frames when it goes on. */
void master_frame(struct world *world, uint64_t peer, struct slice frame)
{
    struct master *master = &world->master;
    const struct host *host = &world->hosts[peer % HOSTS_MAX];
    if (master->core == NULL || restore_drops(world, host))
        return;
    if (master->paused_until > world->now_ms) {
        struct happening *later =
            plan_ahead(world, master->paused_until - world->now_ms, take_frame_later);
        later->number = peer;
        later->bytes = xstrndup(frame.ptr, frame.length);
        later->length = frame.length;
        return;
    }
    struct event event = event_now(world, EVENT_FRAME);
    unsigned char key[32];
    event.actor = joins_actor(world, peer, key);
    event.frame.peer = peer;
    event.frame.bytes = frame;
    restore_see_frame(world, host, frame);
    step(world, &event);
}

/* ---- clients ---- */

static bool answered_before(struct world *world, uint64_t request)
{
    const struct rows *rows = &world->master.rows;
    for (size_t i = 0; i < rows->request_count; i++) {
        if (rows->requests[i].request == request) {
            client_answer(world, request, rows->requests[i].answer);
            return true;
        }
    }
    return false;
}

static void ask_submit(struct world *world, const struct asked *asked, struct event *event)
{
    struct sim_run *run = &world->runs[asked->run];
    event->submit = (struct submit_event){
        .key = draw(world, DICE_STORE),
        .plan = run->plan,
        .context = slice_of("{\"values\":{\"ds\":\"2026-11-21\"},\"params\":{}}"),
        .logical_date = wall_of(world),
    };
    /* Which plan belongs to a key: the store's blob, as it were. */
    if (run->key == 0)
        run->key = event->submit.key;
    event->submit.key = run->key;
}

void master_request(struct world *world, const struct asked *asked)
{
    struct master *master = &world->master;
    /* A full disk refuses what is new by name: it is asked again. */
    if (master->core == NULL || world->restore.reigns || master->paused_until > world->now_ms ||
        master->full_until > world->now_ms || answered_before(world, asked->request))
        return;
    struct event event = event_now(world, asked->kind);
    event.ticket = asked->request;
    event.request = asked->request;
    char name[NAME_BYTES];
    if (asked->kind == EVENT_SUBMIT) {
        ask_submit(world, asked, &event);
    } else if (asked->kind == EVENT_DRAIN || asked->kind == EVENT_LOST_WORKER) {
        (void)snprintf(name, sizeof name, "w%u", world->hosts[asked->run].like);
        event.worker_change.worker = slice_of(name);
        event.worker_change.undo = asked->only;
    } else if (asked->kind == EVENT_CREATE_TOKEN || asked->kind == EVENT_JOIN ||
               asked->kind == EVENT_REMOVE_WORKER) {
        joins_ask(world, asked, &event);
    } else {
        uint64_t key = world->runs[asked->run].key;
        event.change.run = key;
        event.change.task = asked->task;
        event.change.only = asked->only;
        event.change.state = asked->state;
        for (size_t i = 0; i < master->rows.run_count && !core_has_run(master->core, key); i++) {
            if (master->rows.runs[i].key == key)
                load_run(world, &master->rows.runs[i]);
        }
    }
    step(world, &event);
}
