/* reeve connections: list, set, rm, import, test, rotate. No secret is ever printed. */
#include "cli/command.h"
#include "cli/connection_input.h"
#include "cli/connection_test.h"
#include "cli/document.h"
#include "cli/printable.h"
#include "cli/session.h"
#include "cli/table_view.h"
#include "cli/terminal.h"
#include "cli/times.h"
#include "common/dag/connection_file.h"
#include "common/memory.h"
#include "common/random.h"

#include <stdlib.h>

/* ---- list ---- */

static void add_connection(struct table_view *view, const struct connection_line *line)
{
    struct buffer text = {0};
    bool locked = line->type.length == 0;
    table_view_cell(view, line->connection);
    table_view_cell(view, locked ? slice_of("(sealed)") : line->type);
    buffer_append_slice(&text, line->host);
    if (line->port > 0)
        buffer_printf(&text, ":%u", line->port);
    table_view_cell(view, buffer_slice(&text));
    table_view_cell(view, line->schema);
    table_view_cell(view, line->login);
    table_view_text(view, line->has_password ? "yes" : "");
    buffer_clear(&text);
    for (uint32_t i = 0; i < line->extra.count; i++) {
        buffer_append_text(&text, i > 0 ? "," : "");
        buffer_append_slice(&text, line->extra.items[i]);
    }
    table_view_cell(view, buffer_slice(&text));
    table_view_cell(view, line->source);
    buffer_clear(&text);
    times_append_moment(line->set_at, &text);
    table_view_cell(view, buffer_slice(&text));
    table_view_text(view, locked         ? "another key sealed it: set it again"
                          : line->hidden ? "not used: one above it goes first"
                                         : "");
    buffer_fini(&text);
}

static void print_connections(const struct arguments *arguments, const void *body)
{
    static const char *const titles[] = {"CONNECTION", "TYPE", "HOST", "SCHEMA", "LOGIN",
        "PASSWORD", "EXTRA", "FROM", "SET", "NOTE", NULL};
    const struct msg_connections *connections = body;
    struct table_view view;
    if (document_wanted(arguments)) {
        document_print_list(MESSAGE_connections, body);
        return;
    }
    table_view_start(&view, stdout, titles);
    for (uint32_t i = 0; i < connections->connections.count; i++)
        add_connection(&view, &connections->connections.items[i]);
    table_view_end(&view);
}

static int connections_list(const struct arguments *arguments)
{
    const struct msg_get_connections ask = {.request = random_id()};
    return session_show(arguments, &(struct session_request){MESSAGE_get_connections, &ask,
                                       MESSAGE_connections, print_connections});
}

/* ---- set, rm, rotate ---- */

static void print_done(const struct arguments *arguments, const void *body)
{
    const struct msg_done *done = body;
    struct buffer line = {0};
    const char *name = arguments_item(arguments, 1);
    if (document_wanted(arguments)) {
        document_print_message(MESSAGE_done, body);
        return;
    }
    if (name != NULL)
        printable_line(slice_of(name), &line);
    buffer_append_text(&line, name != NULL ? ": " : "");
    printable_line(done->text, &line);
    (void)puts(buffer_text(&line));
    buffer_fini(&line);
}

static int connections_set(const struct arguments *arguments)
{
    struct error error = {0};
    struct buffer document = {0};
    if (connection_input_read(arguments, &document, &error) != 0) {
        buffer_wipe(&document);
        return terminal_fail(&error);
    }
    const struct msg_set_connection ask = {.request = random_id(),
        .name = slice_of(arguments_item(arguments, 1)),
        .document = buffer_slice(&document),
        .keep = arguments_flag(arguments, "keep")};
    int status = session_show(arguments,
        &(struct session_request){MESSAGE_set_connection, &ask, MESSAGE_done, print_done});
    buffer_wipe(&document);
    return status;
}

static int connections_rm(const struct arguments *arguments)
{
    const struct msg_remove_connection ask = {
        .request = random_id(), .name = slice_of(arguments_item(arguments, 1))};
    return session_show(arguments,
        &(struct session_request){MESSAGE_remove_connection, &ask, MESSAGE_done, print_done});
}

static int connections_rotate(const struct arguments *arguments)
{
    const struct msg_rotate_key ask = {.request = random_id()};
    return session_show(
        arguments, &(struct session_request){MESSAGE_rotate_key, &ask, MESSAGE_done, print_done});
}

static int connections_test(const struct arguments *arguments)
{
    return connection_test(arguments, arguments_item(arguments, 1));
}

/* ---- import ---- */

struct import {
    struct entry {
        char *name;
        struct buffer document;
    } * entries;
    size_t count, capacity;
};

static int take_entry(
    void *context, struct slice name, const struct connection *connection, struct error *error)
{
    struct import *import = context;
    (void)error;
    vector_reserve(&import->entries, import->count, &import->capacity);
    struct entry *entry = &import->entries[import->count++];
    *entry = (struct entry){.name = xstrndup(name.ptr, name.length)};
    (void)buffer_reserve(&entry->document, CONNECTION_MAX_BYTES);
    connection_write_json(connection, name, &entry->document);
    return 0;
}

static void import_fini(struct import *import)
{
    for (size_t i = 0; i < import->count; i++) {
        free(import->entries[i].name);
        buffer_wipe(&import->entries[i].document);
    }
    free(import->entries);
}

/* Each is a change of its own; one that is kept already stays, and is told. */
static int send_entry(struct client *client, const struct arguments *arguments,
    const struct entry *entry, struct error *error)
{
    const void *body;
    const struct msg_set_connection ask = {.request = random_id(),
        .name = slice_of(entry->name),
        .document = buffer_slice(&entry->document),
        .keep = !arguments_flag(arguments, "replace")};
    int rc = client_ask(client, MESSAGE_set_connection, &ask, MESSAGE_done, &body, error);
    if (rc == ERR_REFUSED) {
        terminal_say("%s", error->text);
        return rc;
    }
    if (rc == 0)
        (void)printf("%s: %.*s\n", entry->name, SLICE_PRINT(((const struct msg_done *)body)->text));
    return rc;
}

/* All is read before anything is set. */
static int read_import(const char *path, struct import *import, struct error *error)
{
    struct buffer text = {0};
    int rc = connection_input_file(path, &text, error);
    if (rc == 0)
        rc = connection_file_read(buffer_slice(&text), path, take_entry, import, error);
    if (rc == ERR_INVALID)
        error->code = ERR_USAGE;
    if (rc == 0 && import->count == 0)
        rc = error_set(error, ERR_USAGE, "%s: no connection is in it", path);
    buffer_wipe(&text);
    return rc;
}

static int connections_import(const struct arguments *arguments)
{
    struct error error = {0};
    struct import import = {0};
    struct client *client = NULL;
    size_t refused = 0;
    int rc = read_import(arguments_item(arguments, 1), &import, &error);
    if (rc == 0 && (client = session_open(arguments, &error)) == NULL)
        rc = error.code;
    for (size_t i = 0; rc == 0 && i < import.count; i++) {
        rc = send_entry(client, arguments, &import.entries[i], &error);
        refused += rc == ERR_REFUSED;
        rc = rc == ERR_REFUSED ? 0 : rc;
    }
    if (client != NULL)
        session_close(client);
    import_fini(&import);
    if (rc == 0 && refused > 0)
        rc = error_set(&error, ERR_REFUSED, "%zu of the connections %s there already", refused,
            refused == 1 ? "was" : "were");
    return rc == 0 ? STATUS_OK : terminal_fail(&error);
}

/* ---- the verbs ---- */

static const struct verb {
    const char *name;
    int (*run)(const struct arguments *arguments);
    size_t items; /* the verb among them */
    const char *wanted;
} verbs[] = {
    {"list", connections_list, 1, NULL},
    {"set", connections_set, 2, "a NAME; the connection comes on stdin"},
    {"test", connections_test, 2, "a NAME"},
    {"rm", connections_rm, 2, "a NAME"},
    {"import", connections_import, 2, "a FILE, or - for stdin"},
    {"rotate", connections_rotate, 1, NULL},
};

static int check_options(
    const struct arguments *arguments, const struct verb *verb, struct error *error)
{
    static const struct {
        const char *option, *verb;
    } owners[] = {{"type", "set"}, {"host", "set"}, {"port", "set"}, {"schema", "set"},
        {"login", "set"}, {"extra", "set"}, {"keep", "set"}, {"replace", "import"},
        {"queue", "test"}, {"timeout", "test"}};
    for (size_t i = 0; i < sizeof owners / sizeof *owners; i++) {
        if (arguments_flag(arguments, owners[i].option) && strcmp(owners[i].verb, verb->name) != 0)
            return error_set(error, ERR_USAGE, "--%s is for `reeve connections %s`",
                owners[i].option, owners[i].verb);
    }
    if (arguments->count < verb->items)
        return error_set(error, ERR_USAGE, "connections %s needs %s", verb->name, verb->wanted);
    if (arguments->count > verb->items)
        return error_set(error, ERR_USAGE,
            "connections %s takes no further argument: a secret never goes on a command line",
            verb->name);
    return 0;
}

int cmd_connections(const struct arguments *arguments)
{
    struct error error = {0};
    const char *name = arguments_item(arguments, 0);
    const struct verb *verb = NULL;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(verbs[i].name, name) == 0)
            verb = &verbs[i];
    }
    if (verb == NULL)
        (void)error_set(&error, ERR_USAGE,
            "\"%s\": write `reeve connections list`, `set`, `test`, `rm`, `import` or `rotate`",
            name);
    else if (check_options(arguments, verb, &error) == 0)
        return verb->run(arguments);
    return terminal_fail(&error);
}
