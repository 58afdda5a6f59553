/*
 * Uploads lie in blobs/tmp under their hash, so that the next one of the same content goes on where
 * this one stopped. Who finds that file in use writes one of its own, from the beginning, which
 * goes when it is closed.
 */
#include "common/file.h"
#include "common/memory.h"
#include "common/random.h"
#include "master/store/blob_store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct blob_upload {
    struct blob_store *store;
    struct hash hash;
    uint64_t bytes, have;
    char *path;
    int fd;       /* -1: the blob was there already, or is now */
    bool resumes; /* the file is named by the hash and stays when the upload is closed */
};

/* Opens and locks the file that is named by the hash; false when another upload has it. */
static bool open_shared(struct blob_upload *upload)
{
    char hex[HASH_HEX_MAX];
    hash_hex(&upload->hash, hex);
    upload->path = xasprintf("%s/%s", upload->store->staging, hex);
    upload->fd = open(upload->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct stat here, there;
    /* The name may have gone to the blobs between open and lock. */
    upload->resumes = upload->fd >= 0 && flock(upload->fd, LOCK_EX | LOCK_NB) == 0 &&
                      fstat(upload->fd, &here) == 0 && stat(upload->path, &there) == 0 &&
                      here.st_ino == there.st_ino;
    return upload->resumes;
}

static int open_own(struct blob_upload *upload, struct error *error)
{
    if (upload->fd >= 0)
        (void)close(upload->fd);
    free(upload->path);
    upload->path =
        xasprintf("%s/" FILE_TEMPORARY_PREFIX "%016" PRIx64, upload->store->staging, random_id());
    upload->fd = open(upload->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return upload->fd < 0 ? blob_fail(upload->path, error) : 0;
}

static int begin(struct blob_upload *upload, struct error *error)
{
    if (blob_has(upload->store, &upload->hash, NULL)) {
        upload->have = upload->bytes;
        return 0;
    }
    if (!open_shared(upload)) {
        int rc = open_own(upload, error);
        if (rc != 0)
            return rc;
    }
    struct stat status;
    if (fstat(upload->fd, &status) != 0)
        return blob_fail(upload->path, error);
    upload->have = (uint64_t)status.st_size;
    if (upload->have > upload->bytes) {
        if (ftruncate(upload->fd, 0) != 0)
            return blob_fail(upload->path, error);
        upload->have = 0;
    }
    return 0;
}

int blob_upload_open(struct blob_store *store, const struct hash *hash, uint64_t bytes,
    struct blob_upload **ret_upload, uint64_t *ret_offset, struct error *error)
{
    struct blob_upload *upload = xcalloc(1, sizeof *upload);
    *upload = (struct blob_upload){.store = store, .hash = *hash, .bytes = bytes, .fd = -1};
    int rc = begin(upload, error);
    if (rc != 0) {
        blob_upload_close(upload);
        return rc;
    }
    *ret_upload = upload;
    *ret_offset = upload->have;
    return 0;
}

int blob_upload_write(
    struct blob_upload *upload, uint64_t offset, struct slice data, struct error *error)
{
    if (offset != upload->have || data.length > upload->bytes - upload->have)
        return error_set(error, ERR_REFUSED,
            "the blob goes on at byte %" PRIu64 " of %" PRIu64 ", not with %zu bytes at %" PRIu64,
            upload->have, upload->bytes, data.length, offset);
    if (data.length == 0)
        return 0;
    int rc = 0;
    if (lseek(upload->fd, (off_t)offset, SEEK_SET) < 0)
        rc = blob_fail(upload->path, error);
    if (rc == 0)
        rc = file_write_all(upload->fd, data.ptr, data.length, error);
    /* What a failed write left behind `have` is right as far as it goes: it is written again. */
    if (rc == 0)
        upload->have += data.length;
    return rc;
}

static int check_hash(struct blob_upload *upload, struct error *error)
{
    struct hash found;
    int rc = blob_hash_file(upload->path, &found, NULL, error);
    if (rc != 0 || memcmp(&found, &upload->hash, sizeof found) == 0)
        return rc;
    (void)unlink(upload->path);
    upload->have = 0;
    return error_set(
        error, ERR_CORRUPT, "the blob that was sent does not have the hash it was offered by");
}

int blob_upload_finish(struct blob_upload *upload, struct error *error)
{
    if (upload->have != upload->bytes)
        return error_set(error, ERR_REFUSED,
            "%" PRIu64 " of %" PRIu64 " bytes of the blob are there", upload->have, upload->bytes);
    if (upload->fd < 0)
        return 0;
    int rc = check_hash(upload, error);
    if (rc == 0 && fsync(upload->fd) != 0)
        rc = blob_fail(upload->path, error);
    if (rc == 0)
        rc = blob_name(upload->store, upload->path, &upload->hash, error);
    if (rc == 0)
        rc = blob_sync_names(upload->store, upload->hash.bytes[0], 1, error);
    if (rc != 0)
        return rc;
    /* From here on the file is the blob: nothing of this upload may write or remove it. */
    (void)close(upload->fd);
    upload->fd = -1;
    return 0;
}

void blob_upload_close(struct blob_upload *upload)
{
    if (upload == NULL)
        return;
    if (upload->fd >= 0) {
        if (!upload->resumes)
            (void)unlink(upload->path);
        (void)close(upload->fd);
    }
    free(upload->path);
    free(upload);
}
