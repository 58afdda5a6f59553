#include "tests/unit/core_world.h"

#include "common/memory.h"
#include "proto/roles.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { START_MS = 1000000, STEP_MS = 100, BEAT_MS = 1000 };

/* ---- batches ---- */

static struct fake *fake_of(struct core_world *world, uint64_t peer)
{
    for (uint32_t i = 0; i < world->fake_count; i++) {
        if (world->fakes[i].peer == peer)
            return &world->fakes[i];
    }
    return NULL;
}

static void put(struct fake *fake, const struct message *message)
{
    if (message->number == MESSAGE_registered) {
        fake->registered = message->body;
    } else if (message->number == MESSAGE_register_again) {
        fake->again++;
    } else if (message->number == MESSAGE_refused) {
        fake->refused++;
        fake->refused_text = ((const struct msg_refused *)message->body)->text;
    } else if (message->number == MESSAGE_heartbeat_ack) {
        fake->acked_stamp = ((const struct msg_heartbeat_ack *)message->body)->stamp;
    }
    vector_reserve(&fake->inbox, fake->inbox_count, &fake->inbox_capacity);
    fake->inbox[fake->inbox_count++] = *message;
}

/* Nothing that rests on a fact may leave before the commit. */
static void check_at_once(const struct send_effect *send, uint32_t number)
{
    bool harmless = number == MESSAGE_heartbeat_ack || number == MESSAGE_register_again ||
                    number == MESSAGE_refused;
    if (send->at_once)
        assert_true(harmless);
    if (number == MESSAGE_heartbeat_ack)
        assert_true(send->at_once);
}

/* An assignment goes out only once its row is there. */
static void check_assign(const struct core_world *world, const struct msg_assign *assign)
{
    const struct attempt_row *row =
        world_attempt(world, assign->id.run, assign->id.task, assign->id.attempt);
    assert_non_null(row);
    assert_int_equal(row->epoch, world->epoch);
}

static void deliver(struct core_world *world, const struct send_effect *send)
{
    struct fake *fake = fake_of(world, send->peer);
    struct frame_reader reader;
    struct message message;
    struct slice copy = arena_copy(&world->arena, send->frame);
    assert_int_equal(frame_open(copy, &world->arena, &reader, NULL), 0);
    assert_int_equal(reader.header.epoch, world->epoch);
    uint64_t number = reader.header.number;
    if (fake != NULL && reader.header.session == fake->session)
        assert_int_equal(channel_acked(&fake->channel, reader.header.ack, NULL), 0);
    while (frame_next(&reader, &message, NULL) == 1) {
        bool numbered = message_shape(message.number)->numbered;
        check_at_once(send, message.number);
        if (message.number == MESSAGE_assign)
            check_assign(world, message.body);
        if (fake == NULL || (numbered && (reader.header.session != fake->session ||
                                             !channel_accept(&fake->channel, number++))))
            continue;
        put(fake, &message);
    }
}

static void take_answer(struct core_world *world, struct slice message)
{
    struct buffer bytes = {0};
    struct frame_header header = {.version = PROTOCOL_VERSION};
    struct frame_reader reader;
    frame_begin(&bytes, &header);
    buffer_append_slice(&bytes, message);
    struct slice copy = arena_copy(&world->arena, buffer_slice(&bytes));
    assert_int_equal(frame_open(copy, &world->arena, &reader, NULL), 0);
    assert_int_equal(frame_next(&reader, &world->answer, NULL), 1);
    buffer_fini(&bytes);
}

/* The end of a batch: its facts are committed, then its messages go out. */
static void flush(struct core_world *world)
{
    struct event event = {
        .kind = EVENT_FLUSH, .now_ms = world->now_ms, .now_wall = world->now_wall};
    core_step(world->core, &event, world->batch);
    struct effects *batch = world->batch;
    for (size_t i = 0; i < batch->fact_count; i++)
        rows_apply(&world->rows, &batch->facts[i]);
    for (size_t i = 0; i < batch->send_count; i++)
        deliver(world, &batch->sends[i]);
    for (size_t i = 0; i < batch->answer_count; i++)
        take_answer(world, batch->answers[i].message);
    world->fact_count = batch->fact_count;
    world->facts = arena_alloc(&world->arena, (batch->fact_count + 1) * sizeof *world->facts);
    for (size_t i = 0; i < batch->fact_count; i++)
        world->facts[i] = batch->facts[i];
    world->access_count = batch->access_count;
    world->accesses =
        arena_alloc(&world->arena, (batch->access_count + 1) * sizeof *world->accesses);
    for (size_t i = 0; i < batch->access_count; i++) {
        world->accesses[i] = batch->accesses[i];
        world->accesses[i].name = arena_copy(&world->arena, batch->accesses[i].name);
    }
    world->last_change = (struct change_effect){0};
    if (batch->change_count > 0) {
        world->last_change = batch->changes[batch->change_count - 1];
        world->last_change.progress = arena_copy(&world->arena, world->last_change.progress);
        world->last_change.error = arena_copy(&world->arena, world->last_change.error);
    }
    effects_reset(batch);
}

static void step(struct core_world *world, struct event event)
{
    event.now_ms = world->now_ms;
    event.now_wall = world->now_wall;
    core_step(world->core, &event, world->batch);
}

void world_event(struct core_world *world, struct event event)
{
    step(world, event);
    flush(world);
}

void world_pass(struct core_world *world, uint64_t ms)
{
    uint64_t end_ms = world->now_ms + ms;
    while (world->now_ms < end_ms) {
        uint64_t left = end_ms - world->now_ms;
        uint64_t pass = left < STEP_MS ? left : STEP_MS;
        world->now_ms += pass;
        world->now_wall += (int64_t)pass;
        for (uint32_t i = 0; i < world->fake_count; i++) {
            if (world->fakes[i].beats && world->fakes[i].next_beat_ms <= world->now_ms)
                fake_beat(world, &world->fakes[i]);
        }
        world_event(world, (struct event){.kind = EVENT_TIMER});
    }
}

uint32_t world_drain(struct core_world *world)
{
    uint32_t steps = 0;
    for (; core_has_work(world->core); steps++)
        world_event(world, (struct event){.kind = EVENT_TIMER});
    return steps;
}

/* ---- lives ---- */

static void start(struct core_world *world)
{
    struct core_config config = {
        .epoch = ++world->epoch,
        .leader = 7000 + world->epoch,
        .cluster = slice_of("the-cluster"),
        .now_ms = world->now_ms,
        .last_audit = rows_last_audit(&world->rows),
    };
    if (world->restored) {
        config.restoring = true;
        config.restored_order = UINT64_MAX;
        config.attempts_from = 1000;
    }
    for (size_t i = 0; i < world->rows.run_count; i++) {
        if (world->rows.runs[i].order > config.last_order)
            config.last_order = world->rows.runs[i].order;
    }
    world->core = core_create(&config);
    world->batch = effects_create();
}

struct core_world *world_create(void)
{
    struct core_world *world = xcalloc(1, sizeof *world);
    world->now_ms = START_MS;
    world->now_wall = 1780000000000;
    world->next_session = 1;
    world->next_request = 1;
    world->context = "{\"values\":{\"ds\":\"2026-11-21\"},\"params\":{}}";
    start(world);
    world_event(world, (struct event){.kind = EVENT_LOADED});
    return world;
}

void world_destroy(struct core_world *world)
{
    core_check(world->core);
    core_destroy(world->core);
    effects_destroy(world->batch);
    rows_fini(&world->rows);
    for (uint32_t i = 0; i < world->run_count; i++)
        buffer_fini(&world->plans[i]);
    for (uint32_t i = 0; i < world->fake_count; i++) {
        channel_fini(&world->fakes[i].channel);
        free(world->fakes[i].inbox);
    }
    arena_fini(&world->arena);
    free(world);
}

static const struct plan *plan_of(const struct core_world *world, uint64_t run)
{
    for (uint32_t i = 0; i < world->run_count; i++) {
        if (world->keys[i] == run)
            return &world->views[i];
    }
    fail_msg("no such run");
    return NULL;
}

static void load_run(struct core_world *world, const struct run_row *row)
{
    struct rows *rows = &world->rows;
    struct event event = {.kind = EVENT_LOAD_RUN, .load = {.run = *row}};
    struct span_row *spans = xcalloc(rows->span_count + 1, sizeof *spans);
    struct attempt_row *attempts = xcalloc(rows->attempt_count + 1, sizeof *attempts);
    event.load.plan = *plan_of(world, row->key);
    for (size_t i = 0; i < rows->span_count; i++) {
        if (rows->spans[i].run == row->key)
            spans[event.load.span_count++] = rows->spans[i];
    }
    for (size_t i = 0; i < rows->attempt_count; i++) {
        if (rows->attempts[i].id.run == row->key)
            attempts[event.load.attempt_count++] = rows->attempts[i];
    }
    struct note_row *notes = xcalloc(rows->note_count + 1, sizeof *notes);
    for (size_t i = 0; i < rows->note_count; i++) {
        if (rows->notes[i].id.run == row->key)
            notes[event.load.note_count++] = rows->notes[i];
    }
    event.load.notes = notes;
    event.load.spans = spans;
    event.load.attempts = attempts;
    step(world, event);
    free(spans);
    free(attempts);
    free(notes);
}

static void load(struct core_world *world)
{
    struct rows *rows = &world->rows;
    for (size_t i = 0; i < rows->dag_count; i++)
        step(world, (struct event){.kind = EVENT_LOAD_DAG, .dag = rows->dags[i]});
    for (size_t i = 0; i < rows->worker_count; i++)
        step(world, (struct event){.kind = EVENT_LOAD_WORKER, .worker = rows->workers[i]});
    for (size_t i = 0; i < rows->token_count; i++)
        step(world, (struct event){.kind = EVENT_LOAD_TOKEN, .token = rows->tokens[i]});
    for (size_t i = 0; i < rows->peer_count; i++)
        step(world, (struct event){.kind = EVENT_LOAD_PEER, .peer = rows->peers[i]});
    for (size_t i = 0; i < rows->session_count; i++)
        step(world, (struct event){.kind = EVENT_LOAD_SESSION, .session = rows->sessions[i]});
    for (size_t i = 0; i < rows->run_count; i++) {
        if (rows->runs[i].state == RUN_QUEUED || rows->runs[i].state == RUN_RUNNING)
            load_run(world, &rows->runs[i]);
    }
    assert_true(effects_is_empty(world->batch));
}

void world_restart(struct core_world *world)
{
    core_check(world->core);
    core_destroy(world->core);
    effects_destroy(world->batch);
    start(world);
    load(world);
    world_event(world, (struct event){.kind = EVENT_LOADED});
    (void)world_drain(world);
}

/* ---- clients ---- */

void world_ask(struct core_world *world, struct event event)
{
    world->answer = (struct message){0};
    if (event.request == 0)
        event.request = world->next_request++;
    event.ticket = event.request;
    world_event(world, event);
    (void)world_drain(world);
    assert_int_not_equal(world->answer.number, MESSAGE_NONE);
}

uint64_t world_submit(struct core_world *world, const char *yaml)
{
    uint32_t at = world->run_count++;
    struct diagnostics diagnostics = {0};
    assert_true(at < WORLD_RUNS_MAX);
    if (dag_compile(slice_of(yaml), "test.yaml", &world->plans[at], &diagnostics) != 0)
        fail_msg("%s", diagnostics.items[0].message);
    diagnostics_fini(&diagnostics);
    assert_int_equal(plan_open(buffer_slice(&world->plans[at]), &world->views[at], NULL), 0);
    world->keys[at] = 0x100 + at;
    world_ask(world, (struct event){.kind = EVENT_SUBMIT,
                         .submit = {
                             .key = world->keys[at],
                             .plan = world->views[at],
                             .context = slice_of(world->context),
                             .logical_date = world->now_wall,
                         }});
    return world->keys[at];
}

void world_cancel(struct core_world *world, uint64_t run, uint32_t task)
{
    world_ask(world, (struct event){.kind = EVENT_CANCEL, .change = {.run = run, .task = task}});
}

void world_retry(struct core_world *world, uint64_t run, uint32_t task, bool only)
{
    world_ask(world,
        (struct event){.kind = EVENT_RETRY, .change = {.run = run, .task = task, .only = only}});
}

void world_mark(struct core_world *world, uint64_t run, uint32_t task, uint32_t state)
{
    world_ask(world,
        (struct event){.kind = EVENT_MARK, .change = {.run = run, .task = task, .state = state}});
}

const char *world_drain_worker(struct core_world *world, const char *worker, bool undo)
{
    struct event event = {.kind = EVENT_DRAIN};
    event.worker_change.worker = slice_of(worker);
    event.worker_change.undo = undo;
    world_ask(world, event);
    struct slice text = world->answer.number == MESSAGE_done
                            ? ((const struct msg_done *)world->answer.body)->text
                            : ((const struct msg_refused *)world->answer.body)->text;
    return arena_printf(&world->arena, "%.*s", SLICE_PRINT(text)).ptr;
}

bool world_was_refused(const struct core_world *world)
{
    return world->answer.number == MESSAGE_refused;
}

const char *world_answer_text(const struct core_world *world)
{
    struct slice text = {"", 0};
    if (world->answer.number == MESSAGE_refused)
        text = ((const struct msg_refused *)world->answer.body)->text;
    else if (world->answer.number == MESSAGE_done)
        text = ((const struct msg_done *)world->answer.body)->text;
    return text.length > 0 ? text.ptr : "";
}

const struct audit_row *world_last_audit(const struct core_world *world)
{
    return world->rows.audit_count > 0 ? &world->rows.audits[world->rows.audit_count - 1] : NULL;
}

/* ---- what is seen ---- */

uint32_t world_task_state(const struct core_world *world, uint64_t run, uint32_t task)
{
    struct task_view view;
    assert_true(core_view_task(world->core, run, task, &view));
    return view.state;
}

uint32_t world_run_state(const struct core_world *world, uint64_t run)
{
    struct run_view view;
    assert_true(core_view_run(world->core, run, &view));
    return view.state;
}

const struct attempt_row *world_attempt(
    const struct core_world *world, uint64_t run, uint32_t task, uint32_t attempt)
{
    for (size_t i = 0; i < world->rows.attempt_count; i++) {
        const struct attempt_row *row = &world->rows.attempts[i];
        if (row->id.run == run && row->id.task == task && row->id.attempt == attempt)
            return row;
    }
    return NULL;
}

/* ---- workers ---- */

struct fake *fake_add(struct core_world *world, uint32_t slots)
{
    uint32_t index = world->fake_count++;
    assert_true(index < FAKES_MAX);
    struct fake *fake = &world->fakes[index];
    *fake = (struct fake){.peer = 50 + index,
        .instance = 900 + index,
        .slots = slots,
        .queue = "default",
        .cluster = "the-cluster",
        .beats = true};
    fake->key[0] = (unsigned char)(index + 1);
    fake->boot[0] = (unsigned char)(index + 1);
    fake->name[0] = 'w';
    fake->name[1] = (char)('1' + index);
    channel_init(&fake->channel);
    return fake;
}

void fake_send(struct core_world *world, const struct fake *fake, struct slice bytes)
{
    struct event event = {.kind = EVENT_FRAME, .frame = {.peer = fake->peer, .bytes = bytes}};
    if (fake->proven != NULL)
        event.actor = (struct actor){.role = ROLE_WORKER,
            .key = slice_make(fake->proven, WORKER_KEY_BYTES),
            .address = slice_of("10.0.0.9")};
    world_event(world, event);
}

static void send_plain(
    struct core_world *world, struct fake *fake, enum message_id number, const void *body)
{
    struct buffer frame = {0};
    uint64_t epoch = fake->says_epoch != 0 ? fake->says_epoch : world->epoch;
    struct frame_header header = {.version = PROTOCOL_VERSION, .epoch = epoch};
    channel_plain_frame(&fake->channel, &header, &frame);
    message_encode(&frame, number, body);
    fake_send(world, fake, buffer_slice(&frame));
    buffer_fini(&frame);
}

static struct texts listed(const char *const words[4], struct slice texts[4])
{
    uint32_t count = 0;
    for (; count < 4 && words[count] != NULL; count++)
        texts[count] = slice_of(words[count]);
    return (struct texts){texts, count};
}

void fake_send_register(struct core_world *world, struct fake *fake, uint64_t now,
    const struct held_attempt *held, uint32_t count)
{
    struct slice queue = slice_of(fake->queue), labels[4], users[4];
    struct msg_register message = {
        .worker = slice_make(fake->key, sizeof fake->key),
        .name = slice_of(fake->name),
        .host = slice_of("host"),
        .software = slice_of("test"),
        .boot = slice_make(fake->boot, sizeof fake->boot),
        .instance = fake->instance,
        .dead_instance = fake->dead_instance,
        .slots = fake->slots,
        .queues = {&queue, 1},
        .now = now,
        .cluster = slice_of(fake->cluster),
        .memory_limit_by = slice_of("cgroup"),
        .cpu_limit_by = slice_of("affinity"),
    };
    message.labels = listed(fake->labels, labels);
    message.users = listed(fake->users, users);
    message.operators.items = fake->operators;
    while (message.operators.count < 2 && fake->operators[message.operators.count].name.length > 0)
        message.operators.count++;
    message.attempts.items = (struct held_attempt *)(uintptr_t)held;
    message.attempts.count = count;
    send_plain(world, fake, MESSAGE_register, &message);
}

void fake_register(
    struct core_world *world, struct fake *fake, const struct held_attempt *held, uint32_t count)
{
    world->now_ms++;
    fake->session = 0x5e550000 + world->next_session++;
    fake->registered = NULL;
    channel_open(&fake->channel, fake->session);
    fake_send_register(world, fake, world->now_ms, held, count);
    fake->next_beat_ms = world->now_ms + BEAT_MS;
}

void fake_beat(struct core_world *world, struct fake *fake)
{
    struct msg_heartbeat heartbeat = {
        .stamp = world->now_ms, .full = fake->full, .leaving = fake->leaving};
    fake->next_beat_ms = world->now_ms + BEAT_MS;
    send_plain(world, fake, MESSAGE_heartbeat, &heartbeat);
}

void fake_say(struct core_world *world, struct fake *fake, enum message_id number, const void *body)
{
    struct buffer frame = {0};
    struct frame_header header = {.version = PROTOCOL_VERSION, .epoch = world->epoch};
    channel_add(&fake->channel, number, body);
    while (channel_frame(&fake->channel, &header, world->now_ms, &frame)) {
        fake_send(world, fake, buffer_slice(&frame));
        buffer_clear(&frame);
    }
    buffer_fini(&frame);
}

void fake_empty(struct fake *fake)
{
    fake->inbox_count = 0;
}

uint32_t fake_count(const struct fake *fake, uint32_t number)
{
    uint32_t count = 0;
    for (size_t i = 0; i < fake->inbox_count; i++)
        count += fake->inbox[i].number == number;
    return count;
}

const void *fake_told(const struct fake *fake, uint32_t number, uint32_t index)
{
    for (size_t i = 0; i < fake->inbox_count; i++) {
        if (fake->inbox[i].number == number && index-- == 0)
            return fake->inbox[i].body;
    }
    return NULL;
}

const struct msg_assign *fake_assign(const struct fake *fake, uint32_t task)
{
    const struct msg_assign *found = NULL;
    for (size_t i = 0; i < fake->inbox_count; i++) {
        const struct msg_assign *assign = fake->inbox[i].body;
        if (fake->inbox[i].number == MESSAGE_assign && assign->id.task == task)
            found = assign;
    }
    return found;
}

void fake_started(struct core_world *world, struct fake *fake, struct attempt_id id)
{
    struct msg_started message = {.id = id, .at = world->now_ms, .pid = 4711};
    fake_say(world, fake, MESSAGE_started, &message);
}

void fake_ended(struct core_world *world, struct fake *fake, struct attempt_id id, uint32_t state)
{
    struct msg_ended message = {
        .id = id,
        .state = state,
        .reason = state == ATTEMPT_FAILED ? REASON_EXIT_CODE : REASON_NONE,
        .exit_code = state == ATTEMPT_FAILED,
        .started_at = world->now_ms,
        .ended_at = world->now_ms,
    };
    fake_say(world, fake, MESSAGE_ended, &message);
}

void fake_given_back(struct core_world *world, struct fake *fake, struct attempt_id id)
{
    struct msg_given_back message = {.id = id, .why = slice_of("asked")};
    fake_say(world, fake, MESSAGE_given_back, &message);
}

/* ---- what tests begin with ---- */

struct attempt_id attempt_named(uint64_t run, uint32_t task, uint32_t attempt)
{
    return (struct attempt_id){.run = run, .task = task, .attempt = attempt};
}

struct held_attempt fake_holds(const struct fake *fake, struct attempt_id id, uint32_t holding)
{
    return (struct held_attempt){.id = id, .holding = holding, .instance = fake->instance};
}

struct fake *fake_up(struct core_world *world, uint32_t slots)
{
    struct fake *fake = fake_add(world, slots);
    fake_register(world, fake, NULL, 0);
    assert_non_null(fake->registered);
    return fake;
}

struct fake *world_run_one(struct core_world *world, const char *yaml, uint64_t *ret_run)
{
    struct fake *fake = fake_up(world, 1);
    *ret_run = world_submit(world, yaml);
    fake_started(world, fake, attempt_named(*ret_run, 0, 1));
    assert_int_equal(world_task_state(world, *ret_run, 0), TASK_RUNNING);
    return fake;
}
