#include "master/io/options.h"

#include "common/memory.h"
#include "common/suggest.h"

#include <stdlib.h>
#include <unistd.h>

static const char system_folder[] = "/var/lib/reeve/master";
static const char *const level_words[] = {"error", "warn", "info", "debug", NULL};

/* The folder as an absolute path; symbolic links stay, since they may be what keeps a socket's path
 * short. */
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

static int set_data(
    struct options *options, const char *value, const char *source, struct error *error)
{
    if (value[0] == '\0')
        return error_set(error, ERR_USAGE, "%s is empty; it names the master's folder", source);
    free(options->data);
    options->data = absolute(value);
    options->data_source = source;
    return 0;
}

static int add_dags(
    struct options *options, const char *value, const char *source, struct error *error)
{
    if (value[0] == '\0')
        return error_set(error, ERR_USAGE, "%s is empty; it names a folder of DAG files", source);
    if (options->dag_count == DAG_FOLDERS_MAX)
        return error_set(error, ERR_USAGE, "at most %d folders of DAG files", DAG_FOLDERS_MAX);
    options->dags[options->dag_count++] = absolute(value);
    options->dags_source = source;
    return 0;
}

static int set_level(
    struct options *options, const char *value, const char *source, struct error *error)
{
    for (int i = 0; level_words[i] != NULL; i++) {
        if (strcmp(value, level_words[i]) == 0) {
            options->log_level = (enum log_level)i;
            options->log_level_source = source;
            return 0;
        }
    }
    return error_set(error, ERR_USAGE, "%s: unknown level \"%s\"; write error, warn, info or debug",
        source, value);
}

static int not_supported(
    struct options *options, const char *value, const char *source, struct error *error)
{
    (void)options;
    (void)value;
    return error_set(error, ERR_UNSUPPORTED, "%s is not supported in this version", source);
}

static const struct flag {
    const char *name;
    /* Takes the flag's value; NULL: the flag has none. */
    int (*take)(
        struct options *options, const char *value, const char *source, struct error *error);
} flags[] = {
    {"--data", set_data},
    {"--dags", add_dags},
    {"--log-level", set_level},
    {"--listen", not_supported},
    {"--config", not_supported},
    {"--print-config", NULL},
    {"--version", NULL},
    {"--help", NULL},
};

enum { FLAG_COUNT = sizeof flags / sizeof flags[0] };

static int unknown_flag(const char *word, struct error *error)
{
    const char *names[FLAG_COUNT + 1] = {NULL};
    for (int i = 0; i < FLAG_COUNT; i++)
        names[i] = flags[i].name;
    const char *near = suggest(slice_make(word, strcspn(word, "=")), names);
    if (near != NULL)
        return error_set(
            error, ERR_USAGE, "unknown argument \"%s\"; did you mean \"%s\"?", word, near);
    return error_set(error, ERR_USAGE, "unknown argument \"%s\"; see reeve-master --help", word);
}

static void set_switch(struct options *options, const char *name)
{
    if (strcmp(name, "--print-config") == 0)
        options->print_config = true;
    else if (strcmp(name, "--version") == 0)
        options->version = true;
    else
        options->help = true;
}

/* Reads one flag at *at, with its value; moves *at behind it. */
static int read_flag(struct options *options, char **argv, int *at, struct error *error)
{
    const char *word = strcmp(argv[*at], "-h") == 0 ? "--help" : argv[*at];
    size_t length = strcspn(word, "=");
    for (int i = 0; i < FLAG_COUNT; i++) {
        const struct flag *flag = &flags[i];
        if (strlen(flag->name) != length || strncmp(flag->name, word, length) != 0)
            continue;
        const char *value = word[length] == '=' ? word + length + 1 : NULL;
        (*at)++;
        if (flag->take == NULL && value != NULL)
            return error_set(error, ERR_USAGE, "%s takes no value", flag->name);
        if (flag->take == NULL) {
            set_switch(options, flag->name);
            return 0;
        }
        if (value == NULL && argv[*at] == NULL)
            return error_set(error, ERR_USAGE, "%s needs a value", flag->name);
        return flag->take(options, value != NULL ? value : argv[(*at)++], flag->name, error);
    }
    return unknown_flag(word, error);
}

static int read_dags_environment(struct options *options, const char *list, struct error *error)
{
    int rc = 0;
    while (rc == 0 && *list != '\0') {
        size_t length = strcspn(list, ":");
        char *folder = xstrndup(list, length);
        if (length > 0)
            rc = add_dags(options, folder, "$REEVE_DAGS", error);
        free(folder);
        list += length + (list[length] == ':');
    }
    return rc;
}

/* The system's folder is for root, and for a user to whom it was given. */
static int default_data(struct options *options, struct error *error)
{
    const char *home = getenv("HOME");
    if (geteuid() == 0 || access(system_folder, W_OK) == 0)
        return set_data(options, system_folder, "default", error);
    if (home == NULL || home[0] != '/')
        return error_set(error, ERR_USAGE, "no folder for the master: give --data DIR");
    char *folder = xasprintf("%s/.local/share/reeve/master", home);
    int rc = set_data(options, folder, "default", error);
    free(folder);
    return rc;
}

/* What no flag has said. */
static int read_environment(struct options *options, struct error *error)
{
    const char *data = getenv("REEVE_DATA");
    const char *dags = getenv("REEVE_DAGS");
    const char *level = getenv("REEVE_LOG_LEVEL");
    const char *trace = getenv("REEVE_TRACE");
    options->trace = trace != NULL && strcmp(trace, "1") == 0;
    int rc = 0;
    if (options->data == NULL && data != NULL && data[0] != '\0')
        rc = set_data(options, data, "$REEVE_DATA", error);
    else if (options->data == NULL)
        rc = default_data(options, error);
    if (rc == 0 && options->dag_count == 0 && dags != NULL)
        rc = read_dags_environment(options, dags, error);
    if (rc == 0 && strcmp(options->log_level_source, "default") == 0 && level != NULL)
        rc = set_level(options, level, "$REEVE_LOG_LEVEL", error);
    return rc;
}

int options_parse(struct options *options, int argc, char **argv, struct error *error)
{
    (void)argc;
    *options = (struct options){.log_level = LOG_LEVEL_INFO,
        .log_level_source = "default",
        .dags_source = "default",
        .data_source = "default"};
    int at = 1, rc = 0;
    while (rc == 0 && argv[0] != NULL && argv[at] != NULL)
        rc = read_flag(options, argv, &at, error);
    if (rc != 0 || options->help || options->version)
        return rc;
    return read_environment(options, error);
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
    buffer_append_text(out,
        "usage: reeve-master [--data DIR] [--dags DIR]...\n"
        "\n"
        "Schedules the tasks of DAGs and keeps what became of them.\n"
        "\n"
        "  --data DIR        its folder ($REEVE_DATA; default /var/lib/reeve/master for root,\n"
        "                    else ~/.local/share/reeve/master)\n"
        "  --dags DIR        a folder of DAG files that `reeve submit NAME` finds; may be "
        "repeated\n"
        "                    ($REEVE_DAGS, separated by colons)\n"
        "  --log-level L     error, warn, info (default) or debug ($REEVE_LOG_LEVEL)\n"
        "  --print-config    show what was resolved, and from where\n"
        "  --version         show the version\n"
        "  --help            show this\n");
}

void options_print(const struct options *options, struct buffer *out)
{
    buffer_printf(out, "data = %s  (from %s)\n", options->data, options->data_source);
    for (size_t i = 0; i < options->dag_count; i++)
        buffer_printf(out, "dags = %s  (from %s)\n", options->dags[i], options->dags_source);
    if (options->dag_count == 0)
        buffer_append_text(out, "dags =  (from default)\n");
    buffer_printf(out, "log-level = %s  (from %s)\n", level_words[options->log_level],
        options->log_level_source);
}
