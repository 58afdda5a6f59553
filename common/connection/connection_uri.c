/*
 * The URI form, with Airflow's rules (Connection._parse_from_uri): parts are percent-decoded after
 * they were split; a second scheme behind the first belongs to the host; a host that
 * holds a decoded "/" is a socket's folder and keeps its case; what follows "?" is extra, one text
 * a key, with "+" for a space, or JSON under __extra__. Stricter where Airflow guesses: a "#", a
 * "%" without two digits, and a port that is none are errors.
 */
#include "common/connection/connection.h"

static const char hex_digits[] = "0123456789ABCDEF";

void connection_write_encoded(struct slice text, struct buffer *out)
{
    for (size_t i = 0; i < text.length; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '_' || c == '.' || c == '-' || c == '~';
        char coded[3] = {'%', hex_digits[c >> 4], hex_digits[c & 15]};
        if (plain)
            buffer_append(out, &c, 1);
        else
            buffer_append(out, coded, sizeof coded);
    }
}

/* ---- reading ---- */

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int decode(const char *part, struct slice text, bool plus_is_space, struct arena *arena,
    struct slice *ret_text, struct error *error)
{
    char *out = arena_alloc(arena, text.length + 1);
    size_t length = 0;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.ptr[i];
        if (c == '+' && plus_is_space) {
            c = ' ';
        } else if (c == '%') {
            int high = i + 2 < text.length ? digit_of(text.ptr[i + 1]) : -1;
            int low = high >= 0 ? digit_of(text.ptr[i + 2]) : -1;
            if (low < 0)
                return error_set(error, ERR_INVALID,
                    "its %s has a \"%%\" without two hex digits: write a \"%%\" itself as %%25",
                    part);
            c = (char)(high << 4 | low);
            i += 2;
        }
        out[length++] = c;
    }
    *ret_text = slice_make(out, length);
    return 0;
}

/* Cuts `text` at the first of `set`; *ret_rest begins behind it. False: none is in it. */
static bool cut(struct slice *text, const char *set, struct slice *ret_rest)
{
    for (size_t i = 0; i < text->length; i++) {
        if (strchr(set, text->ptr[i]) == NULL || text->ptr[i] == '\0')
            continue;
        *ret_rest = slice_make(text->ptr + i + 1, text->length - i - 1);
        text->length = i;
        return true;
    }
    return false;
}

static size_t find_scheme_end(struct slice text)
{
    const char *at = text.length >= 3 ? memmem(text.ptr, text.length, "://", 3) : NULL;
    return at != NULL ? (size_t)(at - text.ptr) : SIZE_MAX;
}

static struct slice read_type(struct slice text, struct arena *arena)
{
    char *type = arena_alloc(arena, text.length + 1);
    for (size_t i = 0; i < text.length; i++) {
        char c = text.ptr[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        type[i] = c == '-' ? '_' : c;
    }
    struct slice read = slice_make(type, text.length);
    return slice_is(read, "postgresql") ? slice_of("postgres") : read;
}

static int read_port(struct slice text, uint32_t *ret_port, struct error *error)
{
    uint32_t port = 0;
    bool sound = text.length <= 5;
    for (size_t i = 0; sound && i < text.length; i++) {
        sound = text.ptr[i] >= '0' && text.ptr[i] <= '9';
        port = port * 10 + (uint32_t)(text.ptr[i] - '0');
    }
    if (!sound || port > 65535 || (text.length > 0 && port == 0))
        return error_set(error, ERR_INVALID,
            "its port is none (1 to 65535); a \":\", \"/\" or \"@\" in the login or password must "
            "be written %%3A, %%2F, %%40");
    *ret_port = port;
    return 0;
}

/* "[::1]:5432" or "db:5432". */
static int split_host(
    struct slice text, struct slice *ret_host, struct slice *ret_port, struct error *error)
{
    *ret_port = (struct slice){0};
    if (text.length > 0 && text.ptr[0] == '[') {
        struct slice rest = {0};
        struct slice host = slice_make(text.ptr + 1, text.length - 1);
        if (!cut(&host, "]", &rest) || (rest.length > 0 && rest.ptr[0] != ':'))
            return error_set(error, ERR_INVALID, "its host has a \"[\" without its \"]\"");
        *ret_host = host;
        if (rest.length > 0)
            *ret_port = slice_make(rest.ptr + 1, rest.length - 1);
        return 0;
    }
    *ret_host = text;
    (void)cut(ret_host, ":", ret_port);
    return 0;
}

static int read_host(struct slice text, struct slice protocol, struct arena *arena,
    struct connection *connection, struct error *error)
{
    struct slice host, port;
    int code = split_host(text, &host, &port, error);
    if (code == 0)
        code = decode("host", host, false, arena, &host, error);
    if (code == 0)
        code = read_port(port, &connection->port, error);
    if (code != 0)
        return code;
    bool is_folder = host.length > 0 && memchr(host.ptr, '/', host.length) != NULL;
    char *name = (char *)(uintptr_t)host.ptr;
    for (size_t i = 0; !is_folder && i < host.length; i++) {
        if (name[i] >= 'A' && name[i] <= 'Z')
            name[i] = (char)(name[i] - 'A' + 'a');
    }
    connection->host = protocol.length > 0 ? arena_printf(arena, "%.*s://%.*s",
                                                 SLICE_PRINT(protocol), SLICE_PRINT(host))
                                           : host;
    return 0;
}

/* login:password@host:port; the last "@" counts. */
static int read_authority(struct slice text, struct slice protocol, struct arena *arena,
    struct connection *connection, struct error *error)
{
    const char *at = text.length > 0 ? memrchr(text.ptr, '@', text.length) : NULL;
    struct slice login = {0}, password = {0}, host = text;
    if (at != NULL) {
        login = slice_make(text.ptr, (size_t)(at - text.ptr));
        host = slice_make(at + 1, text.length - login.length - 1);
        (void)cut(&login, ":", &password);
    }
    int code = decode("login", login, false, arena, &connection->login, error);
    if (code == 0)
        code = decode("password", password, false, arena, &connection->password, error);
    return code == 0 ? read_host(host, protocol, arena, connection, error) : code;
}

static int keep_extra(
    const json_t *extra, struct arena *arena, struct slice *ret_extra, struct error *error)
{
    if (extra == NULL || !json_is_object(extra))
        return error_set(error, ERR_INVALID, "its extra must be a JSON object");
    char *text = json_dumps(extra, JSON_COMPACT);
    if (text == NULL)
        return error_set(error, ERR_INVALID, "its extra cannot be written as JSON");
    if (json_object_size(extra) > 0)
        *ret_extra = arena_copy(arena, slice_of(text));
    free(text);
    return 0;
}

static int read_pair(struct slice pair, json_t *extra, struct arena *arena, struct error *error)
{
    struct slice value = {0};
    (void)cut(&pair, "=", &value);
    int code = decode("extra", pair, true, arena, &pair, error);
    if (code == 0)
        code = decode("extra", value, true, arena, &value, error);
    if (code != 0)
        return code;
    json_t *text = json_stringn(value.ptr, value.length);
    if (text == NULL || memchr(pair.ptr, '\0', pair.length + 1) != pair.ptr + pair.length) {
        json_decref(text);
        return error_set(error, ERR_INVALID, "its extra is no UTF-8, or holds a NUL byte");
    }
    if (json_object_set_new(extra, pair.ptr, text) != 0)
        return error_set(error, ERR_INVALID, "its extra is no UTF-8");
    return 0;
}

static int read_query(
    struct slice query, struct arena *arena, struct slice *ret_extra, struct error *error)
{
    json_t *extra = json_object();
    int code = 0;
    bool more = query.length > 0;
    while (code == 0 && more) {
        struct slice pair = query;
        more = cut(&pair, "&", &query);
        if (pair.length > 0)
            code = read_pair(pair, extra, arena, error);
    }
    const json_t *whole = json_object_get(extra, "__extra__");
    if (code == 0 && whole != NULL) {
        json_t *inner = json_loadb(json_string_value(whole), json_string_length(whole), 0, NULL);
        code = keep_extra(inner, arena, ret_extra, error);
        json_decref(inner);
    } else if (code == 0) {
        code = keep_extra(extra, arena, ret_extra, error);
    }
    json_decref(extra);
    return code;
}

int connection_parse_uri(
    struct slice text, struct arena *arena, struct connection *ret_connection, struct error *error)
{
    struct connection read = {0};
    struct slice rest, query = {0}, path = {0}, protocol = {0};
    size_t scheme = find_scheme_end(text);
    if (scheme == SIZE_MAX || scheme == 0)
        return error_set(error, ERR_INVALID,
            "it is no connection: write type://login:password@host:port/schema, or JSON");
    read.type = read_type(slice_make(text.ptr, scheme), arena);
    rest = slice_make(text.ptr + scheme + 3, text.length - scheme - 3);
    if (rest.length > 0 && memchr(rest.ptr, '#', rest.length) != NULL)
        return error_set(error, ERR_INVALID, "it holds a \"#\", which must be written %%23");
    (void)cut(&rest, "?", &query);
    scheme = find_scheme_end(rest);
    if (scheme != SIZE_MAX) {
        protocol = slice_make(rest.ptr, scheme);
        rest = slice_make(rest.ptr + scheme + 3, rest.length - scheme - 3);
        struct slice unused, before = protocol;
        if (find_scheme_end(rest) != SIZE_MAX || cut(&before, "@:/", &unused))
            return error_set(error, ERR_INVALID,
                "it has more than one \"://\": the host's own stands right behind the type's, as "
                "in http:"
                "//https://example.com");
    }
    (void)cut(&rest, "/", &path);
    int code = read_authority(rest, protocol, arena, &read, error);
    if (code == 0)
        code = decode("schema", path, false, arena, &read.schema, error);
    if (code == 0)
        code = read_query(query, arena, &read.extra, error);
    if (code == 0)
        *ret_connection = read;
    return code;
}

/* ---- writing ---- */

/* A host with a scheme of its own is written as it is read: the scheme plain, the rest encoded. */
static void write_host(struct slice host, struct buffer *out)
{
    size_t scheme = find_scheme_end(host);
    if (scheme != SIZE_MAX && scheme > 0) {
        buffer_append(out, host.ptr, scheme + 3);
        host = slice_make(host.ptr + scheme + 3, host.length - scheme - 3);
    }
    if (host.length > 0 && memchr(host.ptr, ':', host.length) != NULL &&
        memchr(host.ptr, '/', host.length) == NULL)
        buffer_printf(out, "[%.*s]", SLICE_PRINT(host));
    else
        connection_write_encoded(host, out);
}

void connection_write_uri(const struct connection *connection, struct buffer *out)
{
    buffer_printf(out, "%.*s://", SLICE_PRINT(connection->type));
    size_t protocol = find_scheme_end(connection->host);
    if (protocol != SIZE_MAX)
        buffer_append(out, connection->host.ptr, protocol + 3);
    if (connection->login.length > 0 || connection->password.length > 0) {
        connection_write_encoded(connection->login, out);
        if (connection->password.length > 0) {
            buffer_append_text(out, ":");
            connection_write_encoded(connection->password, out);
        }
        buffer_append_text(out, "@");
    }
    size_t skip = protocol != SIZE_MAX ? protocol + 3 : 0;
    write_host(slice_make(connection->host.ptr + skip, connection->host.length - skip), out);
    if (connection->port > 0)
        buffer_printf(out, ":%u", connection->port);
    if (connection->schema.length > 0) {
        buffer_append_text(out, "/");
        connection_write_encoded(connection->schema, out);
    }
    if (connection->extra.length > 0) {
        buffer_append_text(out, connection->schema.length > 0 ? "?" : "/?");
        buffer_append_text(out, "__extra__=");
        connection_write_encoded(connection->extra, out);
    }
}
