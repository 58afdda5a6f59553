/* Connections: set, removed and listed by persons, and sealed anew. */
#include "common/memory.h"
#include "master/io/requests.h"

#include <stdlib.h>

enum { EXTRA_NAMES_MAX = 1000 };

/* ---- set and remove ---- */

bool client_set_connection(struct master *master, struct ask *ask)
{
    const struct msg_set_connection *body = ask->body;
    struct event event = client_event(ask, EVENT_SET_CONNECTION, body->name);
    struct connection connection;
    struct arena arena = {0};
    struct buffer document = {0};
    struct error error = {0};
    int rc = connection_check_name(body->name, &error);
    if (rc == 0)
        rc = connection_parse(body->document, &arena, &connection, &error);
    if (rc != 0) {
        (void)error_prefix(&error, "connection \"%.*s\"", SLICE_PRINT(body->name));
        error.code = ERR_USAGE;
    } else {
        (void)buffer_reserve(&document, CONNECTION_MAX_BYTES);
        connection_write_json(&connection, body->name, &document);
        event.connection.row =
            (struct connection_row){.source = CONNECTION_STORE, .name = body->name};
        event.connection.document = buffer_slice(&document);
        event.connection.keep = body->keep;
        vault_seal(&master->vault, &event.connection.row, event.connection.document, &arena);
        vault_learn(&master->vault, body->name, event.connection.document);
    }
    bool over = client_step(master, ask, &event, rc != 0 ? ERR_USAGE : 0, &error);
    buffer_wipe(&document);
    arena_fini(&arena);
    return over;
}

bool client_remove_connection(struct master *master, struct ask *ask)
{
    const struct msg_remove_connection *body = ask->body;
    struct event event = client_event(ask, EVENT_REMOVE_CONNECTION, body->name);
    event.connection.row.name = body->name;
    return client_step(master, ask, &event, 0, NULL);
}

/* ---- list ---- */

static void list_extra(const struct connection *connection, struct arena *arena, struct texts *ret)
{
    json_t *extra = connection_extra(connection);
    const char *key;
    json_t *value;
    size_t size = json_object_size(extra);
    ret->items = arena_alloc(arena, (size + 1) * sizeof *ret->items);
    json_object_foreach(extra, key, value)
    {
        if (ret->count < EXTRA_NAMES_MAX)
            ret->items[ret->count++] = arena_copy(arena, slice_of(key));
    }
    json_decref(extra);
}

static void fill_line(struct master *master, const struct connection_view *view,
    struct arena *arena, struct connection_line *line)
{
    const struct connection_row *row = view->row;
    struct connection connection = {0};
    struct arena own = {0};
    (void)master;
    line->connection = row->name;
    line->set_at = row->set_at;
    line->source = slice_of(row->source == CONNECTION_STORE  ? "store"
                            : row->source == CONNECTION_FILE ? "file"
                                                             : "environment");
    if (view->document.length > 0 &&
        connection_parse(view->document, &own, &connection, NULL) == 0) {
        line->type = arena_copy(arena, connection.type);
        line->host = arena_copy(arena, connection.host);
        line->port = connection.port;
        line->schema = arena_copy(arena, connection.schema);
        line->login = arena_copy(arena, connection.login);
        line->has_password = connection.password.length > 0;
        list_extra(&connection, arena, &line->extra);
    }
    arena_fini(&own);
}

struct listed {
    struct connection_line line;
    struct slice variable;
    uint32_t source;
};

static int by_name(const void *left, const void *right)
{
    const struct listed *a = left, *b = right;
    int order = slice_compare(a->variable, b->variable);
    if (order == 0 && a->source > CONNECTION_AIRFLOW && b->source > CONNECTION_AIRFLOW)
        order = slice_compare(a->line.connection, b->line.connection);
    return order != 0 ? order : (a->source > b->source) - (a->source < b->source);
}

static bool hides(const struct listed *first, const struct listed *second)
{
    return first->source < second->source && slice_equal(first->variable, second->variable) &&
           (first->source <= CONNECTION_AIRFLOW ||
               slice_equal(first->line.connection, second->line.connection));
}

bool client_get_connections(struct master *master, struct ask *ask)
{
    struct msg_connections answer = {.request = ask->request};
    struct connection_view view;
    uint32_t total = 0, count = 0;
    while (core_view_connection(master->core, total, &view))
        total++;
    struct listed *listed = arena_alloc(ask->arena, (size_t)total * sizeof *listed + 1);
    for (uint32_t i = 0; i < total; i++) {
        (void)core_view_connection(master->core, i, &view);
        if (view.row->replaced_at != 0)
            continue;
        fill_line(master, &view, ask->arena, &listed[count].line);
        listed[count].variable = connection_variable(view.row->name, ask->arena);
        listed[count++].source = view.row->source;
    }
    if (count > 0)
        qsort(listed, count, sizeof *listed, by_name);
    answer.connections.items =
        arena_alloc(ask->arena, (size_t)count * sizeof *answer.connections.items + 1);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = i; j > 0 && slice_equal(listed[j - 1].variable, listed[i].variable); j--)
            listed[i].line.hidden = listed[i].line.hidden || hides(&listed[j - 1], &listed[i]);
        answer.connections.items[answer.connections.count++] = listed[i].line;
    }
    ask_answer(master, ask, MESSAGE_connections, &answer);
    return true;
}

/* ---- a new key ---- */

/* Those that are sealed with a key that is not here stay as they are. */
static size_t reseal(struct master *master, struct connection_row *rows, struct arena *arena)
{
    struct connection_view view;
    size_t count = 0;
    for (uint32_t i = 0; core_view_connection(master->core, i, &view); i++) {
        if (view.document.length == 0)
            continue;
        rows[count] = *view.row;
        vault_seal(&master->vault, &rows[count++], view.document, arena);
    }
    return count;
}

bool client_rotate_key(struct master *master, struct ask *ask)
{
    struct vault *vault = &master->vault;
    struct event event = client_event(ask, EVENT_RESEAL, (struct slice){0});
    struct seal_key next;
    struct connection_view view;
    struct error error = {0};
    uint32_t total = 0;
    int rc =
        vault->turning ? error_set(&error, ERR_REFUSED, "the key is being rotated already") : 0;
    while (core_view_connection(master->core, total, &view))
        total++;
    seal_key_make(&next);
    if (rc == 0)
        rc = seal_key_save_next(vault->path, &next, &error);
    if (rc == 0) {
        struct connection_row *rows = arena_alloc(ask->arena, (size_t)total * sizeof *rows + 1);
        vault->key = next;
        vault->turning = true;
        event.reseal.count = reseal(master, rows, ask->arena);
        event.reseal.rows = rows;
    }
    seal_key_wipe(&next);
    return client_step(master, ask, &event, rc, &error);
}
