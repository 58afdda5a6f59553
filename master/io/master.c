#include "master/io/master.h"

#include "common/boot.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/random.h"
#include "master/io/gate.h"
#include "master/io/requests.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

struct frame_header master_header(const struct master *master)
{
    return (struct frame_header){
        .epoch = master->identity.epoch, .leader = master->identity.leader};
}

void master_fail(struct master *master, const struct error *error)
{
    if (master->error.code != 0)
        return;
    master->error = *error;
    loop_stop(master->loop);
}

/* Waking is all: the round looks what is due. */
static void on_timer(void *context)
{
    (void)context;
}

static void on_signal(void *context, int signal)
{
    struct master *master = context;
    if (master->stopping)
        return;
    log_info("stopping: %s", strsignal(signal));
    master->stopping = true;
    transport_pause(master->clients, true);
    transport_pause(master->workers.transport, true);
    if (master->remote != NULL)
        transport_pause(master->remote, true);
}

/* From the store's thread. */
static void on_store(void *context)
{
    struct master *master = context;
    loop_wake(master->loop);
}

/* From a thread of the bulk port. */
static void on_bulk_failed(void *context, const struct error *error)
{
    struct master *master = context;
    (void)pthread_mutex_lock(&master->bulk_mutex);
    master->bulk_error = *error;
    (void)pthread_mutex_unlock(&master->bulk_mutex);
    loop_wake(master->loop);
}

/* Each connection is a descriptor; a fleet has many. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        log_warn("the limit of open files cannot be raised: %s", strerror(errno));
}

static int check_dag_folders(const struct options *options, struct error *error)
{
    for (size_t i = 0; i < options->dag_count; i++) {
        struct stat status;
        if (stat(options->dags[i], &status) != 0)
            return error_set_errno(error, ERR_USAGE, errno, "--dags %s", options->dags[i]);
        if (!S_ISDIR(status.st_mode))
            return error_set(error, ERR_USAGE, "--dags %s: is not a folder", options->dags[i]);
    }
    return 0;
}

/* Signals first, so that every thread that is started later has them blocked. */
static int open_loop(struct master *master, struct error *error)
{
    static const int signals[] = {SIGTERM, SIGINT};
    int rc = loop_create(&master->loop, error);
    if (rc == 0)
        rc = loop_on_signals(master->loop, signals, 2, on_signal, master, error);
    if (rc != 0)
        return rc;
    (void)signal(SIGPIPE, SIG_IGN);
    loop_on_round(master->loop, master_on_round, master);
    loop_on_timer(master->loop, on_timer, master);
    return 0;
}

/* The lock comes before anything else is touched. */
static int open_store(struct master *master, struct error *error)
{
    int rc = data_folder_init(&master->folder, master->options->data, error);
    if (rc == 0)
        rc = store_open(master->folder.path, on_store, master, &master->store, error);
    if (rc == 0)
        rc = data_folder_close(&master->folder, error);
    if (rc == 0)
        rc = blob_open(master->folder.path, &master->blobs, error);
    if (rc == 0 && master->options->accept_restore)
        store_accept_restore(master->store);
    if (rc == 0)
        rc = store_lead(master->store, random_id(), clock_wall_ms(), &master->identity, error);
    return rc;
}

/* Of all runs, ended ones too: submission goes on after it. */
static int read_last_order(struct master *master, uint64_t *ret_order, struct error *error)
{
    struct arena arena = {0};
    struct run_row row = {0};
    int rc = store_last_run(master->store, slice_of(""), &arena, &row, error);
    if (rc == ERR_NOT_FOUND)
        rc = 0;
    if (rc == 0)
        *ret_order = row.order;
    arena_fini(&arena);
    return rc;
}

static int load_core(struct master *master, struct error *error)
{
    struct core_config config = {
        .epoch = master->identity.epoch,
        .leader = master->identity.leader,
        .cluster = slice_of(master->identity.cluster),
        .bundles = slice_of(master->folder.blobs),
        .now_ms = clock_boot_ms(),
        .restoring = master->identity.restoring,
        .restored_order = master->identity.restored_order,
        .attempts_from = master->identity.restores * STORE_RESTORE_GAP,
    };
    vault_init(&master->vault, master->folder.path);
    struct store_loader loader = master_loader(master);
    struct pipeline_exits exits = master_exits;
    exits.context = master;
    int rc = boot_read(config.boot, error);
    if (rc == 0)
        rc = read_last_order(master, &config.last_order, error);
    if (rc == 0)
        rc = store_last_audit(master->store, &config.last_audit, error);
    if (rc != 0)
        return rc;
    master->core = core_create(&config);
    master->plans.blobs = master->blobs;
    master->watches.core = master->core;
    master->watches.header = master_header(master);
    pipeline_init(&master->pipeline, master->core, master->store, &exits);
    master->workers.pipeline = &master->pipeline;
    master->workers.trace = master->options->trace;
    master->workers.versions = &master->versions;
    rc = store_load(master->store, &loader, error);
    if (rc == 0)
        rc = vault_open(master, error);
    if (rc == 0)
        pipeline_step(&master->pipeline, &(struct event){.kind = EVENT_LOADED});
    return rc;
}

static struct slice watch_worker_name(void *context, uint32_t number)
{
    const struct master *master = context;
    return worker_port_name(&master->workers, number);
}

/* The bulk port is the one after the control port. */
static int start_bulk(struct master *master, struct error *error)
{
    struct bulk_config bulk = {
        .endpoint = master->folder.bulk,
        .keys = &master->server_keys,
        .admission = master->admission,
        .claims = master->claims,
        .refusals = master->refusals,
        .blobs = master->blobs,
        .masks = master->vault.masks,
        .epoch = master->identity.epoch,
        .leader = master->identity.leader,
        .trace = master->options->trace,
        .failed = on_bulk_failed,
        .context = master,
    };
    if (master->options->listens)
        bulk.remote = address_text(&master->options->listen, 1, &master->address_arena).ptr;
    return bulk_start(&bulk, &master->bulk, error);
}

static int start_retention(struct master *master, struct error *error)
{
    struct retention_config config = {
        .folder = master->folder.path,
        .blobs = master->blobs,
        .keep_logs_ms = master->options->keep_logs_ms,
        .logs_max_bytes = master->options->logs_max_bytes,
    };
    return retention_start(&config, &master->retention, error);
}

static int open_ports(struct master *master, struct error *error)
{
    master->watches.worker_name = watch_worker_name;
    master->watches.context = master;
    int rc = compiler_create(master->blobs, (const char *const *)master->options->dags,
        master->options->dag_count, master->loop, &master->compiler, error);
    if (rc == 0)
        rc = gate_open(master, error);
    if (rc == 0)
        rc = start_bulk(master, error);
    if (rc == 0)
        rc = start_retention(master, error);
    if (rc == 0)
        rc = worker_port_open(&master->workers, master->loop, master->folder.worker, error);
    if (rc == 0)
        rc = transport_bind(master->loop, master->folder.control, requests_on_frame, master,
            &master->clients, error);
    return rc;
}

/* What is on its way to the store goes there; all else may be lost. */
static void close_all(struct master *master)
{
    transport_destroy(master->clients);
    master->clients = NULL;
    compiler_destroy(master->compiler);
    retention_stop(master->retention);
    bulk_stop(master->bulk);
    gate_close(master);
    asks_fini(master);
    worker_port_fini(&master->workers);
    watches_fini(&master->watches);
    pipeline_fini(&master->pipeline);
    store_close(master->store);
    core_destroy(master->core);
    plans_fini(&master->plans);
    blob_close(master->blobs);
    table_fini(&master->running);
    vault_fini(&master->vault);
    data_folder_fini(&master->folder);
    loop_destroy(master->loop);
    transport_stop();
}

static int serve(struct master *master, struct error *error)
{
    int rc = open_store(master, error);
    if (rc == 0)
        rc = load_core(master, error);
    if (rc == 0)
        rc = open_ports(master, error);
    if (rc != 0)
        return rc;
    log_info("version " REEVE_VERSION " leads with epoch %llu in %s; sockets: control.sock, "
             "worker.sock, bulk.sock",
        (unsigned long long)master->identity.epoch, master->folder.path);
    if (master->identity.restoring)
        log_warn("an older store was restored: nothing is started before every lease of what the "
                 "fleet may still run is over; reeve explain RUN says how long that takes");
    gate_log(master);
    master->started_at = clock_wall_ms();
    loop_run(master->loop);
    if (master->error.code == 0)
        log_info("stopped");
    *error = master->error;
    return error->code;
}

int master_run(const struct options *options, struct error *error)
{
    struct master *master = xcalloc(1, sizeof *master);
    master->options = options;
    (void)pthread_mutex_init(&master->bulk_mutex, NULL);
    raise_descriptor_limit();
    int rc = check_dag_folders(options, error);
    if (rc == 0)
        rc = open_loop(master, error);
    transport_start();
    if (rc == 0)
        rc = serve(master, error);
    close_all(master);
    (void)pthread_mutex_destroy(&master->bulk_mutex);
    free(master);
    return rc;
}
