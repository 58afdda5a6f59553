/*
 * Files on their way from a master that this test plays, over a real socket.
 */
#include "worker/io/fetch.h"

#include "common/file.h"
#include "common/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MAX = 3000, MEBIBYTE = 1024 * 1024 };

/* A content that the master has, and what came of its fetch. */
struct content {
    struct fixture *fixture;
    struct hash hash;
    struct slice bytes; /* owned */
    char path[64];
    bool answered;
    struct error error;
};

struct fixture {
    char folder[32];
    struct loop *loop;
    /* The worker. */
    struct bulk *bulk;
    struct jobs *jobs;
    struct fetcher *fetcher;
    uint64_t now_ms;
    size_t answered, wanted;
    /* The master. */
    struct transport *server;
    struct arena arena;
    struct content contents[FILES_MAX];
    size_t content_count;
    size_t piece_bytes; /* of an answer at most */
    size_t frames, reads, asked_bytes;
    bool deaf;
    bool spoils; /* answers with other bytes */
};

/* ---- the master ---- */

static struct content *find(struct fixture *f, struct slice hash)
{
    for (size_t i = 0; i < f->content_count; i++) {
        if (memcmp(f->contents[i].hash.bytes, hash.ptr, HASH_BYTES) == 0)
            return &f->contents[i];
    }
    return NULL;
}

static void say(struct fixture *f, transport_peer peer, enum message_id number, const void *body)
{
    struct buffer frame = {0};
    struct frame_header header = {.epoch = 1};
    frame_begin(&frame, &header);
    message_encode(&frame, number, body);
    transport_send(f->server, peer, buffer_slice(&frame));
    buffer_fini(&frame);
}

static void answer(struct fixture *f, transport_peer peer, const struct msg_blob_read *read)
{
    const struct content *content = find(f, read->hash);
    if (content == NULL) {
        say(f, peer, MESSAGE_refused,
            &(struct msg_refused){
                .request = read->request, .code = ERR_NOT_FOUND, .text = slice_of("not here")});
        return;
    }
    size_t length = content->bytes.length - (size_t)read->offset;
    if (length > read->limit)
        length = read->limit;
    if (length > f->piece_bytes)
        length = f->piece_bytes;
    char *data = xstrndup(content->bytes.ptr + read->offset, length);
    if (f->spoils && length > 0)
        data[length - 1] ^= 1;
    say(f, peer, MESSAGE_blob_data,
        &(struct msg_blob_data){.request = read->request,
            .hash = read->hash,
            .offset = read->offset,
            .data = slice_make(data, length),
            .bytes = content->bytes.length});
    free(data);
}

static void on_frame(void *context, transport_peer peer, struct slice frame)
{
    struct fixture *f = context;
    struct frame_reader reader;
    struct message message;
    arena_reset(&f->arena);
    f->frames++;
    assert_int_equal(frame_open(frame, &f->arena, &reader, NULL), 0);
    while (frame_next(&reader, &message, NULL) == 1) {
        assert_int_equal(message.number, MESSAGE_blob_read);
        f->reads++;
        f->asked_bytes += ((const struct msg_blob_read *)message.body)->limit;
        if (!f->deaf)
            answer(f, peer, message.body);
    }
}

/* ---- the worker ---- */

static int connect_bulk(void *context, transport_frame_fn frame, void *frame_context,
    struct transport **ret_transport, struct error *error)
{
    const struct fixture *f = context;
    char endpoint[64];
    (void)snprintf(endpoint, sizeof endpoint, "ipc://%s/bulk.sock", f->folder);
    return transport_connect(f->loop, endpoint, frame, frame_context, ret_transport, error);
}

static bool on_round(void *context)
{
    struct fixture *f = context;
    (void)jobs_take(f->jobs);
    fetcher_pump(f->fetcher, f->now_ms);
    bulk_flush(f->bulk);
    if (f->answered == f->wanted || (f->deaf && f->frames > 0))
        loop_stop(f->loop);
    return false;
}

static int set_up(void **state)
{
    char endpoint[64];
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    f->now_ms = 1000;
    f->piece_bytes = MEBIBYTE;
    (void)snprintf(f->folder, sizeof f->folder, "/tmp/reeve-XXXXXX");
    if (mkdtemp(f->folder) == NULL || loop_create(&f->loop, NULL) != 0)
        return -1;
    (void)snprintf(endpoint, sizeof endpoint, "ipc://%s/bulk.sock", f->folder);
    if (transport_bind(f->loop, endpoint, on_frame, f, &f->server, NULL) != 0)
        return -1;
    loop_on_round(f->loop, on_round, f);
    f->jobs = jobs_create(f->loop);
    f->bulk = bulk_create(connect_bulk, f);
    f->fetcher = fetcher_create(f->bulk, f->jobs);
    return bulk_renew(f->bulk, 7, NULL);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    jobs_destroy(f->jobs);
    fetcher_destroy(f->fetcher);
    bulk_destroy(f->bulk);
    transport_destroy(f->server);
    loop_destroy(f->loop);
    arena_fini(&f->arena);
    for (size_t i = 0; i < f->content_count; i++)
        slice_free(&f->contents[i].bytes);
    int rc = file_remove_tree(f->folder, NULL);
    free(f);
    return rc;
}

/* The master has a file of so many bytes; files differ. */
static struct content *add(struct fixture *f, size_t length)
{
    assert_true(f->content_count < FILES_MAX);
    struct content *content = &f->contents[f->content_count];
    char *bytes = malloc(length + 1);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (char)(i * 7 + i / 256 + f->content_count * (i < 8));
    if (length >= sizeof f->content_count)
        memcpy(bytes, &f->content_count, sizeof f->content_count);
    content->fixture = f;
    content->bytes = slice_make(bytes, length);
    hash_of(content->bytes, &content->hash);
    char *path = xasprintf("%s/%zu", f->folder, f->content_count++);
    assert_true(strlen(path) < sizeof content->path);
    memcpy(content->path, path, strlen(path) + 1);
    free(path);
    return content;
}

static void on_done(void *context, const struct error *error)
{
    struct content *content = context;
    assert_false(content->answered);
    content->answered = true;
    content->fixture->answered++;
    if (error != NULL)
        content->error = *error;
}

static void get(struct fixture *f, struct content *content, int64_t size)
{
    struct fetch_wish wish = {.hash = content->hash, .size = size, .path = content->path};
    fetcher_get(f->fetcher, &wish, on_done, content);
    f->wanted++;
}

static void assert_there(const struct content *content)
{
    struct buffer read = {0};
    struct stat status;
    assert_int_equal(content->error.code, 0);
    assert_int_equal(file_read(content->path, content->bytes.length + 1, &read, NULL), 0);
    assert_true(slice_equal(buffer_slice(&read), content->bytes));
    assert_int_equal(stat(content->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0400);
    buffer_fini(&read);
}

static void fetch_brings_the_whole_content_read_only(void **state)
{
    struct fixture *f = *state;
    struct content *known = add(f, 3 * MEBIBYTE + 5), *unknown = add(f, 2 * MEBIBYTE + 1);
    get(f, known, (int64_t)known->bytes.length);
    get(f, unknown, FETCH_SIZE_UNKNOWN);
    loop_run(f->loop);
    assert_there(known);
    assert_there(unknown);
}

static void fetch_of_an_empty_file_makes_one(void **state)
{
    struct fixture *f = *state;
    struct content *known = add(f, 0);
    get(f, known, 0);
    loop_run(f->loop);
    assert_there(known);
}

static void fetch_answered_in_small_pieces_goes_on(void **state)
{
    struct fixture *f = *state;
    struct content *content = add(f, 10500);
    f->piece_bytes = 1000;
    get(f, content, FETCH_SIZE_UNKNOWN);
    loop_run(f->loop);
    assert_there(content);
    assert_int_equal(f->reads, 11);
}

static void fetch_of_many_small_files_takes_few_round_trips(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < FILES_MAX; i++)
        get(f, add(f, 100 + i % 50), (int64_t)(100 + i % 50));
    loop_run(f->loop);
    for (size_t i = 0; i < FILES_MAX; i++)
        assert_there(&f->contents[i]);
    assert_int_equal(f->reads, FILES_MAX);
    assert_true(f->frames < FILES_MAX / 4);
}

static void fetch_asks_for_no_more_than_its_window(void **state)
{
    struct fixture *f = *state;
    f->deaf = true;
    get(f, add(f, 64 * MEBIBYTE), 64 * MEBIBYTE);
    loop_run(f->loop);
    assert_true(f->asked_bytes <= 4 * MEBIBYTE);
}

static void fetch_goes_on_over_another_connection(void **state)
{
    struct fixture *f = *state;
    struct content *content = add(f, 9 * MEBIBYTE);
    f->deaf = true;
    get(f, content, (int64_t)content->bytes.length);
    loop_run(f->loop);
    assert_false(content->answered);
    assert_false(fetcher_is_stuck(f->fetcher, f->now_ms + 20000));
    assert_true(fetcher_is_stuck(f->fetcher, f->now_ms + 40000));
    f->deaf = false;
    assert_int_equal(bulk_renew(f->bulk, 8, NULL), 0);
    loop_run(f->loop);
    assert_there(content);
}

static void fetch_of_other_content_is_refused_and_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct content *small = add(f, 100), *large = add(f, 2 * MEBIBYTE);
    f->spoils = true;
    get(f, small, 100);
    get(f, large, 2 * MEBIBYTE);
    loop_run(f->loop);
    assert_int_equal(small->error.code, ERR_CORRUPT);
    assert_int_equal(large->error.code, ERR_CORRUPT);
    assert_int_equal(access(small->path, F_OK), -1);
    assert_int_equal(access(large->path, F_OK), -1);
}

static void fetch_of_another_size_is_refused(void **state)
{
    struct fixture *f = *state;
    struct content *content = add(f, 100);
    get(f, content, 99);
    loop_run(f->loop);
    assert_int_equal(content->error.code, ERR_CORRUPT);
}

static void fetch_of_what_the_master_lacks_says_so_and_others_go_on(void **state)
{
    struct fixture *f = *state;
    struct content *there = add(f, MEBIBYTE), missing = {.fixture = f};
    (void)snprintf(missing.path, sizeof missing.path, "%s/missing", f->folder);
    get(f, &missing, 3 * MEBIBYTE);
    get(f, there, MEBIBYTE);
    loop_run(f->loop);
    assert_int_equal(missing.error.code, ERR_NOT_FOUND);
    assert_string_equal(missing.error.text, "not here");
    assert_there(there);
}

static void fetch_that_is_not_over_is_dropped_at_the_end(void **state)
{
    struct fixture *f = *state;
    f->deaf = true;
    for (size_t i = 0; i < 40; i++)
        get(f, add(f, MEBIBYTE), i % 2 == 0 ? MEBIBYTE : FETCH_SIZE_UNKNOWN);
    loop_run(f->loop);
    assert_int_equal(f->answered, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(fetch_brings_the_whole_content_read_only),
        TEST(fetch_of_an_empty_file_makes_one),
        TEST(fetch_answered_in_small_pieces_goes_on),
        TEST(fetch_of_many_small_files_takes_few_round_trips),
        TEST(fetch_asks_for_no_more_than_its_window),
        TEST(fetch_goes_on_over_another_connection),
        TEST(fetch_of_other_content_is_refused_and_leaves_nothing),
        TEST(fetch_of_another_size_is_refused),
        TEST(fetch_of_what_the_master_lacks_says_so_and_others_go_on),
        TEST(fetch_that_is_not_over_is_dropped_at_the_end),
    };
    hash_start();
    transport_start();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    transport_stop();
    return failed;
}
