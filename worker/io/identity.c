#include "worker/io/identity.h"

#include "common/file.h"
#include "common/hex.h"
#include "common/state_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILE_MAX_BYTES = 4096, DEAD_LINE_BYTES = 17 };

static struct state_file leader_file(const struct folder *folder)
{
    return (struct state_file){.path = folder->leader,
        .head = "reeve-leader 2",
        .old_head = "epoch ",
        .remedy =
            "if its master was never restored from a backup, remove the file: what it holds is "
            "learnt anew"};
}

static struct state_file runner_file(const struct folder *folder)
{
    return (struct state_file){.path = folder->runner,
        .head = "reeve-runner 2",
        .old_head = "",
        .remedy = "make sure that no task of this worker runs (a reboot of the host does), then "
                  "remove the file"};
}

static struct state_file dead_file(const struct folder *folder)
{
    return (struct state_file){.path = folder->dead,
        .head = "reeve-dead 2",
        .old_head = "",
        .remedy = "remove the file: what that runner had goes on when its leases have run out"};
}

/* ---- the leadership ---- */

static int leader_load(struct identity *identity, const struct folder *folder, struct error *error)
{
    const struct state_file file = leader_file(folder);
    struct buffer text = {0};
    int rc = state_file_load(&file, &text, error);
    if (rc == 0 &&
        sscanf(buffer_text(&text), "epoch %" SCNu64 "\nleader %" SCNx64 "\ncluster %128[^\n]",
            &identity->epoch, &identity->leader, identity->cluster) < 2)
        rc = state_file_damaged(&file, error);
    buffer_fini(&text);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

int identity_save_leader(
    const struct identity *identity, const struct folder *folder, struct error *error)
{
    struct buffer text = {0};
    const struct state_file file = leader_file(folder);
    buffer_printf(&text, "epoch %" PRIu64 "\nleader %016" PRIx64 "\ncluster %s\n", identity->epoch,
        identity->leader, identity->cluster);
    int rc = state_file_save(&file, buffer_slice(&text), error);
    buffer_fini(&text);
    return rc;
}

/* ---- the boot, and dead runners of it ---- */

/* Field 22 of /proc/PID/stat; 0: it does not live. What stands before it may hold anything. */
static uint64_t read_start(pid_t pid)
{
    char path[64], state;
    struct buffer text = {0};
    uint64_t start = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    const char *rest =
        file_read(path, FILE_MAX_BYTES, &text, NULL) == 0 ? strrchr(buffer_text(&text), ')') : NULL;
    if (rest == NULL ||
        sscanf(rest,
            ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %" SCNu64,
            &state, &start) != 2 ||
        state == 'Z' || state == 'X')
        start = 0;
    buffer_fini(&text);
    return start;
}

bool identity_runner_lives(const struct identity *identity)
{
    return identity->same_boot && identity->runner_start != 0 &&
           read_start(identity->runner_pid) == identity->runner_start;
}

static int runner_load(struct identity *identity, const struct folder *folder, struct error *error)
{
    const struct state_file file = runner_file(folder);
    struct buffer text = {0};
    unsigned char last[BOOT_BYTES];
    const size_t digits = HEX_TEXT_SIZE(BOOT_BYTES) - 1;
    int rc = boot_read(identity->boot, error);
    if (rc == 0)
        rc = state_file_load(&file, &text, error);
    if (rc == 0 &&
        (text.length < digits || !hex_decode(slice_make(text.data, digits), last, BOOT_BYTES) ||
            sscanf(buffer_text(&text) + digits, "%16" SCNx64 " %d %" SCNu64, &identity->instance,
                &identity->runner_pid, &identity->runner_start) < 1))
        rc = state_file_damaged(&file, error);
    if (rc == 0)
        identity->same_boot = memcmp(last, identity->boot, BOOT_BYTES) == 0;
    buffer_fini(&text);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

int identity_save_runner(struct identity *identity, const struct folder *folder, uint64_t instance,
    pid_t pid, struct error *error)
{
    if (identity->same_boot && identity->instance == instance && identity->runner_pid == pid)
        return 0;
    uint64_t start = read_start(pid);
    const struct state_file file = runner_file(folder);
    struct buffer text = {0};
    char boot[HEX_TEXT_SIZE(BOOT_BYTES)];
    int rc = 0;
    if (!identity->same_boot && unlink(folder->dead) != 0 && errno != ENOENT)
        rc = error_set_errno(error, ERR_IO, errno, "%s", folder->dead);
    hex_encode(identity->boot, BOOT_BYTES, boot);
    buffer_printf(&text, "%s\n%016" PRIx64 "\n%d %" PRIu64 "\n", boot, instance, (int)pid, start);
    if (rc == 0)
        rc = state_file_save(&file, buffer_slice(&text), error);
    buffer_fini(&text);
    if (rc != 0)
        return rc;
    identity->same_boot = true;
    identity->instance = instance;
    identity->runner_pid = pid;
    identity->runner_start = start;
    return 0;
}

/* A line of 16 hexadecimal digits each. */
static int dead_load(struct identity *identity, const struct folder *folder, struct error *error)
{
    const struct state_file file = dead_file(folder);
    struct buffer text = {0};
    int rc = identity->same_boot ? state_file_load(&file, &text, error) : ERR_NOT_FOUND;
    const char *at = rc == 0 ? buffer_text(&text) : "";
    bool whole = rc != 0 || (text.length > 0 && text.length % DEAD_LINE_BYTES == 0 &&
                                text.length / DEAD_LINE_BYTES <= DEAD_RUNNERS_MAX);
    for (size_t i = 0; rc == 0 && whole && i < text.length / DEAD_LINE_BYTES; i++) {
        int digits = 0;
        whole = sscanf(at, "%16" SCNx64 "%n", &identity->dead[i], &digits) == 1 &&
                digits == DEAD_LINE_BYTES - 1 && at[digits] == '\n';
        identity->dead_count++;
        at += DEAD_LINE_BYTES;
    }
    if (!whole)
        rc = state_file_damaged(&file, error);
    buffer_fini(&text);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int dead_save(
    const struct identity *identity, const struct folder *folder, struct error *error)
{
    const struct state_file file = dead_file(folder);
    struct buffer text = {0};
    for (uint32_t i = 0; i < identity->dead_count; i++)
        buffer_printf(&text, "%016" PRIx64 "\n", identity->dead[i]);
    int rc = 0;
    if (text.length > 0)
        rc = state_file_save(&file, buffer_slice(&text), error);
    else if (unlink(folder->dead) != 0 && errno != ENOENT)
        rc = error_set_errno(error, ERR_IO, errno, "%s", folder->dead);
    buffer_fini(&text);
    return rc;
}

/* Its place in the list, or the list's end. */
static uint32_t dead_find(const struct identity *identity, uint64_t instance)
{
    uint32_t i = 0;
    while (i < identity->dead_count && identity->dead[i] != instance)
        i++;
    return i;
}

static void dead_remove(struct identity *identity, uint32_t index)
{
    identity->dead_count--;
    for (uint32_t i = index; i < identity->dead_count; i++)
        identity->dead[i] = identity->dead[i + 1];
}

int identity_save_dead(
    struct identity *identity, const struct folder *folder, uint64_t instance, struct error *error)
{
    if (dead_find(identity, instance) < identity->dead_count)
        return 0;
    if (identity->dead_count == DEAD_RUNNERS_MAX)
        dead_remove(identity, 0);
    identity->dead[identity->dead_count++] = instance;
    return dead_save(identity, folder, error);
}

int identity_forget_dead(
    struct identity *identity, const struct folder *folder, uint64_t instance, struct error *error)
{
    uint32_t index = dead_find(identity, instance);
    if (index == identity->dead_count)
        return 0;
    dead_remove(identity, index);
    return dead_save(identity, folder, error);
}

int identity_load(struct identity *identity, const struct folder *folder, struct error *error)
{
    *identity = (struct identity){0};
    int rc = key_pair_load_or_make(folder->key, &identity->keys, error);
    if (rc == 0)
        rc = leader_load(identity, folder, error);
    if (rc == 0)
        rc = runner_load(identity, folder, error);
    if (rc == 0)
        rc = dead_load(identity, folder, error);
    return rc;
}
