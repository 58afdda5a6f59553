/*
 * Logs and files on their way to a master that this test plays, over a real socket.
 */
#include "worker/io/ship.h"

#include "common/file.h"
#include "common/transport/transport.h"
#include "worker/io/blob_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct attempt_id id = {.run = 1, .task = 2, .attempt = 3};

enum { CREDIT_BYTES = 100000, HEARD_MAX = 400 };

struct fixture {
    char folder[32];
    struct loop *loop;
    /* The worker. */
    struct bulk *bulk;
    struct ship *ship;
    struct blob_client *blobs;
    struct stream *stream;
    uint64_t now_ms;
    /* The master. */
    struct transport *server;
    transport_peer peer;
    struct arena arena;
    uint32_t heard[HEARD_MAX]; /* numbers of messages, in order */
    size_t heard_count;
    struct buffer log;  /* what came of the log */
    struct buffer blob; /* what came of an upload */
    uint64_t log_skipped;
    uint64_t credit;      /* given and not used */
    uint64_t begin_at;    /* answered to log_open */
    uint64_t end_bytes;   /* of log_end */
    bool deaf;            /* answers nothing */
    bool gives_no_credit; /* after the first */
    /* What is waited for. */
    uint32_t until;
    bool awaits_removal; /* of the spool */
    bool done;
    struct error error;
};

/* ---- the master ---- */

static void say(struct fixture *f, enum message_id number, const void *body)
{
    struct buffer frame = {0};
    struct frame_header header = {.epoch = 1};
    frame_begin(&frame, &header);
    message_encode(&frame, number, body);
    transport_send(f->server, f->peer, buffer_slice(&frame));
    buffer_fini(&frame);
}

static void give_credit(struct fixture *f, uint64_t bytes)
{
    f->credit += bytes;
    say(f, MESSAGE_credit, &(struct msg_credit){bytes});
}

static void take_chunk(struct fixture *f, struct slice data)
{
    assert_true(data.length <= f->credit);
    f->credit -= data.length;
    if (!f->gives_no_credit)
        give_credit(f, data.length);
}

static void take_log_chunk(struct fixture *f, const struct msg_log_chunk *chunk)
{
    assert_int_equal(chunk->offset, f->begin_at + f->log.length + f->log_skipped);
    f->log_skipped += chunk->skipped;
    buffer_append_slice(&f->log, chunk->data);
    take_chunk(f, chunk->data);
}

static void take(struct fixture *f, const struct message *message)
{
    switch (message->number) {
    case MESSAGE_log_open:
        say(f, MESSAGE_log_have, &(struct msg_log_have){.id = id, .offset = f->begin_at});
        break;
    case MESSAGE_log_chunk:
        take_log_chunk(f, message->body);
        break;
    case MESSAGE_log_end:
        f->end_bytes = ((const struct msg_log_end *)message->body)->bytes;
        say(f, MESSAGE_log_have,
            &(struct msg_log_have){.id = id, .offset = f->end_bytes, .kept = true});
        break;
    case MESSAGE_blob_offer:
        say(f, MESSAGE_blob_want,
            &(struct msg_blob_want){((const struct msg_blob_offer *)message->body)->hash, 0});
        break;
    case MESSAGE_blob_chunk:
        buffer_append_slice(&f->blob, ((const struct msg_blob_chunk *)message->body)->data);
        take_chunk(f, ((const struct msg_blob_chunk *)message->body)->data);
        break;
    default:
        fail();
    }
}

static void on_frame(void *context, transport_peer peer, struct slice frame)
{
    struct fixture *f = context;
    struct frame_reader reader;
    struct message message;
    arena_reset(&f->arena);
    assert_int_equal(frame_open(frame, &f->arena, &reader, NULL), 0);
    while (frame_next(&reader, &message, NULL) == 1) {
        assert_true(f->heard_count < HEARD_MAX);
        f->heard[f->heard_count++] = message.number;
        bool first = peer != f->peer;
        f->peer = peer;
        if (first)
            give_credit(f, CREDIT_BYTES);
        if (!f->deaf)
            take(f, &message);
        if (message.number == f->until)
            f->done = true;
    }
}

/* ---- the worker ---- */

static bool spool_is_there(const struct fixture *f)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/0000000000000001.2.0.3", f->folder);
    return access(path, F_OK) == 0;
}

static bool on_round(void *context)
{
    struct fixture *f = context;
    ship_pump(f->ship, f->now_ms);
    blob_client_pump(f->blobs, f->now_ms);
    bulk_flush(f->bulk);
    if (f->done || (f->awaits_removal && !spool_is_there(f)))
        loop_stop(f->loop);
    return false;
}

static int connect_bulk(void *context, transport_frame_fn frame, void *frame_context,
    struct transport **ret_transport, struct error *error)
{
    const struct fixture *f = context;
    char endpoint[64];
    (void)snprintf(endpoint, sizeof endpoint, "ipc://%s/bulk.sock", f->folder);
    return transport_connect(f->loop, endpoint, frame, frame_context, ret_transport, error);
}

static int set_up(void **state)
{
    char endpoint[64];
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    f->now_ms = 1000;
    (void)snprintf(f->folder, sizeof f->folder, "/tmp/reeve-XXXXXX");
    if (mkdtemp(f->folder) == NULL || loop_create(&f->loop, NULL) != 0)
        return -1;
    (void)snprintf(endpoint, sizeof endpoint, "ipc://%s/bulk.sock", f->folder);
    if (transport_bind(f->loop, endpoint, on_frame, f, &f->server, NULL) != 0)
        return -1;
    loop_on_round(f->loop, on_round, f);
    f->bulk = bulk_create(connect_bulk, f);
    f->ship = ship_create(f->bulk);
    f->blobs = blob_client_create(f->bulk);
    return bulk_renew(f->bulk, 7, NULL);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    blob_client_destroy(f->blobs);
    ship_destroy(f->ship);
    bulk_destroy(f->bulk);
    transport_destroy(f->server);
    loop_destroy(f->loop);
    arena_fini(&f->arena);
    buffer_fini(&f->log);
    buffer_fini(&f->blob);
    int rc = file_remove_tree(f->folder, NULL);
    free(f);
    return rc;
}

/* Runs until the master has heard this message. */
static void run_until(struct fixture *f, uint32_t number)
{
    f->until = number;
    f->done = false;
    loop_run(f->loop);
}

static size_t heard(const struct fixture *f, uint32_t number)
{
    size_t count = 0;
    for (size_t i = 0; i < f->heard_count; i++)
        count += f->heard[i] == number;
    return count;
}

/* A spool of so many bytes, letters one after another. */
static void fill(struct fixture *f, size_t length, bool begun)
{
    struct spool spool;
    int ends[2];
    char piece[4096];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(spool_open(&spool, f->folder, &id, NULL), 0);
    while (length > 0) {
        size_t size = length < sizeof piece ? length : sizeof piece;
        for (size_t i = 0; i < size; i++)
            piece[i] = (char)('a' + (spool.length + i) % 26);
        assert_int_equal(write(ends[1], piece, size), (ssize_t)size);
        assert_int_equal(spool_take(&spool, ends[0], f->now_ms, NULL), SPOOL_EMPTY);
        length -= size;
    }
    (void)close(ends[0]);
    (void)close(ends[1]);
    f->stream = ship_add(f->ship, &id, &spool, begun);
    ship_grown(f->ship, f->stream);
}

static void assert_log(const struct fixture *f, size_t length)
{
    assert_int_equal(f->log.length, length);
    for (size_t i = 0; i < length; i++)
        assert_int_equal(f->log.data[i], 'a' + (f->begin_at + i) % 26);
}

/* ---- logs ---- */

static void ship_counts_what_lies_on_disk(void **state)
{
    struct fixture *f = *state;
    f->deaf = true;
    fill(f, 5000, false);
    assert_int_equal(ship_bytes(f->ship), 5000);
    assert_int_equal(ship_count(f->ship), 1);
    ship_drop(f->ship, f->stream);
    assert_int_equal(ship_bytes(f->ship), 0);
    assert_int_equal(ship_count(f->ship), 0);
}

static void ship_whole_log_arrives_and_the_spool_goes(void **state)
{
    struct fixture *f = *state;
    fill(f, 300000, false);
    assert_true(spool_is_there(f));
    assert_int_equal(ship_end(f->ship, f->stream), 300000);
    run_until(f, MESSAGE_log_end);
    assert_log(f, 300000);
    assert_int_equal(f->end_bytes, 300000);
    f->done = false;
    f->awaits_removal = true;
    loop_run(f->loop);
    assert_false(spool_is_there(f));
}

static void ship_log_that_grows_is_followed(void **state)
{
    struct fixture *f = *state;
    fill(f, 1000, false);
    run_until(f, MESSAGE_log_chunk);
    assert_log(f, 1000);
    assert_int_equal(heard(f, MESSAGE_log_end), 0);
    (void)ship_end(f->ship, f->stream);
    run_until(f, MESSAGE_log_end);
    assert_log(f, 1000);
}

/* An agent that dies before the result is written learns the log's length from the spool. */
static void ship_end_is_told_only_when_the_result_is_saved(void **state)
{
    struct fixture *f = *state;
    fill(f, 1000, false);
    assert_int_equal(ship_end_unsaved(f->ship, f->stream), 1000);
    run_until(f, MESSAGE_log_chunk);
    ship_pump(f->ship, ++f->now_ms);
    assert_int_equal(heard(f, MESSAGE_log_end), 0);
    assert_false(ship_is_stuck(f->ship, f->now_ms + 1000000)); /* it waits for no answer */
    assert_true(spool_is_there(f));
    ship_saved(f->ship, &id);
    run_until(f, MESSAGE_log_end);
    assert_log(f, 1000);
}

static void ship_log_begun_before_goes_on_where_the_master_is(void **state)
{
    struct fixture *f = *state;
    f->begin_at = 4321;
    fill(f, 10000, true);
    (void)ship_end(f->ship, f->stream);
    run_until(f, MESSAGE_log_end);
    assert_int_equal(f->heard[0], MESSAGE_log_open);
    assert_log(f, 10000 - 4321);
}

static void ship_without_credit_waits_for_it(void **state)
{
    struct fixture *f = *state;
    f->gives_no_credit = true;
    fill(f, 150000, false);
    (void)ship_end(f->ship, f->stream);
    run_until(f, MESSAGE_log_chunk);
    while (f->credit > 0)
        run_until(f, MESSAGE_log_chunk);
    assert_log(f, CREDIT_BYTES);
    f->gives_no_credit = false;
    give_credit(f, 20000);
    run_until(f, MESSAGE_log_end);
    assert_log(f, 150000);
}

static void ship_new_connection_asks_again(void **state)
{
    struct fixture *f = *state;
    fill(f, 50000, false);
    run_until(f, MESSAGE_log_chunk);
    assert_int_equal(heard(f, MESSAGE_log_open), 1);
    f->begin_at = 20000;
    buffer_clear(&f->log);
    assert_int_equal(bulk_renew(f->bulk, 8, NULL), 0);
    (void)ship_end(f->ship, f->stream);
    run_until(f, MESSAGE_log_end);
    assert_int_equal(heard(f, MESSAGE_log_open), 2);
    assert_log(f, 30000);
}

static void ship_that_is_not_answered_is_stuck(void **state)
{
    struct fixture *f = *state;
    f->deaf = true;
    fill(f, 10, true);
    run_until(f, MESSAGE_log_open);
    assert_false(ship_is_stuck(f->ship, f->now_ms + 20000));
    assert_true(ship_is_stuck(f->ship, f->now_ms + 40000));
}

/* ---- files ---- */

static void on_done(void *context, const struct error *error)
{
    struct fixture *f = context;
    f->done = true;
    if (error != NULL)
        f->error = *error;
}

static void blob_upload_sends_and_waits_until_kept(void **state)
{
    struct fixture *f = *state;
    static char bytes[200000];
    memset(bytes, 'q', sizeof bytes);
    struct blob_source source = {.size = sizeof bytes, .bytes = slice_make(bytes, sizeof bytes)};
    hash_of(source.bytes, &source.hash);
    blob_upload(f->blobs, &source, on_done, f);
    while (f->blob.length < sizeof bytes)
        run_until(f, MESSAGE_blob_chunk);
    say(f, MESSAGE_blob_kept,
        &(struct msg_blob_kept){slice_make(source.hash.bytes, sizeof source.hash.bytes)});
    run_until(f, MESSAGE_NONE);
    assert_int_equal(f->error.code, 0);
    assert_memory_equal(f->blob.data, bytes, sizeof bytes);
}

static void blob_upload_refused_says_why(void **state)
{
    struct fixture *f = *state;
    struct blob_source source = {.size = 1, .bytes = slice_of("x")};
    f->deaf = true;
    blob_upload(f->blobs, &source, on_done, f);
    run_until(f, MESSAGE_blob_offer);
    say(f, MESSAGE_refused,
        &(struct msg_refused){.code = ERR_REFUSED, .text = slice_of("not today")});
    run_until(f, MESSAGE_NONE);
    assert_int_equal(f->error.code, ERR_REFUSED);
    assert_string_equal(f->error.text, "not today");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ship_counts_what_lies_on_disk),
        TEST(ship_whole_log_arrives_and_the_spool_goes),
        TEST(ship_log_that_grows_is_followed),
        TEST(ship_end_is_told_only_when_the_result_is_saved),
        TEST(ship_log_begun_before_goes_on_where_the_master_is),
        TEST(ship_without_credit_waits_for_it),
        TEST(ship_new_connection_asks_again),
        TEST(ship_that_is_not_answered_is_stuck),
        TEST(blob_upload_sends_and_waits_until_kept),
        TEST(blob_upload_refused_says_why),
    };
    hash_start();
    transport_start();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    transport_stop();
    return failed;
}
