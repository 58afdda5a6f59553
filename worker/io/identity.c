#include "worker/io/identity.h"

#include "common/file.h"
#include "common/memory.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILE_MAX_BYTES = 4096 };

static void write_hex(struct buffer *out, const unsigned char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        buffer_printf(out, "%02x", bytes[i]);
}

/* False unless text begins with 2 x length hex digits. */
static bool read_hex(const char *text, unsigned char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        /* The first digit's check stops at the text's end before the second is read. */
        if (!isxdigit((unsigned char)text[2 * i]) || !isxdigit((unsigned char)text[2 * i + 1]))
            return false;
        const char digits[3] = {text[2 * i], text[2 * i + 1], '\0'};
        bytes[i] = (unsigned char)strtoul(digits, NULL, 16);
    }
    return true;
}

static int not_understood(const char *path, struct error *error)
{
    return error_set(error, ERR_CORRUPT, "%s: is not understood", path);
}

/* ---- the key pair ---- */

static int key_make(struct identity *identity, const char *path, struct error *error)
{
    struct buffer text = {0};
    key_pair_make(&identity->keys);
    buffer_append_text(&text, "reeve-key 1\npublic ");
    write_hex(&text, identity->keys.public_key, KEY_BYTES);
    buffer_append_text(&text, "\nsecret ");
    write_hex(&text, identity->keys.secret_key, KEY_BYTES);
    buffer_append_text(&text, "\n");
    int rc = file_replace(path, buffer_slice(&text), 0600, error);
    explicit_bzero(text.data, text.length);
    buffer_fini(&text);
    return rc;
}

static bool key_parse(const char *text, struct key_pair *pair)
{
    const char *public_text = strstr(text, "\npublic ");
    const char *secret_text = strstr(text, "\nsecret ");
    return strncmp(text, "reeve-key 1\n", 12) == 0 && public_text != NULL && secret_text != NULL &&
           read_hex(public_text + 8, pair->public_key, KEY_BYTES) &&
           read_hex(secret_text + 8, pair->secret_key, KEY_BYTES) && key_pair_is_valid(pair);
}

static int key_load(struct identity *identity, const char *path, struct error *error)
{
    struct buffer text = {0};
    int rc = file_read(path, FILE_MAX_BYTES, &text, error);
    if (rc == ERR_NOT_FOUND)
        return key_make(identity, path, error);
    if (rc == 0 && !key_parse(buffer_text(&text), &identity->keys))
        rc = not_understood(path, error);
    if (text.data != NULL)
        explicit_bzero(text.data, text.length);
    buffer_fini(&text);
    return rc;
}

/* ---- the leadership ---- */

static int leader_load(struct identity *identity, const char *path, struct error *error)
{
    struct buffer text = {0};
    int rc = file_read(path, FILE_MAX_BYTES, &text, error);
    if (rc == 0 &&
        sscanf(buffer_text(&text), "epoch %" SCNu64 "\nleader %" SCNx64 "\ncluster %128[^\n]",
            &identity->epoch, &identity->leader, identity->cluster) < 2)
        rc = not_understood(path, error);
    buffer_fini(&text);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

int identity_save_leader(
    const struct identity *identity, const struct folder *folder, struct error *error)
{
    struct buffer text = {0};
    buffer_printf(&text, "epoch %" PRIu64 "\nleader %016" PRIx64 "\ncluster %s\n", identity->epoch,
        identity->leader, identity->cluster);
    int rc = file_replace(folder->leader, buffer_slice(&text), 0600, error);
    buffer_fini(&text);
    return rc;
}

/* ---- the boot, and dead runners of it ---- */

static int runner_load(struct identity *identity, const char *path, struct error *error)
{
    struct buffer text = {0};
    unsigned char last[BOOT_BYTES];
    int rc = boot_read(identity->boot, error);
    if (rc == 0)
        rc = file_read(path, FILE_MAX_BYTES, &text, error);
    if (rc == 0 && (!read_hex(buffer_text(&text), last, BOOT_BYTES) ||
                       sscanf(text.data + 2 * BOOT_BYTES, "%16" SCNx64, &identity->instance) != 1))
        rc = not_understood(path, error);
    if (rc == 0)
        identity->same_boot = memcmp(last, identity->boot, BOOT_BYTES) == 0;
    buffer_fini(&text);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

int identity_save_runner(
    struct identity *identity, const struct folder *folder, uint64_t instance, struct error *error)
{
    if (identity->same_boot && identity->instance == instance)
        return 0;
    struct buffer text = {0};
    int rc = 0;
    if (!identity->same_boot && unlink(folder->dead) != 0 && errno != ENOENT)
        rc = error_set_errno(error, ERR_IO, errno, "%s", folder->dead);
    write_hex(&text, identity->boot, BOOT_BYTES);
    buffer_printf(&text, "\n%016" PRIx64 "\n", instance);
    if (rc == 0)
        rc = file_replace(folder->runner, buffer_slice(&text), 0600, error);
    buffer_fini(&text);
    if (rc != 0)
        return rc;
    identity->same_boot = true;
    identity->instance = instance;
    return 0;
}

static int dead_load(struct identity *identity, const char *path, struct error *error)
{
    struct buffer text = {0};
    int rc = identity->same_boot ? file_read(path, FILE_MAX_BYTES, &text, error) : ERR_NOT_FOUND;
    if (rc == 0 && sscanf(buffer_text(&text), "%16" SCNx64, &identity->dead_instance) != 1)
        rc = not_understood(path, error);
    buffer_fini(&text);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

int identity_save_dead(
    struct identity *identity, const struct folder *folder, uint64_t instance, struct error *error)
{
    char text[32];
    if (identity->dead_instance != 0)
        return 0;
    int length = snprintf(text, sizeof text, "%016" PRIx64 "\n", instance);
    int rc = file_replace(folder->dead, slice_make(text, (size_t)length), 0600, error);
    if (rc == 0)
        identity->dead_instance = instance;
    return rc;
}

int identity_forget_dead(
    struct identity *identity, const struct folder *folder, struct error *error)
{
    if (identity->dead_instance == 0)
        return 0;
    if (unlink(folder->dead) != 0 && errno != ENOENT)
        return error_set_errno(error, ERR_IO, errno, "%s", folder->dead);
    identity->dead_instance = 0;
    return 0;
}

int identity_load(struct identity *identity, const struct folder *folder, struct error *error)
{
    *identity = (struct identity){0};
    int rc = key_load(identity, folder->key, error);
    if (rc == 0)
        rc = leader_load(identity, folder->leader, error);
    if (rc == 0)
        rc = runner_load(identity, folder->runner, error);
    if (rc == 0)
        rc = dead_load(identity, folder->dead, error);
    return rc;
}
