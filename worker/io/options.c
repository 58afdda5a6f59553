#include "worker/io/options.h"

#include "common/duration.h"
#include "common/flags.h"
#include "common/limits.h"
#include "common/memory.h"
#include "common/size.h"
#include "proto/roles.h"
#include "worker/io/operators.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char system_folder[] = "/var/lib/reeve/worker";

/* Less would not hold one log, or one bundle. */
enum { SIZE_MIN_BYTES = 16 * 1024 * 1024 };

static const char join_variable[] = "REEVE_JOIN";

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

void options_drop_token(struct options *options)
{
    if (options->token == NULL)
        return;
    token_wipe(options->token);
    free(options->token);
    options->token = NULL;
}

/* The word lies where the kernel shows it to everybody who may look at this process. */
static void wipe_word(const char *word)
{
    explicit_bzero((char *)(uintptr_t)word, strlen(word));
}

static int set_token(struct options *options, struct flag_word word, struct error *error)
{
    struct token token;
    int rc = token_read(word.value, &token, error);
    if (word.value[0] != '@')
        wipe_word(word.value);
    if (rc != 0)
        return error_prefix(error, "%s", word.source);
    if (token.role != ROLE_WORKER) {
        rc = error_set(error, ERR_USAGE,
            "%s: this token is for the role %s: on a person's host, reeve join TOKEN; a worker "
            "needs one of reeve token create --role worker",
            word.source, role_name(token.role));
        token_wipe(&token);
        return rc;
    }
    options_drop_token(options);
    options->token = xmalloc(sizeof token);
    *options->token = token;
    token_wipe(&token);
    return 0;
}

static int set_join(void *of, struct flag_word word, struct error *error)
{
    struct options *options = of;
    if (is_token(word.value))
        return set_token(options, word, error);
    struct stat place;
    if (stat(word.value, &place) == 0 && !S_ISDIR(place.st_mode))
        return error_set(error, ERR_USAGE,
            "%s: %s is a file: write @%s for the token in it, or name the master's folder",
            word.source, word.value, word.value);
    options->master_source = word.source;
    return flag_take_folder(word, "the master's folder", &options->master, error);
}

/* Neither this process nor what it starts goes on carrying it, whichever way it was said. */
static void forget_variable(void)
{
    const char *value = getenv(join_variable);
    if (value == NULL)
        return;
    (void)unsetenv(join_variable);
    /* Its name too, which stands before it. */
    wipe_word(value);
    wipe_word(value - sizeof join_variable);
}

/* Names of workers and queues. */
static int check_name(struct flag_word word, const char *what, struct error *error)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t length = strlen(word.value);
    if (length == 0 || length > NAME_MAX_BYTES || word.value[0] == '.' || word.value[0] == '-' ||
        strspn(word.value, letters) != length)
        return error_set(error, ERR_USAGE,
            "%s: \"%.200s\" is no name of a %s: letters, digits, '_', then '.' and '-' "
            "too, at most %d",
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

void options_set_name(struct options *options, struct slice name)
{
    free(options->name);
    options->name = xstrndup(name.ptr, name.length);
    options->name_source = "its join";
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

static int check_user(struct flag_word word, struct error *error)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_-$.";
    size_t length = strlen(word.value);
    if (length == 0 || length > TASK_USER_NAME_MAX || strspn(word.value, letters) != length ||
        word.value[0] == '-')
        return error_set(
            error, ERR_USAGE, "%s: \"%.200s\" is no user's name", word.source, word.value);
    return 0;
}

static int add_user(void *of, struct flag_word word, struct error *error)
{
    struct options *options = of;
    int rc = check_user(word, error);
    for (size_t i = 0; rc == 0 && i < options->user_count; i++) {
        if (strcmp(options->users[i], word.value) == 0)
            return 0;
    }
    if (rc == 0 && options->user_count == TASK_USERS_MAX)
        rc = error_set(error, ERR_USAGE, "at most %d users", TASK_USERS_MAX);
    if (rc != 0)
        return rc;
    options->users[options->user_count++] = xstrdup(word.value);
    options->users_source = word.source;
    return 0;
}

static int add_label(void *of, struct flag_word word, struct error *error)
{
    struct options *options = of;
    int rc = label_check(slice_of(word.value), error);
    if (rc != 0)
        return error_set(error, ERR_USAGE, "%s: \"%.200s\" is no label: NAME or NAME=VALUE",
            word.source, word.value);
    for (size_t i = 0; i < options->label_count; i++) {
        if (strcmp(options->labels[i], word.value) == 0)
            return 0;
    }
    if (options->label_count == LABELS_MAX)
        return error_set(error, ERR_USAGE, "at most %d labels", LABELS_MAX);
    options->labels[options->label_count++] = xstrdup(word.value);
    options->labels_source = word.source;
    return 0;
}

static int add_users(void *of, struct flag_word word, struct error *error)
{
    return flag_take_each(of, word, ',', add_user, error);
}

static int take_size(
    struct flag_word word, uint64_t *ret_bytes, const char **ret_source, struct error *error)
{
    int rc = size_parse(slice_of(word.value), ret_bytes, error);
    if (rc == 0 && *ret_bytes < SIZE_MIN_BYTES)
        rc = error_set(error, ERR_USAGE, "at least %d MiB", SIZE_MIN_BYTES / (1024 * 1024));
    if (rc != 0)
        return flag_wrong(word, error);
    *ret_source = word.source;
    return 0;
}

static int set_cache_max(void *of, struct flag_word word, struct error *error)
{
    struct options *options = of;
    return take_size(word, &options->cache_max, &options->cache_max_source, error);
}

static int default_cache_max(void *options, struct error *error)
{
    return set_cache_max(options, (struct flag_word){"10GiB", "default"}, error);
}

static int set_spool_max(void *of, struct flag_word word, struct error *error)
{
    struct options *options = of;
    return take_size(word, &options->spool_max, &options->spool_max_source, error);
}

static int default_spool_max(void *options, struct error *error)
{
    return set_spool_max(options, (struct flag_word){"10GiB", "default"}, error);
}

static int set_operator_path(void *of, struct flag_word word, struct error *error)
{
    struct options *options = of;
    (void)error;
    free(options->operator_path);
    options->operator_path = xstrdup(word.value);
    options->operator_path_source = word.source;
    return 0;
}

static int default_operator_path(void *of, struct error *error)
{
    struct options *options = of;
    (void)error;
    options->operator_path = operators_default_path();
    options->operator_path_source = "default";
    return 0;
}

static int set_within(void *of, struct flag_word word, struct error *error)
{
    struct options *options = of;
    options->has_within = true;
    int rc = duration_parse(slice_of(word.value), &options->within_ms, error);
    return rc == 0 ? 0 : flag_wrong(word, error);
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
        .value = "TOKEN",
        .help = "a token, @FILE with one, or the master's folder on this host\n"
                "($REEVE_JOIN); once",
        .take = set_join},
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
        .separator = ','},
    {.name = "--label",
        .variable = "$REEVE_WORKER_LABELS",
        .value = "L",
        .help = "what its host has, NAME or NAME=VALUE; may be repeated\n"
                "($REEVE_WORKER_LABELS, separated by commas)",
        .take = add_label,
        .separator = ','},
    {.name = "--cache-max",
        .variable = "$REEVE_WORKER_CACHE_MAX",
        .value = "SIZE",
        .help = "of files from the master that it keeps ($REEVE_WORKER_CACHE_MAX;\n"
                "default 10GiB)",
        .take = set_cache_max,
        .take_default = default_cache_max},
    {.name = "--spool-max",
        .variable = "$REEVE_WORKER_SPOOL_MAX",
        .value = "SIZE",
        .help = "of logs that no master has taken: above it no more tasks are taken\n"
                "($REEVE_WORKER_SPOOL_MAX; default 10GiB, half of the disk at most)",
        .take = set_spool_max,
        .take_default = default_spool_max},
    {.name = "--run-as",
        .variable = "$REEVE_WORKER_RUN_AS",
        .value = "U[,V...]",
        .help = "users as whom tasks may run, the first by default; needs root\n"
                "($REEVE_WORKER_RUN_AS; default: as the worker itself)",
        .take = add_users},
    {.name = "--operator-path",
        .variable = "$REEVE_OPERATOR_PATH",
        .value = "DIR[:DIR...]",
        .help = "where operator programs lie, reeve-op-NAME ($REEVE_OPERATOR_PATH; default:\n"
                "beside this program, ../lib/reeve/operators from there, then that of\n"
                "/usr/local and of /usr)",
        .take = set_operator_path,
        .take_default = default_operator_path},
    {.name = "--within",
        .value = "DURATION",
        .help = "stop: then kill what still runs",
        .take = set_within},
    {.name = "--now", .help = "stop: kill at once", .sets = offsetof(struct options, now)},
    {.name = NULL},
};

static const struct flags flags = {
    .program = "reeve-worker",
    .verb = "stop",
    .shown_max = 200,
    .rows = rows,
    .common = offsetof(struct options, common),
};

static int check_verb(const struct options *options, struct error *error)
{
    const char *only = options->now ? "--now" : options->has_within ? "--within" : NULL;
    if (!options->stop && only != NULL)
        return error_set(error, ERR_USAGE, "%s belongs to `reeve-worker stop`", only);
    if (options->now && options->has_within)
        return error_set(error, ERR_USAGE, "either --now or --within");
    return 0;
}

static int parse(struct options *options, char **words, struct error *error)
{
    uint32_t given = 0;
    int rc = flags_parse(&flags, words, options, &given, error);
    if (rc != 0 || options->common.help || options->common.version)
        return rc;
    rc = check_verb(options, error);
    return rc != 0 ? rc : flags_complete(&flags, given, options, error);
}

int options_parse(struct options *options, char **argv, struct error *error)
{
    *options = (struct options){.common = FLAGS_COMMON_DEFAULT};
    char **words = argv + (argv[0] != NULL);
    if (words[0] != NULL && strcmp(words[0], "stop") == 0) {
        options->stop = true;
        words++;
    }
    int rc = parse(options, words, error);
    forget_variable();
    return rc;
}

void options_fini(struct options *options)
{
    free(options->data);
    free(options->master);
    free(options->name);
    for (size_t i = 0; i < options->queue_count; i++)
        free(options->queues[i]);
    for (size_t i = 0; i < options->label_count; i++)
        free(options->labels[i]);
    for (size_t i = 0; i < options->user_count; i++)
        free(options->users[i]);
    free(options->operator_path);
    options_drop_token(options);
    *options = (struct options){0};
}

void options_usage(struct buffer *out)
{
    buffer_append_text(out,
        "usage: reeve-worker [--data DIR] [--join TOKEN|@FILE|DIR] [--name NAME] [--slots N]\n"
        "                    [--queue Q]... [--label L]...\n"
        "       reeve-worker stop [--within DURATION | --now] [--data DIR]\n"
        "\n"
        "Runs the tasks that a master gives to this host. It joins once; later --data is enough.\n"
        "`stop` takes no more tasks, waits for those that run, and ends it with its runner.\n"
        "A signal ends the agent alone: its tasks go on until their lease.\n"
        "\n");
    flags_help(&flags, out);
}

static void print_join(const struct options *options, struct buffer *out)
{
    const struct joined *joined = &options->joined;
    if (options->master != NULL) {
        flag_print(out, "join", (struct flag_word){options->master, options->master_source});
    } else if (joined->address_count > 0) {
        buffer_printf(out, "join = cluster %s at %s  (from its join)\n", joined->cluster,
            joined->addresses[0]);
    } else if (options->token == NULL) {
        buffer_append_text(out, "join =   (it has not joined a master yet)\n");
    } else {
        buffer_printf(
            out, "join = a token of cluster %s  (from --join)\n", options->token->cluster);
    }
}

void options_print(const struct options *options, struct buffer *out)
{
    flag_print(out, "data", (struct flag_word){options->data, options->data_source});
    print_join(options, out);
    flag_print(out, "name", (struct flag_word){options->name, options->name_source});
    buffer_printf(out, "slots = %u  (from %s)\n", options->slots, options->slots_source);
    for (size_t i = 0; i < options->queue_count; i++)
        flag_print(out, "queue", (struct flag_word){options->queues[i], options->queues_source});
    for (size_t i = 0; i < options->label_count; i++)
        flag_print(out, "label", (struct flag_word){options->labels[i], options->labels_source});
    buffer_printf(out, "cache-max = %" PRIu64 "B  (from %s)\nspool-max = %" PRIu64 "B  (from %s)\n",
        options->cache_max, options->cache_max_source, options->spool_max,
        options->spool_max_source);
    for (size_t i = 0; i < options->user_count; i++)
        flag_print(out, "run-as", (struct flag_word){options->users[i], options->users_source});
    flag_print(out, "operator-path",
        (struct flag_word){options->operator_path, options->operator_path_source});
    flags_print_common(out, &options->common);
}
