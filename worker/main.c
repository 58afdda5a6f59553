/*
 * reeve-worker: the agent of a host.
 */
#include "common/environment.h"
#include "common/hash.h"
#include "common/json_memory.h"
#include "common/log.h"
#include "worker/io/folder.h"
#include "worker/io/host.h"
#include "worker/io/join.h"
#include "worker/io/options.h"
#include "worker/io/stop.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static int print(void (*write_text)(struct buffer *out))
{
    struct buffer out = {0};
    write_text(&out);
    (void)fputs(buffer_text(&out), stdout);
    buffer_fini(&out);
    return fflush(stdout) == 0 ? 0 : 1;
}

static int print_config(const struct options *options)
{
    struct buffer out = {0};
    options_print(options, &out);
    (void)fputs(buffer_text(&out), stdout);
    buffer_fini(&out);
    return fflush(stdout) == 0 ? 0 : 1;
}

/* A worker joins what is a master's folder; later the master may be away. */
static int check_master(
    const struct options *options, const struct folder *folder, struct error *error)
{
    char store[4096];
    if (options->master == NULL || access(folder->join, F_OK) == 0)
        return 0;
    (void)snprintf(store, sizeof store, "%s/store.db", options->master);
    if (access(store, F_OK) == 0)
        return 0;
    if (errno == EACCES)
        return error_set(error, ERR_DENIED,
            "%s: this user may not enter it: run the worker as the master's user, or join by a "
            "token (reeve token create --role worker)",
            options->master);
    return error_set_errno(error, ERR_NOT_FOUND, errno,
        "%s: no master's folder (start it first: reeve-master --data %s)", options->master,
        options->master);
}

/* The start of a worker; argv is for another one, after it has joined. */
static int serve(struct options *options, struct folder *folder, char **argv, int *ret_status,
    struct error *error)
{
    bool joined = false;
    int rc = options_complete(options, folder->join, error);
    if (rc == 0 && options->common.print_config) {
        *ret_status = print_config(options);
        return 0;
    }
    if (rc == 0)
        rc = check_master(options, folder, error);
    if (rc == 0)
        rc = folder_open(folder, error);
    if (rc == 0)
        rc = join_if_wanted(options, folder, &joined, error);
    if (rc == 0 && joined)
        return join_restart(argv, error);
    if (rc == 0)
        rc = host_run(options, folder, ret_status, error);
    return rc;
}

int main(int argc, char **argv)
{
    struct options options;
    struct folder folder = {.lock_fd = -1};
    struct error error = {0};
    int status = 0;
    (void)argc;
    environment_take("REEVE_CONN_", NULL, NULL);
    environment_take("AIRFLOW_CONN_", NULL, NULL);
    int rc = options_parse(&options, argv, &error);
    log_start("reeve-worker", options.common.log_level);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    hash_start();
    json_memory_start();
    if (rc == 0 && options.common.help) {
        status = print(options_usage);
    } else if (rc == 0 && options.common.version) {
        status = puts("reeve-worker " REEVE_VERSION) >= 0 ? 0 : 1;
    } else if (rc == 0) {
        rc = folder_init(&folder, options.data, &error);
        if (rc == 0 && options.stop)
            rc = stop_worker(&options, &folder, &status, &error);
        else if (rc == 0)
            rc = serve(&options, &folder, argv, &status, &error);
    }
    if (rc != 0) {
        log_error("%s", error.text);
        status = error_exit_status(rc);
    }
    folder_fini(&folder);
    options_fini(&options);
    return status;
}
