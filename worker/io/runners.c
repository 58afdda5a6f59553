#include "worker/io/runners.h"

#include "common/log.h"
#include "common/stop_point.h"

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

int runners_open(struct identity *identity, const struct folder *folder, bool find_only,
    struct runner_client **ret_client, uint64_t *ret_instance, struct error *error)
{
    int rc = find_live(identity, folder, ret_client, ret_instance, error);
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
