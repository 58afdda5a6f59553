/*
 * session.h - a command's way to its master: found by --data and the usual places, spoken to
 * through a client.
 */
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include "cli/arguments.h"
#include "cli/client.h"

/* The options of every command that speaks to a master. */
#define SESSION_OPTIONS                                                                            \
    {"data", 0, OPTION_TEXT, "DIR", "the master's folder"},                                        \
    {                                                                                              \
        "master", 0, OPTION_TEXT, "NAME", "a master on another host, that was joined"              \
    }

/* The client, or NULL and *error. A master on another host has answered then. */
struct client *session_open(const struct arguments *arguments, struct error *error);
/* The same for a folder that is known. */
struct client *session_open_folder(const char *folder, struct error *error);
void session_close(struct client *client);
/* The master's wall time, which a remote one said when the session was opened: what is shown is
 * reckoned by it, and this host's clock may differ. */
int64_t session_now(void);

/* One request and its answer, which `print` gets; with all that is around it. Returns the exit
 * status. */
struct session_request {
    enum message_id number;
    const void *ask;
    enum message_id answer;
    void (*print)(const struct arguments *arguments, const void *body);
};
int session_show(const struct arguments *arguments, const struct session_request *request);
/* The same on an open session, which it closes. */
int session_show_on(struct client *client, const struct arguments *arguments,
    const struct session_request *request);

/*
 * One page of a run after another, joined: calls `visit` for each with the number of tasks before
 * it, until the last. The run is named once: "last" stays what it was at the first page. What visit
 * returns, unless 0, ends it.
 */
typedef int (*session_page_fn)(
    void *context, const struct msg_run_info *page, uint32_t before, struct error *error);
int session_read_run(struct client *client, const char *run, const char *task,
    session_page_fn visit, void *context, struct error *error);

/* A run with no tasks: its name, state, counts. Valid until the next request. */
int session_read_head(struct client *client, const char *run, const struct msg_run_info **ret_info,
    struct error *error);

#endif
