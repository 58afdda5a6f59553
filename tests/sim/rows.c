/*
 * The store as a model: rows by their keys, wholly written or not at all.
 */
#include "common/memory.h"
#include "tests/sim/world.h"

#include <stdlib.h>

/* Copies a text into the rows' arena. */
static struct slice own(struct rows *rows, struct slice text)
{
    return text.length > 0 ? arena_copy(&rows->arena, text) : (struct slice){0};
}

static void apply_dag(struct rows *rows, const struct dag_row *row)
{
    size_t i = 0;
    while (i < rows->dag_count && !slice_equal(rows->dags[i].dag, row->dag))
        i++;
    if (i == rows->dag_count) {
        vector_reserve(&rows->dags, rows->dag_count, &rows->dag_capacity);
        rows->dags[rows->dag_count++].dag = own(rows, row->dag);
    }
    rows->dags[i].last_number = row->last_number;
}

static void apply_worker(struct rows *rows, const struct worker_row *row)
{
    size_t i = row->number - 1;
    if (i >= rows->worker_count) {
        vector_reserve(&rows->workers, rows->worker_count, &rows->worker_capacity);
        rows->worker_count++;
    }
    rows->workers[i] = *row;
    rows->workers[i].name = own(rows, row->name);
    rows->workers[i].host = own(rows, row->host);
}

static void apply_session(struct rows *rows, const struct session_row *row)
{
    vector_reserve(&rows->sessions, rows->session_count, &rows->session_capacity);
    rows->sessions[rows->session_count++] = *row;
}

static void apply_run(struct rows *rows, const struct run_row *row)
{
    size_t i = 0;
    while (i < rows->run_count && rows->runs[i].key != row->key)
        i++;
    if (i == rows->run_count) {
        vector_reserve(&rows->runs, rows->run_count, &rows->run_capacity);
        rows->run_count++;
    }
    rows->runs[i] = *row;
    rows->runs[i].dag = own(rows, row->dag);
    rows->runs[i].bundle = own(rows, row->bundle);
    rows->runs[i].context = own(rows, row->context);
    rows->runs[i].key_text = own(rows, row->key_text);
}

static void apply_attempt(struct rows *rows, const struct attempt_row *row)
{
    struct slice key = slice_make(&row->id, 20);
    uint64_t i = 0;
    if (!names_get(&rows->attempt_at, key, &i)) {
        vector_reserve(&rows->attempts, rows->attempt_count, &rows->attempt_capacity);
        i = rows->attempt_count++;
        names_set(&rows->attempt_at, key, i);
    }
    rows->attempts[i] = *row;
    rows->attempts[i].error = own(rows, row->error);
    rows->attempts[i].outputs = own(rows, row->outputs);
    rows->attempts[i].artifacts = own(rows, row->artifacts);
}

static void apply_span(struct rows *rows, const struct span_row *row)
{
    vector_reserve(&rows->spans, rows->span_count, &rows->span_capacity);
    rows->spans[rows->span_count] = *row;
    rows->spans[rows->span_count++].error = own(rows, row->error);
}

static void apply_request(struct rows *rows, const struct request_row *row)
{
    vector_reserve(&rows->requests, rows->request_count, &rows->request_capacity);
    rows->requests[rows->request_count] = *row;
    rows->requests[rows->request_count++].answer = own(rows, row->answer);
}

static void apply_note(struct rows *rows, const struct note_row *row)
{
    size_t i = 0;
    while (i < rows->note_count && (memcmp(&rows->notes[i].id, &row->id, sizeof row->id) != 0 ||
                                       rows->notes[i].note != row->note))
        i++;
    if (i == rows->note_count) {
        vector_reserve(&rows->notes, rows->note_count, &rows->note_capacity);
        rows->note_count++;
    }
    rows->notes[i] = *row;
    rows->notes[i].text = own(rows, row->text);
}

static void apply_peer(struct rows *rows, const struct peer_row *row)
{
    size_t i = 0;
    while (i < rows->peer_count && memcmp(rows->peers[i].key, row->key, sizeof row->key) != 0)
        i++;
    if (i == rows->peer_count) {
        vector_reserve(&rows->peers, rows->peer_count, &rows->peer_capacity);
        rows->peer_count++;
    }
    rows->peers[i] = *row;
    rows->peers[i].name = own(rows, row->name);
    rows->peers[i].host = own(rows, row->host);
}

static void apply_token(struct rows *rows, const struct token_row *row)
{
    size_t i = 0;
    while (i < rows->token_count && rows->tokens[i].token != row->token)
        i++;
    if (i == rows->token_count) {
        vector_reserve(&rows->tokens, rows->token_count, &rows->token_capacity);
        rows->token_count++;
    }
    rows->tokens[i] = *row;
    rows->tokens[i].label = own(rows, row->label);
}

/* A row is written again only for its count, and then it is one of the last. */
static void apply_audit(struct rows *rows, const struct audit_row *row)
{
    size_t i = rows->audit_count;
    while (i > 0 && rows->audits[i - 1].number > row->number)
        i--;
    if (i > 0 && rows->audits[i - 1].number == row->number) {
        rows->audits[i - 1].count = row->count;
        return;
    }
    vector_reserve(&rows->audits, rows->audit_count, &rows->audit_capacity);
    memmove(&rows->audits[i + 1], &rows->audits[i], (rows->audit_count - i) * sizeof *rows->audits);
    rows->audit_count++;
    rows->audits[i] = *row;
    rows->audits[i].who = own(rows, row->who);
    rows->audits[i].address = own(rows, row->address);
    rows->audits[i].action = own(rows, row->action);
    rows->audits[i].target = own(rows, row->target);
    rows->audits[i].text = own(rows, row->text);
}

uint64_t rows_last_audit(const struct rows *rows)
{
    return rows->audit_count > 0 ? rows->audits[rows->audit_count - 1].number : 0;
}

uint64_t rows_last_order(const struct rows *rows)
{
    uint64_t last = 0;
    for (size_t i = 0; i < rows->run_count; i++)
        last = rows->runs[i].order > last ? rows->runs[i].order : last;
    return last;
}

static void *copy_of(const void *items, size_t count, size_t size)
{
    void *copy = xcalloc(count, size);
    if (count > 0)
        memcpy(copy, items, count * size);
    return copy;
}

#define COPY(name)                                                                                 \
    to->name##s = copy_of(from->name##s, from->name##_count, sizeof *from->name##s);               \
    to->name##_count = to->name##_capacity = from->name##_count

void rows_copy(struct rows *to, const struct rows *from)
{
    *to = (struct rows){
        .epoch = from->epoch,
        .leader = from->leader,
        .restored_order = from->restored_order,
        .attempts_from = from->attempts_from,
        .restoring = from->restoring,
    };
    COPY(dag);
    COPY(worker);
    COPY(session);
    COPY(run);
    COPY(attempt);
    COPY(span);
    COPY(note);
    COPY(request);
    COPY(peer);
    COPY(token);
    COPY(audit);
    for (size_t i = 0; i < to->attempt_count; i++)
        names_set(&to->attempt_at, slice_make(&to->attempts[i].id, 20), i);
}

void rows_apply(struct rows *rows, const struct fact *fact)
{
    switch (fact->kind) {
    case FACT_DAG:
        apply_dag(rows, &fact->dag);
        break;
    case FACT_WORKER:
        apply_worker(rows, &fact->worker);
        break;
    case FACT_SESSION:
        apply_session(rows, &fact->session);
        break;
    case FACT_RUN:
        apply_run(rows, &fact->run);
        break;
    case FACT_ATTEMPT:
        apply_attempt(rows, &fact->attempt);
        break;
    case FACT_SPAN:
        apply_span(rows, &fact->span);
        break;
    case FACT_REQUEST:
        apply_request(rows, &fact->request);
        break;
    case FACT_PEER:
        apply_peer(rows, &fact->peer);
        break;
    case FACT_TOKEN:
        apply_token(rows, &fact->token);
        break;
    case FACT_RESTORED:
        rows->restoring = false;
        break;
    case FACT_NOTE:
        apply_note(rows, &fact->note);
        break;
    case FACT_AUDIT:
        apply_audit(rows, &fact->audit);
        break;
    case FACT_LATE: /* shown to persons, and read by no core */
    case FACT_SWEPT:
    case FACT_CONNECTION: /* nobody sets any here */
    case FACT_KIND_COUNT:
        break;
    }
}

void rows_fini(struct rows *rows)
{
    free(rows->dags);
    free(rows->workers);
    free(rows->sessions);
    free(rows->runs);
    free(rows->attempts);
    free(rows->spans);
    free(rows->notes);
    free(rows->requests);
    free(rows->peers);
    free(rows->tokens);
    free(rows->audits);
    names_fini(&rows->attempt_at);
    arena_fini(&rows->arena);
    *rows = (struct rows){0};
}
