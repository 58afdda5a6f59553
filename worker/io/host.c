#include "worker/io/host_state.h"
#include "worker/io/runners.h"

#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/random.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    RETRY_EVERY_MS = 1000,
    /* How long a runner that was told to end may take: it kills what runs at once. */
    RUNNER_END_MS = 20000,
};

/* Most steps use none: they are drawn from the kernel by the dozen. */
static uint64_t next_random(struct host *host)
{
    uint64_t number = 0;
    while (number == 0) {
        if (host->random_count == 0) {
            random_bytes(host->randoms, sizeof host->randoms);
            host->random_count = HOST_RANDOMS;
        }
        number = host->randoms[--host->random_count];
    }
    return number;
}

static void step(struct host *host, struct agent_event *event)
{
    event->random = next_random(host);
    agent_step(host->agent, event, &host->effects);
    host->stepped = true;
}

void host_step(struct host *host, struct agent_event event)
{
    event.now_ms = clock_boot_ms();
    /* Any step may be the one that makes the heartbeat. */
    if (event.now_ms >= agent_beat_ms(host->agent)) {
        struct agent_event load = {.kind = AGENT_EVENT_LOAD, .now_ms = event.now_ms};
        load_read(&host->load, &load.load);
        step(host, &load);
    }
    step(host, &event);
}

void host_end(struct host *host, int status)
{
    if (host->ending)
        return;
    host->ending = true;
    host->status = status;
    loop_stop(host->loop);
}

/* ---- events ---- */

static void on_frame(void *context, transport_peer peer, struct slice frame)
{
    (void)peer;
    host_step(context, (struct agent_event){.kind = AGENT_EVENT_FRAME, .frame = frame});
}

static void on_prepared(
    void *context, const struct attempt_id *id, enum reason reason, struct slice error)
{
    host_step(context, (struct agent_event){.kind = AGENT_EVENT_PREPARED,
                           .prepared = {.id = *id, .reason = reason, .error = error}});
}

static void on_collected(void *context, const struct collected *collected)
{
    host_step(context, (struct agent_event){.kind = AGENT_EVENT_COLLECTED,
                           .collected = {.id = collected->id,
                               .outputs = collected->outputs,
                               .artifacts = collected->artifacts,
                               .log_bytes = collected->log_bytes,
                               .reason = collected->reason,
                               .error = collected->error,
                               .no_retry = collected->no_retry}});
}

static void tell_disk(struct host *host)
{
    bool full = host->results_full || host->spools_full || attempts_is_full(host->attempts);
    host_step(host, (struct agent_event){.kind = AGENT_EVENT_DISK, .full = full});
}

static void on_disk(void *context, bool full)
{
    (void)full;
    tell_disk(context);
}

static void on_note(void *context, const struct msg_note *note)
{
    host_step(context, (struct agent_event){.kind = AGENT_EVENT_NOTED, .note = *note});
}

static void on_progress(void *context, const struct msg_progress *progress)
{
    host_step(context, (struct agent_event){.kind = AGENT_EVENT_PROGRESS, .progress = *progress});
}

static void on_breach(void *context, const struct attempt_id *id)
{
    host_step(context, (struct agent_event){.kind = AGENT_EVENT_BREACH, .breach = *id});
}

static void on_saved(void *context, const struct attempt_id *id)
{
    struct host *host = context;
    ship_saved(host->ship, id);
    host_step(host, (struct agent_event){.kind = AGENT_EVENT_SAVED, .saved = *id});
}

static void on_loaded(void *context, const struct msg_ended *ended)
{
    host_step(context, (struct agent_event){.kind = AGENT_EVENT_LOADED, .loaded = *ended});
}

static void on_signal(void *context, int number)
{
    (void)number;
    leaving_say_goodbye(context);
    host_end(context, 0);
}

/* Bulk goes to the same address as heartbeats. */
static void on_moved(void *context)
{
    struct host *host = context;
    struct error error = {0};
    uint64_t session = agent_session(host->agent);
    if (session != 0 && bulk_renew(host->bulk, session, &error) != 0)
        log_error("logs are not shipped: %s", error.text);
}

/* ---- rounds ---- */

/* A journal that cannot be written for want of space waits; any other failure is mended by a
 * restart, which reads it. */
static void check_results(struct host *host)
{
    struct error error = {0};
    int code = results_state(host->results, &error);
    bool full = code == ERR_NO_SPACE;
    if (code != 0 && !full) {
        log_error("results cannot be saved: %s", error.text);
        host_end(host, HOST_EXIT_AGAIN);
    }
    if (full == host->results_full)
        return;
    if (full)
        log_error("results wait for space: %s", error.text);
    host->results_full = full;
    tell_disk(host);
}

/* Logs that no master takes are the disk's; running tasks may yet write theirs to their end. */
static void check_spools(struct host *host)
{
    uint64_t bytes = ship_bytes(host->ship);
    bool full = host->spools_full ? bytes > host->spool_max - host->spool_max / 10
                                  : bytes > host->spool_max;
    if (full == host->spools_full)
        return;
    host->spools_full = full;
    if (full)
        log_error("no more tasks are taken: %" PRIu64 " MiB of logs wait for the master, which is "
                  "more than --spool-max allows",
            bytes >> 20);
    else
        log_info("logs have gone to the master: tasks are taken again");
    tell_disk(host);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t next_ms(const struct host *host)
{
    uint64_t due = least(agent_next_ms(host->agent), results_due_ms(host->results));
    due = least(due, uplink_due_ms(host->uplink));
    due = least(due, leaving_due_ms(host));
    due = least(due, attempts_due_ms(host->attempts));
    uint64_t retry = clock_boot_ms() + RETRY_EVERY_MS;
    if ((host->results_full || attempts_is_full(host->attempts)) && retry < due)
        due = retry;
    return due;
}

static void pump_ship(struct host *host, uint64_t now_ms)
{
    ship_pump(host->ship, now_ms);
}

static void pump_blobs(struct host *host, uint64_t now_ms)
{
    blob_client_pump(host->blobs, now_ms);
}

/* Logs and uploads may use up the credit that is there: they take turns in going first. */
static void send_bulk(struct host *host, uint64_t now_ms)
{
    void (*const pumps[])(struct host * host, uint64_t now_ms) = {pump_ship, pump_blobs};
    host->bulk_turn ^= 1;
    pumps[host->bulk_turn](host, now_ms);
    pumps[host->bulk_turn ^ 1](host, now_ms);
    fetcher_pump(host->fetcher, now_ms);
    bulk_flush(host->bulk);
}

/* A handshake that is refused: the key was removed while this agent was away. How much goes on is
 * known when the runner has said it. */
static void check_uplink(struct host *host, uint64_t now_ms)
{
    if (!uplink_is_denied(host->uplink)) {
        uplink_tick(host->uplink, now_ms);
        return;
    }
    if (host->ending || !host->listed)
        return;
    log_error("the master at %s does not admit this worker: its key was removed; %u tasks go on "
              "until their lease",
        uplink_name(host->uplink), agent_running(host->agent));
    host_end(host, error_exit_status(ERR_DENIED));
}

static bool on_round(void *context)
{
    struct host *host = context;
    (void)jobs_take(host->syncs);
    (void)jobs_take(host->slow);
    check_results(host);
    check_spools(host);
    uint64_t now_ms = clock_boot_ms();
    leaving_round(host, now_ms);
    check_uplink(host, now_ms);
    /* What waited for a cut, or for space. */
    results_write(host->results, now_ms);
    if (host->stepped)
        host_batch(host);
    results_flush(host->results, now_ms);
    send_bulk(host, now_ms);
    loop_set_timer(host->loop, next_ms(host));
    return false;
}

static void on_timer(void *context)
{
    struct host *host = context;
    struct error error = {0};
    uint64_t now_ms = clock_boot_ms();
    if (host->results_full)
        results_retry(host->results);
    if (attempts_is_full(host->attempts))
        attempts_retry(host->attempts);
    attempts_expire(host->attempts, now_ms);
    if (bulk_is_open(host->bulk) &&
        (ship_is_stuck(host->ship, now_ms) || blob_client_is_stuck(host->blobs, now_ms) ||
            fetcher_is_stuck(host->fetcher, now_ms)) &&
        bulk_renew(host->bulk, agent_session(host->agent), &error) != 0)
        log_error("logs are not shipped: %s", error.text);
    host_step(host, (struct agent_event){.kind = AGENT_EVENT_TIMER});
}

/* ---- making it ---- */

static void make_agent(struct host *host)
{
    struct slice queues[WORKER_QUEUES_MAX], labels[LABELS_MAX], users[TASK_USERS_MAX];
    const struct options *options = host->options;
    const struct identity *identity = &host->identity;
    (void)gethostname(host->name, sizeof host->name - 1);
    for (size_t i = 0; i < options->queue_count; i++)
        queues[i] = slice_of(options->queues[i]);
    for (size_t i = 0; i < options->label_count; i++)
        labels[i] = slice_of(options->labels[i]);
    for (size_t i = 0; i < host->users.count; i++)
        users[i] = slice_of(host->users.items[i].name);
    bool known = identity->cluster[0] != '\0';
    struct agent_config config = {
        .name = slice_of(options->name),
        .host = slice_of(host->name),
        .software = slice_of("reeve-worker " REEVE_VERSION),
        .slots = options->slots,
        .queues = {queues, (uint32_t)options->queue_count},
        .users = {users, (uint32_t)host->users.count},
        .epoch = identity->epoch,
        .leader = identity->leader,
        .cluster = slice_of(known ? identity->cluster : options->joined.cluster),
        .dead = identity->dead,
        .dead_count = identity->dead_count,
        .now_ms = clock_boot_ms(),
        .labels = {labels, (uint32_t)options->label_count},
    };
    struct operator_line lines[OPERATORS_MAX];
    config.operators = lines;
    config.operator_count = operators_lines(&host->operators, lines);
    memcpy(config.key, identity->keys.public_key, sizeof config.key);
    memcpy(config.boot, identity->boot, sizeof config.boot);
    host->agent = agent_create(&config);
}

static void make_attempts(struct host *host)
{
    struct attempts_config config = {
        .loop = host->loop,
        .jobs = host->slow,
        .folder = host->folder,
        .ship = host->ship,
        .blobs = host->blobs,
        .trees = host->trees,
        .users = &host->users,
        .operators = &host->operators,
        .base = {.worker = slice_of(host->options->name)},
        .events = {on_prepared, on_collected, on_disk, on_note, on_progress, on_breach, host},
    };
    memcpy(config.key, host->identity.keys.public_key, sizeof config.key);
    command_base_env(environ, &host->arena, &config.base.env);
    host->attempts = attempts_create(&config);
}

static int make_bulk(struct host *host, struct error *error)
{
    host->bulk = bulk_create(uplink_connect_bulk, host->uplink);
    host->ship = ship_create(host->bulk);
    host->blobs = blob_client_create(host->bulk);
    host->fetcher = fetcher_create(host->bulk, host->slow);
    const struct trees_config config = {
        .cache = host->folder->cache,
        .cache_max = host->options->cache_max,
        .fetcher = host->fetcher,
        .jobs = host->slow,
    };
    return trees_create(&config, host->identity.boot, &host->trees, error);
}

static int open_uplink(struct host *host, struct error *error)
{
    const struct uplink_config config = {
        .loop = host->loop,
        .options = host->options,
        .keys = &host->identity.keys,
        .frame = on_frame,
        .moved = on_moved,
        .context = host,
    };
    return uplink_open(&config, &host->uplink, error);
}

/* Half of the disk at most: the rest is for what the tasks themselves write. */
static void bound_spools(struct host *host, uint64_t disk_bytes)
{
    host->spool_max = host->options->spool_max;
    if (disk_bytes > 0)
        host->spool_max = least(host->spool_max, disk_bytes / 2);
}

/* The first heartbeat follows a registration at once, and has something to say too. */
static void measure_host(struct host *host)
{
    struct agent_event event = {.kind = AGENT_EVENT_LOAD};
    host->load = (struct load_meter){
        .proc = "/proc", .cgroup = "/sys/fs/cgroup", .folder = host->folder->path};
    load_read(&host->load, &event.load);
    bound_spools(host, event.load.disk_bytes);
    host_step(host, event);
}

static int open_loop(struct host *host, struct error *error)
{
    static const int signals[] = {SIGTERM, SIGINT};
    int rc = loop_create(&host->loop, error);
    if (rc == 0)
        rc = loop_on_signals(host->loop, signals, 2, on_signal, host, error);
    if (rc != 0)
        return rc;
    loop_on_round(host->loop, on_round, host);
    loop_on_timer(host->loop, on_timer, host);
    host->slow = jobs_create(host->loop);
    host->syncs = jobs_create(host->loop);
    return 0;
}

static int open_results(struct host *host, struct error *error)
{
    int rc = results_open(host->folder->results, host->syncs, &host->results, error);
    if (rc == 0 && results_torn_bytes(host->results) > 0)
        log_warn(
            "%s: its last %llu bytes were cut off: a power cut, or damage; a result that was in "
            "them counts as lost",
            host->folder->results, (unsigned long long)results_torn_bytes(host->results));
    return rc;
}

static int open_parts(struct host *host, struct error *error)
{
    int rc = open_loop(host, error);
    if (rc == 0)
        rc = open_results(host, error);
    if (rc == 0)
        rc = open_uplink(host, error);
    if (rc == 0)
        rc = make_bulk(host, error);
    if (rc == 0)
        rc = stop_port_open(
            host->loop, host->folder->agent, leaving_wish, host, &host->stop_port, error);
    if (rc != 0)
        return rc;
    make_agent(host);
    measure_host(host);
    make_attempts(host);
    results_on_saved(host->results, on_saved, host);
    results_each(host->results, on_loaded, host);
    return runner_link_open(host, error);
}

/* Two descriptors a task and more: the runner gives tasks the limit that they would have had. */
static void raise_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* `stop` promises that nothing is left. */
static void wait_for_runner(const struct host *host)
{
    struct pollfd poller = {.fd = runner_client_pidfd(host->runner.client), .events = POLLIN};
    if (poll(&poller, 1, RUNNER_END_MS) != 1)
        log_error(
            "the runner, process %d, does not end", (int)runner_client_pid(host->runner.client));
}

/* Threads first: what they work on belongs to the others. */
static void close_parts(struct host *host)
{
    jobs_destroy(host->slow);
    jobs_destroy(host->syncs);
    attempts_destroy(host->attempts);
    trees_destroy(host->trees);
    fetcher_destroy(host->fetcher);
    blob_client_destroy(host->blobs);
    ship_destroy(host->ship);
    bulk_destroy(host->bulk);
    results_close(host->results);
    uplink_close(host->uplink);
    agent_destroy(host->agent);
    agent_effects_fini(&host->effects);
    runner_link_fini(&host->runner);
    stop_port_close(host->stop_port);
    loop_destroy(host->loop);
    arena_fini(&host->arena);
}

static void log_users(const struct host *host)
{
    const struct task_users *users = &host->users;
    if (users->count > 0)
        log_info("tasks run as %s%s, and cannot act as this worker", users->items[0].name,
            users->count > 1 ? " unless they ask for another of --run-as" : "");
    else
        log_info("tasks run as this worker's own user%s: every task here can act as this worker, "
                 "and read what it keeps (see --run-as)",
            geteuid() == 0 ? ", root" : "");
}

static void log_operators(const struct host *host)
{
    for (size_t i = 0; i < host->operators.count; i++) {
        const struct operator_program *program = &host->operators.items[i];
        if (program->problem[0] != '\0')
            log_warn("operator %s (%s) gets no tasks: %s", program->name, program->path,
                program->problem);
        else
            log_info("operator %s %s: %s", program->name, program->version, program->path);
    }
}

static int serve(struct host *host, struct error *error)
{
    raise_files();
    transport_start();
    int rc = open_parts(host, error);
    if (rc == 0) {
        log_info("worker %s with %u slots, runner %d", host->options->name, host->options->slots,
            (int)runner_client_pid(host->runner.client));
        log_users(host);
        log_operators(host);
        loop_run(host->loop);
        if (host->stopped)
            wait_for_runner(host);
        if (host->stopped)
            stop_port_tell(host->stop_port, STOP_SAID);
    }
    close_parts(host);
    transport_stop();
    return rc;
}

int host_run(const struct options *options, const struct folder *folder, int *ret_status,
    struct error *error)
{
    struct host host = {.options = options, .folder = folder, .leaving.by_ms = UINT64_MAX};
    const struct stop_wish wish = {.now = options->now, .within_ms = options->within_ms};
    if (options->stop)
        leaving_wish(&host, &wish);
    int rc = identity_load(&host.identity, folder, error);
    if (rc == 0 && !options->stop)
        rc = task_users_read(options->users, options->user_count, folder->work, &host.users, error);
    if (rc == 0 && !options->stop)
        operators_find(options->operator_path, &host.operators);
    if (rc == 0)
        rc = runners_open(&host.identity, folder, options->stop, &host.runner.client,
            &host.runner.instance, error);
    if (rc == 0) {
        rc = serve(&host, error);
        *ret_status = host.status;
    } else if (rc == ERR_UNREACHABLE) {
        /* A runner that ended as soon as it had begun: the next start buries it. */
        log_error("%s", error->text);
        *ret_status = HOST_EXIT_AGAIN;
        rc = 0;
    }
    task_users_fini(&host.users);
    operators_fini(&host.operators);
    return rc;
}
