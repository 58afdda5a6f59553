/*
 * A kept log and its index with any bytes in them, open or sealed: what is read of it lies within
 * it, goes on, and ends; and a log that is not complete can be gone on with, completed and is then
 * read whole.
 */
#include "common/arena.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/memory.h"
#include "master/store/log_file.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte's flags. MENDED: the records' checks are put right, which no chance would. */
enum { SEALED = 1, REPEATED = 2, MENDED = 4, HEAD_BYTES = 3 };

static const struct attempt_id id = {.run = 1, .task = 2, .attempt = 3};
/* A sync costs nothing in memory. */
static char shared[] = "/dev/shm/reeve-fuzz-XXXXXX", common[] = "/tmp/reeve-fuzz-XXXXXX";
static char *home = shared;

static void demand(bool holds)
{
    if (!holds)
        abort();
}

static void clear_up(void)
{
    (void)file_remove_tree(home, NULL);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    hash_start();
    if (mkdtemp(home) == NULL)
        home = mkdtemp(common);
    demand(home != NULL && atexit(clear_up) == 0);
    return 0;
}

static void put(const char *ending, struct slice bytes, mode_t mode)
{
    char *path = xasprintf("%s/logs/0000000000000001/2.0.3.%s", home, ending);
    (void)unlink(path);
    demand(file_replace(path, bytes, 0600, NULL) == 0 && chmod(path, mode) == 0);
    free(path);
}

static void mend(char *index, size_t length)
{
    struct log_record record;
    for (size_t at = LOG_INDEX_HEAD_BYTES; at + sizeof record <= length; at += sizeof record) {
        memcpy(&record, index + at, sizeof record);
        record.check =
            (uint32_t)hash_bytes(slice_make(&record, offsetof(struct log_record, check)));
        memcpy(index + at, &record, sizeof record);
    }
}

/* All of it, in pieces; returns where it ends. */
static uint64_t read_all(struct blob_store *store)
{
    struct arena arena = {0};
    struct buffer out = {0};
    uint64_t offset = 0;
    for (;;) {
        struct log_piece piece;
        struct log_range range = {id, offset, 3000};
        buffer_clear(&out);
        arena_reset(&arena);
        if (log_read(store, &range, &arena, &out, &piece, NULL) != 0)
            break;
        demand(piece.offset >= offset && piece.next == piece.offset + out.length);
        if (out.length == 0)
            break;
        for (uint32_t i = 1; i < piece.mark_count; i++)
            demand(piece.marks[i].offset >= piece.marks[i - 1].offset);
        offset = piece.next;
    }
    buffer_fini(&out);
    arena_fini(&arena);
    return offset;
}

static void go_on(struct blob_store *store)
{
    uint64_t length = 0, tail = 0;
    bool complete = false;
    (void)log_tail_offset(store, &id, 3, &tail, NULL);
    if (log_length(store, &id, &length, &complete, NULL) != 0 || complete)
        return;
    struct log_mark mark = {length, 77};
    struct log_chunk chunk = {length, 0, slice_of("and so on\n"), &mark, 1};
    if (log_append(store, &id, &chunk, NULL) != 0)
        return;
    demand(log_finish(store, &id, length + chunk.data.length, NULL) == 0);
    demand(log_length(store, &id, &length, &complete, NULL) == 0 && complete);
    demand(read_all(store) == length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct blob_store *store = NULL;
    struct buffer log = {0}, records = {0};
    char *folder = xasprintf("%s/logs/0000000000000001", home);
    if (size < HEAD_BYTES)
        goto out;
    size_t rest = size - HEAD_BYTES, index = (size_t)data[1] | (size_t)data[2] << 8;
    index = index < rest ? index : rest;
    /* A short input fills more than one stretch of checksums. */
    for (int i = 0; i < ((data[0] & REPEATED) != 0 ? 400 : 1); i++)
        buffer_append(&log, data + HEAD_BYTES + index, rest - index);
    demand(blob_open(home, &store, NULL) == 0);
    demand(mkdir(folder, 0700) == 0 || access(folder, F_OK) == 0);
    buffer_append(&records, data + HEAD_BYTES, index);
    if ((data[0] & MENDED) != 0)
        mend(records.data, index);
    put("idx", buffer_slice(&records), 0600);
    put("log", buffer_slice(&log), (data[0] & SEALED) != 0 ? 0400 : 0600);
    (void)read_all(store);
    go_on(store);
    blob_close(store);
out:
    buffer_fini(&log);
    buffer_fini(&records);
    free(folder);
    return 0;
}
