/* reeve join, masters: the masters on other hosts that this user speaks to. */
#include "cli/join.h"
#include "cli/command.h"
#include "cli/document.h"
#include "cli/table_view.h"
#include "cli/terminal.h"
#include "common/memory.h"
#include "common/transport/transport.h"
#include "proto/roles.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- join ---- */

enum { NAMES_TRIED = 9 };

static int read_stdin(struct token *token, struct error *error)
{
    char text[TOKEN_TEXT_MAX_BYTES + 2];
    size_t length = fread(text, 1, sizeof text, stdin);
    int rc = 0;
    if (ferror(stdin))
        rc = error_set_errno(error, ERR_IO, errno, "stdin");
    else if (length == sizeof text)
        rc = error_set(error, ERR_MALFORMED, "stdin has more than a token");
    else
        rc = token_decode(slice_make(text, length), token, error);
    explicit_bzero(text, sizeof text);
    return rc;
}

/* "ann.laptop", as the audit log shall call this user: what the name of a person may not have
 * becomes a "-". */
static void set_who(const struct arguments *arguments, struct joined *joined)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const char *wish = arguments_text(arguments, "as");
    const struct passwd *user = getpwuid(getuid());
    char host[256] = "";
    if (wish != NULL) {
        (void)snprintf(joined->who, sizeof joined->who, "%.*s", NAME_MAX_BYTES, wish);
        return;
    }
    (void)gethostname(host, sizeof host - 1);
    char *own = xasprintf(
        "%s.%.*s", user != NULL ? user->pw_name : "someone", (int)strcspn(host, "."), host);
    (void)snprintf(joined->who, sizeof joined->who, "%.*s", NAME_MAX_BYTES, own);
    free(own);
    for (char *at = joined->who; *(at += strspn(at, allowed)) != '\0';)
        *at = '-';
}

/* What the master is called here: --name, else its host. */
static int set_name(const struct arguments *arguments, const struct token *token,
    struct joined *joined, struct error *error)
{
    const char *wish = arguments_text(arguments, "name");
    struct endpoint endpoint;
    if (wish == NULL && token->address_count > 0 &&
        endpoint_parse(token->addresses[0], &endpoint, NULL) == 0 &&
        strlen(endpoint.host) <= JOINED_NAME_MAX && joined_check_name(endpoint.host, NULL) == 0)
        (void)snprintf(joined->name, sizeof joined->name, "%.*s", JOINED_NAME_MAX, endpoint.host);
    else if (wish == NULL)
        (void)snprintf(joined->name, sizeof joined->name, "master");
    else if (joined_check_name(wish, error) == 0)
        (void)snprintf(joined->name, sizeof joined->name, "%s", wish);
    else
        return error->code;
    return 0;
}

static json_t *document_of(const struct joined *joined)
{
    json_t *document = json_object(), *addresses = json_array();
    for (uint32_t i = 0; i < joined->address_count; i++)
        (void)json_array_append_new(addresses, json_string(joined->addresses[i]));
    (void)json_object_set_new(document, "master", json_string(joined->name));
    (void)json_object_set_new(document, "role", json_string(role_name(joined->role)));
    (void)json_object_set_new(document, "name", text_json(slice_of(joined->who)));
    (void)json_object_set_new(document, "cluster", text_json(slice_of(joined->cluster)));
    (void)json_object_set_new(document, "addresses", addresses);
    return document;
}

static void tell(const struct arguments *arguments, const struct joined *joined)
{
    struct joined_names names = {0};
    if (document_wanted(arguments)) {
        document_print(document_of(joined));
        return;
    }
    (void)puts(joined->name);
    terminal_say("joined as %s, %s", joined->who, role_name(joined->role));
    (void)joined_list(&names, NULL);
    if (names.count > 1)
        terminal_say("name it with --master %s, or REEVE_MASTER=%s", joined->name, joined->name);
    else
        terminal_say(
            "commands use it where no master runs on this host; else --master %s", joined->name);
    joined_names_fini(&names);
}

/* Names are told apart by the master. Who gave none gets the next one that is free: "ann.laptop-2".
 */
static int join(const struct arguments *arguments, const struct token *token, struct joined *joined,
    struct error *error)
{
    struct joined wish = *joined;
    int rc = ERR_REFUSED;
    for (int i = 2; i <= NAMES_TRIED + 1; i++) {
        *joined = wish;
        rc = join_master(token, joined, error);
        if (rc != ERR_REFUSED || arguments_text(arguments, "as") != NULL ||
            strstr(error->text, joined->who) == NULL)
            break;
        set_who(arguments, &wish);
        size_t length = strlen(wish.who);
        if (length > NAME_MAX_BYTES - 3)
            length = NAME_MAX_BYTES - 3;
        (void)snprintf(wish.who + length, sizeof wish.who - length, "-%d", i);
    }
    return rc;
}

int cmd_join(const struct arguments *arguments)
{
    struct error error = {0};
    struct token token = {0};
    struct joined joined = {0};
    const char *word = arguments_item(arguments, 0);
    const char *wish = arguments_text(arguments, "as");
    int rc = 0;
    if (wish != NULL && (wish[0] == '\0' || strlen(wish) > NAME_MAX_BYTES))
        rc = error_set(&error, ERR_USAGE, "--as: a name has 1 to %d bytes", NAME_MAX_BYTES);
    if (rc == 0)
        rc = strcmp(word, "-") == 0 ? read_stdin(&token, &error) : token_read(word, &token, &error);
    if (rc == 0)
        rc = set_name(arguments, &token, &joined, &error);
    if (rc == 0) {
        set_who(arguments, &joined);
        transport_start();
        rc = join(arguments, &token, &joined, &error);
        transport_stop();
    }
    if (rc == 0)
        tell(arguments, &joined);
    token_wipe(&token);
    return rc == 0 ? STATUS_OK : terminal_fail(&error);
}

/* ---- masters ---- */

static void print_documents(const struct joined_names *names)
{
    json_t *list = json_array();
    for (size_t i = 0; i < names->count; i++) {
        struct joined joined;
        if (joined_read(names->items[i], &joined, NULL) == 0)
            (void)json_array_append_new(list, document_of(&joined));
    }
    document_print(list);
}

static void print_table(const struct joined_names *names)
{
    static const char *const titles[] = {"MASTER", "ROLE", "AS", "ADDRESS", "CLUSTER", NULL};
    struct table_view view;
    table_view_start(&view, stdout, titles);
    for (size_t i = 0; i < names->count; i++) {
        struct joined joined;
        struct error error = {0};
        if (joined_read(names->items[i], &joined, &error) != 0) {
            terminal_say("%s: %s", names->items[i], error.text);
            continue;
        }
        table_view_text(&view, joined.name);
        table_view_text(&view, role_name(joined.role));
        table_view_text(&view, joined.who);
        table_view_text(&view, joined.addresses[0]);
        table_view_text(&view, joined.cluster);
    }
    table_view_end(&view);
}

static int forget(const char *name, struct error *error)
{
    int rc = joined_remove(name, error);
    if (rc == 0)
        terminal_say("%s is forgotten here; its master still knows the key (`reeve token revoke` "
                     "there)",
            name);
    return rc;
}

int cmd_masters(const struct arguments *arguments)
{
    struct error error = {0};
    struct joined_names names = {0};
    const char *name = arguments_text(arguments, "forget");
    int rc = name != NULL ? forget(name, &error) : joined_list(&names, &error);
    if (rc == 0 && name == NULL && document_wanted(arguments))
        print_documents(&names);
    else if (rc == 0 && name == NULL)
        print_table(&names);
    joined_names_fini(&names);
    return rc == 0 ? STATUS_OK : terminal_fail(&error);
}
