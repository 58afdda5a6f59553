/*
 * A worker registers: whether it may, what it is then known by, and what its list means for the
 * attempts that it had. docs/guarantees.md says who may call one gone.
 */
#include "common/limits.h"
#include "common/memory.h"
#include "common/probe.h"
#include "master/core/state.h"

#include <stdlib.h>

enum { SLOTS_MAX = 100000 };

struct worker *worker_live_named(const struct core *core, struct slice name)
{
    for (size_t i = 0; i < core->worker_count; i++) {
        struct worker *worker = core->workers[i];
        if (worker->open && slice_equal(worker->name, name))
            return worker;
    }
    return NULL;
}

/* Whether another live worker has this name. */
static bool has_namesake(const struct core *core, const struct msg_register *message)
{
    const struct worker *other = worker_live_named(core, message->name);
    return other != NULL && memcmp(other->key, message->worker.ptr, WORKER_KEY_BYTES) != 0;
}

static bool same_boot(const struct worker *worker, const struct msg_register *message)
{
    return memcmp(worker->boot, message->boot.ptr, BOOT_ID_BYTES) == 0;
}

static bool are_short(struct texts texts)
{
    for (uint32_t i = 0; i < texts.count; i++) {
        if (texts.items[i].length > NAME_MAX_BYTES)
            return false;
    }
    return true;
}

static bool is_well_formed(const struct msg_register *message)
{
    if (message->worker.length != WORKER_KEY_BYTES || message->boot.length != BOOT_ID_BYTES ||
        message->name.length == 0 || message->name.length > NAME_MAX_BYTES ||
        message->host.length > DESCRIPTION_MAX_BYTES ||
        message->software.length > DESCRIPTION_MAX_BYTES || message->instance == 0 ||
        message->slots > SLOTS_MAX || message->memory_limit_by.length > LIMIT_BY_MAX_BYTES ||
        message->cpu_limit_by.length > LIMIT_BY_MAX_BYTES)
        return false;
    for (uint32_t i = 0; i < message->operators.count; i++) {
        const struct operator_line *line = &message->operators.items[i];
        if (line->name.length > OPERATOR_NAME_MAX_BYTES || line->version.length > NAME_MAX_BYTES ||
            line->problem.length > DESCRIPTION_MAX_BYTES)
            return false;
    }
    return are_short(message->queues) && are_short(message->labels) && are_short(message->users);
}

/* Why this registration cannot be taken, or 0. */
static int check(const struct core *core, const struct worker *known,
    const struct msg_register *message, struct error *error)
{
    if (!is_well_formed(message))
        return error_set(error, ERR_MALFORMED,
            "a registration needs a key, a name, a boot id and a runner, none of them too long");
    if (known != NULL && known->removed && !MUTANT(REMOVED_ADMITTED))
        return error_set(error, ERR_DENIED,
            "this worker's key was removed from the cluster: give it a data directory of its own");
    if (!access_is_name(message->name))
        return error_set(error, ERR_MALFORMED,
            "\"%.*s\" is no name of a worker: letters, digits, '_', then '.' and '-' "
            "too, at most %d",
            SLICE_PRINT(message->name), NAME_MAX_BYTES);
    if (message->cluster.length > 0 && !slice_equal(message->cluster, core->cluster))
        return error_set(error, ERR_REFUSED,
            "this worker belongs to cluster %.*s, this master leads cluster %.*s: give it a data "
            "directory of its own",
            SLICE_PRINT(message->cluster), SLICE_PRINT(core->cluster));
    if (core->fenced)
        return error_set(error, ERR_REFUSED, "%.*s", SLICE_PRINT(core->fenced_text));
    if (has_namesake(core, message))
        return error_set(error, ERR_REFUSED,
            "another live worker is called \"%.*s\": give this one another --name",
            SLICE_PRINT(message->name));
    if (known == NULL || !known->open || !worker_is_heard(known) ||
        known->instance == message->instance)
        return 0;
    if (message->dead_instance == known->instance && same_boot(known, message))
        return 0;
    return error_set(error, ERR_REFUSED,
        "worker \"%.*s\" is up already with another runner: this data directory was copied, or its "
        "runner "
        "is still alive; give each host a data directory of its own",
        SLICE_PRINT(known->name));
}

static struct texts texts_keep(struct texts texts)
{
    struct texts kept = {xcalloc(texts.count, sizeof *kept.items), texts.count};
    for (uint32_t i = 0; i < texts.count; i++)
        kept.items[i] = slice_keep(texts.items[i]);
    return kept;
}

static void keep_operators(struct worker *worker, const struct msg_register *message)
{
    worker->operator_count = message->operators.count;
    worker->operators = xcalloc(worker->operator_count, sizeof *worker->operators);
    for (uint32_t i = 0; i < worker->operator_count; i++) {
        const struct operator_line *line = &message->operators.items[i];
        worker->operators[i] = (struct operator_line){.name = slice_keep(line->name),
            .version = slice_keep(line->version),
            .problem = slice_keep(line->problem)};
    }
}

static void take_description(
    struct core *core, struct worker *worker, const struct msg_register *message)
{
    worker_free_description(worker);
    worker->name = slice_keep(message->name);
    worker->host = slice_keep(message->host);
    worker->software = slice_keep(message->software);
    worker->address = slice_keep(core->actor->address);
    worker->queues = texts_keep(message->queues);
    worker->labels = texts_keep(message->labels);
    worker->users = texts_keep(message->users);
    worker->memory_limit_by = slice_keep(message->memory_limit_by);
    worker->cpu_limit_by = slice_keep(message->cpu_limit_by);
    keep_operators(worker, message);
    worker->slots = message->slots;
    worker->hand = message->slots;
    worker->ended = 0;
    worker->paced_ms = core->now_ms;
    worker->load = (struct msg_heartbeat){0};
}

static void add_facts(struct core *core, const struct worker *worker)
{
    worker_fact(core, worker);
    struct session_row *session = &effects_add_fact(core->effects, FACT_SESSION)->session;
    *session = (struct session_row){
        .session = worker->channel.session,
        .worker = worker->number,
        .instance = worker->instance,
        .epoch = core->epoch,
        .leader = core->leader,
        .stamp = worker->heartbeat_stamp,
        .opened_at = core->now_wall,
    };
    memcpy(session->boot, worker->boot, sizeof session->boot);
}

static void add_swept(
    struct core *core, const struct worker *worker, const struct msg_register *message)
{
    struct swept_row *swept = &effects_add_fact(core->effects, FACT_SWEPT)->swept;
    *swept = (struct swept_row){
        .worker = worker->number, .instance = message->dead_instance, .at = core->now_wall};
    memcpy(swept->boot, worker->boot, sizeof swept->boot);
}

static void open_session(
    struct core *core, struct worker *worker, uint64_t session, const struct msg_register *message)
{
    if (worker->open) {
        (void)table_remove(&core->sessions, worker->channel.session);
        worker_stand(core, worker);
    }
    worker_arm_attempts(core, worker);
    channel_open(&worker->channel, session);
    table_set(&core->sessions, session, worker->number - 1);
    worker->open = true;
    worker->full = false;
    worker->leaving = false;
    worker->resting = false;
    worker->instance = message->instance;
    /* Once closed, no registration opens it again, however late one of its comes. */
    table_set(&core->session_instances, session, message->instance);
    memcpy(worker->boot, message->boot.ptr, BOOT_ID_BYTES);
    worker->heartbeat_ms = core->now_ms;
    worker->heartbeat_stamp = message->now;
    worker->session_stamp = message->now;
    worker->behind = 0;
    worker_set_clock(core, worker, message->now);
    worker->traffic_ms = core->now_ms;
    worker->registered_at = core->now_wall;
    take_description(core, worker, message);
    worker_sit(core, worker);
    add_facts(core, worker);
    if (message->dead_instance != 0)
        add_swept(core, worker, message);
}

static uint64_t held_key(uint32_t task, uint32_t attempt)
{
    return ((uint64_t)task << 32) | attempt;
}

/* What the worker holds, by run and attempt, for looking up: value is the list's index + 1. */
static const struct held_attempt *find_held(
    const struct table *held, const struct msg_register *message, const struct attempt_id *id)
{
    uint64_t index = 0;
    if (!table_get(held, hash_mix(id->run) ^ held_key(id->task, id->attempt), &index))
        return NULL;
    const struct held_attempt *found = &message->attempts.items[index];
    bool same =
        found->id.run == id->run && found->id.task == id->task && found->id.attempt == id->attempt;
    return same ? found : NULL;
}

/* It goes on in the new session. */
static void keep(struct core *core, struct attempt *attempt, const struct held_attempt *held)
{
    wheel_disarm(&core->wheel, &attempt->expiry);
    attempt->held_in = core->workers[attempt->worker]->channel.session;
    attempt->instance = held->instance;
    attempt->boot = hash_bytes(slice_make(core->workers[attempt->worker]->boot, BOOT_ID_BYTES));
    attempt_trust(core, attempt);
    if (held->holding == HOLDING_RUNNING)
        attempt_started(core, attempt, core->now_wall);
    bool wished = core->runs[attempt->run].cancelled ||
                  (core->runs[attempt->run].tasks[attempt->task].flags & TASK_FLAG_CANCEL) != 0;
    if (wished && held->holding != HOLDING_ENDED && !MUTANT(CANCEL_UNREPEATED))
        attempt_kill(core, attempt, REASON_CANCELLED);
}

static bool runner_died(const struct attempt *attempt, const struct msg_register *message)
{
    return message->dead_instance != 0 && attempt->instance == message->dead_instance &&
           (attempt->boot == hash_bytes(message->boot) || MUTANT(BOOT_UNCHECKED));
}

/* True when this registration says that the attempt is nowhere and never will be. One that was made
 * before the attempt's session knows nothing of it, however late it comes. */
static bool is_gone(const struct attempt *attempt, const struct msg_register *message)
{
    if (attempt->instance == message->instance || MUTANT(STRANGER_BELIEVED))
        /* What this runner is known to have started it would hold, or its end, until that is
         * settled: if it does not, it is not that runner, but its machine as that once was. */
        return (message->now > attempt->stamp && attempt->state != ATTEMPT_RUNNING) ||
               MUTANT(STALE_REGISTRATION);
    return runner_died(attempt, message);
}

/* Keeps it, ends it as gone, or leaves it to its lease; true when the answer names it. */
static bool settle_attempt(struct core *core, struct attempt *attempt,
    const struct held_attempt *held, const struct msg_register *message)
{
    bool expired = (attempt->flags & ATTEMPT_FLAG_EXPIRED) != 0;
    if (held != NULL && expired && held->holding != HOLDING_ENDED)
        return false;
    if (held != NULL) {
        if (expired)
            attempt_revive(core, attempt);
        keep(core, attempt, held);
        return true;
    }
    if (!is_gone(attempt, message))
        return false;
    if (core->restoring && !MUTANT(RESTORE_BEGUN_DENIED))
        attempt_gone(core, attempt, REASON_WORKER_LOST,
            slice_of(
                "it was over when an older store was restored: what became of it is not known"));
    else if (runner_died(attempt, message))
        attempt_gone(core, attempt, REASON_WORKER_LOST,
            slice_of("its runner died, and what it had started was killed"));
    else
        attempt_gone(core, attempt, REASON_NOT_STARTED,
            slice_of("it was not on its worker when that came back"));
    return false;
}

/*
 * Each attempt that this worker had: kept when the list names it, gone when the list of its own
 * runner lacks it, and else (another runner's, of a host that may still be alive) left to its
 * lease. One that was assigned in this very session is younger than the list: a registration may
 * come twice.
 */
static uint32_t settle_attempts(struct core *core, struct worker *worker,
    const struct msg_register *message, struct attempt_id *kept)
{
    struct table held = {0};
    uint32_t count = 0, next = NONE;
    for (uint32_t i = 0; i < message->attempts.count; i++) {
        const struct attempt_id *id = &message->attempts.items[i].id;
        table_set(&held, hash_mix(id->run) ^ held_key(id->task, id->attempt), i);
    }
    for (uint32_t slot = worker->attempts; slot != NONE; slot = next) {
        struct attempt *attempt = core->attempts[slot];
        next = attempt->next;
        if (attempt->session == worker->channel.session)
            continue;
        struct attempt_id id = attempt_id_of(core, attempt);
        if (settle_attempt(core, attempt, find_held(&held, message, &id), message))
            kept[count++] = id;
    }
    table_fini(&held);
    return count;
}

/*
 * A registration may arrive late, and then its list tells of a time before attempts that were
 * assigned since: one that is older than what this boot of the worker has said, or whose session
 * another master or another worker opened, is no word on anything.
 */
static bool is_stale(const struct core *core, const struct worker *known,
    const struct frame_header *header, const struct msg_register *message)
{
    uint64_t owner = 0;
    if (MUTANT(STALE_REGISTRATION))
        return false;
    if (table_get(&core->session_instances, header->session, NULL))
        return true;
    if (table_get(&core->sessions, header->session, &owner) && core->workers[owner] != known)
        return true;
    return known != NULL && message->boot.length == BOOT_ID_BYTES && same_boot(known, message) &&
           (message->now <= known->session_stamp || message->now < known->heartbeat_stamp);
}

void worker_register(struct core *core, uint64_t peer, const struct frame_header *header,
    const struct msg_register *message)
{
    struct error error = {0};
    struct worker *worker = NULL;
    if (message->worker.length == WORKER_KEY_BYTES)
        worker = worker_by_key(core, (const unsigned char *)message->worker.ptr);
    bool repeated = worker != NULL && worker->open && header->session != 0 &&
                    worker->channel.session == header->session;
    if (!repeated && is_stale(core, worker, header, message)) {
        struct msg_register_again again = {.session = header->session};
        effects_add_send(
            core->effects, peer, plain_frame(core, NULL, MESSAGE_register_again, &again), true);
        return;
    }
    int code = header->session == 0
                   ? error_set(&error, ERR_MALFORMED, "a registration needs a session")
                   : check(core, worker, message, &error);
    if (code != 0) {
        struct audit_row row = {.action = slice_of("register"), .text = slice_of(error.text)};
        if (access_is_name(message->name))
            row.who = row.target = message->name;
        frame_refuse(core, peer, code, row);
        return;
    }
    if (worker == NULL)
        worker = worker_create(core, (const unsigned char *)message->worker.ptr);
    worker->peer = peer;
    if (!repeated)
        open_session(core, worker, header->session, message);
    join_rename(core, worker->key, worker->name);
    worker_move(core, worker, WORKER_EVENT_REGISTER);
    struct attempt_id *kept =
        arena_alloc(&core->scratch, (message->attempts.count + 1) * sizeof *kept);
    struct msg_registered registered = {.cluster = core->cluster, .bundles = core->bundles};
    registered.keep.items = kept;
    registered.keep.count = settle_attempts(core, worker, message, kept);
    worker_show_attempts(core, worker);
    effects_add_send(core->effects, peer,
        plain_frame(core, &worker->channel, MESSAGE_registered, &registered), false);
    worker_follow_wishes(core, worker);
    worker_arm(core, worker);
}
