#include "common/connection/connection.h"

#include "common/limits.h"

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* ---- names ---- */

int connection_check_name(struct slice name, struct error *error)
{
    bool sound = name.length > 0 && name.length <= NAME_MAX_BYTES &&
                 (is_letter_or_digit(name.ptr[0]) || name.ptr[0] == '_');
    for (size_t i = 0; sound && i < name.length; i++)
        sound = is_letter_or_digit(name.ptr[i]) || name.ptr[i] == '_' || name.ptr[i] == '-' ||
                name.ptr[i] == '.';
    if (sound)
        return 0;
    return error_set(error, ERR_INVALID,
        "\"%.*s\" cannot be a connection's name: letters, digits, \"_\", \"-\" and \".\", a "
        "letter, "
        "a digit or \"_\" first, at most %d bytes",
        (int)(name.length < NAME_MAX_BYTES ? name.length : NAME_MAX_BYTES),
        name.ptr != NULL ? name.ptr : "", NAME_MAX_BYTES);
}

struct slice connection_variable(struct slice name, struct arena *arena)
{
    char *text = arena_alloc(arena, name.length + 1);
    for (size_t i = 0; i < name.length; i++) {
        char c = name.ptr[i];
        if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        text[i] = c == '-' || c == '.' ? '_' : c;
    }
    return slice_make(text, name.length);
}

/* ---- types ---- */

enum connection_kind connection_kind(struct slice type)
{
    static const char *const names[CONNECTION_KIND_COUNT] = {[CONNECTION_GENERIC] = "generic",
        [CONNECTION_POSTGRES] = "postgres",
        [CONNECTION_SPARK] = "spark",
        [CONNECTION_HTTP] = "http"};
    for (int kind = 0; kind < CONNECTION_KIND_COUNT; kind++) {
        if (slice_is(type, names[kind]))
            return (enum connection_kind)kind;
    }
    return CONNECTION_GENERIC;
}

uint32_t connection_default_port(const struct connection *connection)
{
    switch (connection_kind(connection->type)) {
    case CONNECTION_POSTGRES:
        return 5432;
    case CONNECTION_SPARK:
        return 7077;
    case CONNECTION_HTTP:
        return slice_is(connection->schema, "https") ? 443 : 80;
    default:
        return 0;
    }
}

static int check_type(struct slice type, struct error *error)
{
    bool sound = type.length > 0 && type.length <= CONNECTION_TYPE_MAX_BYTES;
    for (size_t i = 0; sound && i < type.length; i++)
        sound = is_letter_or_digit(type.ptr[i]) || type.ptr[i] == '_' || type.ptr[i] == '.' ||
                type.ptr[i] == '+';
    return sound ? 0
                 : error_set(error, ERR_INVALID,
                       "its type must be a word such as postgres, spark, http or generic");
}

struct part {
    const char *name;
    struct slice text;
};

enum { PARTS = 5 };

static void list_parts(const struct connection *connection, struct part parts[PARTS])
{
    parts[0] = (struct part){"host", connection->host};
    parts[1] = (struct part){"schema", connection->schema};
    parts[2] = (struct part){"login", connection->login};
    parts[3] = (struct part){"password", connection->password};
    parts[4] = (struct part){"extra", connection->extra};
}

static bool holds_control(struct slice text)
{
    for (size_t i = 0; i < text.length; i++) {
        if ((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 0x7f)
            return true;
    }
    return false;
}

static bool is_utf8(struct slice text)
{
    json_t *value = json_stringn(text.ptr != NULL ? text.ptr : "", text.length);
    json_decref(value);
    return value != NULL;
}

/* No process, file of a service or protocol carries a NUL; a host is one word. */
static int check_parts(const struct connection *connection, struct error *error)
{
    struct part parts[PARTS];
    size_t bytes = 0;
    list_parts(connection, parts);
    for (size_t i = 0; i < PARTS; i++) {
        bytes += parts[i].text.length;
        if (parts[i].text.length > 0 &&
            memchr(parts[i].text.ptr, '\0', parts[i].text.length) != NULL)
            return error_set(error, ERR_INVALID, "its %s holds a NUL byte", parts[i].name);
        if (!is_utf8(parts[i].text))
            return error_set(error, ERR_INVALID, "its %s is no UTF-8", parts[i].name);
    }
    if (bytes > CONNECTION_MAX_BYTES / 2)
        return error_set(error, ERR_TOO_BIG, "it has %zu bytes in all, at most %d can be kept",
            bytes, CONNECTION_MAX_BYTES / 2);
    if (holds_control(connection->host) ||
        (connection->host.length > 0 &&
            memchr(connection->host.ptr, ' ', connection->host.length) != NULL))
        return error_set(error, ERR_INVALID, "its host holds a space or a control character");
    if (connection->port > 65535)
        return error_set(error, ERR_INVALID, "its port %u is none: 1 to 65535", connection->port);
    return 0;
}

/* ---- by type ---- */

static bool is_one_of(const char *text, const char *const *words)
{
    for (; text != NULL && *words != NULL; words++) {
        if (strcmp(text, *words) == 0)
            return true;
    }
    return false;
}

/* An option of extra that has only these values. */
static int check_choice(
    const json_t *extra, const char *key, const char *const *words, struct error *error)
{
    const json_t *value = json_object_get(extra, key);
    struct buffer list = {0};
    if (value == NULL || json_is_null(value) || is_one_of(json_string_value(value), words))
        return 0;
    for (size_t i = 0; words[i] != NULL; i++)
        buffer_printf(&list, "%s%s", i > 0 ? ", " : "", words[i]);
    int code = error_set(
        error, ERR_INVALID, "its extra \"%s\" must be one of: %s", key, buffer_text(&list));
    buffer_fini(&list);
    return code;
}

/* psql's files of services and passwords hold a line an entry, and libpq reads no other way. */
static int check_postgres(
    const struct connection *connection, const json_t *extra, struct error *error)
{
    static const char *const modes[] = {
        "disable", "allow", "prefer", "require", "verify-ca", "verify-full", NULL};
    struct part parts[PARTS];
    list_parts(connection, parts);
    for (size_t i = 1; i < 4; i++) {
        if (holds_control(parts[i].text))
            return error_set(error, ERR_INVALID,
                "its %s holds a newline or another control character, which no PostgreSQL client "
                "can be given",
                parts[i].name);
    }
    return check_choice(extra, "sslmode", modes, error);
}

static int check_spark(
    const struct connection *connection, const json_t *extra, struct error *error)
{
    static const char *const modes[] = {"client", "cluster", NULL};
    static const char *const binaries[] = {"spark-submit", "spark2-submit", "spark3-submit", NULL};
    int code = check_choice(extra, "deploy-mode", modes, error);
    if (code == 0)
        code = check_choice(extra, "spark-binary", binaries, error);
    if (code == 0 && connection->host.length == 0)
        code = error_set(error, ERR_INVALID,
            "it has no host: the master, as in spark://HOST, yarn, k8s://HOST or local[2]");
    return code;
}

static int check_http(const struct connection *connection, struct error *error)
{
    if (connection->host.length == 0)
        return error_set(error, ERR_INVALID, "it has no host");
    if (connection->schema.length > 0 && !slice_is(connection->schema, "http") &&
        !slice_is(connection->schema, "https"))
        return error_set(error, ERR_INVALID, "its schema must be http or https");
    return 0;
}

json_t *connection_extra(const struct connection *connection)
{
    struct slice text = connection->extra;
    return text.length > 0 ? json_loadb(text.ptr, text.length, 0, NULL) : NULL;
}

int connection_check(const struct connection *connection, struct error *error)
{
    int code = check_type(connection->type, error);
    if (code == 0)
        code = check_parts(connection, error);
    if (code != 0)
        return code;
    json_t *extra = connection_extra(connection);
    if (extra == NULL && connection->extra.length > 0)
        return error_set(error, ERR_INVALID, "its extra holds a NUL byte");
    switch (connection_kind(connection->type)) {
    case CONNECTION_POSTGRES:
        code = check_postgres(connection, extra, error);
        break;
    case CONNECTION_SPARK:
        code = check_spark(connection, extra, error);
        break;
    case CONNECTION_HTTP:
        code = check_http(connection, error);
        break;
    default:
        break;
    }
    json_decref(extra);
    return code;
}

/* ---- secrets ---- */

/* Words of keys that tell of a secret, as Airflow has them. */
static bool tells_of_secret(const char *key)
{
    static const char *const words[] = {"access_token", "access_key", "account_key", "api_key",
        "apikey", "authorization", "credential", "keyfile", "passphrase", "passwd", "password",
        "private_key", "secret", "token", "service_account", NULL};
    for (size_t i = 0; words[i] != NULL; i++) {
        if (strcasestr(key, words[i]) != NULL)
            return true;
    }
    return false;
}

struct secrets {
    void (*visit)(void *context, struct slice secret);
    void *context;
};

static void visit_value(const struct secrets *secrets, const json_t *value)
{
    if (json_is_string(value) && json_string_length(value) > 0)
        secrets->visit(
            secrets->context, slice_make(json_string_value(value), json_string_length(value)));
}

/* Below a key that tells of a secret every text is one. jansson reads no deeper than 2048. */
static void visit_secrets(const struct secrets *secrets, json_t *value, bool secret)
{
    const char *key;
    json_t *inner;
    size_t index;
    if (secret)
        visit_value(secrets, value);
    json_object_foreach(value, key, inner)
    {
        visit_secrets(secrets, inner, secret || tells_of_secret(key));
    }
    json_array_foreach(value, index, inner)
    {
        visit_secrets(secrets, inner, secret);
    }
}

void connection_each_secret(const struct connection *connection,
    void (*visit)(void *context, struct slice secret), void *context)
{
    struct secrets secrets = {visit, context};
    if (connection->password.length > 0)
        visit(context, connection->password);
    json_t *extra = connection_extra(connection);
    visit_secrets(&secrets, extra, false);
    json_decref(extra);
}
