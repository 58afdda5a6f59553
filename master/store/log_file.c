#include "master/store/log_file.h"

#include "common/file.h"
#include "common/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    /* Logs that are kept open when nobody uses them; at the bound the one longest unused is closed.
     */
    OPEN_LOGS_MAX = 64,
    /* Runs whose folder is known to be synced; at the bound all are forgotten, and synced once
       more. */
    SYNCED_RUNS_MAX = 65536,
};

static const char index_magic[LOG_INDEX_HEAD_BYTES + 1] = "REEVIDX1";
static const char trailer_magic[sizeof((struct log_trailer){0}.magic) + 1] = "REEVEND2";

static uint64_t check_of_record(const struct log_record *record)
{
    return hash_bytes(slice_make(record, offsetof(struct log_record, check)));
}

static uint64_t check_of_trailer(const struct log_trailer *trailer)
{
    return hash_bytes(slice_make(trailer, offsetof(struct log_trailer, check)));
}

static int fail(const struct log_file *file, struct error *error)
{
    int rc = blob_fail(file->path, error);
    /* That one of its files is not there is no answer: the log itself is. */
    return rc == ERR_NOT_FOUND ? error_set_errno(error, ERR_IO, errno, "%s", file->path) : rc;
}

static int write_at(const struct log_file *file, int fd, const void *bytes, size_t length,
    uint64_t at, struct error *error)
{
    if (lseek(fd, (off_t)at, SEEK_SET) < 0)
        return fail(file, error);
    int rc = file_write_all(fd, bytes, length, error);
    if (rc != 0)
        (void)error_prefix(error, "%s", file->path);
    return rc;
}

/* ---- the index ---- */

uint64_t log_file_record_count(const struct log_file *file)
{
    if (file->index_bytes < LOG_INDEX_HEAD_BYTES)
        return 0;
    return (file->index_bytes - LOG_INDEX_HEAD_BYTES) / sizeof(struct log_record);
}

bool log_file_record(const struct log_file *file, uint64_t i, struct log_record *ret_record)
{
    if (i >= log_file_record_count(file))
        return false;
    off_t at = (off_t)(LOG_INDEX_HEAD_BYTES + i * sizeof *ret_record);
    return pread(file->index_fd, ret_record, sizeof *ret_record, at) == (ssize_t)sizeof *ret_record;
}

/* Takes a record that was read or written into account. False when it cannot follow what came
 * before. */
static bool take_record(struct log_file *file, const struct log_record *record)
{
    /* Where the record's offset lies in the file: after it come bytes that are there, or none yet.
     */
    if (record->offset < file->skipped || record->offset - file->skipped > file->bytes)
        return false;
    if (record->kind == LOG_RECORD_GAP) {
        if (record->value > UINT64_MAX / 2 - file->skipped)
            return false;
        vector_reserve(&file->gaps, file->gap_count, &file->gap_capacity);
        file->gaps[file->gap_count++] = (struct log_gap){record->offset, record->value};
        file->skipped += record->value;
        return true;
    }
    if (record->kind == LOG_RECORD_SUM) {
        uint64_t end = ((uint64_t)file->sum_count + 1) * LOG_SUM_BYTES;
        if (record->offset - file->skipped != end)
            return false;
        vector_reserve(&file->sums, file->sum_count, &file->sum_capacity);
        file->sums[file->sum_count++] = record->value;
        return true;
    }
    if (record->kind != LOG_RECORD_MARK || record->offset < file->marked)
        return false;
    if (file->first_at == 0 || record->offset == 0)
        file->first_at = (int64_t)record->value;
    file->marked = record->offset;
    return true;
}

/* Reads the index as far as it agrees with the bytes. What follows is cut off when `mend` says so.
 */
static int load_index(struct log_file *file, bool mend, struct error *error)
{
    char *path = xasprintf("%s.idx", file->path);
    file->index_fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    free(path);
    if (file->index_fd < 0)
        return errno == ENOENT ? 0 : fail(file, error);
    struct buffer bytes = {0};
    struct stat status;
    if (fstat(file->index_fd, &status) != 0)
        return fail(file, error);
    ssize_t got = pread(file->index_fd, buffer_reserve(&bytes, (size_t)status.st_size + 1),
        (size_t)status.st_size, 0);
    int rc = got < 0 ? fail(file, error) : 0;
    if (got >= LOG_INDEX_HEAD_BYTES && memcmp(bytes.data, index_magic, LOG_INDEX_HEAD_BYTES) == 0)
        file->index_bytes = LOG_INDEX_HEAD_BYTES;
    struct log_record record;
    while (rc == 0 && file->index_bytes > 0 && (uint64_t)got - file->index_bytes >= sizeof record) {
        memcpy(&record, bytes.data + file->index_bytes, sizeof record);
        if (record.check != (uint32_t)check_of_record(&record) || !take_record(file, &record))
            break;
        file->index_bytes += sizeof record;
    }
    buffer_fini(&bytes);
    if (rc == 0 && mend && (uint64_t)status.st_size > file->index_bytes &&
        ftruncate(file->index_fd, (off_t)file->index_bytes) != 0)
        rc = fail(file, error);
    return rc;
}

static int make_index(struct log_file *file, struct error *error)
{
    if (file->index_fd < 0) {
        char *path = xasprintf("%s.idx", file->path);
        file->index_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        free(path);
        if (file->index_fd < 0)
            return fail(file, error);
    }
    if (file->index_bytes > 0)
        return 0;
    int rc = write_at(file, file->index_fd, index_magic, LOG_INDEX_HEAD_BYTES, 0, error);
    if (rc == 0)
        file->index_bytes = LOG_INDEX_HEAD_BYTES;
    return rc;
}

/* Writes records at the index's end and takes them into account. */
static int append_records(
    struct log_file *file, struct log_record *records, size_t count, struct error *error)
{
    for (size_t i = 0; i < count; i++)
        records[i].check = (uint32_t)check_of_record(&records[i]);
    int rc = make_index(file, error);
    if (rc != 0)
        return rc;
    rc = write_at(file, file->index_fd, records, count * sizeof *records, file->index_bytes, error);
    if (rc != 0) {
        /* A whole record of a torn write must not be read after what is written next. */
        if (ftruncate(file->index_fd, (off_t)file->index_bytes) != 0)
            rc = fail(file, error);
        return rc;
    }
    file->index_bytes += count * sizeof *records;
    for (size_t i = 0; i < count; i++)
        (void)take_record(file, &records[i]);
    return 0;
}

/* The first byte's mark, which stood nowhere while it was the only one: the index begins with it.
 */
static size_t begin_records(
    const struct log_file *file, bool has_first, struct log_record *ret_record)
{
    if (log_file_record_count(file) > 0 || file->first_at == 0 || has_first)
        return 0;
    *ret_record = (struct log_record){.value = (uint64_t)file->first_at, .kind = LOG_RECORD_MARK};
    return 1;
}

int log_file_add_marks(
    struct log_file *file, const struct log_mark *marks, uint32_t count, struct error *error)
{
    size_t sums = 0, most = (size_t)count + file->new_sum_count + 1;
    struct log_record *records = xcalloc(most, sizeof *records);
    size_t used = begin_records(file, count > 0 && marks[0].offset == 0, records);
    for (uint32_t i = 0; i < count; i++) {
        while (sums < file->new_sum_count && file->new_sums[sums].offset <= marks[i].offset)
            records[used++] = file->new_sums[sums++];
        records[used++] = (struct log_record){
            .offset = marks[i].offset, .value = (uint64_t)marks[i].at, .kind = LOG_RECORD_MARK};
    }
    while (sums < file->new_sum_count)
        records[used++] = file->new_sums[sums++];
    int rc = append_records(file, records, used, error);
    if (rc == 0)
        file->new_sum_count = 0;
    free(records);
    return rc;
}

/* ---- checksums ---- */

uint64_t log_file_stream_offset(const struct log_file *file, uint64_t at)
{
    uint64_t skipped = 0;
    for (size_t i = 0; i < file->gap_count && file->gaps[i].offset - skipped <= at; i++)
        skipped += file->gaps[i].skipped;
    return at + skipped;
}

static size_t whole_stretches(const struct log_file *file)
{
    return file->sum_count + file->new_sum_count;
}

void log_file_sum(struct log_file *file, struct slice data)
{
    for (size_t at = 0; at < data.length;) {
        at += log_sum_add(&file->tail, data.ptr + at, data.length - at);
        if (file->tail.bytes < LOG_SUM_BYTES)
            break;
        uint64_t end = ((uint64_t)whole_stretches(file) + 1) * LOG_SUM_BYTES;
        vector_reserve(&file->new_sums, file->new_sum_count, &file->new_sum_capacity);
        /* A gap at its end comes after it. */
        file->new_sums[file->new_sum_count++] = (struct log_record){
            .offset = log_file_stream_offset(file, end - 1) + 1,
            .value = log_sum_value(&file->tail),
            .kind = LOG_RECORD_SUM,
        };
        file->tail = (struct log_sum){0};
    }
}

/* What the file has behind the sums of its index. */
static int sum_rest(struct log_file *file, struct error *error)
{
    uint64_t at = (uint64_t)file->sum_count * LOG_SUM_BYTES;
    char *bytes = at < file->bytes ? xmalloc(LOG_SUM_BYTES) : NULL;
    int rc = 0;
    file->tail = (struct log_sum){0};
    file->new_sum_count = 0;
    while (rc == 0 && at < file->bytes) {
        uint64_t left = file->bytes - at;
        size_t wanted = left < LOG_SUM_BYTES ? (size_t)left : LOG_SUM_BYTES;
        if (pread(file->log_fd, bytes, wanted, (off_t)at) != (ssize_t)wanted)
            rc = fail(file, error);
        else
            log_file_sum(file, slice_make(bytes, wanted));
        at += wanted;
    }
    free(bytes);
    return rc;
}

bool log_file_is_true(const struct log_file *file, uint64_t at, struct slice bytes)
{
    uint64_t stretch = at / LOG_SUM_BYTES, value = log_sum_of(bytes.ptr, bytes.length);
    if (stretch < file->sum_count)
        return file->sums[stretch] == value;
    if (stretch < whole_stretches(file))
        return file->new_sums[stretch - file->sum_count].value == value;
    if (stretch != file->bytes / LOG_SUM_BYTES)
        return true;
    return value == (file->complete ? file->tail_sum : log_sum_value(&file->tail));
}

static int sync_descriptor(const struct log_file *file, int fd, struct error *error)
{
    return fsync(fd) != 0 ? fail(file, error) : 0;
}

static int sync_folder(struct blob_store *store, const struct log_file *file, struct error *error)
{
    char *slash = strrchr(file->path, '/');
    *slash = '\0';
    int rc = file_sync_folder(file->path, error);
    *slash = '/';
    if (rc != 0)
        return rc;
    (void)pthread_mutex_lock(&store->mutex);
    bool known = table_get(&store->synced_runs, file->id.run, NULL);
    (void)pthread_mutex_unlock(&store->mutex);
    if (known)
        return 0;
    rc = file_sync_folder(store->logs, error);
    if (rc != 0)
        return rc;
    (void)pthread_mutex_lock(&store->mutex);
    if (store->synced_runs.count >= SYNCED_RUNS_MAX)
        table_fini(&store->synced_runs);
    table_set(&store->synced_runs, file->id.run, 1);
    (void)pthread_mutex_unlock(&store->mutex);
    return 0;
}

int log_file_add_gap(
    struct blob_store *store, struct log_file *file, uint64_t skipped, struct error *error)
{
    struct log_record records[2] = {0};
    /* The sums that stand before it in the file stand before it in the index. */
    int rc = file->new_sum_count > 0 ? log_file_add_marks(file, NULL, 0, error) : 0;
    size_t used = begin_records(file, false, records);
    records[used++] = (struct log_record){log_file_length(file), skipped, LOG_RECORD_GAP, 0};
    if (rc == 0)
        rc = sync_descriptor(file, file->log_fd, error);
    if (rc == 0)
        rc = append_records(file, records, used, error);
    if (rc == 0)
        rc = sync_descriptor(file, file->index_fd, error);
    if (rc == 0)
        rc = sync_folder(store, file, error);
    return rc;
}

/* ---- complete or not ---- */

int log_file_seal(struct log_file *file, struct error *error)
{
    struct log_trailer trailer = {.length = log_file_length(file),
        .first_at = file->first_at,
        .sum = log_sum_value(&file->tail)};
    memcpy(trailer.magic, trailer_magic, sizeof trailer.magic);
    trailer.check = check_of_trailer(&trailer);
    int rc = file->new_sum_count > 0 ? log_file_add_marks(file, NULL, 0, error) : 0;
    if (rc != 0)
        return rc;
    if (fchmod(file->log_fd, 0400) != 0)
        return fail(file, error);
    rc = write_at(file, file->log_fd, &trailer, sizeof trailer, file->bytes, error);
    if (rc == 0) {
        file->complete = true;
        file->tail_sum = trailer.sum;
        return 0;
    }
    if (ftruncate(file->log_fd, (off_t)file->bytes) != 0 || fchmod(file->log_fd, 0600) != 0)
        rc = fail(file, error);
    return rc;
}

int log_file_sync(struct blob_store *store, struct log_file *file, struct error *error)
{
    int rc = sync_descriptor(file, file->log_fd, error);
    if (rc == 0 && file->index_fd >= 0)
        rc = sync_descriptor(file, file->index_fd, error);
    if (rc == 0)
        rc = sync_folder(store, file, error);
    return rc;
}

static void forget_index(struct log_file *file)
{
    if (file->index_fd >= 0)
        (void)close(file->index_fd);
    file->index_fd = -1;
    file->index_bytes = file->skipped = file->marked = 0;
    file->gap_count = file->sum_count = 0;
    file->first_at = 0;
}

/* A read-only file: complete when its trailer says so. */
static int load_sealed(struct log_file *file, uint64_t size, struct error *error)
{
    struct log_trailer trailer;
    if (size < sizeof trailer)
        return 0;
    file->bytes = size - sizeof trailer;
    if (pread(file->log_fd, &trailer, sizeof trailer, (off_t)file->bytes) !=
        (ssize_t)sizeof trailer)
        return fail(file, error);
    if (memcmp(trailer.magic, trailer_magic, sizeof trailer.magic) != 0 ||
        trailer.check != check_of_trailer(&trailer))
        return 0;
    int rc = load_index(file, false, error);
    if (rc != 0)
        return rc;
    if (trailer.length == log_file_length(file)) {
        file->complete = true;
        file->first_at = trailer.first_at;
        file->tail_sum = trailer.sum;
    }
    return 0;
}

/* Opens it again for writing, without what may be a part of a trailer. */
static int unseal(struct log_file *file, uint64_t size, struct error *error)
{
    uint64_t cut = size < sizeof(struct log_trailer) ? size : sizeof(struct log_trailer);
    if (fchmod(file->log_fd, 0600) != 0)
        return fail(file, error);
    char *path = xasprintf("%s.log", file->path);
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    free(path);
    if (fd < 0)
        return fail(file, error);
    (void)close(file->log_fd);
    file->log_fd = fd;
    file->bytes = size - cut;
    return ftruncate(fd, (off_t)file->bytes) != 0 ? fail(file, error) : 0;
}

static int load(struct log_file *file, struct error *error)
{
    struct stat status;
    if (fstat(file->log_fd, &status) != 0)
        return fail(file, error);
    if (!S_ISREG(status.st_mode))
        return error_set(error, ERR_CORRUPT, "%s: not a regular file", file->path);
    file->bytes = (uint64_t)status.st_size;
    int64_t modified =
        (int64_t)status.st_mtim.tv_sec * 1000 + (int64_t)(status.st_mtim.tv_nsec / 1000000);
    if ((status.st_mode & S_IWUSR) == 0) {
        int rc = load_sealed(file, file->bytes, error);
        if (rc != 0 || file->complete)
            return rc;
        forget_index(file);
        rc = unseal(file, (uint64_t)status.st_size, error);
        if (rc != 0)
            return rc;
    }
    int rc = load_index(file, true, error);
    if (rc == 0)
        rc = sum_rest(file, error);
    if (file->first_at == 0 && file->bytes > 0)
        file->first_at = modified;
    return rc;
}

/* ---- open logs ---- */

static void destroy(struct log_file *file)
{
    if (file->log_fd >= 0)
        (void)close(file->log_fd);
    if (file->index_fd >= 0)
        (void)close(file->index_fd);
    (void)pthread_mutex_destroy(&file->mutex);
    free(file->gaps);
    free(file->sums);
    free(file->new_sums);
    free(file->path);
    free(file);
}

/* Read-only files open for reading; root could write them, and must not. */
static int open_descriptor(const char *path, bool make)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat status;
    if (fd < 0 && (errno != ENOENT || !make))
        return -1;
    if (fd >= 0 && (fstat(fd, &status) != 0 || (status.st_mode & S_IWUSR) == 0))
        return fd;
    if (fd >= 0)
        (void)close(fd);
    return open(path, O_RDWR | (make ? O_CREAT : 0) | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static int open_log(struct blob_store *store, struct log_file *file, bool make, struct error *error)
{
    char *folder = xasprintf("%s/%016" PRIx64, store->logs, file->id.run);
    char *path = xasprintf("%s.log", file->path);
    int rc = 0;
    /* One that has expired is not begun again. */
    file->log_fd = open_descriptor(path, false);
    if (file->log_fd < 0 && errno == ENOENT && make && log_is_expired(store, &file->id)) {
        rc = error_set(error, ERR_REFUSED, "%s: the log has expired", path);
    } else if (file->log_fd < 0 && errno == ENOENT && make) {
        if (mkdir(folder, 0700) == 0 || errno == EEXIST)
            file->log_fd = open_descriptor(path, make);
    }
    if (file->log_fd < 0 && rc == 0)
        rc = blob_fail(path, error);
    free(path);
    free(folder);
    return rc != 0 ? rc : load(file, error);
}

static bool is_of(const struct log_file *file, const struct attempt_id *id)
{
    return file->id.run == id->run && file->id.task == id->task && file->id.map == id->map &&
           file->id.attempt == id->attempt;
}

static char *log_path(const struct blob_store *store, const struct attempt_id *id)
{
    return xasprintf(
        "%s/%016" PRIx64 "/%u.%u.%u", store->logs, id->run, id->task, id->map, id->attempt);
}

static struct log_file *find_open(struct blob_store *store, const struct attempt_id *id)
{
    for (size_t i = 0; i < store->open_count; i++) {
        if (is_of(store->open_logs[i], id))
            return store->open_logs[i];
    }
    return NULL;
}

/* Takes the log longest unused out of the open ones, or NULL. The mutex is held. */
static struct log_file *take_oldest(struct blob_store *store)
{
    size_t oldest = store->open_count;
    for (size_t i = 0; i < store->open_count; i++) {
        if (store->open_logs[i]->users == 0 &&
            (oldest == store->open_count ||
                store->open_logs[i]->last_use < store->open_logs[oldest]->last_use))
            oldest = i;
    }
    if (oldest == store->open_count)
        return NULL;
    struct log_file *file = store->open_logs[oldest];
    store->open_logs[oldest] = store->open_logs[--store->open_count];
    return file;
}

/* The mutex is held, so that nobody mends a log that another one has just begun to write. */
static int open_new(struct blob_store *store, const struct attempt_id *id, bool make,
    struct log_file **ret_file, struct error *error)
{
    struct log_file *file = xcalloc(1, sizeof *file);
    file->id = *id;
    file->log_fd = file->index_fd = -1;
    file->path = log_path(store, id);
    (void)pthread_mutex_init(&file->mutex, NULL);
    int rc = open_log(store, file, make, error);
    if (rc != 0) {
        destroy(file);
        return rc;
    }
    vector_reserve(&store->open_logs, store->open_count, &store->open_capacity);
    store->open_logs[store->open_count++] = file;
    *ret_file = file;
    return 0;
}

int log_file_acquire(struct blob_store *store, const struct attempt_id *id, bool make,
    struct log_file **ret_file, struct error *error)
{
    (void)pthread_mutex_lock(&store->mutex);
    struct log_file *file = find_open(store, id);
    int rc = file != NULL ? 0 : open_new(store, id, make, &file, error);
    if (rc == 0)
        file->users++;
    (void)pthread_mutex_unlock(&store->mutex);
    if (rc != 0)
        return rc;
    (void)pthread_mutex_lock(&file->mutex);
    *ret_file = file;
    return 0;
}

void log_file_release(struct blob_store *store, struct log_file *file)
{
    (void)pthread_mutex_unlock(&file->mutex);
    (void)pthread_mutex_lock(&store->mutex);
    file->users--;
    file->last_use = ++store->uses;
    struct log_file *oldest = store->open_count > OPEN_LOGS_MAX ? take_oldest(store) : NULL;
    bool gone = file->removed && file->users == 0;
    (void)pthread_mutex_unlock(&store->mutex);
    if (oldest != NULL)
        destroy(oldest);
    if (gone)
        destroy(file);
}

static void remove_file(const char *log, const char *ending)
{
    char *path = xasprintf("%s.%s", log, ending);
    (void)unlink(path);
    free(path);
}

/* The mutex is held. */
static struct log_file *take_open(struct blob_store *store, const struct attempt_id *id)
{
    for (size_t i = 0; i < store->open_count; i++) {
        struct log_file *file = store->open_logs[i];
        if (!is_of(file, id))
            continue;
        store->open_logs[i] = store->open_logs[--store->open_count];
        return file;
    }
    return NULL;
}

void log_file_remove(struct blob_store *store, const struct attempt_id *id)
{
    char *path = log_path(store, id);
    (void)pthread_mutex_lock(&store->mutex);
    struct log_file *file = take_open(store, id);
    bool unused = file != NULL && file->users == 0;
    if (file != NULL)
        file->removed = true;
    remove_file(path, "log");
    remove_file(path, "idx");
    (void)pthread_mutex_unlock(&store->mutex);
    if (unused)
        destroy(file);
    free(path);
}

void log_files_close(struct blob_store *store)
{
    for (size_t i = 0; i < store->open_count; i++)
        destroy(store->open_logs[i]);
    free(store->open_logs);
}
