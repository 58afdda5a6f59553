/*
 * Frames from workers: checked, numbered messages taken once and in order, and handed to whom they
 * concern.
 */
#include "common/limits.h"
#include "common/memory.h"
#include "common/probe.h"
#include "master/core/state.h"

#include <stdio.h>

struct slice plain_frame(
    struct core *core, const struct channel *channel, enum message_id number, const void *body)
{
    struct frame_header header = {
        .version = PROTOCOL_VERSION, .epoch = core->epoch, .leader = core->leader};
    buffer_clear(&core->frame);
    if (channel != NULL)
        channel_plain_frame(channel, &header, &core->frame);
    else
        frame_begin(&core->frame, &header);
    message_encode(&core->frame, number, body);
    return buffer_slice(&core->frame);
}

static void refuse(struct core *core, uint64_t peer, int code, const char *text)
{
    struct msg_refused refused = {.code = code, .text = slice_of(text)};
    effects_add_send(core->effects, peer, plain_frame(core, NULL, MESSAGE_refused, &refused), true);
}

void frame_refuse(struct core *core, uint64_t peer, int code, struct audit_row row)
{
    /* Not before the commit: who is denied ends, and what it was denied for may be in this batch.
     */
    struct msg_refused refused = {.code = code, .text = row.text};
    effects_add_send(
        core->effects, peer, plain_frame(core, NULL, MESSAGE_refused, &refused), false);
    audit_refusal(core, row);
}

/* ---- one handler a message; `worker` has an open session ---- */

static struct slice attempt_name(struct core *core, const struct attempt *attempt)
{
    const struct run *run = &core->runs[attempt->run];
    return arena_printf(&core->effects->arena, "%.*s/%u/%.*s@%u",
        SLICE_PRINT(core->dags[run->dag].name), run->number,
        SLICE_PRINT(plan_string(&run->plan, run_plan_task(run, attempt->task)->name)),
        attempt->number);
}

/*
 * Nobody speaks for another: false when the attempt is another worker's, which is refused. Else
 * *ret_attempt is the live one, or NULL. Not `denied`, which would end an agent that was given
 * another one's old data directory for as long as that lies there.
 */
static bool own_attempt(struct core *core, const struct worker *worker, enum message_id number,
    const struct attempt_id *id, struct attempt **ret_attempt)
{
    struct attempt *attempt = attempt_lookup(core, id);
    *ret_attempt = attempt;
    if (attempt == NULL || core->workers[attempt->worker] == worker)
        return true;
    frame_refuse(core, worker->peer, ERR_REFUSED,
        (struct audit_row){
            .who = worker->name,
            .action = slice_of(message_shape(number)->record.name),
            .target = attempt_name(core, attempt),
            .text = slice_of("this attempt is another worker's"),
        });
    return false;
}

static void take_started(struct core *core, struct worker *worker, const void *body)
{
    const struct msg_started *message = body;
    struct attempt *attempt;
    if (own_attempt(core, worker, MESSAGE_started, &message->id, &attempt) && attempt != NULL)
        attempt_started(core, attempt, worker_wall(core, worker, message->at));
}

static void settle(struct core *core, struct worker *worker, const struct attempt_id *id)
{
    struct msg_settled settled = {.id = *id};
    channel_add(&worker->channel, MESSAGE_settled, &settled);
    worker_mark_dirty(core, worker);
}

static bool is_end(uint32_t state)
{
    return state >= ATTEMPT_SUCCESS && state <= ATTEMPT_LOST;
}

static bool are_outputs(struct slice text)
{
    if (text.length == 0)
        return true;
    if (text.length > OUTPUTS_MAX_BYTES)
        return false;
    json_t *outputs = json_loadb(text.ptr, text.length, JSON_ALLOW_NUL, NULL);
    bool object = json_is_object(outputs);
    json_decref(outputs);
    return object;
}

/* A worker's word, made such that rows and names can hold it. */
static struct msg_ended checked(const struct msg_ended *message)
{
    struct msg_ended ended = *message;
    if (ended.reason > UINT8_MAX)
        ended.reason = REASON_WORKER_ERROR;
    if (ended.artifacts.length != HASH_BYTES)
        ended.artifacts = (struct slice){0};
    if (ended.log_bytes > INT64_MAX)
        ended.log_bytes = 0;
    if (ended.state == ATTEMPT_SUCCESS && !are_outputs(ended.outputs)) {
        ended.state = ATTEMPT_FAILED;
        ended.reason = REASON_OUTPUT;
        ended.error = slice_of("its worker sent outputs that are no JSON object of at most 64 KiB");
    }
    return ended;
}

/* What was said by, or of, a task that was given secrets. The message itself lies in the scratch
 * arena, with the rest of its frame. */
static void mask_secrets(struct core *core, const struct attempt *attempt, struct msg_ended *ended)
{
    const struct run *run = &core->runs[attempt->run];
    ended->error = connections_mask(core, &run->plan, attempt->task, ended->error);
    ended->outputs = connections_mask_json(core, &run->plan, attempt->task, ended->outputs);
}

/* Of no attempt that is out: of one that was given up, or told again. The rows know which. */
static void add_late(struct core *core, const struct worker *worker, const struct msg_ended *ended)
{
    effects_add_fact(core->effects, FACT_LATE)->late = (struct late_row){
        .id = ended->id,
        .worker = worker->number,
        .state = ended->state,
        .told_at = core->now_wall,
        .started_at = worker_wall(core, worker, ended->started_at),
        .ended_at = worker_wall(core, worker, ended->ended_at),
        .sure = true,
    };
}

/* A no-op's result lies on no disk, so that there is nothing to settle. */
static void take_ended(struct core *core, struct worker *worker, const void *body)
{
    const struct msg_ended *message = body;
    struct attempt *attempt;
    if (!own_attempt(core, worker, MESSAGE_ended, &message->id, &attempt))
        return;
    bool noop = attempt != NULL && (attempt->flags & ATTEMPT_FLAG_NOOP) != 0;
    struct msg_ended ended = checked(message);
    if (attempt != NULL)
        mask_secrets(core, attempt, &ended);
    if (attempt != NULL && is_end(ended.state) && !MUTANT(RESULT_SWALLOWED))
        attempt_ended(core, attempt, &ended);
    if (attempt == NULL && is_end(ended.state) && ended.started_at != 0)
        add_late(core, worker, &ended);
    if (!noop)
        settle(core, worker, &message->id);
}

static void take_given_back(struct core *core, struct worker *worker, const void *body)
{
    const struct msg_given_back *message = body;
    struct attempt *attempt;
    if (!own_attempt(core, worker, MESSAGE_given_back, &message->id, &attempt) || attempt == NULL ||
        MUTANT(GIVEN_BACK_LOST))
        return;
    /* What it cannot start now it could not start a millisecond later either. */
    if ((attempt->flags & (ATTEMPT_FLAG_ASKED | ATTEMPT_FLAG_KILL)) == 0) {
        worker->resting = true;
        worker_refresh(core, worker);
    }
    attempt_gone(core, attempt, REASON_NOT_STARTED, message->why);
}

static void take_heartbeat(struct core *core, struct worker *worker, const void *body)
{
    worker_heartbeat(core, worker, body);
}

static void take_leave(struct core *core, struct worker *worker, const void *body)
{
    (void)body;
    worker_leave(core, worker);
}

static void take_note(struct core *core, struct worker *worker, const void *body)
{
    const struct msg_note *message = body;
    struct attempt *attempt;
    if (own_attempt(core, worker, MESSAGE_note, &message->id, &attempt))
        note_take(core, worker, attempt, message);
}

static void take_progress(struct core *core, struct worker *worker, const void *body)
{
    const struct msg_progress *message = body;
    struct attempt *attempt;
    if (own_attempt(core, worker, MESSAGE_progress, &message->id, &attempt) && attempt != NULL)
        progress_take(core, attempt, message);
}

typedef void (*take_fn)(struct core *core, struct worker *worker, const void *body);

static take_fn handler_of(uint32_t number)
{
    switch (number) {
    case MESSAGE_heartbeat:
        return take_heartbeat;
    case MESSAGE_started:
        return take_started;
    case MESSAGE_ended:
        return take_ended;
    case MESSAGE_given_back:
        return take_given_back;
    case MESSAGE_leave:
        return take_leave;
    case MESSAGE_note:
        return take_note;
    case MESSAGE_progress:
        return take_progress;
    default:
        return NULL;
    }
}

/* ---- frames ---- */

/* A higher epoch of our cluster than ours: somebody leads after us. Nothing is dispatched any more.
 * Numbers of another cluster say nothing here. */
static void fence(struct core *core, const struct frame_header *header)
{
    char text[240];
    bool other =
        header->epoch == core->epoch && header->leader != 0 && header->leader != core->leader;
    if (core->fenced || (header->epoch <= core->epoch && !other) || MUTANT(FENCE_UNHEARD))
        return;
    (void)snprintf(text, sizeof text,
        "a worker has seen epoch %llu%s, this master leads epoch %llu: another master leads, or an "
        "older store was restored (then: reeve-master --accept-restore); nothing is dispatched",
        (unsigned long long)header->epoch, other ? " of another leader" : "",
        (unsigned long long)core->epoch);
    core->fenced = true;
    core->fenced_text = slice_keep(slice_of(text));
}

static struct worker *session_worker(const struct core *core, const struct frame_header *header)
{
    uint64_t index = 0;
    if (header->session == 0 || !table_get(&core->sessions, header->session, &index))
        return NULL;
    struct worker *worker = core->workers[index];
    return worker->open && worker->channel.session == header->session ? worker : NULL;
}

/* ---- whose key speaks ---- */

/* The name of the frame's first message, for the audit log. */
static struct slice first_message(struct frame_reader reader)
{
    struct message message;
    if (frame_next(&reader, &message, NULL) != 1 || message_shape(message.number) == NULL)
        return slice_of("frame");
    return slice_of(message_shape(message.number)->record.name);
}

/* Over TCP a worker is its key, proven by the handshake, and nothing that a message says makes it
 * another. False: refused, and nothing may be touched. */
static bool may_speak(struct core *core, uint64_t peer, const struct frame_reader *reader,
    const struct worker *worker)
{
    struct slice key = core->actor->key;
    const char *denied = join_frame_denied(core, key);
    if (denied == NULL && key.length > 0 && worker != NULL &&
        !slice_equal(key, key_slice(worker->key)))
        denied = "this session belongs to another worker's key";
    if (denied == NULL)
        return true;
    struct audit_row row = {.action = first_message(*reader), .text = slice_of(denied)};
    if (worker != NULL)
        row.target = worker->name;
    frame_refuse(core, peer, ERR_DENIED, row);
    return false;
}

static bool may_register(struct core *core, uint64_t peer, const struct msg_register *message)
{
    struct slice key = core->actor->key;
    if (key.length == 0 || slice_equal(key, message->worker))
        return true;
    struct audit_row row = {
        .action = slice_of("register"),
        .text = slice_of("this connection's key is not the key it registers"),
    };
    if (access_is_name(message->name))
        row.target = message->name;
    frame_refuse(core, peer, ERR_DENIED, row);
    return false;
}

/* Hands the messages of a frame on. A frame of no open session may only register. */
static int take_messages(struct core *core, uint64_t peer, struct frame_reader *reader,
    struct worker *worker, struct error *error)
{
    struct message message;
    uint64_t number = reader->header.number;
    bool told = false;
    int more;
    while ((more = frame_next(reader, &message, error)) == 1) {
        const struct message_shape *shape = message_shape(message.number);
        if (message.number == MESSAGE_register) {
            if (!may_register(core, peer, message.body))
                continue;
            if (slice_equal(((const struct msg_register *)message.body)->cluster, core->cluster))
                fence(core, &reader->header);
            worker_register(core, peer, &reader->header, message.body);
            continue;
        }
        if (worker == NULL || !worker->open) {
            struct msg_register_again again = {.session = reader->header.session};
            if (!told)
                effects_add_send(core->effects, peer,
                    plain_frame(core, NULL, MESSAGE_register_again, &again), true);
            told = true;
            continue;
        }
        if (shape != NULL && shape->numbered && !channel_accept(&worker->channel, number++))
            continue;
        take_fn take = message.body != NULL ? handler_of(message.number) : NULL;
        if (take != NULL)
            take(core, worker, message.body);
    }
    return more;
}

void frame_take(struct core *core, uint64_t peer, struct slice bytes)
{
    struct error error = {0};
    struct frame_reader reader;
    arena_reset(&core->scratch);
    int code = frame_open(bytes, &core->scratch, &reader, &error);
    if (code != 0) {
        refuse(core, peer, code, error.text);
        return;
    }
    struct worker *worker = session_worker(core, &reader.header);
    if (!may_speak(core, peer, &reader, worker))
        return;
    if (worker != NULL) {
        fence(core, &reader.header);
        bool took = worker_takes_work(core, worker);
        if (channel_acked(&worker->channel, reader.header.ack, &error) != 0) {
            refuse(core, peer, error.code, error.text);
            return;
        }
        worker->peer = peer;
        worker->frame_ack = reader.header.ack;
        worker_traffic(core, worker);
        if (!took && worker_takes_work(core, worker))
            worker_refresh(core, worker);
    }
    if (take_messages(core, peer, &reader, worker, &error) < 0)
        refuse(core, peer, error.code, error.text);
    /* One that takes nothing of what it is owed begins anew. */
    if (worker != NULL && channel_unacked_bytes(&worker->channel) > CHANNEL_UNACKED_MAX_BYTES)
        worker_close(core, worker);
}
