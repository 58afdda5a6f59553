/*
 * client.h - a conversation with a master over its sockets: straight-line code on top of the event
 * loop. One thread.
 *
 * A request is sent again, with the same id, until it is answered: a master that is being restarted
 * is waited for. Frames are taken one at a time; nothing is read while the caller does not ask, so
 * that a slow reader holds back the master and not its own memory.
 */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include "cli/find_master.h"
#include "common/loop.h"
#include "proto/proto.h"

#include <stdbool.h>
#include <stdint.h>

struct client;

/* Answers of client_receive and client_ask beside 0, 1 and error codes. */
enum {
    CLIENT_INTERRUPTED = 2, /* a signal came that client_catch_signals asked for */
    CLIENT_BROKEN = 3,      /* the descriptor of client_break_on became readable */
};

#define CLIENT_PATIENCE_MS                                                                         \
    5000u /* how long a master may be silent before it counts as unreachable; longer when it has   \
             many addresses */

/*
 * Speaks to the master of `search`: over its folder's sockets, or over TCP when it was joined; then
 * its addresses are tried in turn, each for a second. A `joined` that has the role ROLE_JOINER and
 * a token's keys may say `join`, and the client asks for no other sign of life. Call
 * transport_start before.
 */
int client_create(
    const struct master_search *search, struct client **ret_client, struct error *error);
void client_destroy(struct client *client);

/*
 * SIGINT, SIGTERM, SIGHUP and SIGWINCH come to the caller from now on: the first three as
 * CLIENT_INTERRUPTED, the last as the end of client_receive's time. Once, before the first request.
 */
int client_catch_signals(struct client *client, struct error *error);
/* The signal that interrupted last, or 0; forgets it. */
int client_take_signal(struct client *client);

/* When fd becomes readable (or is closed at its other end), all waiting is over: CLIENT_BROKEN,
 * from then on. */
int client_break_on(struct client *client, int fd, struct error *error);

/*
 * From now on a master that has answered once is waited for without end; it is said once on stderr
 * that it is away.
 */
void client_be_patient(struct client *client);
/* How long a request waits for its answer before it is sent again; a second unless this is called.
 */
void client_set_repeat(struct client *client, uint64_t repeat_ms);
/* Boot time after which client_ask gives up with ERR_TIMEOUT; UINT64_MAX: never. */
void client_set_deadline(struct client *client, uint64_t deadline_ms);
/* Starts with how long the first answer may take, CLIENT_PATIENCE_MS unless this is called. */
void client_set_patience(struct client *client, uint64_t patience_ms);

/* Called before the client says on stderr that the master is away, or back: whoever draws there
 * makes room. */
void client_before_notice(struct client *client, void (*callback)(void *context), void *context);

/* Messages that answer no request in hand (run_changed) go here while client_ask waits. */
void client_on_push(struct client *client,
    void (*callback)(void *context, const struct message *message), void *context);

/* Sends one message, on the socket where its number belongs; `body` begins with its request id.
 * ERR_TOO_BIG when it does not fit a frame.
 */
int client_send(
    struct client *client, enum message_id number, const void *body, struct error *error);
/*
 * Waits for the next message until boot time until_ms: 1 and *ret_message (valid until the next
 * call), 0 when the time is over or the terminal was resized, CLIENT_INTERRUPTED, CLIENT_BROKEN, or
 * an error.
 */
int client_receive(
    struct client *client, uint64_t until_ms, struct message *ret_message, struct error *error);
/*
 * Sends a request and waits for its answer: 0 and *ret_body, the struct of `answer` (valid until
 * the next call). What the master refuses is its error. CLIENT_INTERRUPTED and CLIENT_BROKEN as
 * above.
 */
int client_ask(struct client *client, enum message_id number, const void *body,
    enum message_id answer, const void **ret_body, struct error *error);

/* The master of this client: what it was joined as, or NULL on the master's own host. */
const struct joined *client_joined(const struct client *client);
/* What was sent and received on the bulk connection is forgotten: it is opened anew. */
void client_renew_bulk(struct client *client);

/* Grows when another leadership of the master was heard: what it kept in memory for this client is
 * gone. */
uint64_t client_restarts(const struct client *client);
/* The error of a `refused`. */
int client_refusal(const struct msg_refused *refused, struct error *error);
/* The same of a request with this number: who was denied on another host is told as whom, and who
 * may. */
int client_refused(const struct client *client, enum message_id number,
    const struct msg_refused *refused, struct error *error);

#endif
