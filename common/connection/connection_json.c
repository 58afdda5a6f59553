/*
 * The JSON form: an object with Airflow's keys (conn_type, host, port, schema, login, password,
 * extra), and the forms that only look like another: a text for a port, JSON in a text for extra.
 */
#include "common/connection/connection.h"

static const char *const ignored_keys[] = {
    "id", "conn_id", "description", "is_encrypted", "is_extra_encrypted", "extra_dejson", NULL};

static bool is_in(const char *key, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcmp(key, *words) == 0)
            return true;
    }
    return false;
}

static int read_text(const char *key, const json_t *value, struct arena *arena,
    struct slice *ret_text, struct error *error)
{
    if (json_is_null(value))
        return 0;
    if (!json_is_string(value))
        return error_set(error, ERR_INVALID, "its %s must be a text", key);
    *ret_text = arena_copy(arena, slice_make(json_string_value(value), json_string_length(value)));
    return 0;
}

static int read_port(const json_t *value, uint32_t *ret_port, struct error *error)
{
    json_int_t port = 0;
    bool sound = true;
    if (json_is_integer(value)) {
        port = json_integer_value(value);
        sound = port >= 1 && port <= 65535;
    } else if (json_is_string(value)) {
        const char *text = json_string_value(value);
        char *end = NULL;
        port = text[0] >= '0' && text[0] <= '9' ? strtol(text, &end, 10) : 0;
        sound = text[0] == '\0' || (end != NULL && *end == '\0' && port >= 1 && port <= 65535);
    } else {
        sound = json_is_null(value);
    }
    if (!sound)
        return error_set(error, ERR_INVALID, "its port must be a number from 1 to 65535");
    *ret_port = (uint32_t)port;
    return 0;
}

static int keep_object(
    const json_t *object, struct arena *arena, struct slice *ret_extra, struct error *error)
{
    if (!json_is_object(object))
        return error_set(error, ERR_INVALID, "its extra must be a JSON object");
    char *text = json_object_size(object) > 0 ? json_dumps(object, JSON_COMPACT) : NULL;
    if (text != NULL)
        *ret_extra = arena_copy(arena, slice_of(text));
    free(text);
    return 0;
}

static int read_extra(
    const json_t *value, struct arena *arena, struct slice *ret_extra, struct error *error)
{
    if (json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0))
        return 0;
    if (!json_is_string(value))
        return keep_object(value, arena, ret_extra, error);
    json_t *inner = json_loadb(json_string_value(value), json_string_length(value), 0, NULL);
    int code = keep_object(inner, arena, ret_extra, error);
    json_decref(inner);
    return code;
}

static void normalize_type(struct slice *type)
{
    char *text = (char *)(uintptr_t)type->ptr;
    for (size_t i = 0; i < type->length; i++) {
        if (text[i] >= 'A' && text[i] <= 'Z')
            text[i] = (char)(text[i] - 'A' + 'a');
        else if (text[i] == '-')
            text[i] = '_';
    }
    if (slice_is(*type, "postgresql"))
        *type = slice_of("postgres");
}

static int read_member(const char *key, const json_t *value, struct arena *arena,
    struct connection *connection, struct error *error)
{
    const struct {
        const char *key;
        struct slice *text;
    } texts[] = {{"conn_type", &connection->type}, {"type", &connection->type},
        {"host", &connection->host}, {"schema", &connection->schema}, {"login", &connection->login},
        {"password", &connection->password}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(key, texts[i].key) == 0)
            return read_text(key, value, arena, texts[i].text, error);
    }
    if (strcmp(key, "port") == 0)
        return read_port(value, &connection->port, error);
    if (strcmp(key, "extra") == 0)
        return read_extra(value, arena, &connection->extra, error);
    if (is_in(key, ignored_keys))
        return 0;
    return error_set(error, ERR_INVALID,
        "it has an unknown key \"%.64s\": conn_type, host, port, schema, login, password and "
        "extra are known",
        key);
}

int connection_from_json(const json_t *object, struct arena *arena,
    struct connection *ret_connection, struct error *error)
{
    struct connection read = {0};
    const char *key;
    json_t *value;
    int code = json_is_object(object) ? 0 : error_set(error, ERR_INVALID, "it is no JSON object");
    /* jansson's macro takes no const object; nothing is changed. */
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        if (code == 0)
            code = read_member(key, value, arena, &read, error);
    }
    if (code == 0 && read.type.length == 0)
        code = error_set(error, ERR_INVALID, "it has no conn_type");
    if (code != 0)
        return code;
    normalize_type(&read.type);
    *ret_connection = read;
    return 0;
}

static int parse_json(
    struct slice text, struct arena *arena, struct connection *ret_connection, struct error *error)
{
    json_error_t problem;
    json_t *object =
        json_loadb(text.ptr, text.length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &problem);
    /* jansson's own text may quote what stands there. */
    int code = object != NULL
                   ? connection_from_json(object, arena, ret_connection, error)
                   : error_set(error, ERR_INVALID, "it is no JSON object: line %d, column %d",
                         problem.line, problem.column);
    json_decref(object);
    return code;
}

int connection_parse(
    struct slice text, struct arena *arena, struct connection *ret_connection, struct error *error)
{
    struct connection read;
    while (text.length > 0 && strchr(" \t\r\n", text.ptr[0]) != NULL && text.ptr[0] != '\0')
        text = slice_make(text.ptr + 1, text.length - 1);
    while (text.length > 0 && strchr(" \t\r\n", text.ptr[text.length - 1]) != NULL &&
           text.ptr[text.length - 1] != '\0')
        text.length--;
    if (text.length > CONNECTION_MAX_BYTES)
        return error_set(error, ERR_TOO_BIG, "it has %zu bytes, at most %d can be kept",
            text.length, CONNECTION_MAX_BYTES);
    int code = text.length > 0 && text.ptr[0] == '{'
                   ? parse_json(text, arena, &read, error)
                   : connection_parse_uri(text, arena, &read, error);
    if (code == 0)
        code = connection_check(&read, error);
    if (code == 0)
        *ret_connection = read;
    return code;
}

/* ---- writing ---- */

static void put_text(json_t *object, const char *key, struct slice text)
{
    json_t *value = text.length > 0 ? json_stringn(text.ptr, text.length) : NULL;
    if (value != NULL)
        (void)json_object_set_new(object, key, value);
}

void connection_write_json(
    const struct connection *connection, struct slice name, struct buffer *out)
{
    json_t *object = json_object();
    put_text(object, "id", name);
    put_text(object, "type", connection->type);
    put_text(object, "host", connection->host);
    if (connection->port > 0)
        (void)json_object_set_new(object, "port", json_integer(connection->port));
    put_text(object, "schema", connection->schema);
    put_text(object, "login", connection->login);
    put_text(object, "password", connection->password);
    if (connection->extra.length > 0)
        (void)json_object_set_new(object, "extra", connection_extra(connection));
    char *text = json_dumps(object, JSON_COMPACT);
    if (text != NULL)
        buffer_append_text(out, text);
    free(text);
    json_decref(object);
}
