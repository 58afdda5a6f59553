#include "worker/io/options.h"

#include "common/flags.h"
#include "common/limits.h"
#include "common/memory.h"

#include <stdlib.h>
#include <unistd.h>

static const char system_folder[] = "/var/lib/reeve/worker";

static int set_data(void *of, struct flag_word word, struct error *error)
{
    struct options *options = of;
    options->data_source = word.source;
    return flag_take_folder(word, "the worker's folder", &options->data, error);
}

static int default_data(void *options, struct error *error)
{
    return set_data(options, (struct flag_word){system_folder, "default"}, error);
}

/* A word that is neither a path nor a file here; the empty one is nothing at all. */
static bool is_token(const char *word)
{
    return word[0] == '@' ||
           (word[0] != '\0' && strchr(word, '/') == NULL && access(word, F_OK) != 0);
}

static int set_master(void *of, struct flag_word word, struct error *error)
{
    struct options *options = of;
    if (is_token(word.value))
        return error_set(error, ERR_UNSUPPORTED,
            "%s: joining by token is not supported in this version; name the master's folder on "
            "this host",
            word.source);
    options->master_source = word.source;
    return flag_take_folder(word, "the master's folder", &options->master, error);
}

/* Names of workers and queues. */
static int check_name(struct flag_word word, const char *what, struct error *error)
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

static int set_name(void *of, struct flag_word word, struct error *error)
{
    struct options *options = of;
    int rc = check_name(word, "worker", error);
    if (rc != 0)
        return rc;
    free(options->name);
    options->name = xstrdup(word.value);
    options->name_source = word.source;
    return 0;
}

static int set_slots(void *of, struct flag_word word, struct error *error)
{
    struct options *options = of;
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

static int add_queue(void *of, struct flag_word word, struct error *error)
{
    struct options *options = of;
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

static int add_queues(void *of, struct flag_word word, struct error *error)
{
    int rc = 0;
    const char *at = word.value;
    while (rc == 0 && *at != '\0') {
        size_t length = strcspn(at, ",");
        char *name = xstrndup(at, length);
        rc = add_queue(of, (struct flag_word){name, word.source}, error);
        free(name);
        at += length + (at[length] == ',');
    }
    return rc;
}

static int set_level(void *of, struct flag_word word, struct error *error)
{
    struct options *options = of;
    options->log_level_source = word.source;
    return flag_take_level(word, 40, &options->log_level, error);
}

static const struct flag rows[] = {
    {.name = "--data",
        .variable = "$REEVE_WORKER_DATA",
        .value = "DIR",
        .help = "its folder ($REEVE_WORKER_DATA; default /var/lib/reeve/worker)",
        .take = set_data,
        .take_default = default_data},
    {.name = "--join",
        .variable = "$REEVE_JOIN",
        .value = "DIR",
        .help = "the master's folder, on this host ($REEVE_JOIN)",
        .take = set_master},
    {.name = "--name",
        .variable = "$REEVE_WORKER_NAME",
        .value = "NAME",
        .help = "its label ($REEVE_WORKER_NAME; default: the host's name)",
        .take = set_name},
    {.name = "--slots",
        .variable = "$REEVE_WORKER_SLOTS",
        .value = "N",
        .help = "tasks side by side ($REEVE_WORKER_SLOTS; default: the number of CPUs)",
        .take = set_slots},
    {.name = "--queue",
        .variable = "$REEVE_WORKER_QUEUES",
        .value = "Q",
        .help = "a queue that it serves; may be repeated ($REEVE_WORKER_QUEUES,\n"
                "separated by commas; default: \"default\")",
        .take = add_queue,
        .take_variable = add_queues},
    {.name = "--log-level",
        .variable = "$REEVE_LOG_LEVEL",
        .value = "L",
        .help = "error, warn, info (default) or debug ($REEVE_LOG_LEVEL)",
        .take = set_level},
    {.name = "--within", .take = flag_refuse},
    {.name = "--run-as", .take = flag_refuse},
    {.name = "--config", .take = flag_refuse},
    {.name = "--now", .sets = offsetof(struct options, now)},
    {.name = "--print-config",
        .help = "show what was resolved, and from where",
        .sets = offsetof(struct options, print_config)},
    {.name = "--version", .help = "show the version", .sets = offsetof(struct options, version)},
    {.name = "--help", .help = "show this", .sets = offsetof(struct options, help)},
    {.name = NULL},
};

static const struct flags flags = {
    .program = "reeve-worker",
    .verb = "stop",
    .shown_max = 200,
    .rows = rows,
};

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
    *options = (struct options){.log_level = LOG_LEVEL_INFO, .log_level_source = "default"};
    char **words = argv + (argv[0] != NULL);
    if (words[0] != NULL && strcmp(words[0], "stop") == 0) {
        options->stop = true;
        words++;
    }
    uint32_t given = 0;
    int rc = flags_parse(&flags, words, options, &given, error);
    if (rc != 0 || options->help || options->version)
        return rc;
    rc = check_verb(options, error);
    return rc != 0 ? rc : flags_complete(&flags, given, options, error);
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
        "\n");
    flags_help(&flags, out);
}

void options_print(const struct options *options, struct buffer *out)
{
    flag_print(out, "data", (struct flag_word){options->data, options->data_source});
    flag_print(out, "join", (struct flag_word){options->master, options->master_source});
    flag_print(out, "name", (struct flag_word){options->name, options->name_source});
    buffer_printf(out, "slots = %u  (from %s)\n", options->slots, options->slots_source);
    for (size_t i = 0; i < options->queue_count; i++)
        flag_print(out, "queue", (struct flag_word){options->queues[i], options->queues_source});
    flag_print(out, "log-level",
        (struct flag_word){flag_level_word(options->log_level), options->log_level_source});
}
