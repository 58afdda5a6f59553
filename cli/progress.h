/*
 * progress.h - what is known of a run that is followed, and how it is told: a line a transition, or
 * a block of lines that is drawn again and again. Pure: time and the terminal's size come from the
 * caller. Remembers two words a task, and only of tasks that run or failed their names in full: a
 * run of 100,000 tasks stays cheap.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "common/buffer.h"
#include "proto/proto.h"

struct progress;

struct progress *progress_create(const char *run);
void progress_destroy(struct progress *progress);

/* The run as a whole: run_changed's and run_info's own fields. `at` is when, for the line that
 * tells of it. */
struct progress_run {
    uint32_t state;
    const struct state_count *counts;
    uint32_t count;
    uint32_t task_count;
    int64_t started_at; /* or 0: not said */
};
void progress_see_run(
    struct progress *progress, const struct progress_run *run, int64_t at, struct buffer *lines);

/*
 * A task is in this state. Appends a line when that is news worth telling: not for a state that is
 * known already, and not for waiting, ready and assigned. How far a running one is, is told too,
 * but not at every step. Returns whether it is news at all. `lines` may be NULL.
 */
bool progress_see_task(
    struct progress *progress, const struct task_change *change, struct buffer *lines);

/* Why nothing of it goes on; empty: it does. A line when it is another reason than before. */
void progress_see_wait(
    struct progress *progress, struct slice why, int64_t at, struct buffer *lines);
/* Whether no task of it is known to run. */
bool progress_is_idle(const struct progress *progress);

/* RUN_… */
uint32_t progress_state(const struct progress *progress);
bool progress_has_ended(const struct progress *progress);

/* The block: lines of at most `columns` columns, at most `rows` lines; each ends with a newline. */
struct progress_view {
    size_t columns, rows;
    int64_t now;
    bool colour;
};
void progress_draw(
    const struct progress *progress, const struct progress_view *view, struct buffer *out);

#endif
