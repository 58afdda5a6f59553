/*
 * The files that a worker, a master and a user keep, with any bytes in them: the first byte says
 * which one. What is refused names the file; what is taken is within its bounds.
 */
#include "cli/joined.h"
#include "common/arena.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/memory.h"
#include "master/store/store_seal.h"
#include "master/store/store_wal.h"
#include "proto/proto.h"
#include "worker/io/identity.h"
#include "worker/io/results_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char home[] = "/tmp/reeve-fuzz-XXXXXX";
static char path[128];

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
    char masters[128];
    (void)argc;
    (void)argv;
    hash_start();
    demand(mkdtemp(home) != NULL && atexit(clear_up) == 0);
    (void)snprintf(masters, sizeof masters, "%s/reeve/masters", home);
    (void)snprintf(path, sizeof path, "%s/lab", masters);
    demand(setenv("XDG_CONFIG_HOME", home, 1) == 0);
    demand(file_make_folder(masters, 0700, NULL) == 0);
    return 0;
}

static void write_file(struct slice bytes)
{
    FILE *file = fopen(path, "we");
    demand(file != NULL && fchmod(fileno(file), 0600) == 0);
    demand(fwrite(bytes.ptr, 1, bytes.length, file) == bytes.length);
    demand(fclose(file) == 0);
}

/* Refused means: by this file's name. */
static bool is_taken(int rc, const struct error *error)
{
    demand(rc == 0 || strstr(error->text, path) != NULL);
    return rc == 0;
}

static void read_key(struct slice bytes)
{
    struct error error = {0};
    struct key_pair pair;
    write_file(bytes);
    if (is_taken(key_pair_load(path, &pair, &error), &error))
        demand(key_pair_is_valid(&pair));
}

static void read_joined(struct slice bytes)
{
    struct error error = {0};
    struct joined joined;
    write_file(bytes);
    if (is_taken(joined_read("lab", &joined, &error), &error))
        demand(joined.address_count > 0 && joined.address_count <= TOKEN_ADDRESSES_MAX);
}

/* One of the three files that say who this worker is; the others are not there. */
static void read_identity(struct slice bytes, struct folder folder)
{
    struct error error = {0};
    struct identity identity;
    struct key_pair pair;
    char key[128];
    (void)snprintf(key, sizeof key, "%s/key", home);
    folder.key = key;
    demand(key_pair_load_or_make(key, &pair, NULL) == 0);
    write_file(bytes);
    if (is_taken(identity_load(&identity, &folder, &error), &error))
        demand(strlen(identity.cluster) <= CLUSTER_MAX_BYTES);
}

static void read_leader(struct slice bytes)
{
    read_identity(bytes, (struct folder){.leader = path, .runner = home + 1, .dead = home + 1});
}

static void read_runner(struct slice bytes)
{
    read_identity(bytes, (struct folder){.leader = home + 1, .runner = path, .dead = home + 1});
}

/* ---- the journal of results ---- */

static int take_frame(void *context, struct slice frame, struct error *error)
{
    struct arena arena = {0};
    struct frame_reader reader;
    struct message message;
    int rc = frame_open_host(frame, &arena, &reader, error);
    size_t *count = context;
    while (rc == 0 && frame_next(&reader, &message, NULL) == 1)
        ++*count;
    arena_fini(&arena);
    return rc;
}

static void read_results(struct slice bytes)
{
    struct error error = {0};
    size_t count = 0, length = 0;
    int rc = results_file_read(bytes, take_frame, &count, &length, &error);
    demand(rc != 0 || (length >= RESULTS_FILE_HEAD && length <= bytes.length));
    demand(rc == 0 || error.text[0] != '\0');
}

static int count_frame(void *context, struct slice frame, struct error *error)
{
    (void)frame;
    (void)error;
    ++*(size_t *)context;
    return 0;
}

/* The input as the frames of a sound journal: a length, and so many bytes. Cut off anywhere, it
 * gives what is whole before that place. */
static void read_torn_results(struct slice bytes)
{
    struct buffer file = {0};
    size_t cut = bytes.length > 0 ? RESULTS_FILE_HEAD + 4u * (unsigned char)bytes.ptr[0] : 0;
    size_t whole = 0, count = 0, end = 0;
    results_file_begin(&file);
    for (size_t at = 1; at < bytes.length;) {
        size_t length = (unsigned char)bytes.ptr[at++];
        length = length < bytes.length - at ? length : bytes.length - at;
        size_t from = file.length;
        results_file_append(&file, slice_make(bytes.ptr + at, length));
        results_file_seal(&file, from, from);
        whole += file.length <= cut;
        at += length;
    }
    struct slice torn = slice_make(file.data, cut < file.length ? cut : file.length);
    if (torn.length >= RESULTS_FILE_HEAD) {
        demand(results_file_read(torn, count_frame, &count, &end, NULL) == 0);
        demand(count == whole && end <= torn.length);
    }
    buffer_fini(&file);
}

/* ---- beside the master's store ---- */

static void read_log(struct slice bytes)
{
    struct error error = {0};
    char store[sizeof path + 1], log[sizeof store + 4];
    (void)snprintf(store, sizeof store, "%s/s", home);
    (void)snprintf(log, sizeof log, "%s-wal", store);
    write_file(bytes);
    demand(rename(path, log) == 0);
    int rc = store_check_wal(store, &error);
    demand(rc == 0 || (rc == ERR_CORRUPT && strstr(error.text, log) != NULL));
}

static void read_seal(struct slice bytes)
{
    struct error error = {0};
    char store[sizeof path + 1];
    (void)snprintf(store, sizeof store, "%s/t", home);
    char seal[sizeof store + 5];
    (void)snprintf(seal, sizeof seal, "%s-seal", store);
    write_file(bytes);
    demand(rename(path, seal) == 0);
    /* The store itself is not there: what the seal allows is refused for that. */
    int rc = store_seal_check(store, &error);
    demand(rc != 0 && strstr(error.text, store) != NULL);
}

static void (*const readers[])(struct slice bytes) = {
    read_key,
    read_joined,
    read_leader,
    read_runner,
    read_results,
    read_torn_results,
    read_log,
    read_seal,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *bytes = xmalloc(size);
    memcpy(bytes, data + 1, size - 1);
    readers[data[0] % (sizeof readers / sizeof readers[0])](slice_make(bytes, size - 1));
    free(bytes);
    return 0;
}
