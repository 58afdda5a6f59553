/*
 * operator.h - the operator's side of the operator contract (docs/operators.md), for operators in
 * C: the task that it is given on descriptor 3, and what it says there. It knows nothing of what an
 * option means. One thread; it blocks only where it says so.
 *
 *     if (operator_describe(argc, argv, "1.0", NULL))
 *         return 0;
 *     if (operator_open(OPERATOR_FD, &link, &error) != 0) …
 *     const struct operator_task *task = operator_task(link);
 *     rc = option_text(task->with, "sql", &sql, &error);
 *     …
 *     if (rc != 0)
 *         operator_fail(link, error.text, false);
 */
#ifndef OPERATORS_COMMON_OPERATOR_H
#define OPERATORS_COMMON_OPERATOR_H

#include "common/error.h"
#include "common/tag.h"

#include <jansson.h>
#include <stdint.h>

enum {
    OPERATOR_CONTRACT = 1,
    OPERATOR_FD = 3,
    /* Exit statuses; any other is a failure. */
    OPERATOR_SUCCESS = 0,
    OPERATOR_SKIPPED = 99,
    /* Lines, with their ends. */
    OPERATOR_TASK_MAX_BYTES = 262144,
    OPERATOR_LINE_MAX_BYTES = 131072,
    OPERATOR_ANSWER_MAX_BYTES = 4096,
    OPERATOR_NOTE_MAX_BYTES = 4096,
    /* Longer ones are cut. */
    OPERATOR_PROGRESS_MAX_BYTES = 256,
    OPERATOR_ERROR_MAX_BYTES = 1024,
};

struct operator_link;

/* Borrowed from the link, all of it. */
struct operator_task {
    const char *operator_name, *run, *run_key, *dag, *task, *worker;
    const char *tag;        /* goes on what is started elsewhere */
    const char *tag_prefix; /* of all attempts of this task */
    struct tag id;          /* the tag in numbers */
    uint64_t epoch, timeout_ms, kill_grace_ms;
    const json_t *with;        /* an object: the options, rendered */
    const json_t *context;     /* an object */
    const json_t *connections; /* an object: id -> connection */
    const json_t *notes;       /* an array: of earlier attempts, oldest first */
};

/*
 * Answers `--describe`, the one argument that a worker gives: true when it did, and the program
 * shall end with 0. `problem`: why it cannot work on this host, or NULL.
 */
bool operator_describe(int argc, char **argv, const char *version, const char *problem);

/*
 * Reads the task (blocks until it is there) and takes the descriptor, which becomes close-on-exec.
 * From then on this process leaves no core file.
 * ERR_IO: there is no socket, or it ended; ERR_MALFORMED: no such task, or a text with a NUL in it;
 * ERR_VERSION. The worker was told of these two.
 */
int operator_open(int fd, struct operator_link **ret_link, struct error *error);
void operator_close(struct operator_link *link);
const struct operator_task *operator_task(const struct operator_link *link);
/* To be watched for POLLIN while a note waits; -1 with a NULL link. */
int operator_fd(const struct operator_link *link);

/* ---- what it says; each blocks while the worker takes nothing more ---- */

/*
 * A note (an object, borrowed), and waits until it is durable on the master. ERR_REFUSED: it is not
 * kept, with the reason as text; ERR_TOO_BIG; ERR_IO: the worker is gone for good. ERR_AGAIN: a
 * signal came first, and the note is still under way: operator_note_wait.
 */
int operator_note(struct operator_link *link, const json_t *note, struct error *error);
/* Goes on waiting; the same errors. ERR_NOT_FOUND: no note is under way. */
int operator_note_wait(struct operator_link *link, struct error *error);
/* An object (borrowed) of values for the tasks below. */
int operator_output(struct operator_link *link, const json_t *outputs, struct error *error);
/* `text` may be NULL, `done` and `total` negative: not said. Not more than a few a second. */
int operator_progress(
    struct operator_link *link, const char *text, int64_t done, int64_t total, struct error *error);
/* Its last word: one line (cut where it is too long; what is no UTF-8 is replaced), and whether
 * another try could help. It must end soon after, not with 0. */
int operator_fail(struct operator_link *link, const char *text, bool retry, struct error *error);

/* ---- options: ERR_INVALID names the key and what it should be; an absent key, or null, leaves
 * *ret_value as it is ---- */

int option_text(const json_t *object, const char *key, const char **ret_value, struct error *error);
int option_bool(const json_t *object, const char *key, bool *ret_value, struct error *error);
int option_integer(const json_t *object, const char *key, int64_t *ret_value, struct error *error);
int option_object(
    const json_t *object, const char *key, const json_t **ret_value, struct error *error);
int option_array(
    const json_t *object, const char *key, const json_t **ret_value, struct error *error);
/* Every key must be one of `known` (it ends with NULL); the error suggests the nearest. */
int option_check(const json_t *object, const char *const *known, struct error *error);

/* The connection of that id, or ERR_NOT_FOUND; with a NULL id the only one there is. */
int operator_connection(const struct operator_link *link, const char *id,
    const json_t **ret_connection, struct error *error);

#endif
