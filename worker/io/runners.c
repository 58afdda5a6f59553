#include "worker/io/runners.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/stop_point.h"
#include "proto/proto.h"

#include <poll.h>
#include <unistd.h>

/* For a runner that answers nothing, and for one that was told to end. */
enum { OUTDATED_MS = 5000 };

int runners_bury(
    struct identity *identity, const struct folder *folder, uint64_t instance, struct error *error)
{
    /* It is reached by another folder: what it runs is not ours to kill. */
    if (instance == identity->instance && identity_runner_lives(identity))
        return error_set(error, ERR_REFUSED,
            "%s: was copied from the folder of a worker that is alive (its runner is process %d); "
            "give each worker a folder of its own",
            folder->path, (int)identity->runner_pid);
    int rc = runner_sweep(instance, RUNNERS_SWEEP_MS, error);
    stop_here(STOP_RUNNER_BURIED);
    /* What ran before a reboot is not ours to speak of: its leases run out. */
    if (rc == 0 && identity->same_boot)
        rc = identity_save_dead(identity, folder, instance, error);
    if (rc == 0)
        runner_forget_socket(folder->secret, instance);
    return rc;
}

/* The one that was used last may have ended in order, and taken its socket with it. */
static int bury_last(struct identity *identity, const struct folder *folder,
    const struct runner_instances *found, struct error *error)
{
    if (identity->instance == 0 || !identity->same_boot)
        return 0;
    for (size_t i = 0; i < found->count; i++) {
        if (found->items[i] == identity->instance)
            return 0;
    }
    return runners_bury(identity, folder, identity->instance, error);
}

/* ERR_NOT_FOUND: none lives. */
static int find_live(struct identity *identity, const struct folder *folder,
    struct runner_client **ret_client, uint64_t *ret_instance, struct error *error)
{
    struct runner_instances found = {0};
    struct runner_client *client = NULL;
    int rc = runner_find(folder->secret, &found, error);
    if (rc == 0)
        rc = bury_last(identity, folder, &found, error);
    for (size_t i = 0; rc == 0 && i < found.count; i++) {
        struct runner_client *other = NULL;
        rc = runner_connect(folder->secret, found.items[i], &other, error);
        if (rc == ERR_UNREACHABLE) {
            log_warn("runner %016llx has died; killing what it left",
                (unsigned long long)found.items[i]);
            rc = runners_bury(identity, folder, found.items[i], error);
        } else if (rc == 0 && client == NULL) {
            client = other;
            *ret_instance = found.items[i];
        } else {
            runner_client_destroy(other);
        }
    }
    runner_instances_fini(&found);
    if (rc == 0 && client == NULL)
        return error_set(error, ERR_NOT_FOUND, "%s: no runner lives there", folder->path);
    if (rc == 0)
        *ret_client = client;
    else
        runner_client_destroy(client);
    return rc;
}

/* ---- after an upgrade ---- */

/* False: the deadline has passed. */
static bool wait_readable(int fd, uint64_t deadline_ms)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};
    uint64_t now_ms = clock_boot_ms();
    return now_ms < deadline_ms && poll(&one, 1, (int)(deadline_ms - now_ms)) > 0;
}

static int tell(struct runner_client *client, enum message_id number, const void *body)
{
    static const struct frame_header header = {.version = PROTOCOL_HOST_VERSION};
    struct buffer frame = {0};
    frame_begin(&frame, &header);
    message_encode(&frame, number, body);
    int rc = runner_client_send(client, buffer_slice(&frame), NULL, 0, NULL);
    buffer_fini(&frame);
    return rc;
}

/* What one frame says of its attempts: *ret_listed at the end of the list, *ret_holds when there is
 * one. */
static int read_listing(struct slice frame, struct arena *arena, bool *ret_listed, bool *ret_holds)
{
    struct frame_reader reader;
    struct message message;
    int rc = frame_open_host(frame, arena, &reader, NULL);
    while (rc >= 0 && (rc = frame_next(&reader, &message, NULL)) == 1) {
        *ret_listed |= message.number == MESSAGE_runner_listed;
        *ret_holds |= message.number == MESSAGE_runner_holds;
    }
    return rc;
}

/* All frames that have come. */
static int read_come(
    struct runner_client *client, struct arena *arena, bool *ret_listed, bool *ret_holds)
{
    int fds[RUNNER_FDS_MAX];
    uint32_t count = 0;
    struct slice frame;
    int rc;
    while ((rc = runner_client_receive(client, &frame, fds, &count, NULL)) == 1) {
        for (uint32_t i = 0; i < count; i++)
            (void)close(fds[i]);
        if (read_listing(frame, arena, ret_listed, ret_holds) < 0)
            return ERR_MALFORMED;
    }
    return rc;
}

/* Whether it says that it holds nothing; the connection is of no use after that. */
static bool is_idle(struct runner_client *client)
{
    const struct msg_runner_list list = {.nonce = 1};
    uint64_t deadline_ms = clock_boot_ms() + OUTDATED_MS;
    bool listed = false, holds = false;
    struct arena arena = {0};
    int rc = tell(client, MESSAGE_runner_list, &list);
    while (rc >= 0 && !listed && wait_readable(runner_client_fd(client), deadline_ms))
        rc = read_come(client, &arena, &listed, &holds);
    arena_fini(&arena);
    return listed && !holds;
}

/*
 * A runner of a former build serves this agent like one of its own, but for what it does not know.
 * One that holds nothing is told to end instead: 1. 0: *client is another connection, as good as
 * new.
 */
static int retire(const struct folder *folder, struct runner_client **client, uint64_t instance,
    struct error *error)
{
    const struct msg_runner_stop stop = {0};
    uint64_t deadline_ms = clock_boot_ms() + OUTDATED_MS;
    bool ended = is_idle(*client) && tell(*client, MESSAGE_runner_stop, &stop) >= 0 &&
                 wait_readable(runner_client_pidfd(*client), deadline_ms);
    runner_client_destroy(*client);
    *client = NULL;
    if (ended) {
        log_info(
            "runner %016llx is of another build and has nothing to do: a new one takes its place",
            (unsigned long long)instance);
        return 1;
    }
    log_info("runner %016llx is of another build; it goes on until an agent starts that finds it "
             "without tasks",
        (unsigned long long)instance);
    return runner_connect(folder->secret, instance, client, error);
}

int runners_open(struct identity *identity, const struct folder *folder, bool find_only,
    struct runner_client **ret_client, uint64_t *ret_instance, struct error *error)
{
    int rc = find_live(identity, folder, ret_client, ret_instance, error);
    if (rc == 0 && !find_only && runner_client_is_outdated(*ret_client))
        rc = retire(folder, ret_client, *ret_instance, error);
    if (rc == 1)
        rc = find_live(identity, folder, ret_client, ret_instance, error);
    if (rc == ERR_NOT_FOUND && !find_only) {
        struct runner_start_options options = {.folder = folder->secret};
        rc = runner_start(&options, ret_instance, error);
        if (rc == 0)
            rc = runner_connect(folder->secret, *ret_instance, ret_client, error);
    }
    if (rc != 0)
        return rc;
    stop_here(STOP_RUNNER_STARTED);
    rc = identity_save_runner(
        identity, folder, *ret_instance, runner_client_pid(*ret_client), error);
    stop_here(STOP_RUNNER_SAVED);
    if (rc != 0)
        runner_client_destroy(*ret_client);
    return rc;
}
