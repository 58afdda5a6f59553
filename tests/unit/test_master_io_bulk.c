/*
 * The bulk port as its peers see it: over a real socket, on a real blob store.
 */
#include "common/clock.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/limits.h"
#include "common/loop.h"
#include "common/memory.h"
#include "common/transport/transport.h"
#include "master/io/bulk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { PATIENCE_MS = 10000, FRAMES_MAX = 64 };

static char folder[64];
static struct blob_store *blobs;
static struct bulk *bulk;
static struct refusals *refusals;
static struct masks *masks;
static struct loop *loop;

/* One connection, and what came on it. */
struct peer {
    struct transport *transport;
    struct arena arenas[FRAMES_MAX];
    struct message messages[FRAMES_MAX];
    size_t came, taken;
};

static void on_frame(void *context, transport_peer from, struct slice bytes)
{
    struct peer *peer = context;
    struct frame_reader reader;
    (void)from;
    assert_true(peer->came < FRAMES_MAX);
    struct arena *arena = &peer->arenas[peer->came];
    assert_int_equal(frame_open(arena_copy(arena, bytes), arena, &reader, NULL), 0);
    assert_int_equal(frame_next(&reader, &peer->messages[peer->came], NULL), 1);
    peer->came++;
    loop_stop(loop);
}

static void on_timer(void *context)
{
    (void)context;
    fail_msg("no answer came");
}

static void on_failed(void *context, const struct error *error)
{
    (void)context;
    fail_msg("%s", error->text);
}

static void on_refused(void *context)
{
    (void)context;
}

static void connect_peer(struct peer *peer)
{
    char *endpoint = xasprintf("ipc://%s/bulk.sock", folder);
    *peer = (struct peer){0};
    assert_int_equal(transport_connect(loop, endpoint, on_frame, peer, &peer->transport, NULL), 0);
    free(endpoint);
}

static void disconnect(struct peer *peer)
{
    transport_destroy(peer->transport);
    for (size_t i = 0; i < FRAMES_MAX; i++)
        arena_fini(&peer->arenas[i]);
}

static void say(struct peer *peer, enum message_id number, const void *body)
{
    struct buffer frame = {0};
    struct frame_header header = {0};
    frame_begin(&frame, &header);
    message_encode(&frame, number, body);
    transport_send(peer->transport, 0, buffer_slice(&frame));
    buffer_fini(&frame);
}

/* The next message that came; it must be this one. */
static const void *hear(struct peer *peer, enum message_id number)
{
    loop_set_timer(loop, clock_boot_ms() + PATIENCE_MS);
    while (peer->taken == peer->came)
        loop_run(loop);
    const struct message *message = &peer->messages[peer->taken++];
    assert_int_equal(message->number, number);
    return message->body;
}

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/reeve-bulk-XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(blob_open(folder, &blobs, NULL), 0);
    char *endpoint = xasprintf("ipc://%s/bulk.sock", folder);
    refusals = refusals_create(on_refused, NULL);
    struct bulk_config config = {
        .endpoint = endpoint, .refusals = refusals, .blobs = blobs, .failed = on_failed};
    masks = masks_create();
    config.masks = masks;
    assert_int_equal(bulk_start(&config, &bulk, NULL), 0);
    free(endpoint);
    assert_int_equal(loop_create(&loop, NULL), 0);
    loop_on_timer(loop, on_timer, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    bulk_stop(bulk);
    refusals_destroy(refusals);
    masks_destroy(masks);
    loop_destroy(loop);
    blob_close(blobs);
    return file_remove_tree(folder, NULL);
}

static const struct attempt_id id = {.run = 9, .task = 3, .attempt = 1};

static void say_chunk(struct peer *peer, uint64_t offset, const char *text)
{
    struct log_mark mark = {offset, 40000};
    struct msg_log_chunk chunk = {
        .id = id, .offset = offset, .data = slice_of(text), .now = 41000, .marks = {&mark, 1}};
    say(peer, MESSAGE_log_chunk, &chunk);
}

static void open_log(struct peer *worker, uint64_t offset, bool kept)
{
    say(worker, MESSAGE_log_open, &(struct msg_log_open){id});
    const struct msg_credit *credit = hear(worker, MESSAGE_credit);
    assert_true(credit->bytes >= LOG_CHUNK_BYTES);
    const struct msg_log_have *have = hear(worker, MESSAGE_log_have);
    assert_int_equal(have->offset, offset);
    assert_int_equal(have->kept, kept);
}

static const struct msg_log_data *read_log(struct peer *client, uint64_t offset, bool wait)
{
    say(client, MESSAGE_log_read,
        &(struct msg_log_read){
            .request = 5, .id = id, .offset = offset, .limit = 100, .wait = wait});
    const struct msg_log_data *data = hear(client, MESSAGE_log_data);
    assert_int_equal(data->request, 5);
    return data;
}

static void bulk_log_is_kept_once_all_of_it_came(void **state)
{
    (void)state;
    struct peer worker, again;
    connect_peer(&worker);
    open_log(&worker, 0, false);
    say_chunk(&worker, 0, "one\n");
    say_chunk(&worker, 4, "two\n");
    say(&worker, MESSAGE_log_end, &(struct msg_log_end){id, 8});
    const struct msg_log_have *have = hear(&worker, MESSAGE_log_have);
    assert_int_equal(have->offset, 8);
    assert_true(have->kept);
    int64_t now = clock_wall_ms();
    const struct msg_log_data *data = read_log(&worker, 0, true);
    assert_true(slice_is(data->data, "one\ntwo\n"));
    assert_true(data->end && data->known);
    /* The worker's clock said 1 s ago. */
    assert_true(data->marks.count > 0);
    assert_true(data->marks.items[0].at <= now - 1000 && data->marks.items[0].at > now - 60000);
    /* Said again on another connection, it is still kept. */
    connect_peer(&again);
    open_log(&again, 8, true);
    disconnect(&again);
    disconnect(&worker);
}

static void learn(const char *name, const char *secret)
{
    char *document = xasprintf("{\"type\": \"generic\", \"password\": \"%s\"}", secret);
    masks_learn(masks, slice_of(name), slice_of(document));
    free(document);
}

static void expect_kept(struct peer *worker, const char *text)
{
    say(worker, MESSAGE_log_end, &(struct msg_log_end){id, strlen(text)});
    const struct msg_log_have *have = hear(worker, MESSAGE_log_have);
    assert_int_equal(have->offset, strlen(text));
    assert_true(have->kept);
    assert_true(slice_is(read_log(worker, 0, true)->data, text));
}

static void bulk_secret_that_came_in_pieces_is_nowhere_to_be_read(void **state)
{
    (void)state;
    struct peer worker, again;
    learn("db", "hunter2");
    learn("other", "elsewhere");
    struct slice name = slice_of("db");
    masks_hand(masks, &id, &(struct texts){&name, 1});
    connect_peer(&worker);
    open_log(&worker, 0, false);
    say_chunk(&worker, 0, "at elsewhere hun");
    say_chunk(&worker, 16, "ter2 hunter");
    /* Read meanwhile: what may begin a secret is not there yet. */
    const struct msg_log_data *data = read_log(&worker, 0, false);
    assert_true(slice_is(data->data, "at elsewhere ******* "));
    /* Another connection goes on from what is there. */
    connect_peer(&again);
    open_log(&again, 21, false);
    say_chunk(&again, 21, "hunter2");
    say_chunk(&again, 28, " hunter");
    expect_kept(&again, "at elsewhere ******* ******* hunter");
    disconnect(&again);
    disconnect(&worker);
}

static void bulk_log_of_who_knows_what_is_masked_by_all_there_is(void **state)
{
    (void)state;
    struct peer worker;
    learn("db", "hunter2");
    learn("other", "elsewhere");
    connect_peer(&worker);
    open_log(&worker, 0, false);
    say_chunk(&worker, 0, "hunter2 elsewhere");
    expect_kept(&worker, "******* *********");
    disconnect(&worker);
}

static void bulk_log_of_a_task_without_connections_stays_as_it_is(void **state)
{
    (void)state;
    struct peer worker;
    learn("db", "hunter2");
    masks_hand(masks, &id, &(struct texts){NULL, 0});
    connect_peer(&worker);
    open_log(&worker, 0, false);
    say_chunk(&worker, 0, "hunter2");
    expect_kept(&worker, "hunter2");
    disconnect(&worker);
}

static void bulk_chunk_at_a_wrong_offset_is_answered_once(void **state)
{
    (void)state;
    struct peer worker;
    connect_peer(&worker);
    open_log(&worker, 0, false);
    for (uint64_t i = 1; i <= 5; i++)
        say_chunk(&worker, i * 4, "lost");
    const struct msg_log_have *have = hear(&worker, MESSAGE_log_have);
    assert_int_equal(have->offset, 0);
    say_chunk(&worker, 0, "abcd");
    say(&worker, MESSAGE_log_end, &(struct msg_log_end){id, 4});
    have = hear(&worker, MESSAGE_log_have);
    assert_int_equal(have->offset, 4);
    assert_true(have->kept);
    disconnect(&worker);
}

static void bulk_end_before_its_bytes_asks_for_them(void **state)
{
    (void)state;
    struct peer worker;
    connect_peer(&worker);
    open_log(&worker, 0, false);
    say_chunk(&worker, 0, "abcd");
    say(&worker, MESSAGE_log_end, &(struct msg_log_end){id, 9});
    const struct msg_log_have *have = hear(&worker, MESSAGE_log_have);
    assert_int_equal(have->offset, 4);
    assert_false(have->kept);
    disconnect(&worker);
}

static void bulk_waiting_reader_gets_what_comes(void **state)
{
    (void)state;
    struct peer worker, client;
    connect_peer(&worker);
    connect_peer(&client);
    open_log(&worker, 0, false);
    say(&client, MESSAGE_log_read,
        &(struct msg_log_read){.request = 6, .id = id, .limit = 100, .wait = true});
    /* A question that is answered at once shows that the one before it waits. */
    assert_false(read_log(&client, 0, false)->known);
    say_chunk(&worker, 0, "hello\n");
    const struct msg_log_data *data = hear(&client, MESSAGE_log_data);
    assert_int_equal(data->request, 6);
    assert_true(slice_is(data->data, "hello\n"));
    assert_int_equal(data->next, 6);
    assert_false(data->end);
    say(&client, MESSAGE_log_read,
        &(struct msg_log_read){.request = 7, .id = id, .offset = 6, .limit = 100, .wait = true});
    assert_int_equal(read_log(&client, 6, false)->data.length, 0);
    say(&worker, MESSAGE_log_end, &(struct msg_log_end){id, 6});
    data = hear(&client, MESSAGE_log_data);
    assert_int_equal(data->request, 7);
    assert_true(data->end);
    disconnect(&client);
    disconnect(&worker);
}

static void bulk_credit_comes_back_as_chunks_are_written(void **state)
{
    (void)state;
    enum { CHUNKS = 20 };
    struct peer worker;
    char *text = xcalloc(1, LOG_CHUNK_BYTES + 1);
    memset(text, 'x', LOG_CHUNK_BYTES);
    connect_peer(&worker);
    open_log(&worker, 0, false);
    for (uint64_t i = 0; i < CHUNKS; i++)
        say_chunk(&worker, i * LOG_CHUNK_BYTES, text);
    const struct msg_credit *credit = hear(&worker, MESSAGE_credit);
    assert_true(credit->bytes >= LOG_CHUNK_BYTES && credit->bytes <= CHUNKS * LOG_CHUNK_BYTES);
    free(text);
    disconnect(&worker);
}

static struct slice hash_slice(const struct hash *hash)
{
    return slice_make(hash->bytes, sizeof hash->bytes);
}

static void bulk_blob_that_two_offer_is_kept_for_both(void **state)
{
    (void)state;
    struct peer one, two;
    struct slice content = slice_of("the content");
    struct hash hash;
    hash_of(content, &hash);
    connect_peer(&one);
    connect_peer(&two);
    struct msg_blob_offer offer = {hash_slice(&hash), content.length};
    say(&one, MESSAGE_blob_offer, &offer);
    (void)hear(&one, MESSAGE_credit);
    assert_int_equal(((const struct msg_blob_want *)hear(&one, MESSAGE_blob_want))->offset, 0);
    say(&two, MESSAGE_blob_offer, &offer);
    (void)hear(&two, MESSAGE_credit);
    (void)hear(&two, MESSAGE_blob_want);
    say(&one, MESSAGE_blob_chunk,
        &(struct msg_blob_chunk){hash_slice(&hash), 0, slice_make(content.ptr, 4)});
    say(&one, MESSAGE_blob_chunk,
        &(struct msg_blob_chunk){
            hash_slice(&hash), 4, slice_make(content.ptr + 4, content.length - 4)});
    (void)hear(&one, MESSAGE_blob_kept);
    (void)hear(&two, MESSAGE_blob_kept);
    say(&two, MESSAGE_blob_read, &(struct msg_blob_read){8, hash_slice(&hash), 4, 100});
    const struct msg_blob_data *data = hear(&two, MESSAGE_blob_data);
    assert_int_equal(data->request, 8);
    assert_int_equal(data->bytes, content.length);
    assert_true(slice_is(data->data, "content"));
    disconnect(&two);
    disconnect(&one);
}

static void bulk_blob_of_another_content_is_refused(void **state)
{
    (void)state;
    struct peer worker;
    struct hash hash;
    hash_of(slice_of("right"), &hash);
    connect_peer(&worker);
    say(&worker, MESSAGE_blob_offer, &(struct msg_blob_offer){hash_slice(&hash), 5});
    (void)hear(&worker, MESSAGE_credit);
    (void)hear(&worker, MESSAGE_blob_want);
    say(&worker, MESSAGE_blob_chunk,
        &(struct msg_blob_chunk){hash_slice(&hash), 0, slice_of("wrong")});
    const struct msg_refused *refused = hear(&worker, MESSAGE_refused);
    assert_int_equal(refused->code, ERR_CORRUPT);
    assert_false(blob_has(blobs, &hash, NULL));
    disconnect(&worker);
}

static void bulk_question_of_another_shape_is_refused(void **state)
{
    (void)state;
    struct peer peer;
    connect_peer(&peer);
    say(&peer, MESSAGE_blob_read, &(struct msg_blob_read){8, slice_of("short"), 0, 1});
    assert_int_equal(((const struct msg_refused *)hear(&peer, MESSAGE_refused))->request, 8);
    say(&peer, MESSAGE_ping, &(struct msg_ping){1});
    assert_int_equal(
        ((const struct msg_refused *)hear(&peer, MESSAGE_refused))->code, ERR_UNSUPPORTED);
    transport_send(peer.transport, 0, slice_of("\xc1 no msgpack"));
    assert_int_equal(
        ((const struct msg_refused *)hear(&peer, MESSAGE_refused))->code, ERR_MALFORMED);
    disconnect(&peer);
}

#define with_bulk(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_bulk(bulk_log_is_kept_once_all_of_it_came),
        with_bulk(bulk_secret_that_came_in_pieces_is_nowhere_to_be_read),
        with_bulk(bulk_log_of_who_knows_what_is_masked_by_all_there_is),
        with_bulk(bulk_log_of_a_task_without_connections_stays_as_it_is),
        with_bulk(bulk_chunk_at_a_wrong_offset_is_answered_once),
        with_bulk(bulk_end_before_its_bytes_asks_for_them),
        with_bulk(bulk_waiting_reader_gets_what_comes),
        with_bulk(bulk_credit_comes_back_as_chunks_are_written),
        with_bulk(bulk_blob_that_two_offer_is_kept_for_both),
        with_bulk(bulk_blob_of_another_content_is_refused),
        with_bulk(bulk_question_of_another_shape_is_refused),
    };
    hash_start();
    transport_start();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    transport_stop();
    return failed;
}
