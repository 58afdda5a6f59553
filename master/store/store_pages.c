#include "master/store/store_pages.h"

#include "common/memory.h"
#include "common/table.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SUM_BYTES = 8, PAGE_MIN = 512, PAGE_MAX = 65536, RESERVED_AT = 20, PAGE_SIZE_AT = 16 };

static const char magic[16] = "SQLite format 3";

/* sqlite's own file lies behind it. */
struct page_file {
    sqlite3_file base;
    bool summed; /* its pages have checksums */
    char *page;  /* PAGE_MAX bytes */
};

static sqlite3_vfs *real_vfs; /* for xOpen; set once */

static sqlite3_file *real(sqlite3_file *file)
{
    return (sqlite3_file *)(void *)((struct page_file *)(void *)file + 1);
}

/* ---- a page ---- */

static bool is_page(int amount, sqlite3_int64 offset)
{
    return amount >= PAGE_MIN && (amount & (amount - 1)) == 0 && offset % amount == 0;
}

static uint64_t sum_of(const char *page, size_t length, sqlite3_int64 offset)
{
    uint64_t sum = hash_mix((uint64_t)offset + 1), word;
    for (size_t at = 0; at + sizeof word <= length; at += sizeof word) {
        memcpy(&word, page + at, sizeof word);
        sum = hash_mix(sum ^ word);
    }
    return sum;
}

/* A page that was never written is all zeros, and no page of a tree. */
static bool is_true(const char *page, int amount, sqlite3_int64 offset)
{
    uint64_t sum;
    size_t length = (size_t)amount - SUM_BYTES;
    memcpy(&sum, page + length, SUM_BYTES);
    if (sum == sum_of(page, length, offset))
        return true;
    return page[0] == 0 && memcmp(page, page + 1, (size_t)amount - 1) == 0;
}

static void seal(char *page, size_t size, sqlite3_int64 offset)
{
    uint64_t sum = sum_of(page, size - SUM_BYTES, offset);
    memcpy(page + size - SUM_BYTES, &sum, SUM_BYTES);
}

/* The file's first bytes say whether there is room for sums. */
static void look_at_head(
    struct page_file *file, const char *bytes, int amount, sqlite3_int64 offset)
{
    if (offset == 0 && amount > RESERVED_AT && memcmp(bytes, magic, sizeof magic) == 0)
        file->summed = bytes[RESERVED_AT] == SUM_BYTES;
}

/* ---- what differs from sqlite's own ---- */

static int page_close(sqlite3_file *file)
{
    struct page_file *pages = (struct page_file *)(void *)file;
    free(pages->page);
    return real(file)->pMethods->xClose(real(file));
}

static int page_read(sqlite3_file *file, void *bytes, int amount, sqlite3_int64 offset)
{
    struct page_file *pages = (struct page_file *)(void *)file;
    int rc = real(file)->pMethods->xRead(real(file), bytes, amount, offset);
    if (rc != SQLITE_OK)
        return rc;
    look_at_head(pages, bytes, amount, offset);
    if (pages->summed && is_page(amount, offset) && !is_true(bytes, amount, offset))
        return SQLITE_IOERR_DATA;
    return SQLITE_OK;
}

static int page_write(sqlite3_file *file, const void *bytes, int amount, sqlite3_int64 offset)
{
    struct page_file *pages = (struct page_file *)(void *)file;
    look_at_head(pages, bytes, amount, offset);
    if (pages->summed && is_page(amount, offset) && amount <= PAGE_MAX) {
        memcpy(pages->page, bytes, (size_t)amount);
        seal(pages->page, (size_t)amount, offset);
        bytes = pages->page;
    }
    return real(file)->pMethods->xWrite(real(file), bytes, amount, offset);
}

/* ---- what does not ---- */

static int page_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return real(file)->pMethods->xTruncate(real(file), size);
}

static int page_sync(sqlite3_file *file, int flags)
{
    return real(file)->pMethods->xSync(real(file), flags);
}

static int page_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
    return real(file)->pMethods->xFileSize(real(file), ret_size);
}

static int page_lock(sqlite3_file *file, int lock)
{
    return real(file)->pMethods->xLock(real(file), lock);
}

static int page_unlock(sqlite3_file *file, int lock)
{
    return real(file)->pMethods->xUnlock(real(file), lock);
}

static int page_check_lock(sqlite3_file *file, int *ret_locked)
{
    return real(file)->pMethods->xCheckReservedLock(real(file), ret_locked);
}

static int page_control(sqlite3_file *file, int operation, void *argument)
{
    return real(file)->pMethods->xFileControl(real(file), operation, argument);
}

static int page_sector_size(sqlite3_file *file)
{
    return real(file)->pMethods->xSectorSize(real(file));
}

static int page_characteristics(sqlite3_file *file)
{
    return real(file)->pMethods->xDeviceCharacteristics(real(file));
}

static int page_shm_map(
    sqlite3_file *file, int region, int size, int extend, void volatile **ret_memory)
{
    return real(file)->pMethods->xShmMap(real(file), region, size, extend, ret_memory);
}

static int page_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    return real(file)->pMethods->xShmLock(real(file), offset, count, flags);
}

static void page_shm_barrier(sqlite3_file *file)
{
    real(file)->pMethods->xShmBarrier(real(file));
}

static int page_shm_unmap(sqlite3_file *file, int remove)
{
    return real(file)->pMethods->xShmUnmap(real(file), remove);
}

/* Version 2: no memory mapping, which would go past page_read. */
static const sqlite3_io_methods page_methods = {
    .iVersion = 2,
    .xClose = page_close,
    .xRead = page_read,
    .xWrite = page_write,
    .xTruncate = page_truncate,
    .xSync = page_sync,
    .xFileSize = page_size,
    .xLock = page_lock,
    .xUnlock = page_unlock,
    .xCheckReservedLock = page_check_lock,
    .xFileControl = page_control,
    .xSectorSize = page_sector_size,
    .xDeviceCharacteristics = page_characteristics,
    .xShmMap = page_shm_map,
    .xShmLock = page_shm_lock,
    .xShmBarrier = page_shm_barrier,
    .xShmUnmap = page_shm_unmap,
};

/* Journals and logs are sqlite's alone. */
static int page_open(
    sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    (void)vfs;
    if ((flags & SQLITE_OPEN_MAIN_DB) == 0)
        return real_vfs->xOpen(real_vfs, name, file, flags, ret_flags);
    struct page_file *pages = (struct page_file *)(void *)file;
    *pages = (struct page_file){0};
    int rc = real_vfs->xOpen(real_vfs, name, real(file), flags, ret_flags);
    if (real(file)->pMethods == NULL)
        return rc;
    pages->page = xmalloc(PAGE_MAX);
    pages->base.pMethods = &page_methods;
    return rc;
}

static void register_vfs(void)
{
    static sqlite3_vfs vfs;
    real_vfs = sqlite3_vfs_find(NULL);
    if (real_vfs == NULL)
        memory_exhausted("sqlite");
    vfs = *real_vfs;
    vfs.zName = "reeve-pages";
    vfs.szOsFile += (int)sizeof(struct page_file);
    vfs.xOpen = page_open;
    if (sqlite3_vfs_register(&vfs, 0) != SQLITE_OK)
        memory_exhausted("sqlite");
}

const char *store_pages_vfs(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, register_vfs);
    return "reeve-pages";
}

int store_pages_reserve(sqlite3 *db)
{
    int bytes = SUM_BYTES;
    return sqlite3_file_control(db, "main", SQLITE_FCNTL_RESERVE_BYTES, &bytes);
}

bool store_pages_damaged(sqlite3 *db)
{
    return sqlite3_extended_errcode(db) == SQLITE_IOERR_DATA;
}

/* ---- a file that others wrote ---- */

static int seal_page(int fd, char *page, size_t size, off_t at)
{
    if (pread(fd, page, size, at) != (ssize_t)size)
        return -1;
    if (is_true(page, (int)size, at))
        return 0;
    seal(page, size, at);
    return pwrite(fd, page, size, at) == (ssize_t)size ? 0 : -1;
}

int store_pages_seal(int fd)
{
    unsigned char head[PAGE_MIN];
    struct stat status;
    if (fstat(fd, &status) != 0 || pread(fd, head, sizeof head, 0) != (ssize_t)sizeof head)
        return -1;
    size_t size = (size_t)head[PAGE_SIZE_AT] << 8 | head[PAGE_SIZE_AT + 1];
    size = size == 1 ? PAGE_MAX : size;
    if (head[RESERVED_AT] != SUM_BYTES || size < PAGE_MIN || (size & (size - 1)) != 0)
        return 0;
    char *page = xmalloc(size);
    int rc = 0;
    for (off_t at = 0; rc == 0 && at + (off_t)size <= status.st_size; at += (off_t)size)
        rc = seal_page(fd, page, size, at);
    free(page);
    return rc == 0 ? fsync(fd) : rc;
}
