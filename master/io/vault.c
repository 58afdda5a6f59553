#include "master/io/vault.h"

#include "common/dag/connection_file.h"
#include "common/environment.h"
#include "common/file.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/random.h"
#include "master/io/state.h"

#include <stdlib.h>

enum { FILE_MAX_BYTES = 16 * 1024 * 1024 };

/* What the environment had; until the core has it. */
static struct found {
    struct found *next;
    uint32_t source;
    struct slice name, value; /* owned */
} * first_found;

static void note(uint32_t source, struct slice name, struct slice value)
{
    struct found *found = xcalloc(1, sizeof *found);
    *found = (struct found){first_found, source, slice_keep(name), slice_keep(value)};
    first_found = found;
}

static void note_own(void *context, struct slice name, struct slice value)
{
    (void)context;
    note(CONNECTION_ENVIRONMENT, name, value);
}

static void note_airflow(void *context, struct slice name, struct slice value)
{
    (void)context;
    note(CONNECTION_AIRFLOW, name, value);
}

void vault_take_environment(void)
{
    environment_take("REEVE_CONN_", note_own, NULL);
    environment_take("AIRFLOW_CONN_", note_airflow, NULL);
}

static void drop_found(void)
{
    while (first_found != NULL) {
        struct found *found = first_found;
        first_found = found->next;
        slice_free(&found->name);
        explicit_bzero((char *)(uintptr_t)found->value.ptr, found->value.length);
        slice_free(&found->value);
        free(found);
    }
}

void vault_init(struct vault *vault, const char *folder)
{
    vault->path = xasprintf("%s/connections.key", folder);
    vault->masks = masks_create();
}

void vault_fini(struct vault *vault)
{
    free(vault->path);
    free(vault->rows);
    arena_fini(&vault->arena);
    seal_key_wipe(&vault->key);
    masks_destroy(vault->masks);
    drop_found();
    *vault = (struct vault){0};
}

/* ---- seals ---- */

/* A sealed text belongs to its row, and opens in no other. */
static struct slice place_of(const struct connection_row *row, struct arena *arena)
{
    return arena_printf(arena, "connection %016llx %u %.*s", (unsigned long long)row->id,
        row->source, SLICE_PRINT(row->name));
}

void vault_seal(const struct vault *vault, struct connection_row *row, struct slice document,
    struct arena *arena)
{
    struct buffer sealed = {0};
    if (row->id == 0)
        row->id = random_id();
    row->key = vault->key.id;
    seal(&vault->key, document, place_of(row, arena), &sealed);
    row->sealed = arena_copy(arena, buffer_slice(&sealed));
    buffer_fini(&sealed);
}

void vault_keep_row(struct vault *vault, const struct connection_row *row)
{
    vector_reserve(&vault->rows, vault->row_count, &vault->row_capacity);
    struct connection_row *kept = &vault->rows[vault->row_count++];
    *kept = *row;
    kept->name = arena_copy(&vault->arena, row->name);
    kept->sealed = arena_copy(&vault->arena, row->sealed);
}

/* ---- the key ---- */

static int load_key(struct vault *vault, struct error *error)
{
    uint64_t *used = xcalloc(vault->row_count, sizeof *used);
    for (size_t i = 0; i < vault->row_count; i++)
        used[i] = vault->rows[i].key;
    int rc = seal_key_settle(vault->path, used, vault->row_count, error);
    free(used);
    if (rc == 0)
        rc = seal_key_load(vault->path, &vault->key, error);
    if (rc != ERR_NOT_FOUND)
        return rc;
    seal_key_make(&vault->key);
    return seal_key_save(vault->path, &vault->key, error);
}

void vault_learn(const struct vault *vault, struct slice name, struct slice document)
{
    environment_guard_memory();
    masks_learn(vault->masks, name, document);
}

static void load_row(struct master *master, const struct connection_row *row, size_t *locked)
{
    struct vault *vault = &master->vault;
    struct buffer document = {0};
    struct event event = {.kind = EVENT_LOAD_CONNECTION};
    struct error error;
    (void)buffer_reserve(&document, row->sealed.length + 1);
    event.connection.row = *row;
    if (unseal(&vault->key, row->sealed, place_of(row, &vault->arena), &document, &error) == 0) {
        event.connection.document = buffer_slice(&document);
        vault_learn(vault, row->name, event.connection.document);
    } else {
        *locked += 1;
    }
    pipeline_step(&master->pipeline, &event);
    buffer_wipe(&document);
}

static void load_rows(struct master *master)
{
    struct vault *vault = &master->vault;
    size_t locked = 0;
    for (size_t i = 0; i < vault->row_count; i++)
        load_row(master, &vault->rows[i], &locked);
    if (locked > 0)
        log_error("%zu connection%s cannot be opened with %s: another key sealed %s", locked,
            locked == 1 ? "" : "s", vault->path, locked == 1 ? "it" : "them");
}

/* ---- the environment and the file ---- */

struct finding {
    struct master *master;
    uint32_t source;
    struct names seen; /* source and name */
};

static struct slice seen_key(uint32_t source, struct slice name, struct arena *arena)
{
    return arena_printf(arena, "%u %.*s", source, SLICE_PRINT(name));
}

static void step_found(
    struct finding *finding, struct slice name, const struct connection *connection)
{
    struct master *master = finding->master;
    struct arena arena = {0};
    struct buffer document = {0};
    struct event event = {.kind = EVENT_FIND_CONNECTION};
    (void)buffer_reserve(&document, CONNECTION_MAX_BYTES);
    connection_write_json(connection, name, &document);
    event.connection.row = (struct connection_row){.source = finding->source, .name = name};
    event.connection.document = buffer_slice(&document);
    vault_seal(&master->vault, &event.connection.row, event.connection.document, &arena);
    vault_learn(&master->vault, name, event.connection.document);
    pipeline_step(&master->pipeline, &event);
    names_set(&finding->seen, seen_key(finding->source, name, &arena), 1);
    buffer_wipe(&document);
    arena_fini(&arena);
}

static void find_in_environment(struct finding *finding)
{
    for (const struct found *found = first_found; found != NULL; found = found->next) {
        struct arena arena = {0};
        struct connection connection;
        struct error error;
        finding->source = found->source;
        int rc = connection_check_name(found->name, &error);
        if (rc == 0)
            rc = connection_parse(found->value, &arena, &connection, &error);
        if (rc == 0)
            step_found(finding, found->name, &connection);
        else
            log_error("%s%.*s is not used: %s",
                found->source == CONNECTION_ENVIRONMENT ? "REEVE_CONN_" : "AIRFLOW_CONN_",
                SLICE_PRINT(found->name), error.text);
        arena_fini(&arena);
    }
    drop_found();
}

static int take_entry(
    void *context, struct slice name, const struct connection *connection, struct error *error)
{
    (void)error;
    step_found(context, name, connection);
    return 0;
}

static int find_in_file(struct finding *finding, const char *path, struct error *error)
{
    struct buffer text = {0};
    finding->source = CONNECTION_FILE;
    int rc = file_read_private(path, FILE_MAX_BYTES, &text, error);
    if (rc == 0)
        rc = connection_file_read(buffer_slice(&text), path, take_entry, finding, error);
    buffer_wipe(&text);
    return rc;
}

/* What stood there when a master ran last, and does not any more. */
static void lose_others(struct finding *finding)
{
    struct vault *vault = &finding->master->vault;
    for (size_t i = 0; i < vault->row_count; i++) {
        const struct connection_row *row = &vault->rows[i];
        if (row->source == CONNECTION_STORE || row->replaced_at != 0 ||
            names_get(&finding->seen, seen_key(row->source, row->name, &vault->arena), NULL))
            continue;
        struct event event = {.kind = EVENT_LOSE_CONNECTION};
        event.connection.row = *row;
        pipeline_step(&finding->master->pipeline, &event);
    }
}

int vault_open(struct master *master, struct error *error)
{
    struct vault *vault = &master->vault;
    struct finding finding = {.master = master};
    int rc = load_key(vault, error);
    if (rc != 0)
        return rc;
    load_rows(master);
    find_in_environment(&finding);
    if (master->options->connections != NULL)
        rc = find_in_file(&finding, master->options->connections, error);
    lose_others(&finding);
    names_fini(&finding.seen);
    free(vault->rows);
    vault->rows = NULL;
    vault->row_count = 0;
    vault->row_capacity = 0;
    arena_fini(&vault->arena);
    vault->arena = (struct arena){0};
    return rc;
}

/* ---- rotation ---- */

void vault_turned(struct master *master)
{
    struct error error = {0};
    if (!master->vault.turning)
        return;
    master->vault.turning = false;
    /* A restart does it, too: the rows say by which key they are sealed. */
    if (seal_key_turn(master->vault.path, &error) != 0)
        log_error(
            "the new key of the connections is still %s.next: %s", master->vault.path, error.text);
}
