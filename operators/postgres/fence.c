/*
 * fence.c - once: a row of the target says that this task of this run was done, in the transaction
 * that did it. So an attempt whose answer was lost is found again, by itself or by the next.
 */
#include "operators/postgres/work.h"

#include <stdio.h>
#include <stdlib.h>

static const char MAKE[] =
    "CREATE TABLE IF NOT EXISTS reeve_once (run_key text NOT NULL, task_index bigint NOT NULL,"
    " map_index bigint NOT NULL, attempt bigint NOT NULL, epoch bigint NOT NULL,"
    " run text NOT NULL, task text NOT NULL, outputs text, at timestamptz NOT NULL DEFAULT now(),"
    " PRIMARY KEY (run_key, task_index, map_index))";

/* Numbers as texts, for bound values. */
struct numbers {
    char task[24], map[24], attempt[24], epoch[24];
};

static struct numbers numbers_of(const struct operator_task *task)
{
    struct numbers numbers;
    (void)snprintf(numbers.task, sizeof numbers.task, "%u", task->id.task);
    (void)snprintf(numbers.map, sizeof numbers.map, "%u", task->id.map);
    (void)snprintf(numbers.attempt, sizeof numbers.attempt, "%u", task->id.attempt);
    (void)snprintf(numbers.epoch, sizeof numbers.epoch, "%llu", (unsigned long long)task->epoch);
    return numbers;
}

int fence_prepare(struct work *work, struct failure *failure)
{
    PGresult *found = NULL;
    int rc = session_run(
        &work->session, "SELECT to_regclass('reeve_once') IS NOT NULL", &found, failure);
    bool there = rc == 0 && strcmp(PQgetvalue(found, 0, 0), "t") == 0;
    PQclear(found);
    if (rc != 0 || there)
        return rc;
    rc = session_run(&work->session, MAKE, NULL, failure);
    /* Two tasks that make it at the same moment: IF NOT EXISTS does not wait for the other. */
    if (rc == ERR_REFUSED && strcmp(failure->sqlstate, "23505") == 0) {
        failure_fini(failure);
        return 0;
    }
    if (rc == ERR_REFUSED)
        (void)error_prefix(&failure->error, "once needs the table reeve_once");
    return rc;
}

/* The row of whoever did it, with its outputs. */
static int take_earlier(struct work *work, struct failure *failure)
{
    struct numbers numbers = numbers_of(work->task);
    const char *values[] = {work->task->run_key, numbers.task, numbers.map, NULL};
    PGresult *found = NULL;
    int rc = work_query(work,
        "SELECT attempt, at, outputs FROM reeve_once"
        " WHERE run_key = $1 AND task_index = $2 AND map_index = $3",
        values, &found, failure);
    if (rc != 0)
        return rc;
    if (PQntuples(found) != 1) {
        PQclear(found);
        return failure_passing(
            failure, ERR_REFUSED, "the row of reeve_once was there and is gone: who deletes it?");
    }
    say("once: attempt %s did this already, committed at %s; nothing is done again",
        PQgetvalue(found, 0, 0), PQgetvalue(found, 0, 1));
    json_t *outputs = json_loads(PQgetvalue(found, 0, 2), 0, NULL);
    if (json_is_object(outputs))
        (void)json_object_update(work->outputs, outputs);
    json_decref(outputs);
    PQclear(found);
    return 0;
}

int fence_enter(struct work *work, bool *ret_done, struct failure *failure)
{
    const struct operator_task *task = work->task;
    struct numbers numbers = numbers_of(task);
    const char *values[] = {task->run_key, numbers.task, numbers.map, numbers.attempt,
        numbers.epoch, task->run, task->task, NULL};
    PGresult *result = NULL;
    /* Where another transaction holds the row uncommitted, this waits for its end. */
    int rc = work_query(work,
        "INSERT INTO reeve_once (run_key, task_index, map_index, attempt, epoch, run, task)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        values, &result, failure);
    if (rc != 0)
        return rc == ERR_REFUSED ? error_prefix(&failure->error, "once, in reeve_once") : rc;
    bool done = strcmp(PQcmdTuples(result), "0") == 0;
    PQclear(result);
    rc = done ? take_earlier(work, failure) : 0;
    if (rc == 0)
        *ret_done = done;
    return rc;
}

int fence_leave(struct work *work, struct failure *failure)
{
    struct numbers numbers = numbers_of(work->task);
    char *outputs = json_dumps(work->outputs, JSON_COMPACT);
    const char *values[] = {outputs, work->task->run_key, numbers.task, numbers.map, NULL};
    PGresult *result = NULL;
    int rc = work_query(work,
        "UPDATE reeve_once SET outputs = $1"
        " WHERE run_key = $2 AND task_index = $3 AND map_index = $4",
        values, &result, failure);
    PQclear(result);
    free(outputs);
    return rc;
}

int fence_holds(struct work *work, bool *ret_holds, struct failure *failure)
{
    struct numbers numbers = numbers_of(work->task);
    const char *values[] = {work->task->run_key, numbers.task, numbers.map, numbers.attempt, NULL};
    PGresult *found = NULL;
    int rc = work_query(work,
        "SELECT 1 FROM reeve_once"
        " WHERE run_key = $1 AND task_index = $2 AND map_index = $3 AND attempt = $4",
        values, &found, failure);
    if (rc == 0)
        *ret_holds = PQntuples(found) == 1;
    PQclear(found);
    return rc;
}
