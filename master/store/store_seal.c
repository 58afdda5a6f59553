#include "master/store/store_seal.h"

#include "common/memory.h"
#include "common/state_file.h"
#include "master/store/store_file.h"
#include "master/store/store_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct seal {
    uint64_t inode;
    uint32_t open; /* it was not ended in order */
};

static char *seal_path(const char *path)
{
    return xasprintf("%s-seal", path);
}

static struct state_file seal_file(const char *seal)
{
    return (struct state_file){.path = seal,
        .head = "reeve-seal 1",
        .old_head = "reeve-seal 1\n", /* there is none without a checksum */
        .remedy = "remove it: the store's pages get new checksums"};
}

static int seal_load(const char *path, struct seal *seal, struct error *error)
{
    char *name = seal_path(path);
    const struct state_file file = seal_file(name);
    struct buffer lines = {0};
    int rc = state_file_load(&file, &lines, error);
    if (rc == 0 && sscanf(buffer_text(&lines), "inode %" SCNu64 "\nopen %" SCNu32 "\n",
                       &seal->inode, &seal->open) != 2)
        rc = state_file_damaged(&file, error);
    buffer_fini(&lines);
    free(name);
    return rc;
}

static int seal_save(const char *path, bool open, struct error *error)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return error_set_errno(error, ERR_IO, errno, "%s", path);
    char *name = seal_path(path);
    const struct state_file file = seal_file(name);
    struct buffer lines = {0};
    buffer_printf(&lines, "inode %" PRIu64 "\nopen %d\n", (uint64_t)status.st_ino, open);
    int rc = state_file_save(&file, buffer_slice(&lines), error);
    buffer_fini(&lines);
    free(name);
    return rc;
}

static bool has_log(const char *path)
{
    char *log = xasprintf("%s-wal", path);
    struct stat status;
    bool there = stat(log, &status) == 0 && status.st_size > 0;
    free(log);
    return there;
}

/* ---- new checksums ---- */

/* By sqlite's own reading, which knows of no checksums. */
static int check_structure(const char *path, struct error *error)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int rc = 0;
    if (sqlite3_open_v2(path, &db, flags, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW) {
        rc = store_fail(path, db, "cannot be checked", error);
    } else {
        const char *said = (const char *)sqlite3_column_text(statement, 0);
        if (said == NULL || strcmp(said, "ok") != 0)
            rc = error_set(error, ERR_CORRUPT, "%s: damaged: %s; restore a backup", path,
                said != NULL ? said : "it cannot be checked");
    }
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    return rc;
}

static int seal_anew(const char *path, struct error *error)
{
    int rc = check_structure(path, error);
    if (rc != 0)
        return rc;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || store_pages_seal(fd) != 0)
        rc = error_set_errno(error, ERR_IO, errno, "%s: its pages cannot be given checksums", path);
    if (fd >= 0)
        (void)close(fd);
    return rc == 0 ? seal_save(path, has_log(path), error) : rc;
}

int store_seal_check(const char *path, struct error *error)
{
    struct seal seal = {0};
    struct stat status;
    int rc = seal_load(path, &seal, error);
    if (rc == ERR_NOT_FOUND)
        return seal_anew(path, error);
    if (rc != 0)
        return rc;
    if (stat(path, &status) != 0)
        return error_set_errno(error, ERR_IO, errno, "%s", path);
    bool ours = seal.inode == (uint64_t)status.st_ino && (seal.open == 0 || has_log(path));
    return ours ? 0 : seal_anew(path, error);
}

int store_seal_begin(const char *path, struct error *error)
{
    return seal_save(path, true, error);
}

void store_seal_end(const char *path)
{
    if (!has_log(path))
        (void)seal_save(path, false, NULL);
}
