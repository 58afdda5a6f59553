/*
 * work.h - what an attempt does in the database: its statements, its copies, its fence.
 */
#ifndef OPERATORS_POSTGRES_WORK_H
#define OPERATORS_POSTGRES_WORK_H

#include "operators/postgres/options.h"
#include "operators/postgres/rows.h"
#include "operators/postgres/session.h"

#include "operators/common/operator.h"

/* All that the parts need; borrowed but `outputs`. */
struct work {
    struct session session;
    struct operator_link *link;
    const struct operator_task *task;
    const json_t *connection;
    struct postgres_options *options;
    json_t *outputs; /* an object */
    struct rows rows;
};

/* ghosts.c: ends what earlier attempts of this task left in the server, and waits until it is gone.
 * Also sets what a session needs to be ended in time. */
int ghosts_end(struct work *work, struct failure *failure);

/* statements.c: every statement of the options' SQL. */
int statements_run(struct work *work, struct failure *failure);

/* copy_in.c: copy_from. copy_in_check: is the file there? Before anything else happens. */
int copy_in_check(const struct copy_options *copy, struct failure *failure);
int copy_in_run(struct work *work, struct failure *failure);
/* copy_out.c: copy_to, into a file beside it; copy_out_keep gives it its name, copy_out_drop
 * removes it. */
int copy_out_run(struct work *work, struct failure *failure);
int copy_out_keep(const struct work *work, struct failure *failure);
void copy_out_drop(const struct work *work);
/*
 * copy.c: behind "COPY " the table with its columns, or behind "COPY (query" the end of it, then
 * `direction` (FROM STDIN, TO STDOUT) and the options.
 */
int copy_statement(PGconn *conn, const struct copy_options *copy, const char *direction,
    struct buffer *out, struct error *error);

/* fence.c: once. fence_prepare makes the table, before the transaction. fence_enter, in it, puts
 * this attempt's row; *ret_done when an earlier attempt's is there, whose outputs are then the
 * work's. fence_leave keeps the outputs. fence_holds asks whether this attempt's row was committed.
 */
int fence_prepare(struct work *work, struct failure *failure);
int fence_enter(struct work *work, bool *ret_done, struct failure *failure);
int fence_leave(struct work *work, struct failure *failure);
int fence_holds(struct work *work, bool *ret_holds, struct failure *failure);

/* work.c: all of it, in one transaction or by autocommit. */
int work_do(struct work *work, struct failure *failure);

/* A statement with bound values, and its only result. */
int work_query(struct work *work, const char *text, const char *const *values,
    PGresult **ret_result, struct failure *failure);

/* The log: a line, at once. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
