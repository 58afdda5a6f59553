/*
 * connection.h - the connections that the core knows, and what it does with them; for the core's
 * own files. They come opened from the io and are in memory only; what goes into facts is sealed.
 */
#ifndef MASTER_CORE_CONNECTION_H
#define MASTER_CORE_CONNECTION_H

#include "common/connection/mask.h"
#include "master/core/core.h"

enum {
    /* Kept at a time, replaced ones too; at more a new one is refused by name. */
    CONNECTIONS_KEPT_MAX = 10000,
};
/* A replaced secret stays sealed for so long, since a log with it may still come. */
#define CONNECTION_KEEP_MS (INT64_C(30) * 24 * 3600 * 1000)

struct connections {
    struct connection_state {
        struct connection_row row; /* name and sealed are owned */
        struct slice document;     /* owned; empty: it cannot be opened */
        struct mask *mask;         /* NULL: likewise */
    } * items;
    size_t count, capacity;
};

void connections_fini(struct connections *connections);
void connection_load(struct core *core, const struct event *event);
/* Those that were replaced long ago go. */
void connections_forget(struct core *core);
void connection_find_event(struct core *core, const struct event *event);
void connection_lose_event(struct core *core, const struct event *event);
void connection_set(struct core *core, const struct event *event);
void connection_remove(struct core *core, const struct event *event);
void connections_reseal(struct core *core, const struct event *event);

/* What counts for a name, or NULL. */
const struct connection_state *connection_of_name(const struct core *core, struct slice name);
/* Puts the task's connections into the message. ERR_REFUSED names one that is not there, and where
 * it was looked for. */
int connections_assign(struct core *core, const struct plan *plan, uint32_t task,
    struct msg_assign *assign, struct error *error);
/* Appends one sentence for each of the task's that is not there. */
void connections_explain(
    const struct core *core, const struct plan *plan, uint32_t task, struct buffer *text);
/* For who submits: tasks whose connections are not there, at most `most` lines; in the arena. */
uint32_t connections_warn(
    const struct core *core, const struct plan *plan, struct slice *ret_lines, uint32_t most);
/* What a worker says of the task's attempt, without the secrets that it was given; in the arena. */
struct slice connections_mask(
    struct core *core, const struct plan *plan, uint32_t task, struct slice text);
/* The same for a JSON object, which stays one. */
struct slice connections_mask_json(
    struct core *core, const struct plan *plan, uint32_t task, struct slice text);

#endif
