#include "master/store/store_sqlite.h"

#define RUN_COLUMNS                                                                                \
    "key, ordinal, dag, number, state, cancelled, task_count, plan, bundle, context, key_text, "   \
    "date_given, logical_date, submitted_at, started_at, ended_at"
#define ATTEMPT_COLUMNS                                                                            \
    "task, map, attempt, round, state, worker, session, epoch, assigned_at, started_at, "          \
    "ended_at, exit_code, signal, reason, error, outputs, artifacts, log_bytes"
#define SPAN_COLUMNS    "ordinal, first, last, state, reason, error, at"
#define WORKER_COLUMNS  "number, key, name, host"
#define SESSION_COLUMNS "session, worker, instance, boot, epoch, leader, opened_at, stamp"

const char store_run_columns[] = "id, " RUN_COLUMNS;

/* An upsert updates what can change and nothing else: an index is touched only when its columns are
 * named. */
const char *const store_write_sql[WRITE_COUNT] = {
    [WRITE_BEGIN] = "BEGIN IMMEDIATE",
    [WRITE_COMMIT] = "COMMIT",
    [WRITE_ROLLBACK] = "ROLLBACK",
    [WRITE_LEAD] = "UPDATE meta SET epoch = epoch + 1, leader = ?1, led_at = ?2 WHERE id = 1",
    [WRITE_FENCE] = "UPDATE meta SET batch = ?1 WHERE id = 1 AND epoch = ?2 AND leader = ?3",
    [WRITE_DAG] = "INSERT INTO dag (dag, last_number) VALUES (?1, ?2)"
                  " ON CONFLICT (dag) DO UPDATE SET last_number = excluded.last_number",
    [WRITE_WORKER] = "INSERT INTO worker (" WORKER_COLUMNS ") VALUES (?1, ?2, ?3, ?4)"
                     " ON CONFLICT (number) DO UPDATE SET key = excluded.key,"
                     " name = excluded.name, host = excluded.host",
    [WRITE_SESSION] = "INSERT OR REPLACE INTO session (" SESSION_COLUMNS ")"
                      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [WRITE_RUN] = "INSERT INTO run (" RUN_COLUMNS ") VALUES"
                  " (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)"
                  " ON CONFLICT (key) DO UPDATE SET"
                  " ordinal = excluded.ordinal, dag = excluded.dag, number = excluded.number,"
                  " state = excluded.state, cancelled = excluded.cancelled,"
                  " task_count = excluded.task_count, plan = excluded.plan,"
                  " bundle = excluded.bundle, context = excluded.context,"
                  " key_text = excluded.key_text, date_given = excluded.date_given,"
                  " logical_date = excluded.logical_date, submitted_at = excluded.submitted_at,"
                  " started_at = excluded.started_at, ended_at = excluded.ended_at",
    [WRITE_RUN_ID] = "SELECT id FROM run WHERE key = ?1",
    [WRITE_ATTEMPT] = "INSERT OR REPLACE INTO attempt (" ATTEMPT_COLUMNS ", run) VALUES"
                      " (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,"
                      " ?17, ?18, ?19)",
    [WRITE_SPAN] = "INSERT OR REPLACE INTO span (" SPAN_COLUMNS ", run)"
                   " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [WRITE_REQUEST] = "INSERT INTO request (request, answer, at) VALUES (?1, ?2, ?3)"
                      " ON CONFLICT (request) DO UPDATE SET answer = excluded.answer,"
                      " at = excluded.at",
    [WRITE_PRUNE] = "DELETE FROM request WHERE id <= (SELECT max(id) FROM request) - ?1",
};

const char *const store_read_sql[READ_COUNT] = {
    [READ_META] = "SELECT cluster, epoch, leader, batch FROM meta WHERE id = 1",
    [READ_DAGS] = "SELECT dag, last_number FROM dag ORDER BY dag",
    [READ_WORKERS] = "SELECT " WORKER_COLUMNS " FROM worker ORDER BY number",
    [READ_WORKER] = "SELECT " WORKER_COLUMNS " FROM worker WHERE number = ?1",
    /* Of attempts that are out, and of lost ones, whose late result may still count. */
    [READ_SESSIONS] =
        "SELECT " SESSION_COLUMNS " FROM session WHERE session IN (SELECT attempt.session FROM run"
        " INDEXED BY run_live CROSS JOIN attempt ON attempt.run = run.id"
        " WHERE run.state IN (1, 2) AND attempt.state IN (1, 9)) ORDER BY session",
    [READ_LIVE_RUNS] = "SELECT id, " RUN_COLUMNS " FROM run INDEXED BY run_live"
                       " WHERE state IN (1, 2) ORDER BY ordinal",
    [READ_RUN] = "SELECT id, " RUN_COLUMNS " FROM run WHERE key = ?1",
    [READ_RUN_BY_NAME] = "SELECT id, " RUN_COLUMNS " FROM run WHERE dag = ?1 AND number = ?2",
    [READ_RUN_BY_KEY_TEXT] = "SELECT id, " RUN_COLUMNS " FROM run INDEXED BY run_key_text"
                             " WHERE dag = ?1 AND key_text = ?2 AND key_text IS NOT NULL",
    [READ_RUN_BY_DATE] = "SELECT id, " RUN_COLUMNS " FROM run INDEXED BY run_date"
                         " WHERE dag = ?1 AND logical_date = ?2 AND date_given = 1"
                         " ORDER BY id LIMIT 1",
    [READ_LAST_RUN] = "SELECT id, " RUN_COLUMNS " FROM run ORDER BY ordinal DESC LIMIT 1",
    [READ_LAST_RUN_OF_DAG] = "SELECT id, " RUN_COLUMNS " FROM run WHERE dag = ?1"
                             " ORDER BY number DESC LIMIT 1",
    [READ_ATTEMPTS] = "SELECT " ATTEMPT_COLUMNS " FROM attempt WHERE run = ?1"
                      " AND task BETWEEN ?2 AND ?3 ORDER BY task, map, attempt",
    [READ_SPANS] = "SELECT " SPAN_COLUMNS " FROM span WHERE run = ?1 ORDER BY ordinal",
    [READ_REQUEST] = "SELECT answer FROM request WHERE request = ?1",
};

/*
 * Bindings fail only by a wrong index or out of memory; the step that follows would then write NULL
 * into a column that refuses it, or fail itself. So their results are not looked at one by one.
 */

static void bind_number(sqlite3_stmt *statement, int index, int64_t number)
{
    (void)sqlite3_bind_int64(statement, index, number);
}

static void bind_id(sqlite3_stmt *statement, int index, uint64_t id)
{
    (void)sqlite3_bind_int64(statement, index, (sqlite3_int64)id);
}

void bind_slice(sqlite3_stmt *statement, int index, struct slice text)
{
    if (text.length == 0)
        (void)sqlite3_bind_null(statement, index);
    else
        (void)sqlite3_bind_text64(
            statement, index, text.ptr, text.length, SQLITE_STATIC, SQLITE_UTF8);
}

static void bind_bytes(sqlite3_stmt *statement, int index, struct slice bytes)
{
    if (bytes.length == 0)
        (void)sqlite3_bind_null(statement, index);
    else
        (void)sqlite3_bind_blob64(statement, index, bytes.ptr, bytes.length, SQLITE_STATIC);
}

void bind_dag(sqlite3_stmt *statement, const struct dag_row *row)
{
    bind_slice(statement, 1, row->dag);
    bind_number(statement, 2, row->last_number);
}

void bind_worker(sqlite3_stmt *statement, const struct worker_row *row)
{
    bind_number(statement, 1, row->number);
    bind_bytes(statement, 2, slice_make(row->key, sizeof row->key));
    bind_slice(statement, 3, row->name);
    bind_slice(statement, 4, row->host);
}

void bind_session(sqlite3_stmt *statement, const struct session_row *row)
{
    bind_id(statement, 1, row->session);
    bind_number(statement, 2, row->worker);
    bind_id(statement, 3, row->instance);
    bind_bytes(statement, 4, slice_make(row->boot, sizeof row->boot));
    bind_id(statement, 5, row->epoch);
    bind_id(statement, 6, row->leader);
    bind_number(statement, 7, row->opened_at);
    bind_id(statement, 8, row->stamp);
}

void bind_run(sqlite3_stmt *statement, const struct run_row *row)
{
    bind_id(statement, 1, row->key);
    bind_id(statement, 2, row->order);
    bind_slice(statement, 3, row->dag);
    bind_number(statement, 4, row->number);
    bind_number(statement, 5, row->state);
    bind_number(statement, 6, row->cancelled);
    bind_number(statement, 7, row->task_count);
    bind_bytes(statement, 8, slice_make(row->plan.bytes, sizeof row->plan.bytes));
    bind_bytes(statement, 9, row->bundle);
    bind_slice(statement, 10, row->context);
    bind_slice(statement, 11, row->key_text);
    bind_number(statement, 12, row->date_given);
    bind_number(statement, 13, row->logical_date);
    bind_number(statement, 14, row->submitted_at);
    bind_number(statement, 15, row->started_at);
    bind_number(statement, 16, row->ended_at);
}

void bind_attempt(sqlite3_stmt *statement, sqlite3_int64 run, const struct attempt_row *row)
{
    bind_number(statement, 1, row->id.task);
    bind_number(statement, 2, row->id.map);
    bind_number(statement, 3, row->id.attempt);
    bind_number(statement, 4, row->round);
    bind_number(statement, 5, row->state);
    bind_number(statement, 6, row->worker);
    bind_id(statement, 7, row->session);
    bind_id(statement, 8, row->epoch);
    bind_number(statement, 9, row->assigned_at);
    bind_number(statement, 10, row->started_at);
    bind_number(statement, 11, row->ended_at);
    bind_number(statement, 12, row->exit_code);
    bind_number(statement, 13, row->signal);
    bind_number(statement, 14, row->reason);
    bind_slice(statement, 15, row->error);
    bind_slice(statement, 16, row->outputs);
    bind_bytes(statement, 17, row->artifacts);
    bind_id(statement, 18, row->log_bytes);
    bind_number(statement, 19, run);
}

void bind_span(sqlite3_stmt *statement, sqlite3_int64 run, const struct span_row *row)
{
    bind_number(statement, 1, row->order);
    bind_number(statement, 2, row->first);
    bind_number(statement, 3, row->last);
    bind_number(statement, 4, row->state);
    bind_number(statement, 5, row->reason);
    bind_slice(statement, 6, row->error);
    bind_number(statement, 7, row->at);
    bind_number(statement, 8, run);
}

void bind_request(sqlite3_stmt *statement, const struct request_row *row)
{
    bind_id(statement, 1, row->request);
    bind_bytes(statement, 2, row->answer);
    bind_number(statement, 3, row->at);
}

/* Reads a row's columns one after another, and remembers whether one of them can be no value of
 * ours. */
struct row_reader {
    sqlite3_stmt *statement;
    struct arena *arena;
    int column;
    bool bad;
};

static int64_t take_number(struct row_reader *reader)
{
    return sqlite3_column_int64(reader->statement, reader->column++);
}

static uint64_t take_id(struct row_reader *reader)
{
    return (uint64_t)take_number(reader);
}

static uint32_t take_u32(struct row_reader *reader, uint32_t min, uint32_t max)
{
    int64_t number = take_number(reader);
    if (number < min || number > max)
        reader->bad = true;
    return (uint32_t)number;
}

struct slice read_slice(sqlite3_stmt *statement, int column, struct arena *arena)
{
    /* The bytes as they lie there, TEXT too; NULL for an empty value. */
    const void *bytes = sqlite3_column_blob(statement, column);
    int length = sqlite3_column_bytes(statement, column);
    if (bytes == NULL || length <= 0)
        return (struct slice){NULL, 0};
    return arena_copy(arena, slice_make(bytes, (size_t)length));
}

static struct slice take_slice(struct row_reader *reader)
{
    return read_slice(reader->statement, reader->column++, reader->arena);
}

static void take_bytes(struct row_reader *reader, void *bytes, int length)
{
    const void *blob = sqlite3_column_blob(reader->statement, reader->column);
    if (blob != NULL && sqlite3_column_bytes(reader->statement, reader->column) == length)
        memcpy(bytes, blob, (size_t)length);
    else
        reader->bad = true;
    reader->column++;
}

/* A hash or nothing. */
static struct slice take_hash(struct row_reader *reader)
{
    struct slice bytes = take_slice(reader);
    if (bytes.length != 0 && bytes.length != HASH_BYTES)
        reader->bad = true;
    return bytes;
}

static int check_row(const struct row_reader *reader, const char *what, struct error *error)
{
    if (reader->bad)
        return error_set(
            error, ERR_CORRUPT, "the store is damaged: a row of %s holds what cannot be", what);
    return 0;
}

int read_dag(
    sqlite3_stmt *statement, struct arena *arena, struct dag_row *ret_row, struct error *error)
{
    struct row_reader reader = {statement, arena, 0, false};
    struct dag_row row = {
        .dag = take_slice(&reader),
    };
    row.last_number = take_u32(&reader, 0, UINT32_MAX);
    reader.bad = reader.bad || row.dag.length == 0;
    int rc = check_row(&reader, "dag", error);
    if (rc == 0)
        *ret_row = row;
    return rc;
}

int read_worker(
    sqlite3_stmt *statement, struct arena *arena, struct worker_row *ret_row, struct error *error)
{
    struct row_reader reader = {statement, arena, 0, false};
    struct worker_row row = {0};
    row.number = take_u32(&reader, 1, UINT32_MAX);
    take_bytes(&reader, row.key, sizeof row.key);
    row.name = take_slice(&reader);
    row.host = take_slice(&reader);
    int rc = check_row(&reader, "worker", error);
    if (rc == 0)
        *ret_row = row;
    return rc;
}

int read_session(sqlite3_stmt *statement, struct session_row *ret_row, struct error *error)
{
    struct row_reader reader = {statement, NULL, 0, false};
    struct session_row row = {0};
    row.session = take_id(&reader);
    row.worker = take_u32(&reader, 1, UINT32_MAX);
    row.instance = take_id(&reader);
    take_bytes(&reader, row.boot, sizeof row.boot);
    row.epoch = take_id(&reader);
    row.leader = take_id(&reader);
    row.opened_at = take_number(&reader);
    row.stamp = take_id(&reader);
    int rc = check_row(&reader, "session", error);
    if (rc == 0)
        *ret_row = row;
    return rc;
}

int read_run(sqlite3_stmt *statement, struct arena *arena, sqlite3_int64 *ret_id,
    struct run_row *ret_row, struct error *error)
{
    struct row_reader reader = {statement, arena, 0, false};
    struct run_row row = {0};
    sqlite3_int64 id = take_number(&reader);
    row.key = take_id(&reader);
    row.order = take_id(&reader);
    row.dag = take_slice(&reader);
    row.number = take_u32(&reader, 0, UINT32_MAX);
    row.state = take_u32(&reader, RUN_QUEUED, RUN_CANCELLED);
    row.cancelled = take_u32(&reader, 0, 1) != 0;
    row.task_count = take_u32(&reader, 0, UINT32_MAX);
    take_bytes(&reader, row.plan.bytes, sizeof row.plan.bytes);
    row.bundle = take_hash(&reader);
    row.context = take_slice(&reader);
    row.key_text = take_slice(&reader);
    row.date_given = take_u32(&reader, 0, 1) != 0;
    row.logical_date = take_number(&reader);
    row.submitted_at = take_number(&reader);
    row.started_at = take_number(&reader);
    row.ended_at = take_number(&reader);
    reader.bad = reader.bad || row.key == 0 || row.dag.length == 0;
    int rc = check_row(&reader, "run", error);
    if (rc != 0)
        return rc;
    *ret_id = id;
    *ret_row = row;
    return 0;
}

int read_attempt(sqlite3_stmt *statement, struct arena *arena, uint64_t run,
    struct attempt_row *ret_row, struct error *error)
{
    struct row_reader reader = {statement, arena, 0, false};
    struct attempt_row row = {.id.run = run};
    row.id.task = take_u32(&reader, 0, UINT32_MAX);
    row.id.map = take_u32(&reader, 0, UINT32_MAX);
    row.id.attempt = take_u32(&reader, 0, UINT32_MAX);
    row.round = take_u32(&reader, 0, UINT32_MAX);
    row.state = take_u32(&reader, ATTEMPT_ASSIGNED, ATTEMPT_LOST);
    row.worker = take_u32(&reader, 0, UINT32_MAX);
    row.session = take_id(&reader);
    row.epoch = take_id(&reader);
    row.assigned_at = take_number(&reader);
    row.started_at = take_number(&reader);
    row.ended_at = take_number(&reader);
    row.exit_code = take_number(&reader);
    row.signal = take_u32(&reader, 0, UINT32_MAX);
    row.reason = take_u32(&reader, 0, UINT32_MAX);
    row.error = take_slice(&reader);
    row.outputs = take_slice(&reader);
    row.artifacts = take_hash(&reader);
    row.log_bytes = take_id(&reader);
    int rc = check_row(&reader, "attempt", error);
    if (rc == 0)
        *ret_row = row;
    return rc;
}

int read_span(sqlite3_stmt *statement, struct arena *arena, uint64_t run, struct span_row *ret_row,
    struct error *error)
{
    struct row_reader reader = {statement, arena, 0, false};
    struct span_row row = {.run = run};
    row.order = take_u32(&reader, 0, UINT32_MAX);
    row.first = take_u32(&reader, 0, UINT32_MAX);
    row.last = take_u32(&reader, row.first, UINT32_MAX);
    row.state = take_u32(&reader, SPAN_RESET, TASK_CANCELLING);
    row.reason = take_u32(&reader, 0, UINT32_MAX);
    row.error = take_slice(&reader);
    row.at = take_number(&reader);
    int rc = check_row(&reader, "span", error);
    if (rc == 0)
        *ret_row = row;
    return rc;
}
