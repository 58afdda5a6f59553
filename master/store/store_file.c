#include "master/store/store_file.h"

#include "common/clock.h"
#include "common/file.h"
#include "common/memory.h"
#include "common/random.h"
#include "master/store/store_pages.h"
#include "master/store/store_schema.h"
#include "master/store/store_sqlite.h"
#include "master/store/store_wal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int code_of(sqlite3 *db)
{
    int extended = sqlite3_extended_errcode(db);
    int errno_value = sqlite3_system_errno(db);
    bool no_space = error_write_code(errno_value) == ERR_NO_SPACE;
    switch (extended & 0xff) {
    case SQLITE_FULL:
        return ERR_NO_SPACE;
    case SQLITE_IOERR:
        if (extended == SQLITE_IOERR_DATA)
            return ERR_CORRUPT;
        /* After a failed fsync nobody knows what reached the disk, whatever the reason. */
        if (extended == SQLITE_IOERR_FSYNC || extended == SQLITE_IOERR_DIR_FSYNC)
            return ERR_IO;
        return no_space ? ERR_NO_SPACE : ERR_IO;
    case SQLITE_CANTOPEN:
        if (no_space)
            return ERR_NO_SPACE;
        return errno_value == EACCES || errno_value == EROFS ? ERR_DENIED : ERR_IO;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return ERR_DENIED;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_REFUSED;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR: /* our SQL is fixed: the schema is not what it says */
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
        return ERR_CORRUPT;
    default:
        return ERR_IO;
    }
}

int store_fail(const char *path, sqlite3 *db, const char *what, struct error *error)
{
    int errno_value = sqlite3_system_errno(db);
    int code = code_of(db);
    if (errno_value != 0 && (code == ERR_IO || code == ERR_NO_SPACE || code == ERR_DENIED))
        return error_set_errno(
            error, code, errno_value, "%s: %s: %s", path, what, sqlite3_errmsg(db));
    if (store_pages_damaged(db))
        return error_set(error, code,
            "%s: damaged (%s): a page is not as it was written; restore a backup, or, when another "
            "program changed the file on purpose, remove %s-seal and start again",
            path, what, path);
    return error_set(error, code, "%s: %s: %s%s", path, what, sqlite3_errmsg(db),
        code == ERR_CORRUPT ? "; restore a backup" : "");
}

int store_exec(const char *path, sqlite3 *db, const char *sql, struct error *error)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return 0;
    return store_fail(path, db, "cannot be set up", error);
}

static uint32_t big_endian(const unsigned char *bytes, int count)
{
    uint32_t number = 0;
    for (int i = 0; i < count; i++)
        number = number << 8 | bytes[i];
    return number;
}

static int newest_version(void)
{
    return store_schema[store_schema_count - 1].version;
}

static int check_identity(
    const char *path, uint32_t application, uint32_t version, struct error *error)
{
    if (application != STORE_APPLICATION_ID)
        return error_set(error, ERR_REFUSED,
            "%s: a database of another program, not a store of reeve; give the master a folder of "
            "its own",
            path);
    if (version > (uint32_t)newest_version())
        return error_set(error, ERR_VERSION,
            "%s: written by a later version of reeve (its format is %u, this program knows up to "
            "%d); start that version",
            path, version, newest_version());
    if (version == 0)
        return error_set(
            error, ERR_CORRUPT, "%s: damaged: it has no version; restore a backup", path);
    return 0;
}

/* The database header: SQLite's "Database File Format", section 1.3. */
static int check_header(
    const char *path, const unsigned char header[100], off_t size, struct error *error)
{
    enum { PAGE_SIZE = 16, PAGE_COUNT = 28, VERSION = 60, APPLICATION = 68 };
    if (memcmp(header, "SQLite format 3", 16) != 0)
        return error_set(error, ERR_REFUSED,
            "%s: not a store of reeve, or damaged; give the master a folder of its own, or restore "
            "a backup",
            path);
    int rc = check_identity(
        path, big_endian(header + APPLICATION, 4), big_endian(header + VERSION, 4), error);
    if (rc != 0)
        return rc;
    off_t page_size = (off_t)big_endian(header + PAGE_SIZE, 2);
    off_t expected =
        (page_size == 1 ? 65536 : page_size) * (off_t)big_endian(header + PAGE_COUNT, 4);
    /* While a write-ahead log is there the file may still have to grow to what its header says. */
    char *wal = xasprintf("%s-wal", path);
    struct stat status;
    bool logged = stat(wal, &status) == 0 && status.st_size > 0;
    free(wal);
    if (size < expected && !logged)
        return error_set(error, ERR_CORRUPT,
            "%s: damaged: it is cut off (%lld of %lld bytes are there); restore a backup", path,
            (long long)size, (long long)expected);
    return 0;
}

static int check_missing(const char *path, struct error *error)
{
    char *wal = xasprintf("%s-wal", path);
    struct stat status;
    int rc = 0;
    /* sqlite would replay it into a new database. */
    if (stat(wal, &status) == 0 && status.st_size > 0)
        rc = error_set(error, ERR_CORRUPT,
            "%s: not there, but its write-ahead log is (%s); restore the one or move the other "
            "away",
            path, wal);
    free(wal);
    return rc;
}

int store_check_file(const char *path, bool *ret_exists, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        *ret_exists = false;
        return check_missing(path, error);
    }
    if (fd < 0)
        return error_set_errno(error, errno == EACCES ? ERR_DENIED : ERR_IO, errno, "%s", path);
    unsigned char header[100];
    struct stat status;
    int rc = 0;
    if (fstat(fd, &status) != 0)
        rc = error_set_errno(error, ERR_IO, errno, "%s", path);
    else if (!S_ISREG(status.st_mode))
        rc = error_set(error, ERR_REFUSED, "%s: not a regular file", path);
    else if (pread(fd, header, sizeof header, 0) != (ssize_t)sizeof header)
        rc = error_set(
            error, ERR_CORRUPT, "%s: damaged: too short for a store; restore a backup", path);
    else
        rc = check_header(path, header, status.st_size, error);
    (void)close(fd);
    if (rc == 0)
        rc = store_check_wal(path, error);
    if (rc == 0)
        *ret_exists = true;
    return rc;
}

static int read_pragma(sqlite3 *db, const char *sql, uint32_t *ret_value)
{
    sqlite3_stmt *statement;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (rc != SQLITE_OK)
        return rc;
    rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        *ret_value = (uint32_t)sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int take_step(
    const char *path, sqlite3 *db, const struct schema_step *step, struct error *error)
{
    char version[64];
    (void)snprintf(version, sizeof version, "PRAGMA user_version = %d", step->version);
    int rc = store_exec(path, db, "BEGIN IMMEDIATE", error);
    if (rc == 0)
        rc = store_exec(path, db, step->sql, error);
    if (rc == 0)
        rc = store_exec(path, db, version, error);
    if (rc == 0)
        rc = store_exec(path, db, "COMMIT", error);
    if (rc != 0) {
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
        (void)error_prefix(error, "step %d of the schema", step->version);
    }
    return rc;
}

static int take_steps(const char *path, sqlite3 *db, uint32_t version, struct error *error)
{
    bool taken = false;
    for (size_t i = 0; i < store_schema_count; i++) {
        if ((uint32_t)store_schema[i].version <= version)
            continue;
        int rc = take_step(path, db, &store_schema[i], error);
        if (rc != 0)
            return rc;
        taken = true;
    }
    /* So that the header on disk tells the version to whoever opens the file next. */
    return taken ? store_exec(path, db, "PRAGMA wal_checkpoint(TRUNCATE)", error) : 0;
}

int store_migrate(const char *path, sqlite3 *db, struct error *error)
{
    uint32_t application = 0, version = 0;
    if (read_pragma(db, "PRAGMA application_id", &application) != SQLITE_OK ||
        read_pragma(db, "PRAGMA user_version", &version) != SQLITE_OK)
        return store_fail(path, db, "cannot be read", error);
    int rc = check_identity(path, application, version, error);
    return rc != 0 ? rc : take_steps(path, db, version, error);
}

/* A random UUID, version 4. */
static void make_cluster_id(char text[STORE_CLUSTER_MAX])
{
    unsigned char id[16];
    random_bytes(id, sizeof id);
    id[6] = (unsigned char)((id[6] & 0x0f) | 0x40);
    id[8] = (unsigned char)((id[8] & 0x3f) | 0x80);
    char *at = text;
    for (size_t i = 0; i < sizeof id; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        (void)snprintf(at, 3, "%02x", id[i]);
        at += 2;
    }
}

/* Everything that a store has at its birth, into the open empty file. */
static int fill_new(const char *path, sqlite3 *db, struct error *error)
{
    char cluster[STORE_CLUSTER_MAX];
    char sql[256];
    make_cluster_id(cluster);
    (void)snprintf(sql, sizeof sql, "PRAGMA synchronous = FULL; PRAGMA application_id = %d",
        (int)STORE_APPLICATION_ID);
    int rc = store_exec(path, db, sql, error);
    if (rc == 0)
        rc = take_steps(path, db, 0, error);
    (void)snprintf(sql, sizeof sql,
        "INSERT INTO meta (id, cluster, created_at, epoch, leader, led_at, batch) VALUES (1, '%s', "
        "%lld, 0, 0, 0, 0)",
        cluster, (long long)clock_wall_ms());
    if (rc == 0)
        rc = store_exec(path, db, sql, error);
    if (rc == 0)
        rc = store_exec(path, db, "PRAGMA journal_mode = WAL", error);
    return rc;
}

static int make_new(const char *path, struct error *error)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(error,
            error_write_code(errno) == ERR_NO_SPACE ? ERR_NO_SPACE : ERR_DENIED, errno,
            "%s: cannot be made", path);
    (void)close(fd);
    sqlite3 *db = NULL;
    int rc = 0;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
            store_pages_vfs()) != SQLITE_OK ||
        store_pages_reserve(db) != SQLITE_OK)
        rc = store_fail(path, db, "cannot be opened", error);
    if (rc == 0)
        rc = fill_new(path, db, error);
    (void)sqlite3_close(db);
    return rc;
}

int store_create_file(const char *folder, const char *path, struct error *error)
{
    static const char *const suffixes[] = {"", "-journal", "-wal", "-shm"};
    char *temporary = xasprintf("%s.new", path);
    /* What a crash left: sqlite would take an old journal for the new file's. */
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        char *leftover = xasprintf("%s%s", temporary, suffixes[i]);
        (void)unlink(leftover);
        free(leftover);
    }
    int rc = make_new(temporary, error);
    if (rc == 0 && rename(temporary, path) != 0)
        rc = error_set_errno(error, ERR_IO, errno, "%s: rename failed", path);
    if (rc == 0)
        rc = file_sync_folder(folder, error);
    if (rc != 0)
        (void)unlink(temporary);
    free(temporary);
    return rc;
}
