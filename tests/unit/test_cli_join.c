#include "cli/client.h"
#include "cli/join.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/random.h"
#include "fake_master.h"
#include "proto/roles.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the master on the other host does. */
struct script {
    atomic_int joins, lose; /* so many joins get no answer */
    atomic_int refuses;     /* joins are refused with this code */
    atomic_bool closed;     /* no key is admitted */
    atomic_int others;      /* messages of a token's key that are no join */
    struct key_pair token_keys;
};

static struct fake_master *_Atomic fake;
static struct script script;
static struct token token;
static char home[64];
static pthread_mutex_t joined_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned char joined_key[KEY_BYTES]; /* the last that wanted to join */

static void last_joined(unsigned char key[KEY_BYTES])
{
    (void)pthread_mutex_lock(&joined_lock);
    memcpy(key, joined_key, KEY_BYTES);
    (void)pthread_mutex_unlock(&joined_lock);
}

static bool admit(void *context, const unsigned char key[KEY_BYTES], const char *address)
{
    (void)context;
    (void)key;
    (void)address;
    return !script.closed;
}

static void refuse(uint64_t request, int code)
{
    const struct msg_refused refused = {
        .request = request, .code = code, .text = slice_of("not by this token")};
    fake_master_send(fake, MESSAGE_refused, &refused);
}

static void answer_join(const struct msg_join *join)
{
    (void)pthread_mutex_lock(&joined_lock);
    memcpy(joined_key, join->key.ptr, KEY_BYTES);
    (void)pthread_mutex_unlock(&joined_lock);
    atomic_fetch_add(&script.joins, 1);
    if (atomic_fetch_sub(&script.lose, 1) > 0)
        return;
    if (script.refuses != 0) {
        refuse(join->request, script.refuses);
        return;
    }
    const struct msg_joined joined = {.request = join->request,
        .cluster = slice_of("c1"),
        .role = ROLE_VIEWER,
        .name = join->name};
    fake_master_send(fake, MESSAGE_joined, &joined);
}

static void answer(struct fake_master *master, void *context, const struct message *message)
{
    unsigned char key[KEY_BYTES];
    uint64_t request;
    (void)master;
    (void)context;
    fake_master_peer_key(fake, key);
    bool joins = memcmp(key, script.token_keys.public_key, KEY_BYTES) == 0;
    memcpy(&request, message->body, sizeof request);
    if (message->number == MESSAGE_join && joins) {
        answer_join(message->body);
    } else if (joins) {
        atomic_fetch_add(&script.others, 1);
    } else if (message->number == MESSAGE_ping) {
        const struct msg_pong pong = {.request = request, .role = slice_of("viewer")};
        fake_master_send(fake, MESSAGE_pong, &pong);
    } else if (message->number == MESSAGE_blob_read) {
        const struct msg_blob_data data = {.request = request, .data = slice_of("abc"), .bytes = 3};
        fake_master_send(fake, MESSAGE_blob_data, &data);
    } else {
        refuse(request, ERR_DENIED);
    }
}

static int set_up(void **state)
{
    (void)state;
    script = (struct script){0};
    (void)strcpy(home, "/tmp/reeve-join-XXXXXX");
    assert_non_null(mkdtemp(home));
    (void)setenv("XDG_CONFIG_HOME", home, 1);
    token = (struct token){.id = 7, .role = ROLE_VIEWER, .cluster = "c1", .address_count = 1};
    key_pair_make(&token.keys);
    script.token_keys = token.keys;
    transport_start();
    fake = fake_master_start_remote(answer, NULL, admit);
    memcpy(token.server_key, fake_master_key(fake), KEY_BYTES);
    (void)strcpy(token.addresses[0], fake_master_address(fake));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_master_destroy(fake);
    transport_stop();
    return file_remove_tree(home, NULL);
}

static int join(struct joined *joined, struct error *error)
{
    *joined = (struct joined){.name = "lab", .who = "ann@laptop"};
    *error = (struct error){0};
    return join_master(&token, joined, error);
}

static bool is_there(void)
{
    char path[PATH_MAX];
    assert_int_equal(joined_path("lab", path, NULL), 0);
    return access(path, F_OK) == 0;
}

static void join_keeps_what_the_master_answered(void **state)
{
    struct joined joined, read;
    struct error error;
    (void)state;
    assert_int_equal(join(&joined, &error), 0);
    assert_int_equal(joined_read("lab", &read, NULL), 0);
    assert_int_equal(read.role, ROLE_VIEWER);
    assert_string_equal(read.who, "ann@laptop");
    unsigned char key[KEY_BYTES];
    last_joined(key);
    assert_memory_equal(read.keys.public_key, key, KEY_BYTES);
    assert_memory_not_equal(read.keys.public_key, token.keys.public_key, KEY_BYTES);
    assert_memory_equal(read.server_key, token.server_key, KEY_BYTES);
    assert_int_equal(script.others, 0);
}

static void join_whose_answer_was_lost_repeats_with_the_same_key(void **state)
{
    struct joined first, second;
    struct error error;
    (void)state;
    script.lose = 1000;
    assert_int_equal(join(&first, &error), ERR_UNREACHABLE);
    assert_true(script.joins >= 2);
    assert_true(is_there());
    unsigned char key[KEY_BYTES], again[KEY_BYTES];
    last_joined(key);
    script.lose = 0;
    assert_int_equal(join(&second, &error), 0);
    last_joined(again);
    assert_memory_equal(again, key, KEY_BYTES);
    /* A token's key says nothing else, a sign of life neither. */
    assert_int_equal(script.others, 0);
}

static void join_that_is_refused_leaves_nothing(void **state)
{
    struct joined joined;
    struct error error;
    (void)state;
    script.refuses = ERR_REFUSED;
    assert_int_equal(join(&joined, &error), ERR_REFUSED);
    assert_string_equal(error.text, "not by this token");
    assert_false(is_there());
}

static void join_by_a_token_that_is_not_known_fails_at_once(void **state)
{
    struct joined joined;
    struct error error;
    (void)state;
    script.closed = true;
    uint64_t before = clock_boot_ms();
    assert_int_equal(join(&joined, &error), ERR_DENIED);
    assert_in_range(clock_boot_ms() - before, 0, CLIENT_PATIENCE_MS - 1);
    assert_non_null(strstr(error.text, "expired"));
    assert_false(is_there());
}

static void join_by_a_workers_token_says_whose_it_is(void **state)
{
    struct joined joined;
    struct error error;
    (void)state;
    token.role = ROLE_WORKER;
    assert_int_equal(join(&joined, &error), ERR_USAGE);
    assert_non_null(strstr(error.text, "reeve-worker"));
    assert_int_equal(script.joins, 0);
    assert_false(is_there());
}

static void join_does_not_overwrite_what_was_joined(void **state)
{
    struct joined joined;
    struct error error;
    (void)state;
    assert_int_equal(join(&joined, &error), 0);
    assert_int_equal(join(&joined, &error), ERR_REFUSED);
    assert_non_null(strstr(error.text, "--name"));
    assert_int_equal(script.joins, 1);
}

static void join_tries_the_next_address(void **state)
{
    struct joined joined;
    struct error error;
    (void)state;
    (void)strcpy(token.addresses[1], token.addresses[0]);
    /* Nothing listens there. */
    (void)strcpy(token.addresses[0], "tcp://127.0.0.1:1");
    token.address_count = 2;
    assert_int_equal(join(&joined, &error), 0);
    assert_int_equal(joined.address_count, 2);
}

/* ---- what was joined is spoken to ---- */

static struct client *open_joined(void)
{
    struct master_search search;
    struct client *client;
    const struct master_wish wish = {.master = "lab"};
    assert_int_equal(find_master(&wish, &search, NULL), 0);
    assert_int_equal(client_create(&search, &client, NULL), 0);
    return client;
}

static void client_of_a_joined_master_speaks_on_both_ports(void **state)
{
    struct joined joined;
    struct error error;
    const void *body;
    (void)state;
    assert_int_equal(join(&joined, &error), 0);
    struct client *client = open_joined();
    const struct msg_ping ping = {.request = random_id()};
    assert_int_equal(client_ask(client, MESSAGE_ping, &ping, MESSAGE_pong, &body, NULL), 0);
    const struct msg_blob_read read = {.request = random_id()};
    assert_int_equal(
        client_ask(client, MESSAGE_blob_read, &read, MESSAGE_blob_data, &body, NULL), 0);
    assert_true(slice_is(((const struct msg_blob_data *)body)->data, "abc"));
    client_destroy(client);
}

static void client_that_is_denied_hears_who_it_is_and_who_may(void **state)
{
    struct joined joined;
    struct error error;
    const void *body;
    (void)state;
    assert_int_equal(join(&joined, &error), 0);
    struct client *client = open_joined();
    const struct msg_drain drain = {.request = random_id()};
    assert_int_equal(
        client_ask(client, MESSAGE_drain, &drain, MESSAGE_done, &body, &error), ERR_DENIED);
    assert_non_null(strstr(error.text, "ann@laptop"));
    assert_non_null(strstr(error.text, "viewer"));
    assert_non_null(strstr(error.text, "an operator"));
    const struct msg_remove_worker remove = {.request = random_id()};
    assert_int_equal(
        client_ask(client, MESSAGE_remove_worker, &remove, MESSAGE_done, &body, &error),
        ERR_DENIED);
    assert_null(strstr(error.text, "an operator"));
    client_destroy(client);
}

static void client_whose_key_was_removed_is_told_at_once(void **state)
{
    struct joined joined;
    struct error error;
    const void *body;
    (void)state;
    assert_int_equal(join(&joined, &error), 0);
    script.closed = true;
    struct client *client = open_joined();
    const struct msg_ping ping = {.request = random_id()};
    assert_int_equal(
        client_ask(client, MESSAGE_ping, &ping, MESSAGE_pong, &body, &error), ERR_DENIED);
    assert_non_null(strstr(error.text, "removed"));
    client_destroy(client);
}

static void client_of_a_master_that_is_away_names_its_address(void **state)
{
    struct joined joined;
    struct error error;
    const void *body;
    (void)state;
    assert_int_equal(join(&joined, &error), 0);
    fake_master_stop(fake);
    struct client *client = open_joined();
    client_set_patience(client, 1500);
    const struct msg_ping ping = {.request = random_id()};
    assert_int_equal(
        client_ask(client, MESSAGE_ping, &ping, MESSAGE_pong, &body, &error), ERR_UNREACHABLE);
    assert_non_null(strstr(error.text, fake_master_address(fake)));
    assert_non_null(strstr(error.text, "refused"));
    client_destroy(client);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(join_keeps_what_the_master_answered),
        TEST(join_whose_answer_was_lost_repeats_with_the_same_key),
        TEST(join_that_is_refused_leaves_nothing),
        TEST(join_by_a_token_that_is_not_known_fails_at_once),
        TEST(join_by_a_workers_token_says_whose_it_is),
        TEST(join_does_not_overwrite_what_was_joined),
        TEST(join_tries_the_next_address),
        TEST(client_of_a_joined_master_speaks_on_both_ports),
        TEST(client_that_is_denied_hears_who_it_is_and_who_may),
        TEST(client_whose_key_was_removed_is_told_at_once),
        TEST(client_of_a_master_that_is_away_names_its_address),
    };
    hash_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
