#include "worker/io/secrets.h"

#include "common/connection/connection.h"
#include "common/file.h"
#include "common/hex.h"
#include "common/memory.h"
#include "worker/io/attempt_name.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { KEY_SHOWN_BYTES = 8, BASES = 3 };

/* ---- where ---- */

static bool is_memory(const char *path)
{
    struct statfs system;
    return statfs(path, &system) == 0 && ((unsigned long)system.f_type == TMPFS_MAGIC ||
                                             (unsigned long)system.f_type == RAMFS_MAGIC);
}

/* Made by us, and nobody else may change what it lists. */
static bool is_ours(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == geteuid() &&
           (status.st_mode & 07777) == 0711;
}

static char *base_in(const struct secrets *secrets, const char *folder)
{
    char name[HEX_TEXT_SIZE(KEY_SHOWN_BYTES)];
    hex_encode(secrets->key, KEY_SHOWN_BYTES, name);
    return xasprintf("%s/reeve-%s", folder, name);
}

static const char *folder_at(size_t at)
{
    const char *folders[BASES] = {"/dev/shm", getenv("XDG_RUNTIME_DIR"), "/run"};
    return folders[at];
}

static int find_base(struct secrets *secrets, struct error *error)
{
    for (size_t i = 0; i < BASES && secrets->base == NULL; i++) {
        const char *folder = folder_at(i);
        if (folder == NULL || folder[0] != '/' || !is_memory(folder))
            continue;
        char *base = base_in(secrets, folder);
        bool made = mkdir(base, 0700) == 0 && chmod(base, 0711) == 0;
        if (made || (errno == EEXIST && is_ours(base)))
            secrets->base = base;
        else
            free(base);
    }
    return secrets->base != NULL
               ? 0
               : error_set(error, ERR_REFUSED,
                     "connections are handed to bash and exec as files on memory, and there is "
                     "none "
                     "to write to: neither /dev/shm nor $XDG_RUNTIME_DIR nor /run is a tmpfs in "
                     "which this worker may make a folder");
}

void secrets_init(struct secrets *secrets, const unsigned char key[32])
{
    memcpy(secrets->key, key, sizeof secrets->key);
    for (size_t i = 0; i < BASES && secrets->base == NULL; i++) {
        const char *folder = folder_at(i);
        char *base = folder != NULL ? base_in(secrets, folder) : NULL;
        if (base != NULL && is_ours(base) && is_memory(base))
            secrets->base = base;
        else
            free(base);
    }
}

void secrets_fini(struct secrets *secrets)
{
    /* Gone when the last attempt's folder is. */
    if (secrets->base != NULL)
        (void)rmdir(secrets->base);
    free(secrets->base);
    secrets->base = NULL;
}

/* ---- files ---- */

struct writing {
    const struct task_user *user; /* NULL: the agent's own */
    const char *folder;           /* of the attempt */
    struct error *error;
};

static int fail(const struct writing *writing, const char *path)
{
    return error_set_errno(
        writing->error, error_write_code(errno), errno, "a connection's file %s", path);
}

static int write_file(const struct writing *writing, const char *name, struct slice text)
{
    char *path = xasprintf("%s/%s", writing->folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc = fd < 0 ? fail(writing, path) : 0;
    if (rc == 0)
        rc = file_write_all(fd, text.ptr, text.length, writing->error);
    if (rc == 0 && writing->user != NULL && fchown(fd, writing->user->uid, writing->user->gid) != 0)
        rc = fail(writing, path);
    if (fd >= 0)
        (void)close(fd);
    free(path);
    return rc;
}

/* Another user's task may look into the folder, and add nothing to it. */
static int make_folder(const struct writing *writing, const char *path)
{
    int rc = mkdir(path, 0700) == 0 ? 0 : fail(writing, path);
    if (rc == 0 && writing->user != NULL && chmod(path, 0755) != 0)
        rc = fail(writing, path);
    return rc;
}

static int write_parts(
    const struct writing *writing, struct slice name, const struct connection *connection)
{
    char port[16] = "";
    struct buffer uri = {0};
    (void)buffer_reserve(&uri, CONNECTION_MAX_BYTES * 3);
    connection_write_uri(connection, &uri);
    if (connection->port > 0)
        (void)snprintf(port, sizeof port, "%u", connection->port);
    const struct {
        const char *name;
        struct slice text;
    } parts[] = {{"uri", buffer_slice(&uri)}, {"host", connection->host}, {"port", slice_of(port)},
        {"login", connection->login}, {"password", connection->password},
        {"schema", connection->schema}, {"extra", connection->extra}, {"type", connection->type}};
    char *folder = xasprintf("%s/%.*s", writing->folder, SLICE_PRINT(name));
    int rc = make_folder(writing, folder);
    for (size_t i = 0; rc == 0 && i < sizeof parts / sizeof *parts; i++) {
        char *path = xasprintf("%.*s/%s", SLICE_PRINT(name), parts[i].name);
        rc = write_file(writing, path, parts[i].text);
        free(path);
    }
    free(folder);
    buffer_wipe(&uri);
    return rc;
}

/* ---- psql ---- */

/* Options of libpq that a service may have, as extra names them. */
static bool is_service_option(const char *key)
{
    static const char *const options[] = {"sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl",
        "sslpassword", "connect_timeout", "options", "application_name", "target_session_attrs",
        "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count",
        "tcp_user_timeout", "channel_binding", "gssencmode", "krbsrvname", "client_encoding", NULL};
    for (size_t i = 0; options[i] != NULL; i++) {
        if (strcmp(key, options[i]) == 0)
            return true;
    }
    return false;
}

static void add_option(struct buffer *out, const char *key, struct slice value)
{
    if (value.length > 0 && memchr(value.ptr, '\n', value.length) == NULL)
        buffer_printf(out, "%s=%.*s\n", key, SLICE_PRINT(value));
}

static void add_service(struct buffer *out, struct slice name, const struct connection *connection)
{
    const char *key;
    json_t *value;
    buffer_printf(out, "[%.*s]\n", SLICE_PRINT(name));
    add_option(out, "host", connection->host);
    if (connection->port > 0)
        buffer_printf(out, "port=%u\n", connection->port);
    add_option(out, "dbname", connection->schema);
    add_option(out, "user", connection->login);
    /* libpq drops spaces at a line's end; in the file of passwords it keeps them. */
    if (connection->password.length > 0 &&
        connection->password.ptr[connection->password.length - 1] != ' ')
        add_option(out, "password", connection->password);
    json_t *extra = connection_extra(connection);
    json_object_foreach(extra, key, value)
    {
        char *text = json_is_string(value) ? xstrdup(json_string_value(value))
                                           : json_dumps(value, JSON_ENCODE_ANY);
        if (text != NULL && is_service_option(key))
            add_option(out, key, slice_of(text));
        free(text);
    }
    json_decref(extra);
    buffer_append_text(out, "\n");
}

static void add_escaped(struct buffer *out, struct slice text)
{
    if (text.length == 0)
        buffer_append_text(out, "*");
    for (size_t i = 0; i < text.length; i++) {
        if (text.ptr[i] == ':' || text.ptr[i] == '\\')
            buffer_append_text(out, "\\");
        buffer_append(out, &text.ptr[i], 1);
    }
}

/* host:port:database:user:password, for who connects by address and not by service. */
static void add_password(struct buffer *out, const struct connection *connection)
{
    if (connection->password.length == 0)
        return;
    add_escaped(out, connection->host);
    if (connection->port > 0)
        buffer_printf(out, ":%u:", connection->port);
    else
        buffer_append_text(out, ":*:");
    add_escaped(out, connection->schema);
    buffer_append_text(out, ":");
    add_escaped(out, connection->login);
    buffer_append_text(out, ":");
    add_escaped(out, connection->password);
    buffer_append_text(out, "\n");
}

/* ---- an attempt ---- */

struct psql {
    struct buffer services, passwords;
};

static int write_connection(
    const struct writing *writing, const struct assigned_connection *item, struct psql *psql)
{
    struct arena arena = {0};
    struct connection connection;
    int rc = connection_check_name(item->name, writing->error);
    if (rc == 0)
        rc = connection_parse(item->document, &arena, &connection, writing->error);
    if (rc != 0)
        (void)error_prefix(writing->error, "connection \"%.*s\"", SLICE_PRINT(item->name));
    if (rc == 0)
        rc = write_parts(writing, item->name, &connection);
    if (rc == 0 && connection_kind(connection.type) == CONNECTION_POSTGRES) {
        add_service(&psql->services, item->name, &connection);
        add_password(&psql->passwords, &connection);
    }
    arena_fini(&arena);
    return rc;
}

static int write_all(const struct writing *writing, const struct msg_assign *assign)
{
    struct psql psql = {0};
    size_t room = (size_t)assign->connections.count * CONNECTION_MAX_BYTES * 2 + 1;
    (void)buffer_reserve(&psql.services, room);
    (void)buffer_reserve(&psql.passwords, room);
    int rc = make_folder(writing, writing->folder);
    for (uint32_t i = 0; rc == 0 && i < assign->connections.count; i++)
        rc = write_connection(writing, &assign->connections.items[i], &psql);
    if (rc == 0 && psql.services.length > 0)
        rc = write_file(writing, ".pg_service", buffer_slice(&psql.services));
    if (rc == 0 && psql.services.length > 0)
        rc = write_file(writing, ".pgpass", buffer_slice(&psql.passwords));
    buffer_wipe(&psql.services);
    buffer_wipe(&psql.passwords);
    return rc;
}

int secrets_write(struct secrets *secrets, const struct msg_assign *assign,
    const struct task_user *user, struct arena *arena, struct slice *ret_folder,
    struct error *error)
{
    char name[ATTEMPT_NAME_MAX];
    if (assign->connections.count == 0)
        return 0;
    attempt_name(&assign->id, name);
    secrets_remove(secrets, &assign->id);
    int rc = 0;
    if (secrets->base == NULL || access(secrets->base, F_OK) != 0) {
        free(secrets->base);
        secrets->base = NULL;
        rc = find_base(secrets, error);
    }
    if (rc != 0)
        return rc;
    struct slice folder = arena_printf(arena, "%s/%s", secrets->base, name);
    struct writing writing = {user, folder.ptr, error};
    rc = write_all(&writing, assign);
    if (rc == 0)
        *ret_folder = folder;
    else
        secrets_remove(secrets, &assign->id);
    return rc;
}

static bool is_set(const struct texts *own, const char *name)
{
    size_t length = strlen(name);
    for (uint32_t i = 0; i < own->count; i++) {
        if (own->items[i].length >= length && memcmp(own->items[i].ptr, name, length) == 0 &&
            (own->items[i].length == length || own->items[i].ptr[length] == '='))
            return true;
    }
    return false;
}

void secrets_add_env(
    struct slice folder, const struct texts *own, struct texts *env, struct arena *arena)
{
    env->items[env->count++] = arena_printf(arena, "REEVE_CONNECTIONS=%s", folder.ptr);
    struct slice services = arena_printf(arena, "%s/.pg_service", folder.ptr);
    if (access(services.ptr, F_OK) != 0)
        return;
    if (!is_set(own, "PGSERVICEFILE"))
        env->items[env->count++] = arena_printf(arena, "PGSERVICEFILE=%s", services.ptr);
    if (!is_set(own, "PGPASSFILE"))
        env->items[env->count++] = arena_printf(arena, "PGPASSFILE=%s/.pgpass", folder.ptr);
}

/* ---- the end ---- */

void secrets_remove(struct secrets *secrets, const struct attempt_id *id)
{
    char name[ATTEMPT_NAME_MAX];
    if (secrets->base == NULL)
        return;
    attempt_name(id, name);
    char *path = xasprintf("%s/%s", secrets->base, name);
    (void)file_remove_tree(path, NULL);
    free(path);
}

void secrets_clean(struct secrets *secrets,
    bool (*known)(void *context, const struct attempt_id *id), void *context)
{
    DIR *stream = secrets->base != NULL ? opendir(secrets->base) : NULL;
    struct attempt_id id;
    if (stream == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        if (attempt_name_parse(entry->d_name, &id) && !known(context, &id))
            secrets_remove(secrets, &id);
    }
    (void)closedir(stream);
}
