/* reeve token: create, list, revoke. By a token a worker or a person joins from another host. */
#include "cli/command.h"
#include "cli/document.h"
#include "cli/printable.h"
#include "cli/session.h"
#include "cli/table_view.h"
#include "cli/terminal.h"
#include "cli/times.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/random.h"
#include "common/suggest.h"
#include "proto/roles.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

enum { HOUR_MS = 60 * 60 * 1000, USES_MAX = 100000, TOKEN_ID_MAX = 17 };

static const char *const role_names[] = {"worker", "operator", "viewer", NULL};

/* ---- create ---- */

struct creation {
    struct token token;
    uint32_t uses;
    uint64_t valid_ms;
    const char *label, *out; /* or NULL */
    int64_t expires_at;
};

static int read_role(const char *name, uint32_t *ret_role, struct error *error)
{
    if (name == NULL)
        return error_set(error, ERR_USAGE,
            "--role is missing: --role worker for a host that runs tasks, operator for a person "
            "who runs workflows, viewer for one who looks");
    uint32_t role = role_of(slice_of(name));
    if (role == ROLE_WORKER || role == ROLE_OPERATOR || role == ROLE_VIEWER) {
        *ret_role = role;
        return 0;
    }
    const char *near = suggest(slice_of(name), role_names);
    return error_set(error, ERR_USAGE,
        "--role %s: a token is for a worker, operator or viewer%s%s%s", name,
        near != NULL ? "; did you mean " : "", near != NULL ? near : "", near != NULL ? "?" : "");
}

/* What --address says, in place of what the master knows of itself. */
static int take_addresses(
    const struct option_value *option, struct token *token, struct error *error)
{
    char text[ENDPOINT_TEXT_MAX];
    if (option->count > TOKEN_ADDRESSES_MAX)
        return error_set(error, ERR_USAGE, "--address: at most %d", TOKEN_ADDRESSES_MAX);
    for (size_t i = 0; i < option->count; i++) {
        int rc = joined_endpoint(option->texts[i], 0, text, error);
        if (rc == 0 && strlen(text) > TOKEN_ADDRESS_MAX_BYTES)
            rc = error_set(error, ERR_USAGE, "%s: too long", text);
        if (rc != 0) {
            (void)error_prefix(error, "--address");
            return rc;
        }
        (void)snprintf(
            token->addresses[i], sizeof token->addresses[i], "%.*s", TOKEN_ADDRESS_MAX_BYTES, text);
    }
    token->address_count = (uint32_t)option->count;
    return 0;
}

static int add_address(struct token *token, struct slice address, struct error *error)
{
    if (token->address_count >= TOKEN_ADDRESSES_MAX || address.length > TOKEN_ADDRESS_MAX_BYTES)
        return error_set(
            error, ERR_MALFORMED, "the master has too many addresses, or too long ones");
    (void)snprintf(token->addresses[token->address_count++], TOKEN_ADDRESS_MAX_BYTES + 1, "%.*s",
        SLICE_PRINT(address));
    return 0;
}

/* The master's part of the token. */
static int take_created(
    const struct msg_token_created *created, struct token *token, struct error *error)
{
    char id[TOKEN_ID_MAX];
    char *end;
    (void)snprintf(id, sizeof id, "%.*s", SLICE_PRINT(created->token));
    token->id = strtoull(id, &end, 16);
    if (created->token.length != TOKEN_ID_MAX - 1 || *end != '\0' ||
        created->server_key.length != KEY_BYTES || created->cluster.length > TOKEN_CLUSTER_MAX)
        return error_set(error, ERR_MALFORMED, "the master's answer is not understood");
    memcpy(token->server_key, created->server_key.ptr, KEY_BYTES);
    (void)snprintf(token->cluster, sizeof token->cluster, "%.*s", SLICE_PRINT(created->cluster));
    int rc = 0;
    bool given = token->address_count > 0;
    for (uint32_t i = 0; rc == 0 && !given && i < created->addresses.count; i++)
        rc = add_address(token, created->addresses.items[i], error);
    return rc;
}

static int write_out(const char *path, const struct buffer *text, struct error *error)
{
    struct buffer line = {0};
    (void)buffer_reserve(&line, text->length + 1);
    buffer_append_slice(&line, buffer_slice(text));
    buffer_append_text(&line, "\n");
    int rc = file_replace(path, buffer_slice(&line), 0600, error);
    buffer_wipe(&line);
    return rc;
}

static void print_document(const struct creation *creation, const char *text)
{
    const struct token *token = &creation->token;
    char id[TOKEN_ID_MAX], until[CLOCK_TEXT_MAX];
    json_t *document = json_object(), *addresses = json_array();
    (void)snprintf(id, sizeof id, "%016" PRIx64, token->id);
    clock_format_wall(creation->expires_at, until);
    for (uint32_t i = 0; i < token->address_count; i++)
        (void)json_array_append_new(addresses, json_string(token->addresses[i]));
    (void)json_object_set_new(document, "token", json_string(id));
    (void)json_object_set_new(document, "role", json_string(role_name(token->role)));
    (void)json_object_set_new(document, "uses", json_integer(creation->uses));
    (void)json_object_set_new(document, "expires_at", json_string(until));
    (void)json_object_set_new(document, "addresses", addresses);
    (void)json_object_set_new(document, "secret", json_string(text));
    document_print(document);
}

/* What to do with it: on stderr, so that stdout is the token alone. */
static void tell_use(const struct creation *creation)
{
    const char *out = creation->out;
    uint32_t role = creation->token.role;
    char until[CLOCK_TEXT_MAX];
    clock_format_wall(creation->expires_at, until);
    if (creation->uses == 1)
        terminal_say("one %s may join by it, until %s, at %s", role_name(role), until,
            creation->token.addresses[0]);
    else
        terminal_say("up to %u %ss may join by it, until %s, at %s", creation->uses,
            role_name(role), until, creation->token.addresses[0]);
    terminal_say("on %s: %s %s%s", role == ROLE_WORKER ? "the worker's host" : "their own host",
        role == ROLE_WORKER ? "reeve-worker --data DIR --join" : "reeve join",
        out != NULL ? "@" : "TOKEN", out != NULL ? out : "");
    terminal_say("it is a secret; `reeve token revoke %016" PRIx64 "` ends it", creation->token.id);
}

static int deliver(
    const struct arguments *arguments, const struct creation *creation, struct error *error)
{
    struct buffer text = {0};
    int rc = 0;
    (void)buffer_reserve(&text, TOKEN_TEXT_MAX_BYTES);
    token_encode(&creation->token, &text);
    if (creation->out != NULL)
        rc = write_out(creation->out, &text, error);
    else if (document_wanted(arguments))
        print_document(creation, buffer_text(&text));
    else
        (void)puts(buffer_text(&text));
    if (rc == 0)
        tell_use(creation);
    buffer_wipe(&text);
    return rc;
}

/* A token that leads nowhere is of no use: it is taken back. */
static int refuse_nowhere(
    struct client *client, const struct creation *creation, struct error *error)
{
    char id[TOKEN_ID_MAX];
    const void *body;
    (void)snprintf(id, sizeof id, "%016" PRIx64, creation->token.id);
    const struct msg_revoke_token ask = {.request = random_id(), .token = slice_of(id)};
    (void)client_ask(client, MESSAGE_revoke_token, &ask, MESSAGE_done, &body, NULL);
    return error_set(error, ERR_REFUSED,
        "this master listens on no TCP port, so nobody could join: start it with --listen "
        "tcp://HOST:7411, or say where others reach it with --address");
}

static int create(struct client *client, struct creation *creation, struct error *error)
{
    const struct msg_create_token ask = {.request = random_id(),
        .key = slice_make(creation->token.keys.public_key, KEY_BYTES),
        .role = creation->token.role,
        .uses = creation->uses,
        .valid_ms = creation->valid_ms,
        .label = slice_of(creation->label)};
    const void *body;
    int rc = client_ask(client, MESSAGE_create_token, &ask, MESSAGE_token_created, &body, error);
    if (rc != 0)
        return rc;
    const struct msg_token_created *created = body;
    creation->expires_at = created->expires_at;
    rc = take_created(created, &creation->token, error);
    if (rc == 0 && creation->token.address_count == 0)
        rc = refuse_nowhere(client, creation, error);
    return rc;
}

static int read_creation(
    const struct arguments *arguments, struct creation *creation, struct error *error)
{
    const struct option_value *uses = arguments_option(arguments, "uses");
    const struct option_value *valid = arguments_option(arguments, "valid");
    creation->uses = uses->given ? (uint32_t)uses->number : 1;
    creation->valid_ms = valid->given ? valid->number : HOUR_MS;
    creation->label = arguments_text(arguments, "label");
    creation->out = arguments_text(arguments, "out");
    int rc = read_role(arguments_text(arguments, "role"), &creation->token.role, error);
    if (rc == 0 && creation->uses > USES_MAX)
        rc = error_set(error, ERR_USAGE, "--uses %u: at most %d", creation->uses, USES_MAX);
    if (rc == 0 && creation->out != NULL && document_wanted(arguments))
        rc = error_set(error, ERR_USAGE, "--out and -o json: take one of them");
    if (rc == 0 && creation->out != NULL && access(creation->out, F_OK) == 0)
        rc = error_set(error, ERR_REFUSED, "%s is there already", creation->out);
    if (rc == 0)
        rc = take_addresses(arguments_option(arguments, "address"), &creation->token, error);
    return rc;
}

static int token_create(const struct arguments *arguments)
{
    struct error error = {0};
    struct creation creation = {0};
    if (read_creation(arguments, &creation, &error) != 0)
        return terminal_fail(&error);
    struct client *client = session_open(arguments, &error);
    if (client == NULL)
        return terminal_fail(&error);
    key_pair_make(&creation.token.keys);
    int rc = create(client, &creation, &error);
    session_close(client);
    if (rc == 0)
        rc = deliver(arguments, &creation, &error);
    token_wipe(&creation.token);
    return rc == 0 ? STATUS_OK : terminal_fail(&error);
}

/* ---- list, revoke ---- */

static void add_token(struct table_view *view, const struct token_line *token)
{
    struct buffer text = {0};
    table_view_cell(view, token->token);
    table_view_cell(view, token->role);
    table_view_cell(view, token->state);
    buffer_printf(&text, "%u of %u", token->used, token->uses);
    table_view_cell(view, buffer_slice(&text));
    buffer_clear(&text);
    times_append_moment(token->expires_at, &text);
    table_view_cell(view, buffer_slice(&text));
    buffer_clear(&text);
    for (uint32_t i = 0; i < token->joined.count; i++) {
        buffer_append_text(&text, i > 0 ? "," : "");
        buffer_append_slice(&text, token->joined.items[i]);
    }
    table_view_cell(view, buffer_slice(&text));
    table_view_cell(view, token->label);
    buffer_fini(&text);
}

static void print_tokens(const struct arguments *arguments, const void *body)
{
    static const char *const titles[] = {
        "TOKEN", "ROLE", "STATE", "USED", "EXPIRES", "JOINED", "LABEL", NULL};
    const struct msg_tokens *tokens = body;
    struct table_view view;
    if (document_wanted(arguments)) {
        document_print_list(MESSAGE_tokens, body);
        return;
    }
    table_view_start(&view, stdout, titles);
    for (uint32_t i = 0; i < tokens->tokens.count; i++)
        add_token(&view, &tokens->tokens.items[i]);
    table_view_end(&view);
}

static int token_list(const struct arguments *arguments)
{
    const struct msg_get_tokens ask = {.request = random_id()};
    return session_show(arguments,
        &(struct session_request){MESSAGE_get_tokens, &ask, MESSAGE_tokens, print_tokens});
}

static void print_revoked(const struct arguments *arguments, const void *body)
{
    const struct msg_done *done = body;
    struct buffer line = {0};
    if (document_wanted(arguments)) {
        document_print_message(MESSAGE_done, body);
        return;
    }
    printable_line(slice_of(arguments_item(arguments, 1)), &line);
    buffer_append_text(&line, " is revoked: nobody joins by it any more");
    buffer_append_text(&line, done->text.length > 0 ? "; " : "");
    printable_line(done->text, &line);
    (void)puts(buffer_text(&line));
    buffer_fini(&line);
}

static int token_revoke(const struct arguments *arguments)
{
    const struct msg_revoke_token ask = {
        .request = random_id(), .token = slice_of(arguments_item(arguments, 1))};
    return session_show(arguments,
        &(struct session_request){MESSAGE_revoke_token, &ask, MESSAGE_done, print_revoked});
}

/* ---- the verbs ---- */

static int check_verb(
    const struct arguments *arguments, bool creates, bool revokes, struct error *error)
{
    static const char *const of_create[] = {"role", "uses", "valid", "label", "address", "out"};
    const char *verb = arguments_item(arguments, 0);
    for (size_t i = 0; !creates && i < sizeof of_create / sizeof of_create[0]; i++) {
        if (arguments_flag(arguments, of_create[i]))
            return error_set(error, ERR_USAGE, "--%s is for `reeve token create`", of_create[i]);
    }
    if (revokes && arguments->count != 2)
        return error_set(error, ERR_USAGE, "token revoke needs a token's ID: `reeve token list`");
    if (!revokes && arguments->count > 1)
        return error_set(error, ERR_USAGE, "\"%s\" is one argument too many for `reeve token %s`",
            arguments_item(arguments, 1), verb);
    return 0;
}

int cmd_token(const struct arguments *arguments)
{
    static const char *const verbs[] = {"create", "list", "revoke", NULL};
    static int (*const run[])(const struct arguments *arguments) = {
        token_create, token_list, token_revoke};
    struct error error = {0};
    const char *verb = arguments_item(arguments, 0);
    size_t i = 0;
    while (verbs[i] != NULL && strcmp(verbs[i], verb) != 0)
        i++;
    if (verbs[i] == NULL)
        (void)error_set(
            &error, ERR_USAGE, "\"%s\": write `reeve token create`, `list` or `revoke`", verb);
    else
        (void)check_verb(arguments, i == 0, i == 2, &error);
    return error.code == 0 ? run[i](arguments) : terminal_fail(&error);
}
