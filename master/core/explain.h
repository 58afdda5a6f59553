/*
 * explain.h - why something does not go on, in sentences that a person can act on; for the core's
 * own files. Only looks. What is told of one class or one task is bounded by a few names; work
 * grows with the workers, or with a task's dependencies.
 */
#ifndef MASTER_CORE_EXPLAIN_H
#define MASTER_CORE_EXPLAIN_H

#include "master/core/state.h"

/* What is waited for: words for programs (explain_line.waits_for). */
enum wait {
    WAIT_NOTHING,
    WAIT_DEPENDENCY,
    WAIT_SLOT,
    WAIT_WORKER, /* none that may take it is there */
    WAIT_QUEUE,  /* nobody serves it */
    WAIT_RETRY,
    WAIT_CAP,
    WAIT_RUN,
    WAIT_LEASE,
    WAIT_CANCEL,
    WAIT_PERSON, /* who says what becomes of it */
    WAIT_COUNT
};
struct slice wait_name(enum wait wait);

/* Names up to so many; the rest is counted. */
enum { EXPLAIN_NAMES_MAX = 3 };

/* "3m12s" from then to now; a time that is not known adds nothing. With a word before it. */
void explain_span(const struct core *core, const char *before, int64_t since, struct buffer *text);
/* "w1". */
void explain_worker_name(const struct worker *worker, struct buffer *text);

/* explain_class.c: why ready tasks of this class stay where they are. */
enum wait explain_class(const struct core *core, const struct class *class, struct buffer *text);

/* Whether nobody would take them, whatever becomes free. Looks no further than the first who would.
 */
bool explain_is_stranded(const struct core *core, const struct class *class);

/* explain_task.c: one sentence for a task, in any state. */
enum wait explain_task(const struct core *core, const struct run *run, uint32_t task,
    struct buffer *text, int64_t *ret_since);
/* explain.c: one sentence for a run that is queued. */
enum wait explain_queued(const struct core *core, const struct run *run, struct buffer *text);

#endif
