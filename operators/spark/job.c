#include "operators/spark/job.h"

#include "common/buffer.h"
#include "common/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { REST_PORT = 6066, WEB_PORT = 8080 };

enum kind { TEXT, LIST, NUMBER, SWITCH };

static const struct flag {
    const char *key, *flag;
    enum kind kind;
} flags[] = {
    {"properties_file", "--properties-file", TEXT},
    {"files", "--files", LIST},
    {"py_files", "--py-files", LIST},
    {"archives", "--archives", LIST},
    {"driver_class_path", "--driver-class-path", TEXT},
    {"jars", "--jars", LIST},
    {"packages", "--packages", LIST},
    {"exclude_packages", "--exclude-packages", LIST},
    {"repositories", "--repositories", LIST},
    {"num_executors", "--num-executors", NUMBER},
    {"total_executor_cores", "--total-executor-cores", NUMBER},
    {"executor_cores", "--executor-cores", NUMBER},
    {"executor_memory", "--executor-memory", TEXT},
    {"driver_memory", "--driver-memory", TEXT},
    {"keytab", "--keytab", TEXT},
    {"principal", "--principal", TEXT},
    {"proxy_user", "--proxy-user", TEXT},
};

static const char *const known[] = {"application", "args", "master", "deploy_mode", "conf", "name",
    "class", "verbose", "queue", "env_vars", "properties_file", "files", "py_files", "archives",
    "driver_class_path", "jars", "packages", "exclude_packages", "repositories", "num_executors",
    "total_executor_cores", "executor_cores", "executor_memory", "driver_memory", "keytab",
    "principal", "proxy_user", NULL};

void words_add(struct words *words, const char *word)
{
    vector_reserve(&words->items, words->count + 1, &words->capacity);
    words->items[words->count++] = word;
    words->items[words->count] = NULL;
}

static void add_flag(struct job *job, const char *flag, const char *value)
{
    if (value == NULL)
        return;
    words_add(&job->command, flag);
    words_add(&job->command, value);
}

static void add_conf(struct job *job, const char *key, const char *value)
{
    add_flag(job, "--conf", arena_printf(&job->arena, "%s=%s", key, value).ptr);
}

/* A scalar as spark-submit wants it; NULL for a list, a mapping or null. */
static const char *scalar(struct job *job, const json_t *value)
{
    if (json_is_string(value))
        return json_string_value(value);
    if (json_is_boolean(value))
        return json_is_true(value) ? "true" : "false";
    if (json_is_integer(value))
        return arena_printf(&job->arena, "%lld", (long long)json_integer_value(value)).ptr;
    if (json_is_real(value))
        return arena_printf(&job->arena, "%.17g", json_real_value(value)).ptr;
    return NULL;
}

/* ---- the connection ---- */

static const char *extra_text(const json_t *connection, const char *key, const char * or)
{
    const json_t *extra = json_object_get(connection, "extra");
    const char *text = json_string_value(json_object_get(extra, key));
    return text != NULL && text[0] != '\0' ? text : or ;
}

/* A port as a number or as text; 0 for one that is none. */
static int extra_port(const json_t *connection, const char *key, int or)
{
    const json_t *value = json_object_get(json_object_get(connection, "extra"), key);
    json_int_t port = json_integer_value(value);
    if (value == NULL)
        return or ;
    if (json_is_string(value)) {
        char *end;
        port = strtol(json_string_value(value), &end, 10);
        port = *end == '\0' ? port : 0;
    }
    return port > 0 && port < 65536 ? (int)port : 0;
}

static const char *master_of(struct job *job, const json_t *connection)
{
    const char *host = json_string_value(json_object_get(connection, "host"));
    json_int_t port = json_integer_value(json_object_get(connection, "port"));
    if (host == NULL || host[0] == '\0')
        return NULL;
    if (port == 0)
        return host;
    return arena_printf(&job->arena, "%s:%lld", host, (long long)port).ptr;
}

static enum manager manager_of(const char *master)
{
    if (master == NULL)
        return MANAGER_OTHER;
    if (strncmp(master, "spark://", 8) == 0)
        return MANAGER_STANDALONE;
    if (strncmp(master, "yarn", 4) == 0)
        return MANAGER_YARN;
    if (strncmp(master, "k8s://", 6) == 0)
        return MANAGER_KUBERNETES;
    return strncmp(master, "local", 5) == 0 ? MANAGER_LOCAL : MANAGER_OTHER;
}

static int check_binary(const char *binary, struct error *error)
{
    const char *name = strrchr(binary, '/') != NULL ? strrchr(binary, '/') + 1 : binary;
    if (strcmp(name, "spark-submit") == 0 || strcmp(name, "spark2-submit") == 0 ||
        strcmp(name, "spark3-submit") == 0)
        return 0;
    return error_set(error, ERR_INVALID,
        "the connection's spark-binary is \"%.100s\": it must be spark-submit, spark2-submit or "
        "spark3-submit",
        binary);
}

/* SPARK_HOME's, where the connection names none and SPARK_HOME has one. */
static const char *find_binary(struct job *job, const json_t *connection)
{
    const char *named = extra_text(connection, "spark-binary", NULL);
    const char *home = getenv("SPARK_HOME");
    if (named != NULL)
        return named;
    if (home == NULL || home[0] == '\0')
        return "spark-submit";
    const char *path = arena_printf(&job->arena, "%s/bin/spark-submit", home).ptr;
    return access(path, X_OK) == 0 ? path : "spark-submit";
}

static int read_place(struct job *job, const json_t *with, const json_t *connection,
    const char **ret_mode, struct error *error)
{
    int rc = option_text(with, "master", &job->master, error);
    if (rc == 0)
        rc = option_text(with, "deploy_mode", ret_mode, error);
    if (rc != 0)
        return rc;
    if (job->master == NULL)
        job->master = master_of(job, connection);
    if (*ret_mode == NULL)
        *ret_mode = extra_text(connection, "deploy-mode", NULL);
    if (*ret_mode != NULL && strcmp(*ret_mode, "client") != 0 && strcmp(*ret_mode, "cluster") != 0)
        return error_set(
            error, ERR_INVALID, "\"deploy_mode\" must be client or cluster, not %.60s", *ret_mode);
    job->manager = manager_of(job->master);
    job->cluster = *ret_mode != NULL && strcmp(*ret_mode, "cluster") == 0;
    job->namespace = extra_text(connection, "namespace", NULL);
    job->rest_port = extra_port(connection, "rest-port", REST_PORT);
    job->web_port = extra_port(connection, "webui-port", WEB_PORT);
    if (job->rest_port == 0 || job->web_port == 0)
        return error_set(
            error, ERR_INVALID, "the connection's rest-port and webui-port are ports, 1 to 65535");
    job->binary = find_binary(job, connection);
    return check_binary(job->binary, error);
}

/* ---- options ---- */

static int add_confs(struct job *job, const json_t *with, struct error *error)
{
    const json_t *conf = NULL;
    int rc = option_object(with, "conf", &conf, error);
    const char *key;
    json_t *value;
    if (rc != 0 || conf == NULL)
        return rc;
    json_object_foreach((json_t *)(uintptr_t)conf, key, value)
    {
        const char *text = scalar(job, value);
        if (text == NULL || strchr(key, '=') != NULL)
            return error_set(
                error, ERR_INVALID, "\"conf\": %.100s must have one text or number", key);
        if (strncmp(key, "spark.reeve.", 12) == 0)
            return error_set(
                error, ERR_INVALID, "\"conf\": %.100s: names below spark.reeve. are reeve's", key);
        add_conf(job, key, text);
    }
    return 0;
}

/* What finds the application again: a retry looks for it, and so may a person. */
static void add_tags(struct job *job, const struct operator_task *task)
{
    add_conf(job, "spark.reeve.tag", task->tag);
    if (job->manager == MANAGER_YARN)
        add_conf(job, "spark.yarn.tags", task->tag);
    if (job->manager == MANAGER_KUBERNETES) {
        char *label = (char *)(uintptr_t)arena_printf(&job->arena, "%s", task->tag).ptr;
        for (char *at = label; *at != '\0'; at++)
            *at = *at == ':' ? '-' : *at;
        add_conf(job, "spark.kubernetes.driver.label.reeve-tag", label);
        if (job->namespace != NULL)
            add_conf(job, "spark.kubernetes.namespace", job->namespace);
    }
}

static int add_env(struct job *job, const json_t *with, struct error *error)
{
    const json_t *env = NULL;
    int rc = option_object(with, "env_vars", &env, error);
    const char *key;
    json_t *value;
    if (rc != 0 || env == NULL)
        return rc;
    if (job->manager == MANAGER_STANDALONE && job->cluster)
        return error_set(error, ERR_INVALID,
            "\"env_vars\": a standalone cluster gives a driver no environment of its own; use conf "
            "(spark.executorEnv.NAME) or args");
    json_object_foreach((json_t *)(uintptr_t)env, key, value)
    {
        const char *text = scalar(job, value);
        if (text == NULL)
            return error_set(error, ERR_INVALID, "\"env_vars\": %.100s must be one text", key);
        if (job->manager == MANAGER_YARN)
            add_conf(job, arena_printf(&job->arena, "spark.yarn.appMasterEnv.%s", key).ptr, text);
        else if (job->manager == MANAGER_KUBERNETES)
            add_conf(
                job, arena_printf(&job->arena, "spark.kubernetes.driverEnv.%s", key).ptr, text);
        else
            words_add(&job->env, arena_printf(&job->arena, "%s=%s", key, text).ptr);
    }
    return 0;
}

/* Text, or a list of texts with commas between them. */
static int list_text(struct job *job, const struct flag *flag, const json_t *value,
    const char **ret, struct error *error)
{
    size_t index;
    json_t *item;
    *ret = json_string_value(value);
    if (*ret != NULL)
        return 0;
    json_array_foreach((json_t *)(uintptr_t)value, index, item)
    {
        if (!json_is_string(item))
            *ret = NULL;
        else
            *ret = index == 0
                       ? json_string_value(item)
                       : arena_printf(&job->arena, "%s,%s", *ret, json_string_value(item)).ptr;
        if (*ret == NULL)
            break;
    }
    if (*ret != NULL || (json_is_array(value) && json_array_size(value) == 0))
        return 0;
    return error_set(error, ERR_INVALID, "\"%s\" must be text, or a list of texts", flag->key);
}

static int add_one(
    struct job *job, const struct flag *flag, const json_t *with, struct error *error)
{
    const json_t *value = json_object_get(with, flag->key);
    const char *text = NULL;
    int rc = 0;
    if (value == NULL || json_is_null(value))
        return 0;
    if (flag->kind == LIST)
        rc = list_text(job, flag, value, &text, error);
    else if (flag->kind == TEXT)
        rc = option_text(with, flag->key, &text, error);
    else if (json_is_integer(value) || json_is_string(value))
        text = scalar(job, value);
    else
        rc = error_set(error, ERR_INVALID, "\"%s\" must be an integer", flag->key);
    add_flag(job, flag->flag, text);
    return rc;
}

/* Its own flag where the task does not say, as Airflow's connection gives it. */
static void add_from_extra(struct job *job, const json_t *with, const json_t *connection,
    const char *key, const char *flag)
{
    if (json_object_get(with, key) == NULL)
        add_flag(job, flag, extra_text(connection, key, NULL));
}

static int add_flags(
    struct job *job, const json_t *with, const json_t *connection, struct error *error)
{
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        int rc = add_one(job, &flags[i], with, error);
        if (rc != 0)
            return rc;
        if (strcmp(flags[i].key, "keytab") == 0 || strcmp(flags[i].key, "principal") == 0)
            add_from_extra(job, with, connection, flags[i].key, flags[i].flag);
    }
    return 0;
}

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* The name carries the tag too: the master's page shows it, unless the application names itself. */
static int add_name(struct job *job, const json_t *with, const struct operator_task *task,
    const char *application, struct error *error)
{
    const char *name = base_of(application);
    const char *class = NULL;
    bool verbose = false;
    int rc = option_text(with, "name", &name, error);
    if (rc == 0)
        rc = option_text(with, "class", &class, error);
    if (rc == 0)
        rc = option_bool(with, "verbose", &verbose, error);
    if (rc != 0)
        return rc;
    add_flag(job, "--name", arena_printf(&job->arena, "%s %s", name, task->tag).ptr);
    add_flag(job, "--class", class);
    if (verbose)
        words_add(&job->command, "--verbose");
    return 0;
}

static int add_args(struct job *job, const json_t *with, struct error *error)
{
    const json_t *args = NULL;
    int rc = option_array(with, "args", &args, error);
    size_t index;
    json_t *value;
    if (rc != 0 || args == NULL)
        return rc;
    json_array_foreach((json_t *)(uintptr_t)args, index, value)
    {
        const char *text = scalar(job, value);
        if (text == NULL)
            return error_set(
                error, ERR_INVALID, "\"args\": number %zu must be one text or number", index + 1);
        words_add(&job->command, text);
    }
    return 0;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

static int check_application(const struct job *job, const char *application, struct error *error)
{
    if (application == NULL || application[0] == '\0')
        return error_set(error, ERR_INVALID, "\"application\" is missing: a .py file or a jar");
    if (job->manager == MANAGER_STANDALONE && job->cluster && ends_with(application, ".py"))
        return error_set(error, ERR_INVALID,
            "a standalone cluster runs no Python program in cluster mode: use deploy_mode client, "
            "or a jar");
    if (strstr(application, "://") == NULL && application[0] != '/' &&
        access(application, R_OK) != 0)
        return error_set(error, ERR_NOT_FOUND,
            "application: %.200s: there is no such file in the DAG's folder", application);
    return 0;
}

static int build(struct job *job, const struct operator_task *task, const json_t *connection,
    const char *mode, struct error *error)
{
    const json_t *with = task->with;
    const char *application = NULL;
    const char *queue = extra_text(connection, "queue", NULL);
    int rc = option_text(with, "application", &application, error);
    if (rc == 0)
        rc = option_text(with, "queue", &queue, error);
    if (rc == 0)
        rc = check_application(job, application, error);
    if (rc != 0)
        return rc;
    words_add(&job->command, job->binary);
    add_flag(job, "--master", job->master);
    if ((rc = add_confs(job, with, error)) != 0 || (rc = add_env(job, with, error)) != 0)
        return rc;
    add_tags(job, task);
    if ((rc = add_flags(job, with, connection, error)) != 0 ||
        (rc = add_name(job, with, task, application, error)) != 0)
        return rc;
    add_flag(job, "--queue", queue);
    add_flag(job, "--deploy-mode", mode);
    words_add(&job->command, application);
    return add_args(job, with, error);
}

int job_read(struct job *job, const struct operator_link *link, struct error *error)
{
    const struct operator_task *task = operator_task(link);
    const json_t *connection = NULL;
    const char *mode = NULL;
    int rc = option_check(task->with, known, error);
    if (rc == 0 && json_object_size(task->connections) > 0)
        rc = operator_connection(link, NULL, &connection, error);
    const char *type = json_string_value(json_object_get(connection, "type"));
    if (rc == 0 && connection != NULL && (type == NULL || strncmp(type, "spark", 5) != 0))
        rc = error_set(error, ERR_INVALID, "the connection \"%.100s\" is of type %.40s, not spark",
            json_string_value(json_object_get(connection, "id")), type != NULL ? type : "none");
    if (rc == 0)
        rc = read_place(job, task->with, connection, &mode, error);
    if (rc == 0)
        rc = build(job, task, connection, mode, error);
    return rc;
}

void job_fini(struct job *job)
{
    free(job->command.items);
    free(job->env.items);
    arena_fini(&job->arena);
}

/* ---- shown ---- */

static bool sounds_secret(const char *name, size_t length)
{
    static const char *const sounds[] = {"password", "passwd", "secret", "token", "credential",
        "accesskey", "access_key", "access-key", "access.key", "apikey", "api_key", "api-key"};
    for (size_t i = 0; i < sizeof sounds / sizeof *sounds; i++) {
        size_t size = strlen(sounds[i]);
        for (size_t at = 0; at + size <= length; at++) {
            if (strncasecmp(name + at, sounds[i], size) == 0)
                return true;
        }
    }
    return false;
}

/* `name=value` by its name; what follows `--password` by that. */
static bool show_word(struct job *job, const char *word, bool hide, struct buffer *text)
{
    const char *equals = strchr(word, '=');
    size_t length = equals != NULL ? (size_t)(equals - word) : strlen(word);
    bool secret = sounds_secret(word, length);
    const char *shown = word;
    if (hide)
        shown = "******";
    else if (secret && equals != NULL)
        shown = arena_printf(&job->arena, "%.*s=******", (int)length, word).ptr;
    bool plain = shown[0] != '\0' &&
                 shown[strspn(shown, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789_./:=,@%+-*")] == '\0';
    buffer_append_text(text, text->length > 0 ? " " : "");
    if (plain) {
        buffer_append_text(text, shown);
    } else {
        buffer_append_text(text, "'");
        for (const char *at = shown; *at != '\0'; at++)
            buffer_append_text(text, *at == '\'' ? "'\\''" : (char[]){*at, '\0'});
        buffer_append_text(text, "'");
    }
    return secret && equals == NULL && word[0] == '-';
}

const char *job_shown(struct job *job)
{
    struct buffer text = {0};
    bool hide = false;
    for (size_t i = 0; i < job->command.count; i++)
        hide = show_word(job, job->command.items[i], hide, &text);
    const char *shown = arena_printf(&job->arena, "%s", buffer_text(&text)).ptr;
    buffer_fini(&text);
    return shown;
}
