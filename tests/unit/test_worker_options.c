/*
 * The worker's command line and what it remembers of its join.
 */
#include "worker/io/options.h"

#include "common/file.h"
#include "common/hash.h"
#include "proto/roles.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { WORDS_MAX = 12 };

struct fixture {
    char folder[32], join[48];
    struct options options;
    struct error error;
    char *words[WORDS_MAX]; /* owned */
    size_t count;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    (void)snprintf(f->folder, sizeof f->folder, "/tmp/reeve-XXXXXX");
    if (mkdtemp(f->folder) == NULL)
        return -1;
    (void)snprintf(f->join, sizeof f->join, "%s/join", f->folder);
    return 0;
}

static void reset(struct fixture *f)
{
    options_fini(&f->options);
    for (size_t i = 0; i < f->count; i++)
        free(f->words[i]);
    f->count = 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    reset(f);
    int rc = file_remove_tree(f->folder, NULL);
    free(f);
    return rc;
}

static void say(struct fixture *f, const char *word)
{
    assert_true(f->count < WORDS_MAX - 1);
    f->words[f->count++] = strdup(word);
    f->words[f->count] = NULL;
}

/* Parses `reeve-worker --data FOLDER WORD…`, the words of the list that ends with NULL. */
static int parse(struct fixture *f, const char *const *words)
{
    reset(f);
    say(f, "reeve-worker");
    for (; *words != NULL; words++)
        say(f, *words);
    say(f, "--data");
    say(f, f->folder);
    f->error = (struct error){0};
    return options_parse(&f->options, f->words, &f->error);
}
#define PARSE(f, ...) parse((f), (const char *const[]){__VA_ARGS__, NULL})

/* Likewise, and completes it by what was remembered. */
static int complete(struct fixture *f, const char *const *words)
{
    int rc = parse(f, words);
    return rc != 0 ? rc : options_complete(&f->options, f->join, &f->error);
}
#define COMPLETE(f, ...) complete((f), (const char *const[]){__VA_ARGS__, NULL})

/* A token's text, to be freed. */
static char *token_of(const char *cluster, uint32_t role)
{
    struct token token = {.id = 7, .role = role, .address_count = 2};
    struct buffer text = {0};
    (void)snprintf(token.cluster, sizeof token.cluster, "%s", cluster);
    key_pair_make(&token.keys);
    memcpy(token.server_key, token.keys.public_key, KEY_BYTES);
    (void)snprintf(token.addresses[0], sizeof token.addresses[0], "tcp://master.example.com:7411");
    (void)snprintf(token.addresses[1], sizeof token.addresses[1], "tcp://10.0.0.1:7411");
    token_encode(&token, &text);
    char *copy = strdup(buffer_text(&text));
    buffer_fini(&text);
    return copy;
}

/* As if it had joined: what join_if_wanted leaves. */
static void join(struct fixture *f, const char *cluster)
{
    char *text = token_of(cluster, ROLE_WORKER);
    assert_int_equal(COMPLETE(f, "--join", text, "--name", "w1", "--label", "gpu"), 0);
    free(text);
    const struct token *token = f->options.token;
    struct joined *joined = &f->options.joined;
    memcpy(joined->cluster, token->cluster, sizeof joined->cluster);
    memcpy(joined->server_key, token->server_key, KEY_BYTES);
    memcpy(joined->addresses, token->addresses, sizeof joined->addresses);
    joined->address_count = token->address_count;
    assert_int_equal(options_remember(&f->options, f->join, &f->error), 0);
}

static void options_token_is_wiped_from_the_command_line(void **state)
{
    struct fixture *f = *state;
    char *text = token_of("c1", ROLE_WORKER);
    assert_int_equal(PARSE(f, "--join", text), 0);
    assert_string_equal(f->words[2], "");
    assert_string_equal(f->options.token->cluster, "c1");
    char *joined = malloc(strlen(text) + 10);
    (void)sprintf(joined, "--join=%s", text);
    assert_int_equal(PARSE(f, joined), 0);
    assert_string_equal(f->words[1], "--join=");
    assert_non_null(f->options.token);
    free(joined);
    free(text);
}

static void options_token_is_wiped_from_the_environment(void **state)
{
    struct fixture *f = *state;
    char *text = token_of("c1", ROLE_WORKER), *line = malloc(strlen(text) + 20);
    (void)sprintf(line, "REEVE_JOIN=%s", text);
    assert_int_equal(putenv(line), 0);
    assert_int_equal(PARSE(f, "--name", "w1"), 0);
    assert_string_equal(f->options.token->cluster, "c1");
    assert_null(getenv("REEVE_JOIN"));
    for (size_t i = 0; i < strlen(text) + 11; i++)
        assert_int_equal(line[i], 0);
    free(line);
    free(text);
}

static void options_token_of_a_person_is_refused(void **state)
{
    struct fixture *f = *state;
    char *text = token_of("c1", ROLE_OPERATOR);
    assert_int_equal(PARSE(f, "--join", text), ERR_USAGE);
    assert_non_null(strstr(f->error.text, "role operator"));
    free(text);
}

static void options_remember_where_the_cluster_is(void **state)
{
    struct fixture *f = *state;
    join(f, "c1");
    unsigned char key[KEY_BYTES];
    memcpy(key, f->options.joined.server_key, sizeof key);
    assert_int_equal(COMPLETE(f, "--slots", "3"), 0);
    const struct joined *joined = &f->options.joined;
    assert_string_equal(joined->cluster, "c1");
    assert_memory_equal(joined->server_key, key, sizeof key);
    assert_int_equal(joined->address_count, 2);
    assert_string_equal(joined->addresses[0], "tcp://master.example.com:7411");
    assert_string_equal(f->options.name, "w1");
    assert_int_equal(f->options.label_count, 1);
    assert_string_equal(f->options.labels[0], "gpu");
}

static void options_joined_folder_takes_another_token_of_its_cluster_only(void **state)
{
    struct fixture *f = *state;
    char *own = token_of("c1", ROLE_WORKER), *other = token_of("c2", ROLE_WORKER);
    join(f, "c1");
    assert_int_equal(COMPLETE(f, "--join", own), 0);
    assert_int_equal(COMPLETE(f, "--join", other), ERR_REFUSED);
    assert_non_null(strstr(f->error.text, "cluster c1"));
    assert_non_null(strstr(f->error.text, "cluster c2"));
    assert_int_equal(COMPLETE(f, "--join", "/somewhere"), ERR_REFUSED);
    free(own);
    free(other);
}

static void options_without_a_join_show_both_ways(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(COMPLETE(f, "--name", "w1"), ERR_USAGE);
    assert_non_null(strstr(f->error.text, "--join TOKEN"));
    assert_non_null(strstr(f->error.text, "--join DIR"));
}

static void options_sizes_have_units(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(PARSE(f, "--cache-max", "2GiB", "--spool-max", "64MiB"), 0);
    assert_int_equal(f->options.cache_max, (uint64_t)2 << 30);
    assert_int_equal(f->options.spool_max, 64 << 20);
    assert_int_equal(PARSE(f, "--cache-max", "2"), ERR_USAGE);
    assert_int_equal(PARSE(f, "--spool-max", "1KiB"), ERR_USAGE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(options_token_is_wiped_from_the_command_line),
        TEST(options_token_is_wiped_from_the_environment),
        TEST(options_token_of_a_person_is_refused),
        TEST(options_remember_where_the_cluster_is),
        TEST(options_joined_folder_takes_another_token_of_its_cluster_only),
        TEST(options_without_a_join_show_both_ways),
        TEST(options_sizes_have_units),
    };
    hash_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
