#include "master/io/options.h"

#include "common/duration.h"
#include "common/flags.h"
#include "common/memory.h"
#include "common/size.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define KEEP_LOGS_MS   (UINT64_C(30) * 24 * 3600 * 1000)
#define LOGS_MAX_BYTES (UINT64_C(50) << 30)

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

static int set_listen(void *of, struct flag_word word, struct error *error)
{
    struct options *options = of;
    if (options->listens && options->listen_source == word.source)
        return error_set(error, ERR_USAGE,
            "%s is given twice; one address is enough, and tcp://*:%d is all of the host's",
            word.source, PORT_DEFAULT);
    options->listens = true;
    options->listen_source = word.source;
    int rc = address_parse(word.value, &options->listen, error);
    if (rc != 0)
        (void)error_prefix(error, "%s", word.source);
    return rc;
}

static int add_advertise(void *of, struct flag_word word, struct error *error)
{
    struct options *options = of;
    struct endpoint address;
    if (options->advertise_count == ADDRESSES_MAX)
        return error_set(error, ERR_USAGE, "%s: at most %d addresses", word.source, ADDRESSES_MAX);
    int rc = address_parse(word.value, &address, error);
    if (rc == 0 && address_is_wildcard(&address))
        rc = error_set(error, ERR_USAGE,
            "\"%s\" is no address that others can connect to: name the host", word.value);
    if (rc != 0) {
        (void)error_prefix(error, "%s", word.source);
        return rc;
    }
    options->advertise[options->advertise_count++] = address;
    options->advertise_source = word.source;
    return 0;
}

static int set_connections(void *of, struct flag_word word, struct error *error)
{
    struct options *options = of;
    options->connections_source = word.source;
    return flag_take_folder(word, "a file of connections", &options->connections, error);
}

static int set_keep_logs(void *of, struct flag_word word, struct error *error)
{
    struct options *options = of;
    options->keep_logs_source = word.source;
    options->keep_logs_ms = 0;
    if (strcmp(word.value, "forever") == 0)
        return 0;
    int rc = duration_parse(slice_of(word.value), &options->keep_logs_ms, error);
    if (rc == 0 && options->keep_logs_ms == 0)
        rc = error_set(error, ERR_USAGE, "no log is kept for so short; write forever, or 30d");
    return rc != 0 ? flag_wrong(word, error) : 0;
}

static int set_logs_max(void *of, struct flag_word word, struct error *error)
{
    struct options *options = of;
    options->logs_max_source = word.source;
    options->logs_max_bytes = 0;
    if (strcmp(word.value, "none") == 0)
        return 0;
    int rc = size_parse(slice_of(word.value), &options->logs_max_bytes, error);
    if (rc == 0 && options->logs_max_bytes == 0)
        rc = error_set(error, ERR_USAGE, "no log is that small; write none, or 50GiB");
    return rc != 0 ? flag_wrong(word, error) : 0;
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
        .separator = ':'},
    {.name = "--keep-logs",
        .variable = "$REEVE_KEEP_LOGS",
        .value = "TIME",
        .help = "remove logs of runs that ended so long ago; forever: never\n"
                "($REEVE_KEEP_LOGS; default 30d)",
        .take = set_keep_logs},
    {.name = "--logs-max",
        .variable = "$REEVE_LOGS_MAX",
        .value = "SIZE",
        .help = "remove logs of ended runs, the oldest first, while all take more; none: never\n"
                "($REEVE_LOGS_MAX; default 50GiB)",
        .take = set_logs_max},
    {.name = "--connections",
        .variable = "$REEVE_CONNECTIONS_FILE",
        .value = "FILE",
        .help = "connections beside those of its environment and its store, as\n"
                "`airflow connections export` writes them; 0600 ($REEVE_CONNECTIONS_FILE)",
        .take = set_connections},
    {.name = "--listen",
        .variable = "$REEVE_LISTEN",
        .value = "ADDR",
        .help = "tcp://HOST:PORT; workers and clients of other hosts come here, encrypted\n"
                "and known by their keys; the next port is for logs and files; * is all of\n"
                "the host's addresses, the port is 7411 unless said ($REEVE_LISTEN;\n"
                "default: none)",
        .take = set_listen},
    {.name = "--advertise",
        .variable = "$REEVE_ADVERTISE",
        .value = "ADDR",
        .help = "tcp://HOST:PORT where others find it, as tokens say; may be repeated\n"
                "($REEVE_ADVERTISE, separated by commas; default: by --listen)",
        .take = add_advertise,
        .separator = ','},
    {.name = "--accept-restore",
        .help = "once, after an older store was brought back: lead above what the fleet has\n"
                "seen, give no number twice, and start nothing before all leases are over",
        .sets = offsetof(struct options, accept_restore)},
    {.name = NULL},
};

static const struct flags flags = {
    .program = "reeve-master",
    .shown_max = INT_MAX,
    .rows = rows,
    .common = offsetof(struct options, common),
};

static int check_addresses(const struct options *options, struct error *error)
{
    if (options->listens || options->advertise_count == 0)
        return 0;
    return error_set(error, ERR_USAGE,
        "%s says where the address of --listen is found by others: give --listen too",
        options->advertise_source);
}

int options_parse(struct options *options, int argc, char **argv, struct error *error)
{
    (void)argc;
    *options = (struct options){.common = FLAGS_COMMON_DEFAULT,
        .dags_source = "default",
        .listen_source = "default",
        .keep_logs_ms = KEEP_LOGS_MS,
        .keep_logs_source = "default",
        .logs_max_bytes = LOGS_MAX_BYTES,
        .logs_max_source = "default",
        .advertise_source = "default",
        .connections_source = "default",
        .data_source = "default"};
    uint32_t given = 0;
    int rc = flags_parse(&flags, argv + (argv[0] != NULL), options, &given, error);
    if (rc != 0 || options->common.help || options->common.version)
        return rc;
    const char *trace = getenv("REEVE_TRACE");
    options->trace = trace != NULL && strcmp(trace, "1") == 0;
    rc = flags_complete(&flags, given, options, error);
    return rc == 0 ? check_addresses(options, error) : rc;
}

void options_fini(struct options *options)
{
    free(options->data);
    free(options->connections);
    for (size_t i = 0; i < options->dag_count; i++)
        free(options->dags[i]);
    *options = (struct options){0};
}

void options_usage(struct buffer *out)
{
    buffer_append_text(out,
        "usage: reeve-master [--data DIR] [--dags DIR]... [--listen tcp://HOST:PORT]\n"
        "\n"
        "Schedules the tasks of DAGs and keeps what became of them.\n"
        "\n");
    flags_help(&flags, out);
}

static void print_address(
    struct buffer *out, const char *name, const struct endpoint *address, const char *source)
{
    char text[ENDPOINT_TEXT_MAX];
    endpoint_text(address, text);
    flag_print(out, name, (struct flag_word){text, source});
}

static void print_addresses(const struct options *options, struct buffer *out)
{
    if (options->listens)
        print_address(out, "listen", &options->listen, options->listen_source);
    else
        buffer_append_text(out, "listen =  (from default)\n");
    for (size_t i = 0; i < options->advertise_count; i++)
        print_address(out, "advertise", &options->advertise[i], options->advertise_source);
    if (options->advertise_count == 0)
        buffer_append_text(out, "advertise =  (from default)\n");
}

static void print_retention(const struct options *options, struct buffer *out)
{
    char text[DURATION_TEXT_MAX] = "forever";
    if (options->keep_logs_ms != 0)
        duration_format(options->keep_logs_ms, text);
    flag_print(out, "keep-logs", (struct flag_word){text, options->keep_logs_source});
    (void)snprintf(text, sizeof text, "none");
    if (options->logs_max_bytes != 0)
        (void)snprintf(text, sizeof text, "%lluB", (unsigned long long)options->logs_max_bytes);
    flag_print(out, "logs-max", (struct flag_word){text, options->logs_max_source});
}

void options_print(const struct options *options, struct buffer *out)
{
    flag_print(out, "data", (struct flag_word){options->data, options->data_source});
    for (size_t i = 0; i < options->dag_count; i++)
        flag_print(out, "dags", (struct flag_word){options->dags[i], options->dags_source});
    if (options->dag_count == 0)
        buffer_append_text(out, "dags =  (from default)\n");
    flag_print(out, "connections",
        (struct flag_word){
            options->connections != NULL ? options->connections : "", options->connections_source});
    print_addresses(options, out);
    print_retention(options, out);
    flags_print_common(out, &options->common);
}
