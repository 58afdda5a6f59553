#include "cli/client.h"

#include "cli/terminal.h"
#include "common/clock.h"
#include "common/limits.h"
#include "common/memory.h"
#include "common/random.h"
#include "common/transport/transport.h"
#include "proto/roles.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>

enum {
    REPEAT_MS = 1000,
    PING_AFTER_MS = 1000,
    AWAY_AFTER_MS = 5000,
    NEXT_ADDRESS_MS = 1500, /* an address that is silent for so long makes room for the next */
};

/* Logs and blobs never queue before anything else. */
enum client_port { CLIENT_CONTROL, CLIENT_BULK, CLIENT_PORT_COUNT };

struct port {
    struct client *client;
    struct transport *transport; /* NULL until it is used */
};

struct client {
    struct master_search search;
    struct loop *loop;
    struct port ports[CLIENT_PORT_COUNT];
    bool remote;
    uint32_t address;                    /* of search.joined's, the one in use */
    uint64_t dialled_ms;                 /* BOOT: when it was begun with */
    char *troubles[TOKEN_ADDRESSES_MAX]; /* what the network said of each; owned, or NULL */
    struct buffer frame;                 /* the one that is being read */
    bool frame_came;                     /* it is new */
    bool frame_open;                     /* `reader` is inside it */
    struct frame_reader reader;
    struct arena arena;
    int signal; /* that came, or 0 */
    bool winch;
    bool broken;
    uint64_t repeat_ms;
    uint64_t deadline_ms;
    bool patient;
    bool contacted; /* the master has answered at least once */
    bool away;      /* it was said that it does not answer */
    uint64_t patience_ms;
    uint64_t heard_ms; /* BOOT: when the master was heard, or when it was first spoken to */
    uint64_t pinged_ms;
    uint64_t leader; /* of the last frame */
    uint64_t restarts;
    void (*on_push)(void *context, const struct message *message);
    void *push_context;
    void (*before_notice)(void *context);
    void *notice_context;
};

static void pause_ports(struct client *client, bool paused)
{
    for (int i = 0; i < CLIENT_PORT_COUNT; i++) {
        if (client->ports[i].transport != NULL)
            transport_pause(client->ports[i].transport, paused);
    }
}

/* Keeps the frame and stops reading: the next one is taken when this one has been walked. */
static void take_frame(void *context, transport_peer peer, struct slice frame)
{
    struct port *port = context;
    struct client *client = port->client;
    (void)peer;
    buffer_clear(&client->frame);
    buffer_append_slice(&client->frame, frame);
    client->frame_came = true;
    pause_ports(client, true);
    loop_stop(client->loop);
}

static void take_timer(void *context)
{
    struct client *client = context;
    loop_stop(client->loop);
}

static void take_signal(void *context, int signal)
{
    struct client *client = context;
    if (signal == SIGWINCH)
        client->winch = true;
    else
        client->signal = signal;
    loop_stop(client->loop);
}

static int open_local(struct client *client, enum client_port port, struct error *error)
{
    static const char *const names[CLIENT_PORT_COUNT] = {"control.sock", "bulk.sock"};
    const char *folder = client->search.places[client->search.chosen].folder;
    char *endpoint = xasprintf("ipc://%s/%s", folder, names[port]);
    int rc = transport_connect(client->loop, endpoint, take_frame, &client->ports[port],
        &client->ports[port].transport, error);
    free(endpoint);
    return rc;
}

static int open_remote(struct client *client, enum client_port port, struct error *error)
{
    const struct joined *joined = &client->search.joined;
    char endpoint[ENDPOINT_TEXT_MAX];
    int rc = joined_endpoint(joined->addresses[client->address], (uint32_t)port, endpoint, error);
    if (rc != 0)
        return rc;
    const struct transport_place place = {endpoint, &joined->keys, joined->server_key};
    return transport_connect_curve(client->loop, &place, take_frame, &client->ports[port],
        &client->ports[port].transport, error);
}

static int open_port(struct client *client, enum client_port port, struct error *error)
{
    if (client->ports[port].transport != NULL)
        return 0;
    client->ports[port].client = client;
    return client->remote ? open_remote(client, port, error) : open_local(client, port, error);
}

static void close_port(struct client *client, enum client_port port)
{
    transport_destroy(client->ports[port].transport);
    client->ports[port].transport = NULL;
}

/* A key that is refused stays refused: nobody waits for that. */
static bool is_denied(const struct client *client)
{
    const struct transport *control = client->ports[CLIENT_CONTROL].transport;
    return client->remote && control != NULL && transport_is_denied(control);
}

static bool on_round(void *context)
{
    struct client *client = context;
    if (is_denied(client))
        loop_stop(client->loop);
    return false;
}

int client_create(
    const struct master_search *search, struct client **ret_client, struct error *error)
{
    assert(search->chosen >= 0);
    struct client *client = xcalloc(1, sizeof *client);
    client->search = *search;
    client->remote = find_master_is_remote(search);
    client->dialled_ms = clock_boot_ms();
    client->patience_ms = CLIENT_PATIENCE_MS;
    if (client->patience_ms < (uint64_t)search->joined.address_count * NEXT_ADDRESS_MS)
        client->patience_ms = (uint64_t)search->joined.address_count * NEXT_ADDRESS_MS;
    client->repeat_ms = REPEAT_MS;
    client->deadline_ms = UINT64_MAX;
    int rc = loop_create(&client->loop, error);
    if (rc == 0)
        rc = open_port(client, CLIENT_CONTROL, error);
    if (rc != 0) {
        client_destroy(client);
        return rc;
    }
    loop_on_timer(client->loop, take_timer, client);
    loop_on_round(client->loop, on_round, client);
    *ret_client = client;
    return 0;
}

void client_destroy(struct client *client)
{
    if (client == NULL)
        return;
    for (int i = 0; i < CLIENT_PORT_COUNT; i++)
        close_port(client, (enum client_port)i);
    loop_destroy(client->loop);
    for (int i = 0; i < TOKEN_ADDRESSES_MAX; i++)
        free(client->troubles[i]);
    key_pair_wipe(&client->search.joined.keys);
    arena_fini(&client->arena);
    buffer_fini(&client->frame);
    free(client);
}

int client_catch_signals(struct client *client, struct error *error)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};
    return loop_on_signals(
        client->loop, signals, sizeof signals / sizeof signals[0], take_signal, client, error);
}

int client_take_signal(struct client *client)
{
    int signal = client->signal;
    client->signal = 0;
    return signal;
}

void client_be_patient(struct client *client)
{
    client->patient = true;
}

void client_set_patience(struct client *client, uint64_t patience_ms)
{
    client->patience_ms = patience_ms;
}

void client_on_push(struct client *client,
    void (*callback)(void *context, const struct message *message), void *context)
{
    client->on_push = callback;
    client->push_context = context;
}

void client_before_notice(struct client *client, void (*callback)(void *context), void *context)
{
    client->before_notice = callback;
    client->notice_context = context;
}

static void notice(struct client *client, const char *text)
{
    if (client->before_notice != NULL)
        client->before_notice(client->notice_context);
    terminal_say("%s", text);
}

uint64_t client_restarts(const struct client *client)
{
    return client->restarts;
}

void client_set_repeat(struct client *client, uint64_t repeat_ms)
{
    client->repeat_ms = repeat_ms;
}

void client_set_deadline(struct client *client, uint64_t deadline_ms)
{
    client->deadline_ms = deadline_ms;
}

static void take_break(void *context, int fd, uint32_t events)
{
    struct client *client = context;
    (void)events;
    client->broken = true;
    loop_forget(client->loop, fd);
    loop_stop(client->loop);
}

int client_break_on(struct client *client, int fd, struct error *error)
{
    return loop_watch(client->loop, fd, EPOLLIN, take_break, client, error);
}

const struct joined *client_joined(const struct client *client)
{
    return client->remote ? &client->search.joined : NULL;
}

void client_renew_bulk(struct client *client)
{
    close_port(client, CLIENT_BULK);
}

static enum client_port port_of(enum message_id number)
{
    return number >= MESSAGE_log_open && number <= MESSAGE_blob_data ? CLIENT_BULK : CLIENT_CONTROL;
}

int client_send(
    struct client *client, enum message_id number, const void *body, struct error *error)
{
    enum client_port port = port_of(number);
    const struct frame_header header = {.version = PROTOCOL_VERSION};
    struct buffer frame = {0};
    int rc = open_port(client, port, error);
    if (rc != 0)
        return rc;
    frame_begin(&frame, &header);
    message_encode(&frame, number, body);
    if (frame.length > FRAME_MAX_BYTES)
        rc = error_set(error, ERR_TOO_BIG,
            "the request has %zu bytes, more than the %d that a master takes at once", frame.length,
            FRAME_MAX_BYTES);
    else
        transport_send(client->ports[port].transport, 0, buffer_slice(&frame));
    buffer_fini(&frame);
    return rc;
}

static void hear(struct client *client)
{
    client->heard_ms = clock_boot_ms();
    client->contacted = true;
    if (client->away)
        notice(client, "the master is back");
    client->away = false;
    uint64_t leader = client->reader.header.leader;
    if (leader != 0 && client->leader != 0 && leader != client->leader)
        client->restarts++;
    if (leader != 0)
        client->leader = leader;
}

/* Opens the frame that came. A frame that cannot be read is the master's mistake, and is told. */
static int open_frame(struct client *client, struct error *error)
{
    client->frame_came = false;
    arena_reset(&client->arena);
    int rc = frame_open(buffer_slice(&client->frame), &client->arena, &client->reader, error);
    if (rc != 0)
        return rc;
    client->frame_open = true;
    hear(client);
    return 0;
}

/* The next message of the open frame: 1, 0 when it has no more, or an error. Pongs of keep_alive
 * are passed over. */
static int next_message(struct client *client, struct message *ret_message, struct error *error)
{
    while (client->frame_open) {
        int rc = frame_next(&client->reader, ret_message, error);
        if (rc == 1 && ret_message->body != NULL)
            return 1;
        if (rc <= 0)
            client->frame_open = false;
        if (rc < 0)
            return rc;
    }
    return 0;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void note_trouble(struct client *client)
{
    const struct transport *control = client->ports[CLIENT_CONTROL].transport;
    const char *trouble = client->remote && control != NULL ? transport_trouble(control) : NULL;
    if (trouble == NULL)
        return;
    free(client->troubles[client->address]);
    client->troubles[client->address] = xstrdup(trouble);
}

static int explain_denied(const struct client *client, struct error *error)
{
    const struct joined *joined = &client->search.joined;
    const char *address = joined->addresses[client->address];
    if (joined->role == ROLE_JOINER)
        return error_set(error, ERR_DENIED,
            "%s: this token is not taken there: it has expired, was revoked, or is another "
            "cluster's; ask for a new one",
            address);
    return error_set(error, ERR_DENIED,
        "%s: the key of %s, %s, is not known there any more: it was removed; with a new token: "
        "`reeve masters --forget %s`, then `reeve join TOKEN`",
        address, joined->who, role_name(joined->role), joined->name);
}

/* Goes on to the next address when this one is silent for too long; what was sent is sent again by
 * those who wait for its answer. */
static int try_next_address(struct client *client, uint64_t now, struct error *error)
{
    uint64_t limit_ms = client->contacted ? AWAY_AFTER_MS : NEXT_ADDRESS_MS;
    if (client->search.joined.address_count < 2 ||
        now < later(client->heard_ms, client->dialled_ms) + limit_ms)
        return 0;
    close_port(client, CLIENT_CONTROL);
    close_port(client, CLIENT_BULK);
    client->address = (client->address + 1) % client->search.joined.address_count;
    client->dialled_ms = now;
    return open_port(client, CLIENT_CONTROL, error);
}

/* Asks for a sign of life, and judges the silence. */
static int keep_alive(struct client *client, struct error *error)
{
    uint64_t now = clock_boot_ms();
    if (client->heard_ms == 0)
        client->heard_ms = now;
    uint64_t silence = now - client->heard_ms;
    bool waits = client->patient && client->contacted;
    if (is_denied(client))
        return explain_denied(client, error);
    note_trouble(client);
    if (!waits && silence >= client->patience_ms)
        return find_master_silent(&client->search, (const char *const *)client->troubles, error);
    int rc = try_next_address(client, now, error);
    if (rc != 0)
        return rc;
    if (waits && silence >= AWAY_AFTER_MS && !client->away) {
        client->away = true;
        notice(client, "master not reachable, waiting");
    }
    if (silence < PING_AFTER_MS || now - client->pinged_ms < PING_AFTER_MS ||
        client->search.joined.role == ROLE_JOINER)
        return 0;
    client->pinged_ms = now;
    const struct msg_ping ping = {.request = random_id()};
    return client_send(client, MESSAGE_ping, &ping, error);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void sleep_until(struct client *client, uint64_t until_ms)
{
    uint64_t ping_ms = clock_boot_ms() + PING_AFTER_MS;
    pause_ports(client, false);
    loop_set_timer(client->loop, earlier(until_ms, ping_ms));
    loop_run(client->loop);
}

int client_receive(
    struct client *client, uint64_t until_ms, struct message *ret_message, struct error *error)
{
    for (;;) {
        if (client->signal != 0)
            return CLIENT_INTERRUPTED;
        if (client->broken)
            return CLIENT_BROKEN;
        int rc = next_message(client, ret_message, error);
        if (rc != 0)
            return rc;
        if (client->frame_came) {
            rc = open_frame(client, error);
            if (rc != 0)
                return rc;
            continue;
        }
        rc = keep_alive(client, error);
        if (rc != 0)
            return rc;
        sleep_until(client, until_ms);
        if (client->frame_came || client->signal != 0 || client->broken)
            continue;
        if (client->winch || clock_boot_ms() >= until_ms) {
            client->winch = false;
            return 0;
        }
    }
}

int client_refusal(const struct msg_refused *refused, struct error *error)
{
    int code = (int)refused->code;
    if (code > 0)
        code = -code;
    if (code == 0 || code < -1000)
        code = ERR_REFUSED;
    if (refused->text.length == 0)
        return error_set(error, code, "%s", error_text(code));
    return error_set(error, code, "%.*s", SLICE_PRINT(refused->text));
}

int client_refused(const struct client *client, enum message_id number,
    const struct msg_refused *refused, struct error *error)
{
    const struct joined *joined = client_joined(client);
    int code = client_refusal(refused, error);
    if (code != ERR_DENIED || joined == NULL || role_may(joined->role, number))
        return code;
    (void)error_set(error, code,
        "not allowed: you are %s, %s %s of \"%s\"; %s who may enter the master's folder on its own "
        "host may do this",
        joined->who, joined->role == ROLE_OPERATOR ? "an" : "a", role_name(joined->role),
        joined->name, role_may(ROLE_OPERATOR, number) ? "an operator, or" : "only");
    return code;
}

/* Every message between a client and a master begins with its request's id. */
static uint64_t request_of(const void *body)
{
    assert(body != NULL);
    uint64_t request;
    memcpy(&request, body, sizeof request);
    return request;
}

struct question {
    enum message_id number, answer;
    uint64_t request;
};

/* Whether the message is what is waited for: 1 and *ret_body, 0, or the refusal. */
static int match(const struct client *client, const struct message *message,
    const struct question *question, const void **ret_body, struct error *error)
{
    if (message->number == (uint32_t)question->answer &&
        request_of(message->body) == question->request) {
        *ret_body = message->body;
        return 1;
    }
    if (message->number == MESSAGE_refused && request_of(message->body) == question->request)
        return client_refused(client, question->number, message->body, error);
    return 0;
}

int client_ask(struct client *client, enum message_id number, const void *body,
    enum message_id answer, const void **ret_body, struct error *error)
{
    const struct question question = {number, answer, request_of(body)};
    uint64_t repeat_ms = 0;
    assert(question.request != 0);
    if (!client->patient)
        client->heard_ms = clock_boot_ms();
    for (;;) {
        struct message message = {0};
        uint64_t now = clock_boot_ms();
        if (now >= client->deadline_ms)
            return error_set(error, ERR_TIMEOUT, "the master has not answered in time");
        int rc = now >= repeat_ms ? client_send(client, number, body, error) : 0;
        if (now >= repeat_ms)
            repeat_ms = now + client->repeat_ms;
        if (rc == 0)
            rc = client_receive(client, earlier(repeat_ms, client->deadline_ms), &message, error);
        if (rc == 0)
            continue;
        if (rc != 1)
            return rc;
        rc = match(client, &message, &question, ret_body, error);
        if (rc != 0)
            return rc == 1 ? 0 : rc;
        if (client->on_push != NULL && message.number != MESSAGE_pong)
            client->on_push(client->push_context, &message);
    }
}
