#include "cli/upload.h"
#include "common/file.h"
#include "common/memory.h"
#include "common/transport/transport.h"
#include "fake_master.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CREDIT_BYTES = 100 * 1000, FILES = 200 };

/* A master that gives little credit, and keeps what it is sent. */
struct script {
    atomic_int offers, kept;
    atomic_ullong bytes, overdrawn; /* that came; that came beyond the credit */
    uint64_t credit;                /* the master's alone, as the next ones */
    struct buffer content;          /* of the upload in hand */
    struct hash hash;
    atomic_int refuses; /* with this code */
    struct hash known;  /* it has this already */
};

static struct fake_master *_Atomic fake;
static struct client *client;
static struct script script;
static char folder[64];

static void keep(struct slice hash)
{
    const struct msg_blob_kept kept = {hash};
    atomic_fetch_add(&script.kept, 1);
    fake_master_send(fake, MESSAGE_blob_kept, &kept);
}

static void answer_offer(const struct msg_blob_offer *offer)
{
    if (atomic_fetch_add(&script.offers, 1) == 0) {
        script.credit = CREDIT_BYTES;
        fake_master_send(fake, MESSAGE_credit, &(struct msg_credit){CREDIT_BYTES});
    }
    if (script.refuses != 0) {
        const struct msg_refused refused = {.code = script.refuses, .text = slice_of("no room")};
        fake_master_send(fake, MESSAGE_refused, &refused);
    } else if (offer->bytes == 0 || memcmp(offer->hash.ptr, &script.known, HASH_BYTES) == 0) {
        keep(offer->hash);
    } else {
        fake_master_send(fake, MESSAGE_blob_want, &(struct msg_blob_want){offer->hash, 0});
    }
}

/* The content of one blob comes whole and in order before the next one's. */
static void take_chunk(const struct msg_blob_chunk *chunk)
{
    struct hash hash;
    if (chunk->offset == 0)
        buffer_clear(&script.content);
    if (chunk->data.length > script.credit)
        atomic_fetch_add(&script.overdrawn, chunk->data.length);
    script.credit -= chunk->data.length;
    atomic_fetch_add(&script.bytes, chunk->data.length);
    buffer_append_slice(&script.content, chunk->data);
    script.credit += chunk->data.length;
    fake_master_send(fake, MESSAGE_credit, &(struct msg_credit){chunk->data.length});
    hash_of(buffer_slice(&script.content), &hash);
    if (memcmp(&hash, chunk->hash.ptr, HASH_BYTES) == 0)
        keep(chunk->hash);
}

static void answer(struct fake_master *master, void *context, const struct message *message)
{
    (void)master;
    (void)context;
    if (message->number == MESSAGE_blob_offer)
        answer_offer(message->body);
    else if (message->number == MESSAGE_blob_chunk)
        take_chunk(message->body);
}

static void write_file(const char *name, struct slice text)
{
    char *path = xasprintf("%s/%s", folder, name);
    assert_int_equal(file_replace(path, text, 0644, NULL), 0);
    free(path);
}

static int set_up(void **state)
{
    (void)state;
    script = (struct script){0};
    (void)strcpy(folder, "/tmp/reeve-upload-XXXXXX");
    assert_non_null(mkdtemp(folder));
    transport_start();
    fake = fake_master_start(answer, NULL);
    struct master_search search = fake_master_search(fake);
    return client_create(&search, &client, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    client_destroy(client);
    fake_master_destroy(fake);
    transport_stop();
    buffer_fini(&script.content);
    return file_remove_tree(folder, NULL);
}

/* Takes the file as a bundle would. */
static struct hash take(struct upload *upload, const char *name)
{
    const struct bundle_sink sink = upload_sink(upload);
    struct manifest_file file = {.path = slice_of(name)};
    char *path = xasprintf("%s/%s", folder, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(sink.take_file(sink.context, fd, 1 << 30, &file, NULL), 0);
    (void)close(fd);
    free(path);
    return file.hash;
}

static void upload_of_a_large_file_stays_within_the_credit(void **state)
{
    struct upload *upload = upload_create(folder);
    size_t length = 3 * 1000 * 1000;
    char *text = xmalloc(length);
    (void)state;
    for (size_t i = 0; i < length; i++)
        text[i] = (char)(i * 7 + i / 1000);
    write_file("large", slice_make(text, length));
    (void)take(upload, "large");
    assert_int_equal(upload_run(upload, client, NULL), 0);
    assert_int_equal(script.kept, 1);
    assert_int_equal(script.bytes, length);
    assert_int_equal(script.overdrawn, 0);
    free(text);
    upload_destroy(upload);
}

static void upload_of_many_files_keeps_each(void **state)
{
    struct upload *upload = upload_create(folder);
    const struct bundle_sink sink = upload_sink(upload);
    struct hash manifest;
    char name[32], text[32];
    (void)state;
    for (int i = 0; i < FILES; i++) {
        (void)snprintf(name, sizeof name, "f%d", i);
        /* Every tenth has the content of the one before it, and one is empty. */
        (void)snprintf(text, sizeof text, "text %d", i % 10 == 9 ? i - 1 : i);
        write_file(name, slice_of(i == 0 ? "" : text));
        (void)take(upload, name);
    }
    assert_int_equal(sink.take_bytes(sink.context, slice_of("manifest"), &manifest, NULL), 0);
    assert_true(slice_is(upload_bytes(upload, &manifest), "manifest"));
    assert_int_equal(upload_run(upload, client, NULL), 0);
    assert_int_equal(script.kept, FILES - FILES / 10 + 1);
    upload_destroy(upload);
}

static void upload_sends_nothing_that_the_master_has(void **state)
{
    struct upload *upload = upload_create(folder);
    (void)state;
    write_file("a", slice_of("aaaa"));
    write_file("b", slice_of("bb"));
    script.known = take(upload, "a");
    (void)take(upload, "b");
    assert_int_equal(upload_run(upload, client, NULL), 0);
    assert_int_equal(script.bytes, 2);
    upload_destroy(upload);
}

static void upload_of_a_file_that_changed_names_it(void **state)
{
    struct upload *upload = upload_create(folder);
    struct error error = {0};
    (void)state;
    write_file("a", slice_of("aaaa"));
    (void)take(upload, "a");
    write_file("a", slice_of("bbbb"));
    assert_int_equal(upload_run(upload, client, &error), ERR_AGAIN);
    assert_non_null(strstr(error.text, "/a: changed while it was sent"));
    assert_int_equal(script.bytes, 0);
    upload_destroy(upload);
}

static void upload_refusal_is_the_masters_error(void **state)
{
    struct upload *upload = upload_create(folder);
    struct error error = {0};
    (void)state;
    script.refuses = ERR_NO_SPACE;
    write_file("a", slice_of("aaaa"));
    (void)take(upload, "a");
    assert_int_equal(upload_run(upload, client, &error), ERR_NO_SPACE);
    assert_string_equal(error.text, "no room");
    upload_destroy(upload);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(upload_of_a_large_file_stays_within_the_credit),
        TEST(upload_of_many_files_keeps_each),
        TEST(upload_sends_nothing_that_the_master_has),
        TEST(upload_of_a_file_that_changed_names_it),
        TEST(upload_refusal_is_the_masters_error),
    };
    hash_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
