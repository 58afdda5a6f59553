#include "worker/io/options.h"

#include "common/limits.h"
#include "common/memory.h"
#include "common/suggest.h"

#include <stdlib.h>
#include <unistd.h>

static const char system_folder[] = "/var/lib/reeve/worker";
static const char *const level_words[] = {"error", "warn", "info", "debug", NULL};

/* A flag's value and where it was said. */
struct word {
    const char *value;
    const char *source;
};

/* As an absolute path; symbolic links stay, since they may be what keeps a socket's path short. */
static char *absolute(const char *path)
{
    char here[4096];
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    if (path[0] == '/' || getcwd(here, sizeof here) == NULL)
        return xstrndup(path, length);
    return xasprintf("%s/%.*s", strcmp(here, "/") == 0 ? "" : here, (int)length, path);
}

static int set_data(struct options *options, struct word word, struct error *error)
{
    if (word.value[0] == '\0')
        return error_set(
            error, ERR_USAGE, "%s is empty; it names the worker's folder", word.source);
    free(options->data);
    options->data = absolute(word.value);
    options->data_source = word.source;
    return 0;
}

static int set_master(struct options *options, struct word word, struct error *error)
{
    if (word.value[0] == '\0')
        return error_set(
            error, ERR_USAGE, "%s is empty; it names the master's folder", word.source);
    if (word.value[0] == '@' || (strchr(word.value, '/') == NULL && access(word.value, F_OK) != 0))
        return error_set(error, ERR_UNSUPPORTED,
            "%s: joining by token is not supported in this version; name the master's folder on "
            "this host",
            word.source);
    free(options->master);
    options->master = absolute(word.value);
    options->master_source = word.source;
    return 0;
}

/* Names of workers and queues. */
static int check_name(struct word word, const char *what, struct error *error)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t length = strlen(word.value);
    if (length == 0 || length > NAME_MAX_BYTES || strspn(word.value, letters) != length)
        return error_set(error, ERR_USAGE,
            "%s: \"%.200s\" is no name of a %s: letters, digits, '_', '.' and '-', at most %d",
            word.source, word.value, what, NAME_MAX_BYTES);
    return 0;
}

static int set_name(struct options *options, struct word word, struct error *error)
{
    int rc = check_name(word, "worker", error);
    if (rc != 0)
        return rc;
    free(options->name);
    options->name = xstrdup(word.value);
    options->name_source = word.source;
    return 0;
}

static int set_slots(struct options *options, struct word word, struct error *error)
{
    char *end = NULL;
    unsigned long slots = strtoul(word.value, &end, 10);
    if (word.value[0] < '0' || word.value[0] > '9' || *end != '\0' || slots < 1 ||
        slots > WORKER_SLOTS_MAX)
        return error_set(error, ERR_USAGE, "%s: \"%.40s\" is not a number from 1 to %d",
            word.source, word.value, WORKER_SLOTS_MAX);
    options->slots = (uint32_t)slots;
    options->slots_source = word.source;
    return 0;
}

static int add_queue(struct options *options, struct word word, struct error *error)
{
    int rc = check_name(word, "queue", error);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < options->queue_count; i++) {
        if (strcmp(options->queues[i], word.value) == 0)
            return 0;
    }
    if (options->queue_count == WORKER_QUEUES_MAX)
        return error_set(error, ERR_USAGE, "at most %d queues", WORKER_QUEUES_MAX);
    options->queues[options->queue_count++] = xstrdup(word.value);
    options->queues_source = word.source;
    return 0;
}

static int add_queues(struct options *options, struct word word, struct error *error)
{
    int rc = 0;
    const char *at = word.value;
    while (rc == 0 && *at != '\0') {
        size_t length = strcspn(at, ",");
        char *name = xstrndup(at, length);
        rc = add_queue(options, (struct word){name, word.source}, error);
        free(name);
        at += length + (at[length] == ',');
    }
    return rc;
}

static int set_level(struct options *options, struct word word, struct error *error)
{
    for (int i = 0; level_words[i] != NULL; i++) {
        if (strcmp(word.value, level_words[i]) == 0) {
            options->log_level = (enum log_level)i;
            options->log_level_source = word.source;
            return 0;
        }
    }
    return error_set(error, ERR_USAGE,
        "%s: unknown level \"%.40s\"; write error, warn, info or debug", word.source, word.value);
}

static int not_supported(struct options *options, struct word word, struct error *error)
{
    (void)options;
    return error_set(error, ERR_UNSUPPORTED, "%s is not supported in this version", word.source);
}

static const struct flag {
    const char *name;
    /* Takes the flag's value; NULL: the flag has none. */
    int (*take)(struct options *options, struct word word, struct error *error);
} flags[] = {
    {"--data", set_data},
    {"--join", set_master},
    {"--name", set_name},
    {"--slots", set_slots},
    {"--queue", add_queue},
    {"--log-level", set_level},
    {"--within", not_supported},
    {"--run-as", not_supported},
    {"--config", not_supported},
    {"--now", NULL},
    {"--print-config", NULL},
    {"--version", NULL},
    {"--help", NULL},
};

enum { FLAG_COUNT = sizeof flags / sizeof flags[0] };

static int unknown(const char *text, struct error *error)
{
    const char *names[FLAG_COUNT + 2] = {"stop"};
    for (int i = 0; i < FLAG_COUNT; i++)
        names[i + 1] = flags[i].name;
    const char *near = suggest(slice_make(text, strcspn(text, "=")), names);
    if (near != NULL)
        return error_set(
            error, ERR_USAGE, "unknown argument \"%.200s\"; did you mean \"%s\"?", text, near);
    return error_set(
        error, ERR_USAGE, "unknown argument \"%.200s\"; see reeve-worker --help", text);
}

static void set_switch(struct options *options, const char *name)
{
    bool *of = strcmp(name, "--print-config") == 0 ? &options->print_config
               : strcmp(name, "--version") == 0    ? &options->version
               : strcmp(name, "--now") == 0        ? &options->now
                                                   : &options->help;
    *of = true;
}

/* Reads one flag at *at, with its value; moves *at behind it. */
static int read_flag(struct options *options, char **argv, int *at, struct error *error)
{
    const char *text = strcmp(argv[*at], "-h") == 0 ? "--help" : argv[*at];
    size_t length = strcspn(text, "=");
    for (int i = 0; i < FLAG_COUNT; i++) {
        const struct flag *flag = &flags[i];
        if (strlen(flag->name) != length || strncmp(flag->name, text, length) != 0)
            continue;
        const char *value = text[length] == '=' ? text + length + 1 : NULL;
        (*at)++;
        if (flag->take == NULL && value != NULL)
            return error_set(error, ERR_USAGE, "%s takes no value", flag->name);
        if (flag->take == NULL) {
            set_switch(options, flag->name);
            return 0;
        }
        if (value == NULL && argv[*at] == NULL)
            return error_set(error, ERR_USAGE, "%s needs a value", flag->name);
        value = value != NULL ? value : argv[(*at)++];
        return flag->take(options, (struct word){value, flag->name}, error);
    }
    return unknown(text, error);
}

/* What no flag has said. */
static int read_environment(struct options *options, struct error *error)
{
    const struct {
        const char *name, *source;
        bool said;
        int (*take)(struct options *options, struct word word, struct error *error);
    } variables[] = {
        {"REEVE_WORKER_DATA", "$REEVE_WORKER_DATA", options->data != NULL, set_data},
        {"REEVE_JOIN", "$REEVE_JOIN", options->master != NULL, set_master},
        {"REEVE_WORKER_NAME", "$REEVE_WORKER_NAME", options->name != NULL, set_name},
        {"REEVE_WORKER_SLOTS", "$REEVE_WORKER_SLOTS", options->slots != 0, set_slots},
        {"REEVE_WORKER_QUEUES", "$REEVE_WORKER_QUEUES", options->queue_count != 0, add_queues},
        {"REEVE_LOG_LEVEL", "$REEVE_LOG_LEVEL", options->log_level_source != NULL, set_level},
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof variables / sizeof *variables; i++) {
        const char *value = getenv(variables[i].name);
        if (!variables[i].said && value != NULL && value[0] != '\0')
            rc = variables[i].take(options, (struct word){value, variables[i].source}, error);
    }
    return rc;
}

static int check_verb(const struct options *options, struct error *error)
{
    if (!options->stop && options->now)
        return error_set(error, ERR_USAGE, "--now belongs to `reeve-worker stop`");
    if (options->stop && !options->now)
        return error_set(error, ERR_UNSUPPORTED,
            "stopping when the work is done is not supported in this version; `reeve-worker stop "
            "--now` ends it at once");
    return 0;
}

int options_parse(struct options *options, char **argv, struct error *error)
{
    *options = (struct options){.log_level = LOG_LEVEL_INFO};
    int at = 1, rc = 0;
    if (argv[0] != NULL && argv[1] != NULL && strcmp(argv[1], "stop") == 0) {
        options->stop = true;
        at++;
    }
    while (rc == 0 && argv[0] != NULL && argv[at] != NULL)
        rc = read_flag(options, argv, &at, error);
    if (rc != 0 || options->help || options->version)
        return rc;
    rc = check_verb(options, error);
    if (rc == 0)
        rc = read_environment(options, error);
    if (rc == 0 && options->data == NULL)
        rc = set_data(options, (struct word){system_folder, "default"}, error);
    return rc;
}

void options_fini(struct options *options)
{
    free(options->data);
    free(options->master);
    free(options->name);
    for (size_t i = 0; i < options->queue_count; i++)
        free(options->queues[i]);
    *options = (struct options){0};
}

void options_usage(struct buffer *out)
{
    buffer_append_text(out,
        "usage: reeve-worker [--data DIR] [--join DIR] [--name NAME] [--slots N] [--queue Q]...\n"
        "       reeve-worker stop --now [--data DIR]\n"
        "\n"
        "Runs the tasks that a master gives to this host. It joins once; later --data is enough.\n"
        "`stop --now` kills what runs, reports it, and ends.\n"
        "\n"
        "  --data DIR        its folder ($REEVE_WORKER_DATA; default /var/lib/reeve/worker)\n"
        "  --join DIR        the master's folder, on this host ($REEVE_JOIN)\n"
        "  --name NAME       its label ($REEVE_WORKER_NAME; default: the host's name)\n"
        "  --slots N         tasks side by side ($REEVE_WORKER_SLOTS; default: the number of "
        "CPUs)\n"
        "  --queue Q         a queue that it serves; may be repeated ($REEVE_WORKER_QUEUES,\n"
        "                    separated by commas; default: \"default\")\n"
        "  --log-level L     error, warn, info (default) or debug ($REEVE_LOG_LEVEL)\n"
        "  --print-config    show what was resolved, and from where\n"
        "  --version         show the version\n"
        "  --help            show this\n");
}

void options_print(const struct options *options, struct buffer *out)
{
    buffer_printf(out, "data = %s  (from %s)\n", options->data, options->data_source);
    buffer_printf(out, "join = %s  (from %s)\n", options->master, options->master_source);
    buffer_printf(out, "name = %s  (from %s)\n", options->name, options->name_source);
    buffer_printf(out, "slots = %u  (from %s)\n", options->slots, options->slots_source);
    for (size_t i = 0; i < options->queue_count; i++)
        buffer_printf(out, "queue = %s  (from %s)\n", options->queues[i], options->queues_source);
    buffer_printf(out, "log-level = %s  (from %s)\n", level_words[options->log_level],
        options->log_level_source != NULL ? options->log_level_source : "default");
}
