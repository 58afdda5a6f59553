/*
 * The agent's sessions with masters, its heartbeats, and which leadership it follows.
 */
#include "common/limits.h"
#include "common/memory.h"
#include "common/probe.h"
#include "worker/core/state.h"

#include <stdlib.h>

enum {
    REGISTER_EVERY_MS = 1000,
    /* A master of another protocol version is asked again so rarely: it may have been replaced. */
    VERSION_EVERY_MS = 60000,
    /* `stop --now` waits so long for the master to take the last results; they lie on disk anyway.
     * So long, too, the last word of an agent that leaves is waited for to arrive. */
    STOP_WAIT_MS = 5000,
    EXIT_STOPPED = 0,
    /* So long an end waits for others to be told with it, while nothing idles. */
    GATHER_MS = 5,
};

static struct frame_header header_of(const struct agent *agent)
{
    return (struct frame_header){.version = PROTOCOL_VERSION,
        .epoch = agent->epoch,
        .leader = agent->leader,
        .session = agent->session};
}

static void send_frame(struct agent *agent)
{
    struct slice copy = arena_copy(&agent->effects->arena, buffer_slice(&agent->frame));
    add_effect(agent, AGENT_SEND)->frame = copy;
}

void send_plain(struct agent *agent, enum message_id number, const void *body)
{
    struct frame_header header = header_of(agent);
    buffer_clear(&agent->frame);
    channel_plain_frame(&agent->channel, &header, &agent->frame);
    message_encode(&agent->frame, number, body);
    send_frame(agent);
}

/* ---- opening a session ---- */

/* From now on messages of every other session are dropped; what is held is listed once the runner
 * has answered. */
void session_begin(struct agent *agent)
{
    agent->session = agent->random;
    agent->nonce = agent->random;
    agent->phase = SESSION_LISTING;
    agent->acked_stamp = 0;
    agent->leave_said = false;
    agent->gather_ms = 0;
    channel_open(&agent->channel, agent->session);
    struct msg_runner_list list = {.nonce = agent->nonce, .slots = agent->slots};
    tell_runner(agent, MESSAGE_runner_list, &list, sizeof list);
    if (MUTANT(LISTED_UNASKED))
        session_runner_listed(agent);
}

static enum holding holding_of(const struct held *held)
{
    if (held_is_waiting(held) || held->state == HELD_QUEUED)
        return HOLDING_IN_HAND;
    return held->state == HELD_ENDED ? HOLDING_ENDED : HOLDING_RUNNING;
}

/* The last one first: when a master has it for the live one, all else would be refused. */
static uint64_t last_dead(const struct agent *agent)
{
    return agent->dead_count > 0 ? agent->dead[agent->dead_count - 1] : 0;
}

static void send_register(struct agent *agent)
{
    uint32_t count = 0;
    struct held_attempt *list =
        arena_alloc(&agent->effects->arena, (agent->held.count + 1) * sizeof *list);
    for (const struct held *held = agent->first; held != NULL; held = held->next)
        list[count++] = (struct held_attempt){
            .id = held->id, .holding = holding_of(held), .instance = held->instance};
    struct msg_register message = {
        .worker = slice_make(agent->key, sizeof agent->key),
        .name = agent->name,
        .host = agent->host,
        .software = agent->software,
        .boot = slice_make(agent->boot, sizeof agent->boot),
        .instance = agent->instance,
        .dead_instance = last_dead(agent),
        .slots = agent->slots,
        .queues = agent->queues,
        .now = agent->register_stamp,
        .attempts = {list, count},
        .cluster = agent->cluster,
        .labels = agent->labels,
        .users = agent->users,
        .memory_limit_by = agent->memory_limit_by,
        .cpu_limit_by = agent->cpu_limit_by,
    };
    if (agent->runner_knows_operators) {
        message.operators.items = agent->operators;
        message.operators.count = agent->operator_count;
    }
    send_plain(agent, MESSAGE_register, &message);
    agent->next_beat_ms = agent->now_ms + REGISTER_EVERY_MS;
}

/* The list is made anew at each repetition: it may only have become shorter of what never started.
 */
void session_runner_listed(struct agent *agent)
{
    if (agent->phase != SESSION_LISTING)
        return;
    held_drop_unlisted(agent);
    agent->phase = SESSION_REGISTERING;
    agent->register_stamp = agent->now_ms;
    send_register(agent);
}

/* The master names what goes on; the rest is ended, or dropped when it never started. */
static void end_unnamed(struct agent *agent, const struct msg_registered *message)
{
    struct table named = {0};
    for (uint32_t i = 0; i < message->keep.count; i++) {
        const struct held *held = held_find(agent, &message->keep.items[i]);
        if (held != NULL)
            table_set(&named, (uint64_t)(uintptr_t)held, 1);
    }
    for (struct held *held = agent->first, *next = NULL; held != NULL; held = next) {
        next = held->next;
        bool kept = table_get(&named, (uint64_t)(uintptr_t)held, NULL);
        if (held->state == HELD_ENDED)
            held_tell_end(agent, held);
        else if (!kept && held_is_waiting(held))
            held_discard(agent, held);
        else if (!kept && held_has_process(held) && !MUTANT(UNNAMED_SPARED))
            held_kill(agent, held, REASON_WORKER_LOST);
        else
            say_again(agent, held);
    }
    table_fini(&named);
}

static void remember_leader(struct agent *agent)
{
    if (MUTANT(EPOCH_FORGOTTEN))
        return;
    struct slice cluster = arena_copy(&agent->effects->arena, agent->cluster);
    struct agent_effect *effect = add_effect(agent, AGENT_LEADER);
    effect->leader.epoch = agent->epoch;
    effect->leader.leader = agent->leader;
    effect->leader.cluster = cluster;
}

static void renew(struct agent *agent, uint64_t stamp)
{
    if (stamp <= agent->acked_stamp)
        return;
    if (MUTANT(ACK_TIME_TAKEN))
        stamp = agent->now_ms;
    agent->acked_stamp = stamp;
    struct msg_runner_renew renewed = {.stamp = stamp};
    tell_runner(agent, MESSAGE_runner_renew, &renewed, sizeof renewed);
}

static void take_registered(struct agent *agent, const struct msg_registered *message)
{
    if (agent->phase != SESSION_REGISTERING)
        return;
    if (agent->cluster.length > 0 && !slice_equal(agent->cluster, message->cluster)) {
        struct agent_effect *effect = add_effect(agent, AGENT_EXIT);
        effect->exit.status = 7;
        effect->exit.text = arena_printf(&agent->effects->arena,
            "this worker belongs to cluster %.*s, the master that answered leads cluster %.*s: "
            "give it a data directory of its own",
            SLICE_PRINT(agent->cluster), SLICE_PRINT(message->cluster));
        return;
    }
    agent->phase = SESSION_OPEN;
    agent->noted = 0;
    if (agent->cluster.length == 0) {
        slice_free(&agent->cluster);
        agent->cluster = slice_keep(message->cluster);
        remember_leader(agent);
    }
    struct agent_effect *effect = add_effect(agent, AGENT_REGISTERED);
    effect->registered.bundles = message->bundles;
    effect->registered.dead = last_dead(agent);
    if (agent->dead_count > 0)
        agent->dead_count--;
    /* A renewal lets the runner go on with what waits there. */
    if (MUTANT(RENEWED_FIRST))
        renew(agent, agent->register_stamp);
    end_unnamed(agent, message);
    renew(agent, agent->register_stamp);
    /* What is left of the dead is told by another registration. That one has a later stamp: it must
     * count for what was assigned upon this one. */
    agent->next_beat_ms = agent->now_ms + (agent->dead_count > 0 ? 1 : 0);
}

/* A key that is not admitted any more will not be again: asking on would only fill logs. */
static void exit_denied(struct agent *agent, struct slice why)
{
    struct agent_effect *effect = add_effect(agent, AGENT_EXIT);
    effect->exit.status = error_exit_status(ERR_DENIED);
    struct slice rest = {0};
    if (agent_running(agent) > 0)
        rest = arena_printf(
            &agent->effects->arena, "; %u tasks go on until their lease", agent_running(agent));
    effect->exit.text = arena_printf(&agent->effects->arena,
        "the master does not admit this worker: %.*s%.*s", SLICE_PRINT(why), SLICE_PRINT(rest));
}

static void other_version(struct agent *agent)
{
    agent->mute_until_ms = agent->now_ms + VERSION_EVERY_MS;
}

static void take_refused(struct agent *agent, const struct msg_refused *message)
{
    if (message->code == ERR_DENIED) {
        exit_denied(agent, message->text);
        return;
    }
    if (message->code == ERR_VERSION)
        other_version(agent);
    note(agent, "the master refused: %.*s", SLICE_PRINT(message->text));
}

/* ---- leadership ---- */

/* False for a master that does not lead: it is not listened to. */
static bool check_leader(struct agent *agent, const struct frame_header *header)
{
    if (header->epoch == agent->epoch && header->leader == agent->leader)
        return true;
    if (header->epoch > agent->epoch || MUTANT(EPOCH_UNCHECKED)) {
        agent->epoch = header->epoch;
        agent->leader = header->leader;
        remember_leader(agent);
        /* The numbers of the open session were the former master's. */
        if (agent->phase == SESSION_OPEN)
            session_begin(agent);
        return true;
    }
    note(agent,
        "a master of epoch %llu (leader %016llx) was refused: this worker follows epoch %llu "
        "(leader %016llx)",
        (unsigned long long)header->epoch, (unsigned long long)header->leader,
        (unsigned long long)agent->epoch, (unsigned long long)agent->leader);
    return false;
}

/* ---- frames ---- */

static void take_in_session(struct agent *agent, const struct message *message)
{
    switch (message->number) {
    case MESSAGE_heartbeat_ack:
        renew(agent, ((const struct msg_heartbeat_ack *)message->body)->stamp);
        break;
    case MESSAGE_assign:
        take_assign(agent, message->body);
        break;
    case MESSAGE_kill:
        take_kill(agent, message->body);
        break;
    case MESSAGE_take_back:
        take_take_back(agent, message->body);
        break;
    case MESSAGE_settled:
        take_settled(agent, message->body);
        break;
    case MESSAGE_noted:
        take_noted(agent, message->body);
        break;
    default:
        break;
    }
}

static void take_message(struct agent *agent, const struct frame_header *header,
    const struct message *message, uint64_t *number)
{
    const struct message_shape *shape = message_shape(message->number);
    if (message->body == NULL)
        return;
    if (message->number == MESSAGE_register_again) {
        const struct msg_register_again *again = message->body;
        if (again->session != agent->session || agent->phase < SESSION_REGISTERING)
            return;
        /* The master closed it at our last word. */
        if (agent->leave_said)
            agent->leave_by_ms = agent->now_ms;
        else
            session_begin(agent);
        return;
    }
    if (header->session != agent->session && !MUTANT(SESSION_IGNORED))
        return;
    if (message->number == MESSAGE_registered)
        take_registered(agent, message->body);
    else if (agent->phase == SESSION_OPEN &&
             (!shape->numbered || channel_accept(&agent->channel, (*number)++) ||
                 MUTANT(TAKEN_TWICE)))
        take_in_session(agent, message);
}

/* A refusal is read, and not taken for leadership: it may be another cluster's master that refuses.
 */
static bool is_refusal(struct agent *agent, struct frame_reader reader)
{
    struct message message;
    if (frame_next(&reader, &message, NULL) != 1 || message.number != MESSAGE_refused)
        return false;
    take_refused(agent, message.body);
    return true;
}

/* A master that does not lead is not obeyed; but one that does not know the session is told by a
 * registration what was seen, and of which cluster, so that it stops or refuses by name. */
static void answer_stranger(struct agent *agent, struct frame_reader reader)
{
    struct message message;
    if (agent->phase != SESSION_OPEN || frame_next(&reader, &message, NULL) != 1 ||
        message.number != MESSAGE_register_again)
        return;
    const struct msg_register_again *again = message.body;
    if (again->session == agent->session)
        session_begin(agent);
}

void session_frame(struct agent *agent, struct slice bytes)
{
    struct error error = {0};
    struct frame_reader reader;
    struct message message;
    struct slice copy = arena_copy(&agent->effects->arena, bytes);
    int more = frame_open(copy, &agent->effects->arena, &reader, &error);
    if (more == 0 && is_refusal(agent, reader))
        return;
    if (more == 0 && !check_leader(agent, &reader.header)) {
        answer_stranger(agent, reader);
        return;
    }
    if (more == 0 && agent->phase == SESSION_OPEN && reader.header.session == agent->session &&
        channel_acked(&agent->channel, reader.header.ack, &error) != 0) {
        /* It has heard what was never said here: this machine was brought back as it once was, and
         * what each knows of the other's messages is worth nothing. */
        note(agent, "the master has heard more of this session than was said: it is begun anew");
        session_begin(agent);
        return;
    }
    if (more == ERR_VERSION)
        other_version(agent);
    if (more < 0) {
        note(agent, "a frame from the master was refused: %s", error.text);
        return;
    }
    uint64_t number = reader.header.number;
    while ((more = frame_next(&reader, &message, &error)) == 1)
        take_message(agent, &reader.header, &message, &number);
    if (more < 0)
        note(agent, "a frame from the master was refused: %s", error.text);
}

static void send_frames(struct agent *agent)
{
    struct frame_header header = header_of(agent);
    if (agent->phase != SESSION_OPEN)
        return;
    buffer_clear(&agent->frame);
    while (channel_frame(&agent->channel, &header, agent->now_ms, &agent->frame)) {
        send_frame(agent);
        buffer_clear(&agent->frame);
    }
}

/*
 * While tasks wait in the runner for a slot, nothing idles that an answer could fill: what ended is
 * told together with what ends next, and a burst of short tasks costs one message for several.
 */
void session_flush(struct agent *agent)
{
    bool busy = agent_running(agent) > agent->slots && !agent->stopping && !agent->leaving;
    if (agent->phase == SESSION_OPEN && busy && channel_has_unsent(&agent->channel)) {
        if (agent->gather_ms == 0)
            agent->gather_ms = agent->now_ms + GATHER_MS;
        if (agent->now_ms < agent->gather_ms)
            return;
    }
    agent->gather_ms = 0;
    send_frames(agent);
}

/* ---- time ---- */

static void beat(struct agent *agent)
{
    struct msg_heartbeat heartbeat = {
        .stamp = agent->now_ms,
        .running = agent->counts[HELD_RUNNING],
        .in_hand = agent->counts[HELD_PREPARING] + agent->counts[HELD_PREPARED] +
                   agent->counts[HELD_QUEUED],
        .full = agent->full,
        .leaving = agent->stopping || agent->leaving,
        .cpus = agent->load.cpus,
        .cpu_permille = agent->load.cpu_permille,
        .memory_bytes = agent->load.memory_bytes,
        .memory_used = agent->load.memory_used,
        .disk_bytes = agent->load.disk_bytes,
        .disk_free = agent->load.disk_free,
    };
    channel_resend(&agent->channel, agent->now_ms);
    send_plain(agent, MESSAGE_heartbeat, &heartbeat);
    tell_progress(agent);
    send_frames(agent);
    agent->next_beat_ms = agent->now_ms + HEARTBEAT_INTERVAL_MS;
}

static void say_leave(struct agent *agent)
{
    struct msg_leave leave = {.why = slice_of("it was stopped")};
    if (agent->phase == SESSION_OPEN && !agent->leave_said)
        channel_add(&agent->channel, MESSAGE_leave, &leave);
    agent->leave_said = agent->phase == SESSION_OPEN;
}

static void exit_stopped(struct agent *agent, bool now)
{
    agent->stopping = false;
    agent->leaving = false;
    struct msg_runner_stop stop = {.now = now};
    tell_runner(agent, MESSAGE_runner_stop, &stop, sizeof stop);
    struct agent_effect *effect = add_effect(agent, AGENT_EXIT);
    effect->exit.status = EXIT_STOPPED;
    effect->exit.text = slice_of("stopped: nothing runs here any more");
}

/* A stopping agent goes when nothing runs and everything was told, or when it waited long enough.
 */
static void check_stopped(struct agent *agent)
{
    uint32_t busy =
        agent_running(agent) + agent->counts[HELD_COLLECTING] + agent->counts[HELD_SAVING];
    bool told = busy == 0 && agent->counts[HELD_ENDED] == 0;
    if (!told && (busy > 0 || agent->now_ms < agent->stop_by_ms))
        return;
    if (told)
        say_leave(agent);
    send_frames(agent);
    exit_stopped(agent, true);
}

/* A leaving one waits for the master to have all of it, however long that is away; for its last
 * word to be heard it does not. */
static void check_left(struct agent *agent)
{
    if (agent->held.count > 0 || agent->logs_left > 0) {
        agent->leave_by_ms = 0;
        return;
    }
    if (agent->leave_by_ms == 0)
        agent->leave_by_ms = agent->now_ms + STOP_WAIT_MS;
    say_leave(agent);
    send_frames(agent);
    if (agent->now_ms >= agent->leave_by_ms ||
        (agent->leave_said && channel_unacked_bytes(&agent->channel) == 0))
        exit_stopped(agent, false);
}

static void give_back_waiting(struct agent *agent)
{
    for (struct held *held = agent->first, *next = NULL; held != NULL; held = next) {
        next = held->next;
        held_give_back(agent, held, "its worker was stopped");
    }
}

/* The next heartbeat says that no task is taken any more: at once, or what is given back comes
 * again. */
static void take_no_more(struct agent *agent)
{
    agent->next_beat_ms = agent->now_ms;
    give_back_waiting(agent);
}

void session_stop(struct agent *agent)
{
    agent->stopping = true;
    agent->stop_by_ms = agent->now_ms + STOP_WAIT_MS;
    take_no_more(agent);
    for (struct held *held = agent->first; held != NULL; held = held->next) {
        if (held_has_process(held))
            held_kill(agent, held, REASON_WORKER_STOPPED);
    }
}

void session_leave(struct agent *agent, size_t logs)
{
    agent->logs_left = logs;
    if (!agent->leaving)
        take_no_more(agent);
    agent->leaving = true;
}

void session_timer(struct agent *agent)
{
    announce_started(agent);
    if (agent->stopping)
        check_stopped(agent);
    else if (agent->leaving)
        check_left(agent);
    if (agent->now_ms < agent->next_beat_ms || agent->now_ms < agent->mute_until_ms)
        return;
    if (agent->phase == SESSION_REGISTERING)
        send_register(agent);
    else if (agent->phase == SESSION_OPEN && agent->dead_count > 0)
        session_begin(agent);
    else if (agent->phase == SESSION_OPEN)
        beat(agent);
}

uint64_t session_next_ms(const struct agent *agent)
{
    uint64_t due = UINT64_MAX;
    if (agent->phase == SESSION_REGISTERING || agent->phase == SESSION_OPEN)
        due =
            agent->next_beat_ms > agent->mute_until_ms ? agent->next_beat_ms : agent->mute_until_ms;
    if (agent->gather_ms != 0 && agent->gather_ms < due)
        due = agent->gather_ms;
    if (agent->announce_ms < due)
        due = agent->announce_ms;
    if (agent->stopping && agent->stop_by_ms < due)
        due = agent->stop_by_ms;
    if (agent->leaving && agent->leave_by_ms != 0 && agent->leave_by_ms < due)
        due = agent->leave_by_ms;
    return due;
}
