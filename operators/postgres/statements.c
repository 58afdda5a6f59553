/*
 * statements.c - the statements of a task, one after another, each to its end; rows are taken one
 * by one, so that a large result needs no memory.
 */
#include "operators/postgres/bind.h"
#include "operators/postgres/work.h"

#include "common/clock.h"
#include "common/memory.h"
#include "common/sql.h"

#include <stdio.h>
#include <stdlib.h>

/* One statement under way. */
struct running {
    struct work *work;
    struct sent sent;
    struct place_of place;
    uint32_t line;
    uint64_t started_ms;
    bool has_rows;
};

static char **value_texts(const struct running *running, const Oid *types)
{
    const struct sent *sent = &running->sent;
    const json_t **values = running->work->options->parameters.values;
    char **texts = xcalloc((size_t)sent->value_count + 1, sizeof *texts);
    for (int i = 0; i < sent->value_count; i++) {
        bool as_array = types != NULL && !bind_wants_json(types[i]);
        texts[i] = bind_text(values[sent->parameters[i]], as_array);
    }
    return texts;
}

static void free_texts(char **texts, int count)
{
    for (int i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
}

/* All results of a command but the first are thrown away; it is *ret_first's. */
static int take_only(struct running *running, PGresult **ret_first, struct failure *failure)
{
    PGresult *first = NULL;
    PGresult *result = NULL;
    int rc = session_flush(&running->work->session, failure);
    while (rc == 0) {
        rc = session_result(&running->work->session, &running->place, &result, failure);
        if (rc != 0 || result == NULL)
            break;
        if (first == NULL)
            first = result;
        else
            PQclear(result);
    }
    if (rc == 0)
        *ret_first = first;
    else
        PQclear(first);
    return rc;
}

/* What types the server wants for the values: only a list is written differently for it. */
static int ask_types(struct running *running, Oid **ret_types, struct failure *failure)
{
    struct session *session = &running->work->session;
    PGresult *result = NULL;
    if (PQsendPrepare(session->conn, "", buffer_text(&running->sent.text), 0, NULL) != 1)
        return session_lost(session, failure);
    int rc = take_only(running, &result, failure);
    PQclear(result);
    result = NULL;
    if (rc == 0 && PQsendDescribePrepared(session->conn, "") != 1)
        rc = session_lost(session, failure);
    if (rc == 0)
        rc = take_only(running, &result, failure);
    if (rc != 0)
        return rc;
    size_t count = (size_t)running->sent.value_count;
    Oid *types = xcalloc(count + 1, sizeof *types);
    for (size_t i = 0; i < count; i++)
        types[i] = PQparamtype(result, (int)i);
    PQclear(result);
    *ret_types = types;
    return 0;
}

static int send_statement(struct running *running, struct failure *failure)
{
    struct session *session = &running->work->session;
    struct sent *sent = &running->sent;
    Oid *types = NULL;
    int rc = sent->has_list ? ask_types(running, &types, failure) : 0;
    if (rc != 0)
        return rc;
    char **texts = value_texts(running, types);
    const char *const *values = (const char *const *)texts;
    int done = sent->has_list ? PQsendQueryPrepared(
                                    session->conn, "", sent->value_count, values, NULL, NULL, 0)
                              : PQsendQueryParams(session->conn, buffer_text(&sent->text),
                                    sent->value_count, NULL, values, NULL, NULL, 0);
    if (done == 1)
        (void)PQsetSingleRowMode(session->conn);
    free_texts(texts, sent->value_count);
    free(types);
    return done == 1 ? session_flush(session, failure) : session_lost(session, failure);
}

static void take_rows(struct running *running, const PGresult *result)
{
    struct work *work = running->work;
    if (!running->has_rows)
        rows_begin(&work->rows, result, (size_t)work->options->log_rows);
    running->has_rows = true;
    for (int row = 0; row < PQntuples(result); row++)
        rows_add(&work->rows, result, row);
}

static int take_result(struct running *running, const PGresult *result, struct failure *failure)
{
    const char *name = running->work->options->sql_name;
    switch (PQresultStatus(result)) {
    case PGRES_SINGLE_TUPLE:
    case PGRES_TUPLES_OK:
        take_rows(running, result);
        return 0;
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
        return failure_set(failure, ERR_INVALID,
            "%s:%u: COPY from STDIN or to STDOUT has no file here: use copy_from or copy_to", name,
            running->line);
    default:
        return 0;
    }
}

/* The row count is always told: by the last statement that has one. */
static void tell(struct running *running, const PGresult *last)
{
    struct work *work = running->work;
    const char *count = PQcmdTuples((PGresult *)(uintptr_t)last);
    say("%s:%u: %s (%llu ms)", work->options->sql_name, running->line,
        PQcmdStatus((PGresult *)(uintptr_t)last),
        (unsigned long long)(clock_boot_ms() - running->started_ms));
    if (running->has_rows) {
        struct buffer table = {0};
        rows_draw(&work->rows, &table);
        (void)fwrite(table.data, 1, table.length, stdout);
        (void)fflush(stdout);
        buffer_fini(&table);
        (void)json_object_del(work->outputs, "value");
        (void)json_object_del(work->outputs, "rows");
        rows_output(&work->rows, work->outputs);
        if (work->rows.items == NULL)
            say("too much for outputs (at most %d rows, %d bytes): copy_to writes it to a file",
                ROWS_OUTPUT_MAX, ROWS_OUTPUT_MAX_BYTES);
    }
    if (count[0] != '\0')
        (void)json_object_set_new(
            work->outputs, "row_count", json_integer(strtoll(count, NULL, 10)));
}

static int take_results(struct running *running, struct failure *failure)
{
    PGresult *last = NULL;
    int rc = 0;
    while (rc == 0) {
        PGresult *result = NULL;
        rc = session_result(&running->work->session, &running->place, &result, failure);
        if (rc != 0 || result == NULL)
            break;
        rc = take_result(running, result, failure);
        PQclear(last);
        last = result;
    }
    if (rc == 0 && last != NULL)
        tell(running, last);
    PQclear(last);
    return rc;
}

/* A name that looks like a parameter and is none. */
static void hint_parameter(const struct running *running, struct failure *failure)
{
    const struct parameters *parameters = &running->work->options->parameters;
    if (strcmp(failure->sqlstate, "42601") != 0 || strstr(failure->error.text, "\":\"") == NULL)
        return;
    buffer_append_text(&failure->report, "hint: only names in `parameters` count as :name; ");
    buffer_append_text(&failure->report, parameters->count > 0 ? "there are" : "there are none");
    for (size_t i = 0; i < parameters->count; i++)
        buffer_printf(&failure->report, " %.*s", SLICE_PRINT(parameters->names[i]));
    buffer_append_text(&failure->report, "\n");
}

static void hint(const struct running *running, struct failure *failure)
{
    static const struct {
        const char *sqlstate, *text;
    } hints[] = {
        {"25001", "this statement cannot be in a transaction: autocommit: true"},
        {"2D000", "a procedure that commits cannot be in a transaction: autocommit: true"},
        {"42P18", "PostgreSQL cannot tell a parameter's type: write CAST(:name AS type)"},
        {"42P08", "a parameter stands where two types are wanted: write CAST(:name AS type)"},
    };
    hint_parameter(running, failure);
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++) {
        if (strcmp(failure->sqlstate, hints[i].sqlstate) == 0)
            buffer_printf(&failure->report, "hint: %s\n", hints[i].text);
    }
}

/* It is how a later attempt finds this one. */
static int check_tag(struct running *running, struct failure *failure)
{
    struct work *work = running->work;
    const char *name = PQparameterStatus(work->session.conn, "application_name");
    if (name == NULL || strcmp(name, work->task->tag) == 0)
        return 0;
    return failure_set(failure, ERR_INVALID,
        "%s:%u: the SQL sets application_name, which carries the attempt's tag (%s)",
        work->options->sql_name, running->line, work->task->tag);
}

static int run_one(
    struct work *work, const struct sql_statement *statement, struct failure *failure)
{
    struct slice source = work->options->sql;
    struct running running = {.work = work, .started_ms = clock_boot_ms()};
    size_t begin = (size_t)(statement->text.ptr - source.ptr);
    struct sql_place at = sql_place_of(source, begin);
    running.line = at.line;
    int rc = bind_statement(work->session.conn, source, statement, &work->options->parameters,
        &running.sent, &failure->error);
    if (rc != 0)
        (void)error_prefix(&failure->error, "%s:%u", work->options->sql_name, at.line);
    running.place = (struct place_of){.context = &running.sent,
        .source = sent_source,
        .sent = buffer_slice(&running.sent.text),
        .text = source,
        .name = work->options->sql_name};
    if (rc == 0)
        rc = send_statement(&running, failure);
    if (rc == 0)
        rc = take_results(&running, failure);
    if (rc == 0)
        rc = check_tag(&running, failure);
    else
        hint(&running, failure);
    sent_fini(&running.sent);
    return rc;
}

int statements_run(struct work *work, struct failure *failure)
{
    struct sql_scan scan = {.text = work->options->sql,
        .names = work->options->parameters.names,
        .name_count = work->options->parameters.count};
    for (;;) {
        struct sql_statement statement;
        const char *standard = PQparameterStatus(work->session.conn, "standard_conforming_strings");
        scan.escapes = standard != NULL && strcmp(standard, "off") == 0;
        failure->retry = false;
        int more = sql_next_statement(&scan, &statement, &failure->error);
        if (more <= 0)
            return more;
        int rc = run_one(work, &statement, failure);
        if (rc != 0)
            return rc;
    }
}
