/*
 * connect.c - from a connection's document to a PGconn. The hosts are tried one after another here
 * and not by libpq, so that each has its own time, every failure is told with its host and its
 * SQLSTATE, and a signal ends it.
 */
#include "operators/postgres/session.h"

#include "common/clock.h"
#include "common/memory.h"
#include "common/suggest.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { HOSTS_MAX = 32, KEYS_MAX = 64, CONNECT_TIMEOUT_S = 10, CONNECT_TIMEOUT_MAX_S = 3600 };

/* What libpq is told; `host`, `port` and `target` are set anew for each try. */
struct settings {
    const char *keys[KEYS_MAX + 1], *values[KEYS_MAX + 1];
    int count;
    char *texts[KEYS_MAX]; /* owned: extra's values that are no texts */
    int text_count;
    size_t host, port, target; /* their places */
    const char *wanted;        /* target_session_attrs */
    int timeout_ms;            /* of each host */
};

struct host {
    char *name, *port;
};

struct hosts {
    struct host items[HOSTS_MAX];
    size_t count;
};

static void settings_fini(struct settings *settings)
{
    for (int i = 0; i < settings->text_count; i++)
        free(settings->texts[i]);
}

static void hosts_fini(struct hosts *hosts)
{
    for (size_t i = 0; i < hosts->count; i++) {
        free(hosts->items[i].name);
        free(hosts->items[i].port);
    }
}

static size_t add(struct settings *settings, const char *key, const char *value)
{
    settings->keys[settings->count] = key;
    settings->values[settings->count] = value;
    return (size_t)settings->count++;
}

/* Those that have a place of their own, that the operator sets, or that lead elsewhere. */
static const char *const OWN[] = {"application_name", "fallback_application_name", "host", "port",
    "dbname", "user", "password", "client_encoding", "replication", "service", NULL};

/* The words that extra may have: libpq's own, so that a newer libpq's are known too. */
static void libpq_words(const PQconninfoOption *options, const char *words[KEYS_MAX + 1])
{
    size_t count = 0;
    for (; options->keyword != NULL && count < KEYS_MAX; options++) {
        bool own = false;
        for (size_t i = 0; OWN[i] != NULL; i++)
            own = own || strcmp(OWN[i], options->keyword) == 0;
        if (!own)
            words[count++] = options->keyword;
    }
    words[count] = NULL;
}

static int check_word(const char *key, const char *const *words, struct failure *failure)
{
    if (strstr(key, "application_name") != NULL)
        return failure_set(failure, ERR_INVALID,
            "the connection's extra sets %s: it carries the attempt's tag, by which a later "
            "attempt "
            "finds this one",
            key);
    for (size_t i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], key) == 0)
            return 0;
    }
    const char *near = suggest(slice_of(key), words);
    return failure_set(failure, ERR_INVALID,
        "the connection's extra has \"%.100s\", which is none of libpq's options%s%s%s", key,
        near != NULL ? "; did you mean \"" : "", near != NULL ? near : "",
        near != NULL ? "\"?" : "");
}

static int read_timeout(struct settings *settings, const char *text, struct failure *failure)
{
    char *end = NULL;
    long seconds = strtol(text, &end, 10);
    if (end == text || *end != '\0' || seconds < 1 || seconds > CONNECT_TIMEOUT_MAX_S)
        return failure_set(failure, ERR_INVALID,
            "the connection's connect_timeout is seconds, from 1 to %d, not \"%.40s\"",
            CONNECT_TIMEOUT_MAX_S, text);
    settings->timeout_ms = (int)seconds * 1000;
    return 0;
}

static int read_extra(struct settings *settings, const char *key, const json_t *value,
    const char *const *words, struct failure *failure)
{
    int rc = check_word(key, words, failure);
    if (rc != 0)
        return rc;
    const char *text = json_string_value(value);
    if (text == NULL && (json_is_object(value) || json_is_array(value) || json_is_null(value)))
        return failure_set(
            failure, ERR_INVALID, "the connection's %.100s must be text or a number", key);
    if (settings->count >= KEYS_MAX - 1)
        return failure_set(failure, ERR_INVALID, "the connection's extra has too many keys");
    if (text == NULL) {
        char *dumped = json_dumps(value, JSON_ENCODE_ANY);
        text = settings->texts[settings->text_count++] = dumped;
    }
    if (strcmp(key, "connect_timeout") == 0)
        return read_timeout(settings, text, failure);
    if (strcmp(key, "target_session_attrs") == 0) {
        settings->wanted = text;
        return 0;
    }
    if (strcmp(key, "options") == 0 && strstr(text, "application_name") != NULL)
        return check_word("application_name", words, failure);
    (void)add(settings, key, text);
    return 0;
}

static const char *part(const json_t *connection, const char *key)
{
    return json_string_value(json_object_get(connection, key));
}

static int read_settings(
    struct settings *settings, const json_t *connection, const char *tag, struct failure *failure)
{
    *settings = (struct settings){.wanted = "any", .timeout_ms = CONNECT_TIMEOUT_S * 1000};
    settings->host = add(settings, "host", NULL);
    settings->port = add(settings, "port", NULL);
    settings->target = add(settings, "target_session_attrs", NULL);
    (void)add(settings, "dbname", part(connection, "schema"));
    (void)add(settings, "user", part(connection, "login"));
    (void)add(settings, "password", part(connection, "password"));
    (void)add(settings, "application_name", tag);
    (void)add(settings, "client_encoding", "UTF8");
    /* A peer that is gone without a word is noticed within a minute. Of a key that comes twice the
     * last counts, so that extra can change these. */
    (void)add(settings, "keepalives_idle", "30");
    (void)add(settings, "keepalives_interval", "10");
    (void)add(settings, "keepalives_count", "3");
    (void)add(settings, "tcp_user_timeout", "60000");
    const char *words[KEYS_MAX + 1];
    PQconninfoOption *options = PQconndefaults();
    if (options == NULL)
        return failure_set(failure, ERR_IO, "libpq has no memory");
    libpq_words(options, words);
    int rc = 0;
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(connection, "extra"), key, value)
    {
        rc = read_extra(settings, key, value, words, failure);
        if (rc != 0)
            break;
    }
    PQconninfoFree(options);
    return rc;
}

/* "db1,db2:5433" and port 5432: each host has the port behind its colon, else the connection's. */
static int read_hosts(struct hosts *hosts, const json_t *connection, struct failure *failure)
{
    const char *all = part(connection, "host");
    const json_t *number = json_object_get(connection, "port");
    char port[24] = "5432";
    if (json_is_integer(number))
        (void)snprintf(port, sizeof port, "%lld", (long long)json_integer_value(number));
    for (const char *at = all != NULL ? all : ""; at != NULL;) {
        size_t length = strcspn(at, ",");
        const char *colon = memrchr(at, ':', length);
        bool address = memchr(at, ']', length) == NULL && colon != NULL &&
                       memchr(at, ':', (size_t)(colon - at)) != NULL;
        if (address || (colon != NULL && memchr(colon, ']', length - (size_t)(colon - at)) != NULL))
            colon = NULL;
        if (hosts->count == HOSTS_MAX)
            return failure_set(failure, ERR_INVALID, "more than %d hosts", HOSTS_MAX);
        size_t name = colon != NULL ? (size_t)(colon - at) : length;
        bool brackets = name >= 2 && at[0] == '[' && at[name - 1] == ']';
        struct host *host = &hosts->items[hosts->count++];
        host->name = xstrndup(at + brackets, name - 2 * (size_t)brackets);
        host->port = colon != NULL ? xstrndup(colon + 1, length - name - 1) : xstrdup(port);
        at = at[length] == ',' ? at + length + 1 : NULL;
    }
    return 0;
}

static int poll_connection(struct session *session, int timeout_ms, struct failure *failure)
{
    uint64_t end = clock_boot_ms() + (uint64_t)timeout_ms;
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    while (state != PGRES_POLLING_OK) {
        struct pollfd fd = {.fd = PQsocket(session->conn),
            .events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        uint64_t now = clock_boot_ms();
        if (now >= end)
            return failure_passing(
                failure, ERR_TIMEOUT, "no answer within %d s", timeout_ms / 1000);
        int rc = session_wait_until(session, fd, (int)(end - now), failure);
        if (rc != 0)
            return rc;
        if (poll(&fd, 1, 0) <= 0)
            continue;
        state = PQconnectPoll(session->conn);
        if (state == PGRES_POLLING_FAILED)
            return ERR_UNREACHABLE;
    }
    return 0;
}

static int try_host(struct session *session, struct settings *settings, const struct host *host,
    const char *target, struct failure *failure)
{
    char where[300];
    (void)snprintf(where, sizeof where, "%.200s port %.40s",
        host->name[0] != '\0' ? host->name : "the local socket", host->port);
    settings->values[settings->host] = host->name;
    settings->values[settings->port] = host->port;
    settings->values[settings->target] = target;
    session->conn = PQconnectStartParams(settings->keys, settings->values, 0);
    if (session->conn == NULL)
        return failure_set(failure, ERR_IO, "libpq has no memory");
    /* Makes libpq write the SQLSTATE into what it says of a refused login. */
    (void)PQsetErrorVerbosity(session->conn, PQERRORS_VERBOSE);
    int rc = PQstatus(session->conn) == CONNECTION_BAD
                 ? ERR_UNREACHABLE
                 : poll_connection(session, settings->timeout_ms, failure);
    if (rc == ERR_UNREACHABLE)
        rc = failure_of_connection(failure, where, PQerrorMessage(session->conn));
    else if (rc == ERR_TIMEOUT)
        rc = failure_passing(failure, ERR_UNREACHABLE, "%s cannot be reached: no answer in %d s",
            where, settings->timeout_ms / 1000);
    if (rc == 0)
        return 0;
    PQfinish(session->conn);
    session->conn = NULL;
    return rc;
}

/* Each host in turn; the failure names them all, and could pass when one of them could. */
static int try_hosts(struct session *session, struct settings *settings, const struct hosts *hosts,
    const char *target, struct failure *failure)
{
    struct buffer said = {0};
    bool retry = false;
    int rc = 0;
    for (size_t i = 0; i < hosts->count; i++) {
        rc = try_host(session, settings, &hosts->items[i], target, failure);
        if (rc == 0 || rc == ERR_AGAIN)
            break;
        retry = retry || failure->retry;
        buffer_printf(&said, "%s%s", i > 0 ? "; " : "", failure->error.text);
    }
    if (rc != 0 && rc != ERR_AGAIN && hosts->count > 1) {
        (void)error_set(&failure->error, rc, "%s", buffer_text(&said));
        failure->retry = retry;
    }
    buffer_fini(&said);
    return rc;
}

/* A worker's own PGHOST, PGPASSWORD or PGOPTIONS are not this connection's. */
static void forget_environment(const PQconninfoOption *options)
{
    for (; options->keyword != NULL; options++) {
        if (options->envvar != NULL)
            (void)unsetenv(options->envvar);
    }
}

int session_connect(
    struct session *session, const json_t *connection, const char *tag, struct failure *failure)
{
    struct settings settings = {0};
    struct hosts hosts = {0};
    PQconninfoOption *options = PQconndefaults();
    if (options != NULL)
        forget_environment(options);
    PQconninfoFree(options);
    int rc = read_settings(&settings, connection, tag, failure);
    if (rc == 0)
        rc = read_hosts(&hosts, connection, failure);
    if (rc == 0) {
        bool prefer = strcmp(settings.wanted, "prefer-standby") == 0;
        rc = try_hosts(session, &settings, &hosts, prefer ? "standby" : settings.wanted, failure);
        if (prefer && rc != 0 && rc != ERR_AGAIN)
            rc = try_hosts(session, &settings, &hosts, "any", failure);
    }
    settings_fini(&settings);
    hosts_fini(&hosts);
    if (rc == 0)
        (void)PQsetErrorVerbosity(session->conn, PQERRORS_DEFAULT);
    if (rc == 0 && PQsetnonblocking(session->conn, 1) != 0)
        rc = failure_passing(failure, ERR_IO, "%s", PQerrorMessage(session->conn));
    return rc;
}
