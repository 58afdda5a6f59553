#include "master/io/options.h"

#include "common/flags.h"
#include "common/memory.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

static const char system_folder[] = "/var/lib/reeve/master";

static int set_data(void *of, struct flag_word word, struct error *error)
{
    struct options *options = of;
    options->data_source = word.source;
    return flag_take_folder(word, "the master's folder", &options->data, error);
}

static int add_dags(void *of, struct flag_word word, struct error *error)
{
    struct options *options = of;
    char *folder = NULL;
    int rc = flag_take_folder(word, "a folder of DAG files", &folder, error);
    if (rc != 0)
        return rc;
    if (options->dag_count == DAG_FOLDERS_MAX) {
        free(folder);
        return error_set(error, ERR_USAGE, "at most %d folders of DAG files", DAG_FOLDERS_MAX);
    }
    options->dags[options->dag_count++] = folder;
    options->dags_source = word.source;
    return 0;
}

static int add_dags_list(void *of, struct flag_word word, struct error *error)
{
    int rc = 0;
    const char *list = word.value;
    while (rc == 0 && *list != '\0') {
        size_t length = strcspn(list, ":");
        char *folder = xstrndup(list, length);
        if (length > 0)
            rc = add_dags(of, (struct flag_word){folder, word.source}, error);
        free(folder);
        list += length + (list[length] == ':');
    }
    return rc;
}

static int set_level(void *of, struct flag_word word, struct error *error)
{
    struct options *options = of;
    options->log_level_source = word.source;
    return flag_take_level(word, INT_MAX, &options->log_level, error);
}

/* The system's folder is for root, and for a user to whom it was given. */
static int default_data(void *options, struct error *error)
{
    const char *home = getenv("HOME");
    if (geteuid() == 0 || access(system_folder, W_OK) == 0)
        return set_data(options, (struct flag_word){system_folder, "default"}, error);
    if (home == NULL || home[0] != '/')
        return error_set(error, ERR_USAGE, "no folder for the master: give --data DIR");
    char *folder = xasprintf("%s/.local/share/reeve/master", home);
    int rc = set_data(options, (struct flag_word){folder, "default"}, error);
    free(folder);
    return rc;
}

static const struct flag rows[] = {
    {.name = "--data",
        .variable = "$REEVE_DATA",
        .value = "DIR",
        .help = "its folder ($REEVE_DATA; default /var/lib/reeve/master for root,\n"
                "else ~/.local/share/reeve/master)",
        .take = set_data,
        .take_default = default_data},
    {.name = "--dags",
        .variable = "$REEVE_DAGS",
        .value = "DIR",
        .help = "a folder of DAG files that `reeve submit NAME` finds; may be repeated\n"
                "($REEVE_DAGS, separated by colons)",
        .take = add_dags,
        .take_variable = add_dags_list},
    {.name = "--log-level",
        .variable = "$REEVE_LOG_LEVEL",
        .value = "L",
        .help = "error, warn, info (default) or debug ($REEVE_LOG_LEVEL)",
        .take = set_level,
        .empty_counts = true},
    {.name = "--listen", .take = flag_refuse},
    {.name = "--config", .take = flag_refuse},
    {.name = "--print-config",
        .help = "show what was resolved, and from where",
        .sets = offsetof(struct options, print_config)},
    {.name = "--version", .help = "show the version", .sets = offsetof(struct options, version)},
    {.name = "--help", .help = "show this", .sets = offsetof(struct options, help)},
    {.name = NULL},
};

static const struct flags flags = {
    .program = "reeve-master",
    .shown_max = INT_MAX,
    .rows = rows,
};

int options_parse(struct options *options, int argc, char **argv, struct error *error)
{
    (void)argc;
    *options = (struct options){.log_level = LOG_LEVEL_INFO,
        .log_level_source = "default",
        .dags_source = "default",
        .data_source = "default"};
    uint32_t given = 0;
    int rc = flags_parse(&flags, argv + (argv[0] != NULL), options, &given, error);
    if (rc != 0 || options->help || options->version)
        return rc;
    const char *trace = getenv("REEVE_TRACE");
    options->trace = trace != NULL && strcmp(trace, "1") == 0;
    return flags_complete(&flags, given, options, error);
}

void options_fini(struct options *options)
{
    free(options->data);
    for (size_t i = 0; i < options->dag_count; i++)
        free(options->dags[i]);
    *options = (struct options){0};
}

void options_usage(struct buffer *out)
{
    buffer_append_text(out, "usage: reeve-master [--data DIR] [--dags DIR]...\n"
                            "\n"
                            "Schedules the tasks of DAGs and keeps what became of them.\n"
                            "\n");
    flags_help(&flags, out);
}

void options_print(const struct options *options, struct buffer *out)
{
    flag_print(out, "data", (struct flag_word){options->data, options->data_source});
    for (size_t i = 0; i < options->dag_count; i++)
        flag_print(out, "dags", (struct flag_word){options->dags[i], options->dags_source});
    if (options->dag_count == 0)
        buffer_append_text(out, "dags =  (from default)\n");
    flag_print(out, "log-level",
        (struct flag_word){flag_level_word(options->log_level), options->log_level_source});
}
