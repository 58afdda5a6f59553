#include "worker/io/join.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/random.h"
#include "proto/proto.h"
#include "worker/io/identity.h"
#include "worker/io/uplink.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum { ASK_EVERY_MS = 2000 };

struct joining {
    struct options *options;
    const struct identity *identity;
    struct loop *loop;
    struct uplink *uplink;
    char host[256];
    uint64_t request, next_ms;
    struct arena arena;
    bool done;
    struct error error; /* code 0: joined */
};

static void end(struct joining *joining)
{
    joining->done = true;
    loop_stop(joining->loop);
}

static void ask(struct joining *joining)
{
    struct buffer frame = {0};
    const struct frame_header header = {.version = PROTOCOL_VERSION};
    const struct msg_join join = {.request = joining->request,
        .key = slice_make(joining->identity->keys.public_key, KEY_BYTES),
        .name = slice_of(joining->options->name),
        .host = slice_of(joining->host),
        .software = slice_of("reeve-worker " REEVE_VERSION)};
    frame_begin(&frame, &header);
    message_encode(&frame, MESSAGE_join, &join);
    uplink_send(joining->uplink, buffer_slice(&frame));
    buffer_fini(&frame);
}

/* ---- the answer ---- */

static void take_joined(struct joining *joining, const struct msg_joined *answer)
{
    struct options *options = joining->options;
    if (answer->request != joining->request)
        return;
    if (!slice_is(answer->cluster, options->joined.cluster))
        (void)error_set(&joining->error, ERR_REFUSED,
            "cluster %.*s answered, the token is of cluster %s", SLICE_PRINT(answer->cluster),
            options->joined.cluster);
    else if (answer->name.length > 0)
        options_set_name(options, answer->name);
    end(joining);
}

/* Whatever it is that the master has against it: asking again changes nothing, unless it says so.
 */
static void take_refused(struct joining *joining, const struct msg_refused *refused)
{
    if (refused->code == ERR_AGAIN || refused->code == ERR_NO_SPACE)
        return;
    (void)error_set(&joining->error, refused->code == ERR_VERSION ? ERR_VERSION : ERR_DENIED,
        "the master refused the join: %.*s", SLICE_PRINT(refused->text));
    end(joining);
}

static void on_frame(void *context, transport_peer peer, struct slice frame)
{
    struct joining *joining = context;
    struct frame_reader reader;
    struct message message;
    struct error error = {0};
    (void)peer;
    if (joining->done)
        return;
    arena_reset(&joining->arena);
    int rc = frame_open(frame, &joining->arena, &reader, &error);
    while (rc == 0 && !joining->done && (rc = frame_next(&reader, &message, &error)) == 1) {
        rc = 0;
        if (message.number == MESSAGE_joined)
            take_joined(joining, message.body);
        else if (message.number == MESSAGE_refused)
            take_refused(joining, message.body);
    }
    if (rc >= 0)
        return;
    joining->error = error;
    (void)error_prefix(&joining->error, "the master's answer to the join");
    end(joining);
}

/* ---- asking ---- */

/* The next question repeats the first one, at whichever address it is. */
static void moved(void *context)
{
    (void)context;
}

static bool on_round(void *context)
{
    struct joining *joining = context;
    uint64_t now_ms = clock_boot_ms();
    if (now_ms >= joining->next_ms) {
        ask(joining);
        joining->next_ms = now_ms + ASK_EVERY_MS;
    }
    if (!joining->done && uplink_is_denied(joining->uplink)) {
        (void)error_set(&joining->error, ERR_DENIED,
            "the master at %s does not know this token: it was revoked, or is none of its own",
            uplink_name(joining->uplink));
        end(joining);
    }
    if (!joining->done)
        uplink_tick(joining->uplink, now_ms);
    uint64_t due_ms = uplink_due_ms(joining->uplink);
    loop_set_timer(joining->loop, due_ms < joining->next_ms ? due_ms : joining->next_ms);
    return false;
}

/* Waking is all: the round looks what is due. */
static void on_timer(void *context)
{
    (void)context;
}

/* The address that answered is the first to be tried from now on. */
static void prefer(struct joined *joined, uint32_t index)
{
    char first[sizeof joined->addresses[0]];
    memcpy(first, joined->addresses[index], sizeof first);
    memmove(joined->addresses[1], joined->addresses[0], index * sizeof joined->addresses[0]);
    memcpy(joined->addresses[0], first, sizeof first);
}

static int serve(struct joining *joining, struct error *error)
{
    const struct uplink_config config = {
        .loop = joining->loop,
        .options = joining->options,
        .keys = &joining->options->token->keys,
        .frame = on_frame,
        .moved = moved,
        .context = joining,
    };
    int rc = uplink_open(&config, &joining->uplink, error);
    if (rc != 0)
        return rc;
    loop_on_round(joining->loop, on_round, joining);
    loop_on_timer(joining->loop, on_timer, joining);
    loop_run(joining->loop);
    if (joining->error.code != 0)
        *error = joining->error;
    else
        prefer(&joining->options->joined, uplink_address(joining->uplink));
    return joining->error.code;
}

static void take_token(const struct token *token, struct joined *joined)
{
    *joined = (struct joined){.address_count = token->address_count};
    memcpy(joined->cluster, token->cluster, sizeof joined->cluster);
    memcpy(joined->server_key, token->server_key, KEY_BYTES);
    memcpy(joined->addresses, token->addresses, sizeof joined->addresses);
}

static int join(struct options *options, const struct identity *identity, struct error *error)
{
    struct joining joining = {.options = options, .identity = identity, .request = random_id()};
    (void)gethostname(joining.host, sizeof joining.host - 1);
    take_token(options->token, &options->joined);
    log_info("joining cluster %s at %s", options->joined.cluster, options->joined.addresses[0]);
    transport_start();
    int rc = loop_create(&joining.loop, error);
    if (rc == 0)
        rc = serve(&joining, error);
    uplink_close(joining.uplink);
    loop_destroy(joining.loop);
    transport_stop();
    arena_fini(&joining.arena);
    return rc;
}

static int join_anew(struct options *options, const struct folder *folder, struct error *error)
{
    struct identity identity;
    int rc = identity_load(&identity, folder, error);
    if (rc == 0)
        rc = join(options, &identity, error);
    key_pair_wipe(&identity.keys);
    return rc;
}

int join_if_wanted(
    struct options *options, const struct folder *folder, bool *ret_joined, struct error *error)
{
    bool joined = options->joined.address_count > 0;
    *ret_joined = options->token != NULL && !joined;
    if (options->token != NULL && joined)
        log_info("has joined cluster %s already: the token is not used", options->joined.cluster);
    int rc = *ret_joined ? join_anew(options, folder, error) : 0;
    if (rc == 0)
        rc = options_remember(options, folder->join, error);
    if (rc == 0 && *ret_joined)
        log_info("joined cluster %s as %s", options->joined.cluster, options->name);
    options_drop_token(options);
    return rc;
}

int join_restart(char **argv, struct error *error)
{
    static const char flag[] = "--join";
    const size_t length = sizeof flag - 1;
    char **kept = argv;
    for (char **word = argv; *word != NULL; word++) {
        bool is_flag = strncmp(*word, flag, length) == 0;
        if (is_flag && (*word)[length] == '\0' && word[1] != NULL)
            word++;
        else if (!is_flag || (*word)[length] != '=')
            *kept++ = *word;
    }
    *kept = NULL;
    (void)execv("/proc/self/exe", argv);
    return error_set_errno(error, ERR_IO, errno, "the worker cannot be started anew");
}
