#include "master/store/store_column.h"
#include "master/store/store_sqlite.h"
#include "proto/roles.h"

#define RUN_COLUMNS                                                                                \
    "key, ordinal, dag, number, state, cancelled, task_count, plan, bundle, context, key_text, "   \
    "date_given, logical_date, submitted_at, started_at, ended_at"
#define ATTEMPT_COLUMNS                                                                            \
    "task, map, attempt, round, state, worker, session, epoch, assigned_at, started_at, "          \
    "ended_at, exit_code, signal, reason, error, outputs, artifacts, log_bytes"
#define SPAN_COLUMNS       "ordinal, first, last, state, reason, error, at"
#define NOTE_COLUMNS       "task, map, attempt, note, at, text"
#define LATE_COLUMNS       "task, map, attempt, state, told_at, started_at, ended_at, sure"
#define LATE_SELECT        "SELECT (SELECT key FROM run WHERE id = late.run), " LATE_COLUMNS " FROM late"
#define WORKER_COLUMNS     "number, key, name, host, draining, removed"
#define SESSION_COLUMNS    "session, worker, instance, boot, epoch, leader, opened_at, stamp"
#define PEER_COLUMNS       "key, role, name, host, token, joined_at, removed_at"
#define TOKEN_COLUMNS      "token, key, role, uses, created_at, expires_at, revoked_at, label"
#define AUDIT_COLUMNS      "number, at, role, who, address, action, target, text, refused, count"
#define CONNECTION_COLUMNS "id, source, name, key, sealed, set_at, replaced_at"

const char store_run_columns[] = "id, " RUN_COLUMNS;
const char store_audit_columns[] = AUDIT_COLUMNS;

/* An upsert updates what can change and nothing else: an index is touched only when its columns are
 * named. */
const char *const store_write_sql[WRITE_COUNT] = {
    [WRITE_BEGIN] = "BEGIN IMMEDIATE",
    [WRITE_COMMIT] = "COMMIT",
    [WRITE_ROLLBACK] = "ROLLBACK",
    [WRITE_LEAD] = "UPDATE meta SET epoch = epoch + 1, leader = ?1, led_at = ?2 WHERE id = 1",
    [WRITE_RESTORE] = "UPDATE meta SET epoch = epoch + ?1, restores = restores + 1,"
                      " restored_order = (SELECT coalesce(max(ordinal), 0) FROM run),"
                      " restoring = 1 WHERE id = 1",
    [WRITE_RESTORE_DAGS] = "UPDATE dag SET last_number = last_number + ?1",
    [WRITE_RESTORED] = "UPDATE meta SET restoring = 0 WHERE id = 1",
    [WRITE_FENCE] = "UPDATE meta SET batch = ?1 WHERE id = 1 AND epoch = ?2 AND leader = ?3",
    [WRITE_DAG] = "INSERT INTO dag (dag, last_number) VALUES (?1, ?2)"
                  " ON CONFLICT (dag) DO UPDATE SET last_number = excluded.last_number",
    [WRITE_WORKER] = "INSERT INTO worker (" WORKER_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
                     " ON CONFLICT (number) DO UPDATE SET key = excluded.key,"
                     " name = excluded.name, host = excluded.host,"
                     " draining = excluded.draining, removed = excluded.removed",
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
    [WRITE_NOTE] = "INSERT OR REPLACE INTO note (" NOTE_COLUMNS ", run)"
                   " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [WRITE_LATE] = "INSERT INTO late (" LATE_COLUMNS ", run)"
                   " SELECT task, map, attempt, ?6, ?7, ?8, ?9, 1, run FROM attempt"
                   " WHERE run = (SELECT id FROM run WHERE key = ?1)"
                   " AND task = ?2 AND map = ?3 AND attempt = ?4 AND worker = ?5"
                   " AND state = 9 AND reason = 15"
                   " ON CONFLICT (run, task, map, attempt) DO UPDATE SET state = excluded.state,"
                   " told_at = excluded.told_at, started_at = excluded.started_at,"
                   " ended_at = excluded.ended_at, sure = 1 WHERE sure = 0",
    [WRITE_SWEPT_SESSIONS] = "UPDATE session INDEXED BY session_instance SET swept_at = ?4"
                             " WHERE instance = ?1 AND worker = ?2 AND boot = ?3 AND swept_at = 0",
    /* What was given up before; what this word itself ended was not. */
    [WRITE_SWEPT] = "INSERT OR IGNORE INTO late (" LATE_COLUMNS ", run)"
                    " SELECT task, map, attempt, 9, ?4, started_at, ?4, 0, run"
                    " FROM attempt INDEXED BY attempt_lost"
                    " WHERE state = 9 AND reason = 15 AND ended_at < ?4 AND session IN"
                    " (SELECT session FROM session INDEXED BY session_instance"
                    " WHERE instance = ?1 AND worker = ?2 AND boot = ?3 AND swept_at = ?4)",
    [WRITE_REQUEST] = "INSERT INTO request (request, answer, at) VALUES (?1, ?2, ?3)"
                      " ON CONFLICT (request) DO UPDATE SET answer = excluded.answer,"
                      " at = excluded.at",
    [WRITE_PRUNE] = "DELETE FROM request WHERE id <= (SELECT max(id) FROM request) - ?1",
    [WRITE_PEER] = "INSERT OR REPLACE INTO peer (" PEER_COLUMNS ")"
                   " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [WRITE_TOKEN] = "INSERT OR REPLACE INTO token (" TOKEN_COLUMNS ")"
                    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [WRITE_AUDIT] = "INSERT INTO audit (" AUDIT_COLUMNS ")"
                    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
                    " ON CONFLICT (number) DO UPDATE SET count = excluded.count",
    [WRITE_CONNECTION] = "INSERT OR REPLACE INTO connection (" CONNECTION_COLUMNS ")"
                         " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [WRITE_DROP_CONNECTION] = "DELETE FROM connection WHERE id = ?1",
    /* Looks at the oldest ?3 alone, so that no batch pays for a long time of rest. */
    [WRITE_PRUNE_AUDIT] = "DELETE FROM audit WHERE number IN"
                          " (SELECT number FROM audit ORDER BY number LIMIT ?3) AND"
                          " (number <= (SELECT max(number) FROM audit) - ?1 OR at < ?2)",
};

const char *const store_read_sql[READ_COUNT] = {
    [READ_META] = "SELECT cluster, epoch, leader, batch, restores, restored_order, restoring"
                  " FROM meta WHERE id = 1",
    [READ_DAGS] = "SELECT dag, last_number FROM dag ORDER BY dag",
    [READ_WORKERS] = "SELECT " WORKER_COLUMNS " FROM worker ORDER BY number",
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
    [READ_NOTES] = "SELECT " NOTE_COLUMNS " FROM note WHERE run = ?1"
                   " ORDER BY task, map, attempt, note",
    [READ_REQUEST] = "SELECT answer FROM request WHERE request = ?1",
    [READ_PEERS] = "SELECT " PEER_COLUMNS " FROM peer ORDER BY joined_at, key",
    [READ_TOKENS] = "SELECT " TOKEN_COLUMNS " FROM token ORDER BY created_at, token",
    [READ_CONNECTIONS] = "SELECT " CONNECTION_COLUMNS " FROM connection ORDER BY set_at, id",
    [READ_LAST_AUDIT] = "SELECT max(number) FROM audit",
    [READ_ATTEMPT_WORKER] = "SELECT worker FROM attempt"
                            " WHERE run = (SELECT id FROM run WHERE key = ?1)"
                            " AND task = ?2 AND map = ?3 AND attempt = ?4",
    [READ_LATE] = LATE_SELECT " WHERE run = ?1 AND task BETWEEN ?2 AND ?3"
                              " ORDER BY task, map, attempt",
    [READ_LATE_TOLD] = LATE_SELECT " INDEXED BY late_told WHERE told_at = ?1 LIMIT ?2",
};

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
    bind_number(statement, 5, row->draining);
    bind_number(statement, 6, row->removed);
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

void bind_note(sqlite3_stmt *statement, sqlite3_int64 run, const struct note_row *row)
{
    bind_number(statement, 1, row->id.task);
    bind_number(statement, 2, row->id.map);
    bind_number(statement, 3, row->id.attempt);
    bind_number(statement, 4, row->note);
    bind_number(statement, 5, row->at);
    bind_slice(statement, 6, row->text);
    bind_number(statement, 7, run);
}

void bind_late(sqlite3_stmt *statement, const struct late_row *row)
{
    bind_id(statement, 1, row->id.run);
    bind_number(statement, 2, row->id.task);
    bind_number(statement, 3, row->id.map);
    bind_number(statement, 4, row->id.attempt);
    bind_number(statement, 5, row->worker);
    bind_number(statement, 6, row->state);
    bind_number(statement, 7, row->told_at);
    bind_number(statement, 8, row->started_at);
    bind_number(statement, 9, row->ended_at);
}

void bind_swept(sqlite3_stmt *statement, const struct swept_row *row)
{
    bind_id(statement, 1, row->instance);
    bind_number(statement, 2, row->worker);
    bind_bytes(statement, 3, slice_make(row->boot, sizeof row->boot));
    bind_number(statement, 4, row->at);
}

void bind_request(sqlite3_stmt *statement, const struct request_row *row)
{
    bind_id(statement, 1, row->request);
    bind_bytes(statement, 2, row->answer);
    bind_number(statement, 3, row->at);
}

void bind_peer(sqlite3_stmt *statement, const struct peer_row *row)
{
    bind_bytes(statement, 1, slice_make(row->key, sizeof row->key));
    bind_number(statement, 2, row->role);
    bind_slice(statement, 3, row->name);
    bind_slice(statement, 4, row->host);
    bind_id(statement, 5, row->token);
    bind_number(statement, 6, row->joined_at);
    bind_number(statement, 7, row->removed_at);
}

void bind_token(sqlite3_stmt *statement, const struct token_row *row)
{
    bind_id(statement, 1, row->token);
    bind_bytes(statement, 2, slice_make(row->key, sizeof row->key));
    bind_number(statement, 3, row->role);
    bind_number(statement, 4, row->uses);
    bind_number(statement, 5, row->created_at);
    bind_number(statement, 6, row->expires_at);
    bind_number(statement, 7, row->revoked_at);
    bind_slice(statement, 8, row->label);
}

void bind_connection(sqlite3_stmt *statement, const struct connection_row *row)
{
    bind_id(statement, 1, row->id);
    bind_number(statement, 2, row->source);
    bind_slice(statement, 3, row->name);
    bind_id(statement, 4, row->key);
    bind_bytes(statement, 5, row->sealed);
    bind_number(statement, 6, row->set_at);
    bind_number(statement, 7, row->replaced_at);
}

void bind_connection_id(sqlite3_stmt *statement, const struct connection_row *row)
{
    bind_id(statement, 1, row->id);
}

void bind_audit(sqlite3_stmt *statement, const struct audit_row *row)
{
    bind_id(statement, 1, row->number);
    bind_number(statement, 2, row->at);
    bind_number(statement, 3, row->role);
    bind_slice(statement, 4, row->who);
    bind_slice(statement, 5, row->address);
    bind_slice(statement, 6, row->action);
    bind_slice(statement, 7, row->target);
    bind_slice(statement, 8, row->text);
    bind_number(statement, 9, row->refused);
    bind_number(statement, 10, row->count);
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
    row.draining = take_flag(&reader);
    row.removed = take_flag(&reader);
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
    row.cancelled = take_flag(&reader);
    row.task_count = take_u32(&reader, 0, UINT32_MAX);
    take_bytes(&reader, row.plan.bytes, sizeof row.plan.bytes);
    row.bundle = take_hash(&reader);
    row.context = take_slice(&reader);
    row.key_text = take_slice(&reader);
    row.date_given = take_flag(&reader);
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
    row.state = take_u32(&reader, SPAN_RESET, SPAN_CANCEL_WISH);
    if (row.state > TASK_CANCELLING && row.state != SPAN_CANCEL_WISH)
        reader.bad = true;
    row.reason = take_u32(&reader, 0, UINT32_MAX);
    row.error = take_slice(&reader);
    row.at = take_number(&reader);
    int rc = check_row(&reader, "span", error);
    if (rc == 0)
        *ret_row = row;
    return rc;
}

int read_note(sqlite3_stmt *statement, struct arena *arena, uint64_t run, struct note_row *ret_row,
    struct error *error)
{
    struct row_reader reader = {statement, arena, 0, false};
    struct note_row row = {.id.run = run};
    row.id.task = take_u32(&reader, 0, UINT32_MAX);
    row.id.map = take_u32(&reader, 0, UINT32_MAX);
    row.id.attempt = take_u32(&reader, 1, UINT32_MAX);
    row.note = take_u32(&reader, 1, UINT32_MAX);
    row.at = take_number(&reader);
    row.text = take_slice(&reader);
    int rc = check_row(&reader, "note", error);
    if (rc == 0)
        *ret_row = row;
    return rc;
}

int read_late(
    sqlite3_stmt *statement, struct arena *arena, struct late_row *ret_row, struct error *error)
{
    struct row_reader reader = {statement, arena, 0, false};
    struct late_row row = {.id.run = take_id(&reader)};
    row.id.task = take_u32(&reader, 0, UINT32_MAX);
    row.id.map = take_u32(&reader, 0, UINT32_MAX);
    row.id.attempt = take_u32(&reader, 1, UINT32_MAX);
    row.state = take_u32(&reader, ATTEMPT_SUCCESS, ATTEMPT_LOST);
    row.told_at = take_number(&reader);
    row.started_at = take_number(&reader);
    row.ended_at = take_number(&reader);
    row.sure = take_flag(&reader);
    int rc = check_row(&reader, "late", error);
    if (rc == 0)
        *ret_row = row;
    return rc;
}

int read_peer(
    sqlite3_stmt *statement, struct arena *arena, struct peer_row *ret_row, struct error *error)
{
    struct row_reader reader = {statement, arena, 0, false};
    struct peer_row row = {0};
    take_bytes(&reader, row.key, sizeof row.key);
    row.role = take_u32(&reader, ROLE_WORKER, ROLE_VIEWER);
    row.name = take_slice(&reader);
    row.host = take_slice(&reader);
    row.token = take_id(&reader);
    row.joined_at = take_number(&reader);
    row.removed_at = take_number(&reader);
    int rc = check_row(&reader, "peer", error);
    if (rc == 0)
        *ret_row = row;
    return rc;
}

int read_token(
    sqlite3_stmt *statement, struct arena *arena, struct token_row *ret_row, struct error *error)
{
    struct row_reader reader = {statement, arena, 0, false};
    struct token_row row = {0};
    row.token = take_id(&reader);
    take_bytes(&reader, row.key, sizeof row.key);
    row.role = take_u32(&reader, ROLE_WORKER, ROLE_VIEWER);
    row.uses = take_u32(&reader, 1, UINT32_MAX);
    row.created_at = take_number(&reader);
    row.expires_at = take_number(&reader);
    row.revoked_at = take_number(&reader);
    row.label = take_slice(&reader);
    reader.bad = reader.bad || row.token == 0;
    int rc = check_row(&reader, "token", error);
    if (rc == 0)
        *ret_row = row;
    return rc;
}

int read_connection(sqlite3_stmt *statement, struct arena *arena, struct connection_row *ret_row,
    struct error *error)
{
    struct row_reader reader = {statement, arena, 0, false};
    struct connection_row row = {0};
    row.id = take_id(&reader);
    row.source = take_u32(&reader, CONNECTION_ENVIRONMENT, CONNECTION_STORE);
    row.name = take_slice(&reader);
    row.key = take_id(&reader);
    row.sealed = take_slice(&reader);
    row.set_at = take_number(&reader);
    row.replaced_at = take_number(&reader);
    reader.bad = reader.bad || row.id == 0 || row.name.length == 0 || row.sealed.length == 0;
    int rc = check_row(&reader, "connection", error);
    if (rc == 0)
        *ret_row = row;
    return rc;
}

int read_audit(
    sqlite3_stmt *statement, struct arena *arena, struct audit_row *ret_row, struct error *error)
{
    struct row_reader reader = {statement, arena, 0, false};
    struct audit_row row = {0};
    row.number = take_id(&reader);
    row.at = take_number(&reader);
    row.role = take_u32(&reader, 0, UINT32_MAX);
    row.who = take_slice(&reader);
    row.address = take_slice(&reader);
    row.action = take_slice(&reader);
    row.target = take_slice(&reader);
    row.text = take_slice(&reader);
    row.refused = take_flag(&reader);
    row.count = take_u32(&reader, 0, UINT32_MAX);
    int rc = check_row(&reader, "audit", error);
    if (rc == 0)
        *ret_row = row;
    return rc;
}
