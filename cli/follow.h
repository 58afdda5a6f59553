/*
 * follow.h - stays with a run until it ends, and tells what happens: on a terminal a live block on
 * stderr, else a line a transition; with `-o json` NDJSON on stdout. Survives restarts of the
 * master.
 */
#ifndef CLI_FOLLOW_H
#define CLI_FOLLOW_H

#include "cli/client.h"
#include "cli/progress.h"

struct follow;

enum follow_style { FOLLOW_LINES, FOLLOW_LIVE, FOLLOW_JSON };

/*
 * `run` has its number. `own`: it was just submitted, so that all that has happened to it is news.
 * The client is patient from now on, and gives its pushes to this follow until follow_destroy.
 */
struct follow *follow_create(struct client *client, const char *run, bool own, bool json);
void follow_destroy(struct follow *follow);

/*
 * Something that goes on beside it, over the same client: `take` sees each message, `step` does
 * what is to be done before a wait that ends at *ret_due (BOOT), and the run is not over before
 * `is_over`. Borrowed.
 */
struct follow_beside {
    int (*step)(void *context, uint64_t *ret_due, struct error *error);
    void (*take)(void *context, const struct message *message);
    bool (*is_over)(void *context);
    void *context;
};
void follow_add_beside(struct follow *follow, const struct follow_beside *beside);
/* Whole lines for stdout. Where that is the live block's terminal too they come with its next
 * drawing, above it. */
void follow_write(struct follow *follow, struct slice lines);

/*
 * Until the run has ended: 0. ERR_TIMEOUT at boot time until_ms, CLIENT_INTERRUPTED (then it can be
 * called again), CLIENT_BROKEN.
 */
int follow_wait(struct follow *follow, uint64_t until_ms, struct error *error);
/* RUN_… as last heard. */
uint32_t follow_state(const struct follow *follow);
bool follow_has_ended(const struct follow *follow);
/* Takes the live block off the screen; the next draw puts it back. Before anything else is written
 * to stderr. */
void follow_hide(struct follow *follow);
/* The last word about a run that has ended; `hint` (may be NULL) follows when it failed. Its exit
 * status. */
int follow_conclude(struct follow *follow, const char *hint);

#endif
