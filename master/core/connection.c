/*
 * Connections: found in the environment and the file, set by people, replaced and removed. What was
 * replaced stays, sealed, for what had it; of one name the lowest source counts.
 */
#include "master/core/connection.h"

#include "common/memory.h"
#include "master/core/state.h"

#include <stdlib.h>

/* ---- memory ---- */

static void wipe(struct slice *bytes)
{
    if (bytes->length > 0)
        explicit_bzero((char *)(uintptr_t)bytes->ptr, bytes->length);
    slice_free(bytes);
}

static void state_fini(struct connection_state *state)
{
    slice_free(&state->row.name);
    slice_free(&state->row.sealed);
    wipe(&state->document);
    mask_destroy(state->mask);
}

void connections_fini(struct connections *connections)
{
    for (size_t i = 0; i < connections->count; i++)
        state_fini(&connections->items[i]);
    free(connections->items);
}

static struct mask *mask_of(struct slice document)
{
    struct arena arena = {0};
    struct connection connection;
    struct mask *mask = NULL;
    if (document.length > 0 && connection_parse(document, &arena, &connection, NULL) == 0) {
        mask = mask_create();
        mask_add_connection(mask, &connection);
    }
    arena_fini(&arena);
    return mask;
}

static struct connection_state *keep(
    struct core *core, const struct connection_row *row, struct slice document)
{
    struct connections *connections = &core->connections;
    vector_reserve(&connections->items, connections->count, &connections->capacity);
    struct connection_state *state = &connections->items[connections->count++];
    *state = (struct connection_state){.row = *row, .mask = mask_of(document)};
    state->row.name = slice_keep(row->name);
    state->row.sealed = slice_keep(row->sealed);
    state->document = slice_keep(document);
    return state;
}

void connection_load(struct core *core, const struct event *event)
{
    (void)keep(core, &event->connection.row, event->connection.document);
}

/* ---- lookup ---- */

static bool is_of_environment(uint32_t source)
{
    return source == CONNECTION_ENVIRONMENT || source == CONNECTION_AIRFLOW;
}

/* Whether the row is of this name, as a variable where it is one. */
static bool is_named(const struct connection_row *row, struct slice name, struct slice variable)
{
    return slice_equal(row->name, is_of_environment(row->source) ? variable : name);
}

const struct connection_state *connection_of_name(const struct core *core, struct slice name)
{
    const struct connection_state *found = NULL;
    struct arena arena = {0};
    struct slice variable = connection_variable(name, &arena);
    for (size_t i = 0; i < core->connections.count; i++) {
        const struct connection_state *state = &core->connections.items[i];
        if (state->row.replaced_at == 0 && is_named(&state->row, name, variable) &&
            (found == NULL || state->row.source < found->row.source))
            found = state;
    }
    arena_fini(&arena);
    return found;
}

/* The one that counts of this source and name, as it stands in rows. */
static struct connection_state *find_row(
    const struct core *core, uint32_t source, struct slice name)
{
    for (size_t i = 0; i < core->connections.count; i++) {
        struct connection_state *state = &core->connections.items[i];
        if (state->row.source == source && state->row.replaced_at == 0 &&
            slice_equal(state->row.name, name))
            return state;
    }
    return NULL;
}

bool core_has_connection(const struct core *core, struct slice name)
{
    return connection_of_name(core, name) != NULL;
}

bool core_view_connection(const struct core *core, uint32_t index, struct connection_view *ret_view)
{
    if (index >= core->connections.count)
        return false;
    const struct connection_state *state = &core->connections.items[index];
    *ret_view = (struct connection_view){&state->row, state->document};
    return true;
}

/* ---- changes ---- */

static void write_fact(struct core *core, const struct connection_row *row)
{
    struct connection_row *fact = &effects_add_fact(core->effects, FACT_CONNECTION)->connection;
    *fact = *row;
    fact->name = arena_copy(&core->effects->arena, row->name);
    fact->sealed = arena_copy(&core->effects->arena, row->sealed);
}

static void replace(struct core *core, struct connection_state *state)
{
    state->row.replaced_at = core->now_wall > 0 ? core->now_wall : 1;
    write_fact(core, &state->row);
}

void connections_forget(struct core *core)
{
    struct connections *connections = &core->connections;
    size_t kept = 0;
    for (size_t i = 0; i < connections->count; i++) {
        struct connection_state *state = &connections->items[i];
        if (state->row.replaced_at != 0 &&
            core->now_wall > state->row.replaced_at + CONNECTION_KEEP_MS) {
            struct connection_row gone = {.id = state->row.id};
            write_fact(core, &gone);
            state_fini(state);
        } else {
            connections->items[kept++] = *state;
        }
    }
    connections->count = kept;
}

/* True when there was none like it already. */
static bool take(struct core *core, const struct event *event)
{
    const struct connection_row *row = &event->connection.row;
    struct connection_state *old = find_row(core, row->source, row->name);
    if (old != NULL && slice_equal(old->document, event->connection.document))
        return false;
    if (old != NULL)
        replace(core, old);
    struct connection_row made = *row;
    made.set_at = core->now_wall;
    made.replaced_at = 0;
    write_fact(core, &keep(core, &made, event->connection.document)->row);
    return true;
}

void connection_find_event(struct core *core, const struct event *event)
{
    (void)take(core, event);
}

void connection_lose_event(struct core *core, const struct event *event)
{
    const struct connection_row *row = &event->connection.row;
    struct connection_state *state = find_row(core, row->source, row->name);
    if (state != NULL)
        replace(core, state);
}

static const char *source_text(uint32_t source)
{
    switch (source) {
    case CONNECTION_ENVIRONMENT:
        return "REEVE_CONN_";
    case CONNECTION_AIRFLOW:
        return "AIRFLOW_CONN_";
    default:
        return "the file of --connections";
    }
}

/* What a person should know who changed the store's: another one may go before it. */
static struct slice before_it(struct core *core, struct slice name, const char *what)
{
    const struct connection_state *first = connection_of_name(core, name);
    struct arena *arena = &core->effects->arena;
    if (first == NULL || first->row.source == CONNECTION_STORE)
        return slice_of(what);
    if (is_of_environment(first->row.source))
        return arena_printf(arena, "%s; but %s%.*s of the master's environment goes before it",
            what, source_text(first->row.source), SLICE_PRINT(first->row.name));
    return arena_printf(arena, "%s; but %s goes before it", what, source_text(first->row.source));
}

void connection_set(struct core *core, const struct event *event)
{
    struct slice name = event->connection.row.name;
    const struct connection_state *old = find_row(core, CONNECTION_STORE, name);
    bool first = old == NULL;
    core->outcome.target = arena_copy(&core->effects->arena, name);
    connections_forget(core);
    if (!first && event->connection.keep) {
        request_refuse(core, event, ERR_REFUSED,
            "connection \"%.*s\" is there already and stays (--replace)", SLICE_PRINT(name));
        return;
    }
    if (core->connections.count >= CONNECTIONS_KEPT_MAX) {
        request_refuse(
            core, event, ERR_REFUSED, "there are %d connections already", CONNECTIONS_KEPT_MAX);
        return;
    }
    bool changed = take(core, event);
    const char *what = !changed ? "unchanged" : first ? "set" : "replaced";
    request_accept(core, event, 0, before_it(core, name, what).ptr);
}

void connection_remove(struct core *core, const struct event *event)
{
    struct slice name = event->connection.row.name;
    struct connection_state *state = find_row(core, CONNECTION_STORE, name);
    core->outcome.target = arena_copy(&core->effects->arena, name);
    if (state != NULL) {
        replace(core, state);
        request_accept(core, event, 0, before_it(core, name, "removed").ptr);
        return;
    }
    const struct connection_state *other = connection_of_name(core, name);
    if (other == NULL)
        request_refuse(core, event, ERR_NOT_FOUND,
            "there is no connection \"%.*s\" (reeve connections list)", SLICE_PRINT(name));
    else
        request_refuse(core, event, ERR_REFUSED,
            "connection \"%.*s\" is not in the store: it is in the master's %s, and goes from "
            "there",
            SLICE_PRINT(name), is_of_environment(other->row.source) ? "environment" : "file");
}

static struct connection_state *find_id(const struct core *core, uint64_t id)
{
    for (size_t i = 0; i < core->connections.count; i++) {
        if (core->connections.items[i].row.id == id)
            return &core->connections.items[i];
    }
    return NULL;
}

void connections_reseal(struct core *core, const struct event *event)
{
    uint32_t count = 0;
    for (size_t i = 0; i < event->reseal.count; i++) {
        const struct connection_row *row = &event->reseal.rows[i];
        struct connection_state *state = find_id(core, row->id);
        if (state == NULL)
            continue;
        slice_free(&state->row.sealed);
        state->row.sealed = slice_keep(row->sealed);
        state->row.key = row->key;
        write_fact(core, &state->row);
        count++;
    }
    request_accept(core, event, 0,
        arena_printf(
            &core->effects->arena, "%u sealed text%s, by a new key", count, count == 1 ? "" : "s")
            .ptr);
}

/* ---- tasks ---- */

static int not_there(struct core *core, struct slice name, struct error *error)
{
    struct slice variable = connection_variable(name, &core->scratch);
    return error_set(error, ERR_REFUSED,
        "connection \"%.*s\" is not there: looked for REEVE_CONN_%.*s and AIRFLOW_CONN_%.*s in the "
        "master's environment, in its --connections file, and in its store (reeve connections set "
        "%.*s)",
        SLICE_PRINT(name), SLICE_PRINT(variable), SLICE_PRINT(variable), SLICE_PRINT(name));
}

int connections_assign(struct core *core, const struct plan *plan, uint32_t task,
    struct msg_assign *assign, struct error *error)
{
    struct plan_list list = plan_connections(plan, task);
    if (list.count == 0)
        return 0;
    if (list.count > CONNECTIONS_MAX)
        return error_set(error, ERR_REFUSED, "a task has at most %d connections", CONNECTIONS_MAX);
    struct assigned_connection *items = arena_alloc(&core->scratch, list.count * sizeof *items);
    for (uint32_t i = 0; i < list.count; i++) {
        struct slice name = plan_string(plan, plan_items(plan, list)[i]);
        const struct connection_state *state = connection_of_name(core, name);
        if (state == NULL)
            return not_there(core, name, error);
        if (state->document.length == 0)
            return error_set(error, ERR_REFUSED,
                "connection \"%.*s\" cannot be opened: it was sealed with another key than the "
                "master's (set it again: reeve connections set %.*s)",
                SLICE_PRINT(name), SLICE_PRINT(name));
        items[i] = (struct assigned_connection){name, state->document};
    }
    assign->connections.items = items;
    assign->connections.count = list.count;
    return 0;
}

void connections_explain(
    const struct core *core, const struct plan *plan, uint32_t task, struct buffer *text)
{
    struct plan_list list = plan_connections(plan, task);
    for (uint32_t i = 0; i < list.count; i++) {
        struct slice name = plan_string(plan, plan_items(plan, list)[i]);
        if (connection_of_name(core, name) != NULL)
            continue;
        buffer_printf(text,
            "; its connection \"%.*s\" is not there: not in the master's environment, its "
            "--connections file or its store, and it will fail (reeve connections set %.*s)",
            SLICE_PRINT(name), SLICE_PRINT(name));
    }
}

uint32_t connections_warn(
    const struct core *core, const struct plan *plan, struct slice *ret_lines, uint32_t most)
{
    uint32_t count = 0;
    struct names told = {0};
    for (uint32_t task = 0; task < plan_task_count(plan); task++) {
        struct plan_list list = plan_connections(plan, task);
        for (uint32_t i = 0; i < list.count && count < most; i++) {
            struct slice name = plan_string(plan, plan_items(plan, list)[i]);
            if (names_get(&told, name, NULL))
                continue;
            names_set(&told, name, 1);
            if (connection_of_name(core, name) != NULL)
                continue;
            ret_lines[count++] = arena_printf(&core->effects->arena,
                "task \"%.*s\": connection \"%.*s\" is not there yet: not in the master's "
                "environment, its --connections file or its store",
                SLICE_PRINT(plan_string(plan, plan->tasks[task].name)), SLICE_PRINT(name));
        }
    }
    names_fini(&told);
    return count;
}

/* ---- masking ---- */

/* Of all that the task may have been given, ever; NULL: nothing. Owned. */
static struct mask *mask_of_task(struct core *core, const struct plan *plan, uint32_t task)
{
    struct plan_list list = plan_connections(plan, task);
    struct mask *mask = NULL;
    for (uint32_t i = 0; i < list.count; i++) {
        struct slice name = plan_string(plan, plan_items(plan, list)[i]);
        struct slice variable = connection_variable(name, &core->scratch);
        for (size_t j = 0; j < core->connections.count; j++) {
            const struct connection_state *state = &core->connections.items[j];
            if (state->mask == NULL || mask_is_empty(state->mask) ||
                !is_named(&state->row, name, variable))
                continue;
            if (mask == NULL)
                mask = mask_create();
            mask_add_all(mask, state->mask);
        }
    }
    return mask;
}

static struct slice masked(struct core *core, const struct mask *mask, struct slice text)
{
    if (mask == NULL || text.length == 0)
        return text;
    struct slice copy = arena_copy(&core->scratch, text);
    mask_text(mask, (char *)(uintptr_t)copy.ptr, copy.length);
    return copy;
}

struct slice connections_mask(
    struct core *core, const struct plan *plan, uint32_t task, struct slice text)
{
    struct mask *mask = text.length > 0 ? mask_of_task(core, plan, task) : NULL;
    struct slice clean = masked(core, mask, text);
    mask_destroy(mask);
    return clean;
}

/* A value that holds a secret becomes a text with stars in its place. NULL: it stays. */
static json_t *clean_value(struct core *core, const struct mask *mask, json_t *value);

static json_t *clean_scalar(struct core *core, const struct mask *mask, const json_t *value)
{
    char *dump = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY);
    struct slice text = dump != NULL
                            ? slice_of(dump)
                            : slice_make(json_string_value(value), json_string_length(value));
    struct slice clean = masked(core, mask, text);
    json_t *made = slice_equal(text, clean) ? NULL : json_stringn_nocheck(clean.ptr, clean.length);
    free(dump);
    return made;
}

static json_t *clean_object(struct core *core, const struct mask *mask, json_t *object)
{
    json_t *made = json_object();
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        struct slice name = masked(core, mask, slice_of(key));
        json_t *clean = clean_value(core, mask, value);
        (void)json_object_set_new_nocheck(
            made, name.ptr, clean != NULL ? clean : json_incref(value));
    }
    return made;
}

static json_t *clean_value(struct core *core, const struct mask *mask, json_t *value)
{
    if (json_is_object(value))
        return clean_object(core, mask, value);
    if (!json_is_array(value))
        return clean_scalar(core, mask, value);
    size_t index;
    json_t *item, *made = json_array();
    json_array_foreach(value, index, item)
    {
        json_t *clean = clean_value(core, mask, item);
        (void)json_array_append_new(made, clean != NULL ? clean : json_incref(item));
    }
    return made;
}

struct slice connections_mask_json(
    struct core *core, const struct plan *plan, uint32_t task, struct slice text)
{
    struct mask *mask = text.length > 0 ? mask_of_task(core, plan, task) : NULL;
    if (mask == NULL)
        return text;
    json_t *value = json_loadb(text.ptr, text.length, JSON_ALLOW_NUL, NULL);
    json_t *clean = value != NULL ? clean_value(core, mask, value) : NULL;
    char *dump = clean != NULL ? json_dumps(clean, JSON_COMPACT) : NULL;
    struct slice made = dump != NULL ? arena_copy(&core->scratch, slice_of(dump)) : text;
    free(dump);
    json_decref(clean);
    json_decref(value);
    mask_destroy(mask);
    return made;
}
