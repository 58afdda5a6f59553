/*
 * The files of a worker, damaged in every way: a file is refused by its name, with what a person
 * can do, or it says what it said before.
 */
#include "common/file.h"
#include "common/hash.h"
#include "common/memory.h"
#include "tests/unit/damage.h"
#include "worker/io/identity.h"
#include "worker/io/options.h"
#include "worker/io/results.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct fixture {
    char root[32];
    struct folder folder;
    struct identity identity;
    const char *path; /* of the file that is damaged */
    uint32_t refused, taken;
};

static int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    *state = f;
    (void)snprintf(f->root, sizeof f->root, "/tmp/reeve-XXXXXX");
    assert_non_null(mkdtemp(f->root));
    assert_int_equal(folder_init(&f->folder, f->root, NULL), 0);
    assert_int_equal(file_make_folder(f->folder.secret, 0700, NULL), 0);
    assert_int_equal(identity_load(&f->identity, &f->folder, NULL), 0);
    f->identity.epoch = 12;
    f->identity.leader = 0xabcdef;
    (void)strcpy(f->identity.cluster, "8f14e45f-ceea-467f-a9b5-1f6b8f14e45f");
    assert_int_equal(identity_save_leader(&f->identity, &f->folder, NULL), 0);
    assert_int_equal(identity_save_runner(&f->identity, &f->folder, 77, getpid(), NULL), 0);
    assert_int_equal(identity_save_dead(&f->identity, &f->folder, 78, NULL), 0);
    assert_int_equal(identity_save_dead(&f->identity, &f->folder, 79, NULL), 0);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    int rc = file_remove_tree(f->root, NULL);
    folder_fini(&f->folder);
    free(f);
    return rc;
}

/* By its name, and with a word of advice behind it. */
static void expect_refusal(struct fixture *f, const struct error *error, const char *what)
{
    const char *name = strstr(error->text, f->path);
    if (name == NULL || strchr(error->text, ';') == NULL)
        fail_msg("%s, %s: \"%s\"", f->path, what, error->text);
    f->refused++;
}

static void look_at_identity(void *context, const char *what)
{
    struct fixture *f = context;
    struct identity now;
    struct error error = {0};
    if (identity_load(&now, &f->folder, &error) != 0) {
        expect_refusal(f, &error, what);
        return;
    }
    const struct identity *then = &f->identity;
    bool same = memcmp(now.keys.public_key, then->keys.public_key, KEY_BYTES) == 0 &&
                now.epoch == then->epoch && now.leader == then->leader &&
                strcmp(now.cluster, then->cluster) == 0 && now.same_boot &&
                now.instance == then->instance && now.dead_count == then->dead_count &&
                memcmp(now.dead, then->dead, sizeof now.dead) == 0 &&
                now.runner_pid == then->runner_pid && now.runner_start == then->runner_start;
    if (!same)
        fail_msg("%s, %s: taken, and it says something else", f->path, what);
    f->taken++;
}

static void damaged_identity_is_refused_or_the_same(void **state)
{
    struct fixture *f = *state;
    const char *const files[] = {f->folder.key, f->folder.leader, f->folder.runner, f->folder.dead};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        f->path = files[i];
        f->refused = f->taken = 0;
        damage_each(f->path, 1, look_at_identity, f);
        assert_true(f->refused > 100);
        /* Of a key five bits mean nothing; of the others a lost checksum tells nothing new. */
        assert_in_range(f->taken, 0, 10);
    }
}

static void put(const char *path, const char *text)
{
    assert_int_equal(file_replace(path, slice_of(text), 0600, NULL), 0);
}

/* A worker takes over the files of an older one. */
static void identity_from_before_checksums_is_taken(void **state)
{
    struct fixture *f = *state;
    char boot[2 * BOOT_BYTES + 1], text[128];
    struct identity now;
    for (size_t i = 0; i < BOOT_BYTES; i++)
        (void)snprintf(boot + 2 * i, 3, "%02x", f->identity.boot[i]);
    (void)snprintf(text, sizeof text, "%s\n00000000000000aa\n12 34\n", boot);
    put(f->folder.runner, text);
    put(f->folder.dead, "00000000000000bb\n");
    put(f->folder.leader, "epoch 3\nleader 00000000000000cc\ncluster c\n");
    assert_int_equal(identity_load(&now, &f->folder, NULL), 0);
    assert_true(now.same_boot && now.instance == 0xaa && now.dead_count == 1);
    assert_int_equal(now.dead[0], 0xbb);
    assert_true(now.epoch == 3 && now.leader == 0xcc && strcmp(now.cluster, "c") == 0);
}

/* ---- what it remembers of its join ---- */

static void print(const struct options *options, struct buffer *out)
{
    options_print(options, out);
    buffer_append(out, options->joined.server_key, KEY_BYTES);
    for (uint32_t i = 0; i < options->joined.address_count; i++)
        buffer_append_text(out, options->joined.addresses[i]);
    buffer_append_text(out, options->joined.cluster);
}

static int complete(struct fixture *f, struct buffer *out, struct error *error)
{
    struct options options = {0};
    char *words[] = {"reeve-worker", "--data", f->root, NULL};
    assert_int_equal(options_parse(&options, words, NULL), 0);
    int rc = options_complete(&options, f->folder.join, error);
    if (rc == 0)
        print(&options, out);
    options_fini(&options);
    return rc;
}

static void look_at_join(void *context, const char *what)
{
    struct fixture *f = context;
    struct buffer whole = {0}, now = {0};
    struct error error = {0};
    if (complete(f, &now, &error) != 0) {
        expect_refusal(f, &error, what);
    } else {
        f->taken++;
        fail_msg("%s, %s: taken:\n%s", f->path, what, buffer_text(&now));
    }
    buffer_fini(&whole);
    buffer_fini(&now);
}

static void damaged_join_is_refused(void **state)
{
    struct fixture *f = *state;
    struct options options = {0};
    char *words[] = {"reeve-worker", "--data", f->root, "--name", "w1", "--slots", "4", "--queue",
        "spark", "--label", "gpu=a100", NULL};
    assert_int_equal(options_parse(&options, words, NULL), 0);
    (void)strcpy(options.joined.cluster, "c1");
    (void)strcpy(options.joined.addresses[0], "tcp://lab.example:7411");
    options.joined.address_count = 1;
    memset(options.joined.server_key, 0x5a, KEY_BYTES);
    assert_int_equal(options_remember(&options, f->folder.join, NULL), 0);
    options_fini(&options);
    f->path = f->folder.join;
    damage_each(f->path, 1, look_at_join, f);
    assert_true(f->refused > 1000);
}

static void join_from_before_checksums_is_taken(void **state)
{
    struct fixture *f = *state;
    struct buffer out = {0};
    put(f->folder.join, "reeve-worker 1\nmaster /srv/m\nname w9\nslots 7\n");
    assert_int_equal(complete(f, &out, NULL), 0);
    assert_non_null(strstr(buffer_text(&out), "/srv/m"));
    assert_non_null(strstr(buffer_text(&out), "w9"));
    buffer_fini(&out);
}

/* ---- the journal of results ---- */

enum { RESULTS = 3 };

static void count_result(void *context, const struct msg_ended *ended)
{
    uint32_t *count = context;
    /* In the order in which they were saved, and each as it was. */
    assert_int_equal(ended->id.task, ++*count);
    assert_int_equal(ended->log_bytes, 7);
    assert_true(slice_is(ended->outputs, "{\"a\":\"b\"}"));
}

static int read_results(struct fixture *f, uint32_t *ret_count, struct error *error)
{
    struct results *results;
    int rc = results_open(f->folder.results, NULL, &results, error);
    *ret_count = 0;
    if (rc != 0)
        return rc;
    results_each(results, count_result, ret_count);
    results_close(results);
    return 0;
}

static void look_at_results(void *context, const char *what)
{
    struct fixture *f = context;
    struct error error = {0};
    uint32_t count;
    if (read_results(f, &count, &error) != 0)
        expect_refusal(f, &error, what);
    else
        f->taken++;
}

static void ignore_saved(void *context, const struct attempt_id *id)
{
    (void)context;
    (void)id;
}

/* Nothing that was not saved is ever read; what may have been torn off by a power cut is gone. */
static void damaged_results_are_refused_or_a_beginning(void **state)
{
    struct fixture *f = *state;
    for (uint32_t task = 1; task <= RESULTS; task++) {
        struct results *results;
        struct msg_ended ended = {.id = {.run = 5, .task = task, .attempt = 1},
            .state = ATTEMPT_SUCCESS,
            .log_bytes = 7,
            .outputs = slice_of("{\"a\":\"b\"}")};
        /* Opening syncs what is there: each is a group of its own. */
        assert_int_equal(results_open(f->folder.results, NULL, &results, NULL), 0);
        results_on_saved(results, ignore_saved, NULL);
        results_save(results, &ended);
        results_write(results, 0);
        results_close(results);
    }
    uint32_t count;
    assert_int_equal(read_results(f, &count, NULL), 0);
    assert_int_equal(count, RESULTS);
    f->path = f->folder.results;
    damage_each(f->path, 1, look_at_results, f);
    assert_true(f->refused > 1000);
    assert_int_equal(read_results(f, &count, NULL), 0);
    assert_int_equal(count, RESULTS);
}

int main(void)
{
    hash_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(damaged_identity_is_refused_or_the_same, set_up, tear_down),
        cmocka_unit_test_setup_teardown(identity_from_before_checksums_is_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(join_from_before_checksums_is_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_join_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            damaged_results_are_refused_or_a_beginning, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
