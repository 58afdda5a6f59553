#include "master/io/requests.h"

#include "common/clock.h"
#include "common/memory.h"
#include "common/suggest.h"
#include "master/io/late_report.h"
#include "master/io/run_name.h"
#include "master/io/trace.h"
#include "proto/roles.h"

#include <stdlib.h>

enum {
    /* Asks that are open: more stay in the transport until some are answered. */
    ASKS_MAX = 4096,
    ASKS_RESUME = 2048,
    /* How long asks are answered before the workers have their turn again. */
    SERVE_MS = 20,
    SUGGEST_TASKS_MAX = 10000,
};

enum request_when {
    AT_ONCE,
    SETTLED, /* when core and rows agree */
};

#define REQUEST_BEGINS_WITH_ITS_ID(name)                                                           \
    _Static_assert(offsetof(struct msg_##name, request) == 0 &&                                    \
                       sizeof(((struct msg_##name *)0)->request) == sizeof(uint64_t),              \
        "a request begins with its id")

REQUEST_BEGINS_WITH_ITS_ID(ping);
REQUEST_BEGINS_WITH_ITS_ID(submit);
REQUEST_BEGINS_WITH_ITS_ID(cancel);
REQUEST_BEGINS_WITH_ITS_ID(retry);
REQUEST_BEGINS_WITH_ITS_ID(mark);
REQUEST_BEGINS_WITH_ITS_ID(get_run);
REQUEST_BEGINS_WITH_ITS_ID(get_runs);
REQUEST_BEGINS_WITH_ITS_ID(get_dags);
REQUEST_BEGINS_WITH_ITS_ID(get_workers);
REQUEST_BEGINS_WITH_ITS_ID(watch);
REQUEST_BEGINS_WITH_ITS_ID(join);
REQUEST_BEGINS_WITH_ITS_ID(drain);
REQUEST_BEGINS_WITH_ITS_ID(remove_worker);
REQUEST_BEGINS_WITH_ITS_ID(lost_worker);
REQUEST_BEGINS_WITH_ITS_ID(create_token);
REQUEST_BEGINS_WITH_ITS_ID(revoke_token);
REQUEST_BEGINS_WITH_ITS_ID(get_tokens);
REQUEST_BEGINS_WITH_ITS_ID(get_audit);
REQUEST_BEGINS_WITH_ITS_ID(explain);
REQUEST_BEGINS_WITH_ITS_ID(set_connection);
REQUEST_BEGINS_WITH_ITS_ID(remove_connection);
REQUEST_BEGINS_WITH_ITS_ID(get_connections);
REQUEST_BEGINS_WITH_ITS_ID(rotate_key);

static const struct request {
    enum message_id number;
    client_fn handle;
    enum request_when when;
    bool changing; /* asked again, it gets its first answer; refused while the disk is full */
} requests[] = {
    {MESSAGE_ping, client_ping, AT_ONCE, false},
    {MESSAGE_submit, client_submit, AT_ONCE, true},
    {MESSAGE_cancel, client_cancel, SETTLED, true},
    {MESSAGE_retry, client_retry, SETTLED, true},
    {MESSAGE_mark, client_mark, SETTLED, true},
    {MESSAGE_get_run, client_get_run, SETTLED, false},
    {MESSAGE_get_runs, client_get_runs, AT_ONCE, false},
    {MESSAGE_get_dags, client_get_dags, AT_ONCE, false},
    {MESSAGE_get_workers, client_get_workers, AT_ONCE, false},
    {MESSAGE_watch, client_watch, SETTLED, false},
    {MESSAGE_join, client_join, SETTLED, true},
    {MESSAGE_drain, client_drain, SETTLED, true},
    {MESSAGE_remove_worker, client_remove_worker, SETTLED, true},
    {MESSAGE_lost_worker, client_lost_worker, SETTLED, true},
    {MESSAGE_create_token, client_create_token, SETTLED, true},
    {MESSAGE_revoke_token, client_revoke_token, SETTLED, true},
    {MESSAGE_get_tokens, client_get_tokens, SETTLED, false},
    {MESSAGE_get_audit, client_get_audit, AT_ONCE, false},
    {MESSAGE_explain, client_explain, SETTLED, false},
    {MESSAGE_set_connection, client_set_connection, SETTLED, true},
    {MESSAGE_remove_connection, client_remove_connection, SETTLED, true},
    {MESSAGE_get_connections, client_get_connections, SETTLED, false},
    {MESSAGE_rotate_key, client_rotate_key, SETTLED, true},
};

static const struct request *find_request(uint32_t number)
{
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        if (requests[i].number == number)
            return &requests[i];
    }
    return NULL;
}

/* Stops reading clients while too many of their questions are open. */
static void balance(struct master *master)
{
    struct asks *asks = &master->asks;
    bool pause = asks->by_ticket.count >= (asks->paused ? ASKS_RESUME : ASKS_MAX);
    if (pause != asks->paused && !master->stopping)
        transport_pause(master->clients, pause);
    asks->paused = pause;
}

static bool refuse_when_full(struct master *master, const struct ask *ask, const char *what)
{
    struct error full = {0}, error = {0};
    if (store_state(master->store, &full) != STORE_FULL)
        return false;
    (void)error_set(&error, ERR_NO_SPACE, "the master's disk is full: %s there is space in %s (%s)",
        what, master->folder.path, full.text);
    ask_refuse(master, ask, &error);
    return true;
}

/*
 * A changing request that came before: one that is still open is told where its answer goes now,
 * one that was answered gets that answer again. True when it is over with that.
 */
static bool came_before(struct master *master, const struct ask *ask)
{
    uint64_t address;
    struct slice answer;
    struct error error = {0};
    if (table_get(&master->asks.changing, ask->request, &address)) {
        ((struct ask *)(uintptr_t)address)->peer = ask->peer;
        /* It cannot be taken back; but nobody shall wait for it without a word. */
        (void)refuse_when_full(master, ask, "this is not recorded yet, and will be as soon as");
        return true;
    }
    int rc = store_find_request(master->store, ask->request, ask->arena, &answer, &error);
    if (rc == 0)
        ask_answer_encoded(master, ask, answer);
    else if (rc != ERR_NOT_FOUND)
        ask_refuse(master, ask, &error);
    return rc != ERR_NOT_FOUND;
}

static bool begin_change(struct master *master, struct ask *ask)
{
    if (ask->request == 0) {
        ask_refuse_text(master, ask, ERR_MALFORMED, slice_of("a change needs a request id"));
        return false;
    }
    if (came_before(master, ask) || refuse_when_full(master, ask, "nothing can be recorded until"))
        return false;
    ask->changing = true;
    table_set(&master->asks.changing, ask->request, (uintptr_t)ask);
    return true;
}

static void wait_until_settled(struct master *master, struct ask *ask)
{
    struct asks *asks = &master->asks;
    if (asks->last != NULL)
        asks->last->next = ask;
    else
        asks->first = ask;
    asks->last = ask;
}

static void take_message(struct master *master, struct ask_frame *frame, transport_peer peer,
    const struct message *message)
{
    const struct request *request = message->body != NULL ? find_request(message->number) : NULL;
    if (request == NULL) {
        struct error error = {0};
        (void)error_set(&error, ERR_UNSUPPORTED,
            "this master (version " REEVE_VERSION ") does not know the request \"%s\" (%u)",
            message_name(message->number), message->number);
        client_refuse(master, peer, &error);
        return;
    }
    struct ask *ask = ask_create(master, frame, peer, message);
    if (request->changing && !begin_change(master, ask))
        ask_end(master, ask);
    else if (request->when == SETTLED)
        wait_until_settled(master, ask);
    else if (request->handle(master, ask))
        ask_end(master, ask);
}

static void free_frame(struct ask_frame *frame)
{
    if (--frame->users > 0)
        return;
    arena_fini(&frame->arena);
    free(frame);
}

/* Remote workers speak on the same socket as remote clients: it is never paused for these. */
static bool refuse_when_busy(struct master *master, transport_peer peer)
{
    struct error error = {0};
    if (!peer_is_remote(peer) || !master->asks.paused)
        return false;
    (void)error_set(&error, ERR_AGAIN, "%zu requests wait for their answers: try again later",
        master->asks.by_ticket.count);
    client_refuse(master, peer, &error);
    return true;
}

void requests_take(
    struct master *master, transport_peer peer, const struct actor *actor, struct slice bytes)
{
    struct frame_reader reader;
    struct message message;
    struct denial denial = {0};
    if (refuse_when_busy(master, peer))
        return;
    struct ask_frame *frame = xcalloc(1, sizeof *frame);
    frame->users = 1;
    frame->actor = (struct actor){
        .role = actor->role,
        .key = arena_copy(&frame->arena, actor->key),
        .name = arena_copy(&frame->arena, actor->name),
        .address = arena_copy(&frame->arena, actor->address),
    };
    if (master->options->trace)
        trace_frame("client", peer, "<", bytes);
    int rc = frame_open(arena_copy(&frame->arena, bytes), &frame->arena, &reader, &denial.error);
    if (rc == 0)
        rc = admission_check(master->refusals, actor, reader, &denial);
    while (rc == 0 && (rc = frame_next(&reader, &message, &denial.error)) == 1) {
        take_message(master, frame, peer, &message);
        rc = 0;
    }
    if (rc < 0)
        client_send_refused(master, peer,
            &(struct msg_refused){.request = denial.request,
                .code = denial.error.code,
                .text = slice_of(denial.error.text)});
    free_frame(frame);
    balance(master);
}

void requests_on_frame(void *context, transport_peer peer, struct slice bytes)
{
    static const struct actor local = {.role = ROLE_LOCAL};
    struct master *master = context;
    versions_note(&master->versions, peer, &local, bytes);
    requests_take(master, peer, &local, bytes);
}

bool requests_wait(const struct master *master)
{
    return master->asks.first != NULL || late_report_waits(master);
}

void requests_serve(struct master *master)
{
    struct asks *asks = &master->asks;
    uint64_t until = clock_boot_ms() + SERVE_MS;
    if (late_report_waits(master) && pipeline_is_settled(&master->pipeline))
        late_report(master);
    /* The first that changes something ends the agreement of core and rows. */
    while (asks->first != NULL && clock_boot_ms() <= until &&
           (master->full || master->pipeline.current->effects->fact_count == 0)) {
        struct ask *ask = asks->first;
        asks->first = ask->next;
        if (asks->first == NULL)
            asks->last = NULL;
        ask->next = NULL;
        if (find_request(ask->number)->handle(master, ask))
            ask_end(master, ask);
    }
    balance(master);
}

void requests_take_compiled(struct master *master)
{
    struct compile_job *job;
    while (pipeline_is_open(&master->pipeline) && (job = compiler_take(master->compiler)) != NULL) {
        if (job->list)
            client_dags_compiled(master, job);
        else
            client_submit_compiled(master, job);
        compile_job_free(job);
    }
    balance(master);
}

void requests_answered(struct master *master, const struct answer_effect *answer)
{
    uint64_t address;
    if (!table_get(&master->asks.by_ticket, answer->ticket, &address))
        return;
    struct ask *ask = (struct ask *)(uintptr_t)address;
    if (ask->number == MESSAGE_rotate_key)
        vault_turned(master);
    ask_answer_encoded(master, ask, answer->message);
    ask_end(master, ask);
    balance(master);
}

static int needs_number(
    struct master *master, const struct run_name *name, struct slice text, struct error *error)
{
    struct arena arena = {0};
    struct run_row row;
    int rc = store_last_run(master->store, name->dag, &arena, &row, NULL);
    if (rc == 0)
        rc = error_set(error, ERR_USAGE,
            "\"%.*s\" is not one run; what changes a run needs its number: %.*s/%u is the latest",
            SLICE_PRINT(text), SLICE_PRINT(row.dag), row.number);
    else
        rc = error_set(error, rc, "there is no run of \"%.*s\"", SLICE_PRINT(text));
    arena_fini(&arena);
    return rc;
}

/* From the core, or from the rows. */
static int find_key(
    struct master *master, const struct run_name *name, uint64_t *ret_run, struct error *error)
{
    struct arena arena = {0};
    struct run_row row;
    int rc = 0;
    *ret_run = name->number != 0 ? core_find_run(master->core, name->dag, name->number) : 0;
    if (*ret_run == 0) {
        rc = name->number != 0
                 ? store_find_run(master->store, name->dag, name->number, &arena, &row, error)
                 : store_last_run(master->store, name->dag, &arena, &row, error);
        if (rc == 0)
            *ret_run = row.key;
    }
    arena_fini(&arena);
    return rc;
}

int client_find_run(
    struct master *master, struct slice text, bool changing, uint64_t *ret_run, struct error *error)
{
    struct run_name name;
    uint64_t run;
    int rc = run_name_parse(text, &name, error);
    if (rc != 0)
        return rc;
    if (changing && name.number == 0)
        return needs_number(master, &name, text, error);
    rc = find_key(master, &name, &run, error);
    if (rc == ERR_NOT_FOUND && name.dag.length == 0)
        return error_set(error, rc, "there is no run yet");
    if (rc == ERR_NOT_FOUND)
        return error_set(error, rc, "there is no run \"%.*s\"; `reeve runs` shows those there are",
            SLICE_PRINT(text));
    if (rc == 0)
        rc = master_load_run(master, run, error);
    if (rc == 0)
        *ret_run = run;
    return rc;
}

static const char *near_task(const struct plan *plan, struct slice name)
{
    uint32_t count = plan_task_count(plan);
    if (count > SUGGEST_TASKS_MAX)
        return NULL;
    const char **names = xcalloc(count + 1, sizeof *names);
    for (uint32_t i = 0; i < count; i++)
        names[i] = plan_string(plan, plan->tasks[i].name).ptr;
    const char *near = suggest(name, names);
    free(names);
    return near;
}

int client_find_task(const struct plan *plan, struct slice run, struct slice name,
    uint32_t *ret_task, struct error *error)
{
    if (name.length == 0) {
        *ret_task = TASK_ALL;
        return 0;
    }
    int64_t task = plan_find_task(plan, name);
    if (task >= 0) {
        *ret_task = (uint32_t)task;
        return 0;
    }
    const char *near = near_task(plan, name);
    if (near != NULL)
        return error_set(error, ERR_NOT_FOUND, "%.*s has no task \"%.*s\"; did you mean \"%s\"?",
            SLICE_PRINT(run), SLICE_PRINT(name), near);
    return error_set(
        error, ERR_NOT_FOUND, "%.*s has no task \"%.*s\"", SLICE_PRINT(run), SLICE_PRINT(name));
}
