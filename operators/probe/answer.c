#include "operators/probe/answer.h"

#include "operators/common/http.h"

#include <stdio.h>
#include <stdlib.h>

enum { REST_PORT = 6066, WEB_PORT = 8080 };

/* ---- Spark ---- */

/* As a number or as text, as it may stand in extra. */
static int extra_port(const json_t *extra, const char *key, int otherwise)
{
    const json_t *value = json_object_get(extra, key);
    long long port = json_is_string(value) ? strtoll(json_string_value(value), NULL, 10)
                                           : json_integer_value(value);
    return port > 0 && port < 65536 ? (int)port : otherwise;
}

bool answer_version(struct slice page, char *ret_version, size_t size)
{
    static const char mark[] = "class=\"version"; /* and more classes, as of Spark 4 */
    const char *end = page.ptr + page.length;
    const char *at = page.length > 0 ? memmem(page.ptr, page.length, mark, sizeof mark - 1) : NULL;
    at = at != NULL ? memchr(at, '>', (size_t)(end - at)) : NULL;
    size_t length = 0;
    while (at != NULL && at + 1 + length < end && strchr("<\" \n", at[1 + length]) == NULL)
        length++;
    if (length == 0 || length >= size || at + 1 + length == end)
        return false;
    memcpy(ret_version, at + 1, length);
    ret_version[length] = '\0';
    return true;
}

static void add_page(const char *host, int port, struct buffer *reached)
{
    char url[400], version[40];
    struct http_answer page = {0};
    json_t *state = NULL;
    (void)snprintf(url, sizeof url, "http://%.253s:%d/json/", host, port);
    int rc = http_json(url, false, &state, NULL);
    if (rc != 0 || json_text(state, "status") == NULL) {
        buffer_printf(reached,
            rc == ERR_TIMEOUT ? "; port %d (webui-port) is too slow to say more"
                              : "; no page of a master on port %d (webui-port)",
            port);
        json_decref(state);
        return;
    }
    long long workers = json_integer_value(json_object_get(state, "aliveworkers"));
    (void)snprintf(url, sizeof url, "http://%.253s:%d/", host, port);
    buffer_append_text(reached, "; Spark");
    if (http_get(url, "", "", &page, NULL) == 0 &&
        answer_version(buffer_slice(&page.body), version, sizeof version))
        buffer_printf(reached, " %s", version);
    buffer_printf(reached, ", the master is %s, %lld worker%s, %lld cores",
        json_text(state, "status"), workers, workers == 1 ? "" : "s",
        (long long)json_integer_value(json_object_get(state, "cores")));
    http_answer_fini(&page);
    json_decref(state);
}

/* It answers for any driver, also for one that it does not know. */
static void add_rest(const char *host, int port, struct buffer *reached)
{
    char url[400];
    json_t *answer = NULL;
    (void)snprintf(url, sizeof url, "http://%.253s:%d/v1/submissions/status/none", host, port);
    int rc = http_json(url, false, &answer, NULL);
    bool is_rest = rc == 0 && json_text(answer, "serverSparkVersion") != NULL;
    buffer_printf(reached,
        is_rest             ? "; REST server on port %d"
        : rc == ERR_TIMEOUT ? "; port %d (rest-port) is too slow to say more"
                            : "; no REST server on port %d (rest-port)",
        port);
    json_decref(answer);
}

void answer_of_spark(const struct connection *connection, const char *host, struct buffer *reached)
{
    json_t *extra = connection->extra.length > 0
                        ? json_loadb(connection->extra.ptr, connection->extra.length, 0, NULL)
                        : NULL;
    add_page(host, extra_port(extra, "webui-port", WEB_PORT), reached);
    add_rest(host, extra_port(extra, "rest-port", REST_PORT), reached);
    json_decref(extra);
}

/* ---- HTTP ---- */

/* "https://api.example.com:8443/v1": the host may have its scheme and a path already. */
static void append_url(const struct connection *connection, struct buffer *url)
{
    const char *host = connection->host.ptr;
    const char *name = strstr(host, "://");
    name = name != NULL ? name + 3 : host;
    size_t length = strcspn(name, "/");
    if (name != host)
        buffer_printf(url, "%.*s", (int)(name - host), host);
    else
        buffer_printf(
            url, "%s://", connection->schema.length > 0 ? connection->schema.ptr : "http");
    buffer_printf(url, "%.*s", (int)length, name);
    if (connection->port > 0)
        buffer_printf(url, ":%u", connection->port);
    buffer_append_text(url, name[length] != '\0' ? name + length : "/");
}

static int judge(
    const char *url, const struct connection *connection, long status, struct error *error)
{
    if (status == 401 || status == 403 || status == 407)
        return error_set(error, ERR_REFUSED, "%s: status %ld: %s", url, status,
            connection->login.length + connection->password.length > 0
                ? "its login is refused"
                : "it wants a login, and the connection has none");
    if (status >= 500)
        return error_set(error, ERR_REFUSED, "%s: status %ld: the server fails", url, status);
    return 0;
}

int answer_of_http(const struct connection *connection, struct buffer *reached, struct error *error)
{
    struct buffer url = {0};
    struct http_answer answer = {0};
    const char *login = connection->login.length > 0 ? connection->login.ptr : "";
    const char *password = connection->password.length > 0 ? connection->password.ptr : "";
    append_url(connection, &url);
    int rc = http_get(buffer_text(&url), login, password, &answer, error);
    if (rc == 0)
        rc = judge(buffer_text(&url), connection, answer.status, error);
    if (rc == 0)
        buffer_printf(reached, "; %s: status %ld%s%s", buffer_text(&url), answer.status,
            answer.server[0] != '\0' ? ", server " : "", answer.server);
    http_answer_fini(&answer);
    buffer_fini(&url);
    return rc;
}
