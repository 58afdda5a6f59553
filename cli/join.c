#include "cli/join.h"

#include "cli/client.h"
#include "common/random.h"
#include "proto/roles.h"

#include <stdio.h>
#include <unistd.h>

static int check_role(const struct token *token, struct error *error)
{
    if (token->role == ROLE_OPERATOR || token->role == ROLE_VIEWER)
        return 0;
    if (token->role == ROLE_WORKER)
        return error_set(error, ERR_USAGE,
            "this token is for a worker: on its host, reeve-worker --data DIR --join TOKEN; a "
            "person's is made by `reeve token create --role operator`");
    return error_set(
        error, ERR_VERSION, "this token is for a role that this version does not know");
}

static void take_token(const struct token *token, struct joined *joined)
{
    (void)snprintf(joined->cluster, sizeof joined->cluster, "%s", token->cluster);
    memcpy(joined->server_key, token->server_key, KEY_BYTES);
    memcpy(joined->addresses, token->addresses, sizeof joined->addresses);
    joined->address_count = token->address_count;
    joined->token = token->id;
    joined->role = ROLE_NONE;
}

/* The key of an earlier try by this token, or a new one. */
static int prepare(const struct token *token, struct joined *joined, struct error *error)
{
    struct joined before = {0};
    char path[PATH_MAX];
    int rc = joined_path(joined->name, path, error);
    if (rc != 0)
        return rc;
    bool there = access(path, F_OK) == 0;
    rc = there ? joined_read(joined->name, &before, error) : 0;
    if (rc != 0)
        return rc;
    if (before.role != ROLE_NONE)
        return error_set(error, ERR_REFUSED,
            "\"%s\" is a master that was joined already, as %s: take another name with --name, or "
            "`reeve masters --forget %s`",
            joined->name, role_name(before.role), joined->name);
    take_token(token, joined);
    if (there && before.token == token->id)
        joined->keys = before.keys;
    else
        key_pair_make(&joined->keys);
    return joined_write(joined, error);
}

/* The token's key asks, for ours. */
static int ask(const struct token *token, struct joined *joined, struct error *error)
{
    char host[256] = "";
    const void *body;
    struct master_search search = {.count = 1, .joined = *joined};
    struct place *place = &search.places[0];
    (void)snprintf(place->folder, sizeof place->folder, "%s", joined->name);
    place->source = "joining";
    place->state = PLACE_JOINED;
    search.joined.keys = token->keys;
    search.joined.role = ROLE_JOINER;
    (void)gethostname(host, sizeof host - 1);
    struct client *client;
    int rc = client_create(&search, &client, error);
    if (rc != 0)
        return rc;
    const struct msg_join join = {.request = random_id(),
        .key = slice_make(joined->keys.public_key, KEY_BYTES),
        .name = slice_of(joined->who),
        .host = slice_of(host),
        .software = slice_of(REEVE_VERSION)};
    rc = client_ask(client, MESSAGE_join, &join, MESSAGE_joined, &body, error);
    if (rc == 0) {
        const struct msg_joined *answer = body;
        joined->role = answer->role;
        (void)snprintf(joined->who, sizeof joined->who, "%.*s", SLICE_PRINT(answer->name));
        if (!slice_is(answer->cluster, joined->cluster))
            rc = error_set(error, ERR_REFUSED,
                "another cluster answered than the token is for: it may be an old token");
    }
    client_destroy(client);
    key_pair_wipe(&search.joined.keys);
    return rc;
}

int join_master(const struct token *token, struct joined *joined, struct error *error)
{
    int rc = check_role(token, error);
    if (rc == 0)
        rc = prepare(token, joined, error);
    if (rc != 0)
        return rc;
    rc = ask(token, joined, error);
    if (rc == 0)
        return joined_write(joined, error);
    /* What was refused stays refused; what was not answered may be asked again. */
    if (rc != ERR_UNREACHABLE)
        (void)joined_remove(joined->name, NULL);
    return rc;
}
