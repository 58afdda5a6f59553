/*
 * requests.h - the control port: what clients ask, dispatched by message number to one handler
 * each.
 *
 * Some are answered at once. What reads or changes a run waits until no batch is in flight, so that
 * the core's state and the committed rows agree; while such a question waits, no new batch is
 * begun.
 */
#ifndef MASTER_IO_REQUESTS_H
#define MASTER_IO_REQUESTS_H

#include "master/io/ask.h"

/* The callback of this host's transport; `context` is the master. */
void requests_on_frame(void *context, transport_peer peer, struct slice frame);
/* A frame of somebody who may say all that is in it. */
void requests_take(
    struct master *master, transport_peer peer, const struct actor *actor, struct slice frame);
/* Answers those that wait, for a bounded time. The pipeline is settled, or the disk full. */
void requests_serve(struct master *master);
bool requests_wait(const struct master *master);
/* Goes on with what the compiler has done. While the pipeline is open. */
void requests_take_compiled(struct master *master);
/* The core's answer to an ask. */
void requests_answered(struct master *master, const struct answer_effect *answer);

/*
 * ---- handlers: one a message, in requests_*.c; true: the ask is over ----
 */
typedef bool (*client_fn)(struct master *master, struct ask *ask);
bool client_ping(struct master *master, struct ask *ask);
bool client_submit(struct master *master, struct ask *ask);
bool client_cancel(struct master *master, struct ask *ask);
bool client_retry(struct master *master, struct ask *ask);
bool client_mark(struct master *master, struct ask *ask);
bool client_get_run(struct master *master, struct ask *ask);
bool client_get_runs(struct master *master, struct ask *ask);
bool client_get_dags(struct master *master, struct ask *ask);
bool client_get_workers(struct master *master, struct ask *ask);
bool client_watch(struct master *master, struct ask *ask);
bool client_join(struct master *master, struct ask *ask);
bool client_drain(struct master *master, struct ask *ask);
bool client_remove_worker(struct master *master, struct ask *ask);
bool client_lost_worker(struct master *master, struct ask *ask);
bool client_create_token(struct master *master, struct ask *ask);
bool client_revoke_token(struct master *master, struct ask *ask);
bool client_get_tokens(struct master *master, struct ask *ask);
bool client_get_audit(struct master *master, struct ask *ask);
bool client_set_connection(struct master *master, struct ask *ask);
bool client_remove_connection(struct master *master, struct ask *ask);
bool client_get_connections(struct master *master, struct ask *ask);
bool client_rotate_key(struct master *master, struct ask *ask);
bool client_explain(struct master *master, struct ask *ask);

/* The event that a changing request becomes; `target` is what the audit log calls it. */
struct event client_event(const struct ask *ask, enum event_kind kind, struct slice target);
/* Steps it, and the core answers; with rc not 0 the ask is refused at once. True: it is over. */
bool client_step(struct master *master, const struct ask *ask, struct event *event, int rc,
    const struct error *error);

/* What a compile job was for. */
void client_submit_compiled(struct master *master, struct compile_job *job);
void client_dags_compiled(struct master *master, struct compile_job *job);

/* The task of an attempt, as get_run shows it. While the pipeline is settled. */
int client_read_task(struct master *master, const struct attempt_id *id, struct arena *arena,
    struct slice *ret_run, struct task_info *ret_task, struct error *error);

/*
 * The run that a text names, brought into memory. For changing it must have its number: the error
 * shows the latest. ERR_NOT_FOUND, ERR_USAGE.
 */
int client_find_run(struct master *master, struct slice text, bool changing, uint64_t *ret_run,
    struct error *error);
/* The index of a task, or TASK_ALL for an empty name. ERR_NOT_FOUND with "did you mean". */
int client_find_task(const struct plan *plan, struct slice run, struct slice name,
    uint32_t *ret_task, struct error *error);

#endif
