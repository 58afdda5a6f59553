#include "cli/joined.h"

#include "common/file.h"
#include "common/hex.h"
#include "common/memory.h"
#include "common/table.h"
#include "proto/json.h"
#include "proto/roles.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILE_VERSION = 1, FILE_MAX_BYTES = 64 * 1024 };

/* ---- where ---- */

int joined_check_name(const char *name, struct error *error)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t length = strspn(name, allowed);
    if (length == 0 || name[length] != '\0' || name[0] == '.' || name[0] == '-' ||
        length > JOINED_NAME_MAX)
        return error_set(error, ERR_USAGE,
            "\"%s\": a master's name has letters, digits, '.', '_' and '-', at most %d", name,
            JOINED_NAME_MAX);
    return 0;
}

static int folder_path(char folder[PATH_MAX], struct error *error)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    int length = PATH_MAX;
    if (config != NULL && config[0] == '/')
        length = snprintf(folder, PATH_MAX, "%s/reeve/masters", config);
    else if (home != NULL && home[0] == '/')
        length = snprintf(folder, PATH_MAX, "%s/.config/reeve/masters", home);
    else
        return error_set(error, ERR_USAGE, "neither $XDG_CONFIG_HOME nor $HOME is set");
    /* The name follows. */
    if (length + JOINED_NAME_MAX + 2 >= PATH_MAX)
        return error_set(error, ERR_USAGE, "$HOME is too long");
    return 0;
}

int joined_path(const char *name, char path[PATH_MAX], struct error *error)
{
    int rc = joined_check_name(name, error);
    if (rc == 0)
        rc = folder_path(path, error);
    if (rc == 0) {
        size_t length = strlen(path);
        (void)snprintf(path + length, PATH_MAX - length, "/%s", name);
    }
    return rc;
}

int joined_endpoint(
    const char *address, uint32_t offset, char text[ENDPOINT_TEXT_MAX], struct error *error)
{
    struct endpoint endpoint;
    int rc = endpoint_parse(address, &endpoint, error);
    if (rc != 0)
        return rc;
    /* The bulk port is the next one. */
    if (!endpoint_is_definite(&endpoint) || endpoint.port == UINT16_MAX)
        return error_set(
            error, ERR_USAGE, "%s: nobody can connect there; write tcp://HOST:PORT", address);
    endpoint.port = (uint16_t)(endpoint.port + offset);
    endpoint_text(&endpoint, text);
    return 0;
}

/* ---- a file ---- */

static void set_key(json_t *document, const char *name, const unsigned char key[KEY_BYTES])
{
    char hex[HEX_TEXT_SIZE(KEY_BYTES)];
    hex_encode(key, KEY_BYTES, hex);
    (void)json_object_set_new(document, name, json_string(hex));
}

static bool get_key(const json_t *document, const char *name, unsigned char ret_key[KEY_BYTES])
{
    const char *text = json_string_value(json_object_get(document, name));
    return text != NULL && hex_decode(slice_of(text), ret_key, KEY_BYTES);
}

static bool get_text(const json_t *document, const char *name, char *out, size_t size)
{
    const char *text = json_string_value(json_object_get(document, name));
    if (text == NULL || strlen(text) >= size)
        return false;
    (void)snprintf(out, size, "%s", text);
    return true;
}

/* Of all members but this one: a changed byte of a file is none that a parser must notice. */
static uint64_t check_of(const json_t *document)
{
    char *text = json_dumps(document, JSON_COMPACT | JSON_SORT_KEYS);
    uint64_t check = hash_bytes(slice_of(text));
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
    return check;
}

static void set_check(json_t *document)
{
    char text[20];
    (void)snprintf(text, sizeof text, "%016" PRIx64, check_of(document));
    (void)json_object_set_new(document, "check", json_string(text));
}

/* Files from before there was one have none. */
static bool take_check(json_t *document)
{
    char text[20];
    if (json_object_get(document, "check") == NULL)
        return true;
    bool found = get_text(document, "check", text, sizeof text);
    (void)json_object_del(document, "check");
    return found && strlen(text) == 16 && strtoull(text, NULL, 16) == check_of(document);
}

static json_t *document_of(const struct joined *joined)
{
    char token[20];
    json_t *document = json_object(), *addresses = json_array();
    (void)snprintf(token, sizeof token, "%016" PRIx64, joined->token);
    for (uint32_t i = 0; i < joined->address_count; i++)
        (void)json_array_append_new(addresses, json_string(joined->addresses[i]));
    (void)json_object_set_new(document, "reeve_master", json_integer(FILE_VERSION));
    (void)json_object_set_new(document, "cluster", text_json(slice_of(joined->cluster)));
    (void)json_object_set_new(document, "addresses", addresses);
    (void)json_object_set_new(
        document, "role", joined->role != 0 ? json_string(role_name(joined->role)) : json_null());
    (void)json_object_set_new(document, "who", text_json(slice_of(joined->who)));
    (void)json_object_set_new(document, "token", json_string(token));
    set_key(document, "server_key", joined->server_key);
    set_key(document, "public_key", joined->keys.public_key);
    set_key(document, "secret_key", joined->keys.secret_key);
    set_check(document);
    return document;
}

static bool take_addresses(const json_t *list, struct joined *joined)
{
    char endpoint[ENDPOINT_TEXT_MAX];
    size_t count = json_array_size(list);
    if (count == 0 || count > TOKEN_ADDRESSES_MAX)
        return false;
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text == NULL || joined_endpoint(text, 1, endpoint, NULL) != 0)
            return false;
        (void)snprintf(joined->addresses[i], sizeof joined->addresses[i], "%s", text);
    }
    joined->address_count = (uint32_t)count;
    return true;
}

static bool take_document(const json_t *document, struct joined *joined)
{
    char token[20];
    const char *role = json_string_value(json_object_get(document, "role"));
    joined->role = role != NULL ? role_of(slice_of(role)) : ROLE_NONE;
    if (!get_text(document, "token", token, sizeof token))
        return false;
    joined->token = strtoull(token, NULL, 16);
    return get_text(document, "cluster", joined->cluster, sizeof joined->cluster) &&
           get_text(document, "who", joined->who, sizeof joined->who) &&
           get_key(document, "server_key", joined->server_key) &&
           get_key(document, "public_key", joined->keys.public_key) &&
           get_key(document, "secret_key", joined->keys.secret_key) &&
           key_pair_is_valid(&joined->keys) &&
           take_addresses(json_object_get(document, "addresses"), joined);
}

static int parse(
    const struct buffer *text, const char *path, struct joined *joined, struct error *error)
{
    json_t *document = json_loadb(text->data, text->length, JSON_REJECT_DUPLICATES, NULL);
    json_int_t version = json_integer_value(json_object_get(document, "reeve_master"));
    int rc = 0;
    if (version > FILE_VERSION)
        rc = error_set(error, ERR_VERSION, "%s: written by a later version of reeve", path);
    else if (version != FILE_VERSION || !take_check(document) || !take_document(document, joined))
        rc = error_set(
            error, ERR_CORRUPT, "%s is damaged: remove it, and join again with a new token", path);
    json_decref(document);
    return rc;
}

static int read_file(const char *path, struct joined *joined, struct error *error)
{
    struct buffer text = {0};
    int rc = file_read_private(path, FILE_MAX_BYTES, &text, error);
    if (rc == 0)
        rc = parse(&text, path, joined, error);
    buffer_wipe(&text);
    return rc;
}

static int not_joined(const char *name, struct error *error)
{
    struct joined_names names = {0};
    struct buffer known = {0};
    int rc = joined_list(&names, error);
    joined_names_print(&names, &known);
    if (rc == 0 && names.count > 0)
        rc = error_set(error, ERR_NOT_FOUND, "no master \"%s\" was joined here; there %s %s", name,
            names.count == 1 ? "is" : "are", buffer_text(&known));
    else if (rc == 0)
        rc = error_set(error, ERR_NOT_FOUND,
            "no master was joined here; whoever runs one makes a token (`reeve token create --role "
            "operator`), and `reeve join TOKEN --name %s` takes it",
            name);
    joined_names_fini(&names);
    buffer_fini(&known);
    return rc;
}

int joined_read(const char *name, struct joined *ret_joined, struct error *error)
{
    char path[PATH_MAX];
    struct joined joined = {0};
    int rc = joined_path(name, path, error);
    if (rc == 0)
        rc = read_file(path, &joined, error);
    if (rc == ERR_NOT_FOUND)
        return not_joined(name, error);
    if (rc != 0)
        return rc;
    (void)snprintf(joined.name, sizeof joined.name, "%s", name);
    *ret_joined = joined;
    return 0;
}

int joined_write(const struct joined *joined, struct error *error)
{
    char path[PATH_MAX], folder[PATH_MAX];
    int rc = joined_path(joined->name, path, error);
    if (rc == 0)
        rc = folder_path(folder, error);
    if (rc == 0)
        rc = file_make_folder(folder, 0700, error);
    if (rc != 0)
        return rc;
    json_t *document = document_of(joined);
    char *text = json_dumps(document, JSON_INDENT(1));
    rc = file_replace(path, slice_of(text), 0600, error);
    free(text);
    json_decref(document);
    return rc;
}

int joined_remove(const char *name, struct error *error)
{
    char path[PATH_MAX];
    int rc = joined_path(name, path, error);
    if (rc != 0)
        return rc;
    if (unlink(path) == 0)
        return 0;
    return errno == ENOENT ? not_joined(name, error)
                           : error_set_errno(error, ERR_IO, errno, "%s", path);
}

/* ---- all of them ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void take_name(struct joined_names *names, const char *name)
{
    char path[PATH_MAX];
    struct joined joined = {0};
    /* Only a whole file says that a join was not answered; any other is shown, and told when used.
     */
    if (joined_path(name, path, NULL) != 0 ||
        (read_file(path, &joined, NULL) == 0 && joined.role == ROLE_NONE))
        return;
    vector_reserve(&names->items, names->count, &names->capacity);
    names->items[names->count++] = xstrdup(name);
}

int joined_list(struct joined_names *names, struct error *error)
{
    char folder[PATH_MAX];
    /* Without a home there is nothing that was joined. */
    if (folder_path(folder, NULL) != 0)
        return 0;
    DIR *listing = opendir(folder);
    if (listing == NULL && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (listing == NULL)
        return error_set_errno(error, errno == EACCES ? ERR_DENIED : ERR_IO, errno, "%s", folder);
    for (const struct dirent *item; (item = readdir(listing)) != NULL;)
        take_name(names, item->d_name);
    (void)closedir(listing);
    if (names->count > 1)
        qsort(names->items, names->count, sizeof *names->items, by_name);
    return 0;
}

void joined_names_fini(struct joined_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
    *names = (struct joined_names){0};
}

void joined_names_print(const struct joined_names *names, struct buffer *out)
{
    for (size_t i = 0; i < names->count; i++)
        buffer_printf(out, "%s%s", i > 0 ? ", " : "", names->items[i]);
}
