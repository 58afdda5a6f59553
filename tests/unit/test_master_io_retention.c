/*
 * Which logs and files go: by the rows of a real store.
 */
#include "master/io/retention.h"

#include "common/hash.h"
#include "common/manifest.h"
#include "store_stage.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static const int64_t now_wall = INT64_C(2000000000000);
static struct blob_store *blobs;
static struct history *history;
static struct retention_config config;

static int set_up(void **state)
{
    hash_start();
    int rc = set_up_store(state);
    struct fixture *fixture = *state;
    assert_int_equal(rc, 0);
    lead_store(fixture);
    assert_int_equal(blob_open(fixture->folder, &blobs, NULL), 0);
    assert_int_equal(history_open(fixture->folder, &history, NULL), 0);
    config = (struct retention_config){.folder = fixture->folder, .blobs = blobs};
    return 0;
}

static int tear_down(void **state)
{
    history_close(history);
    blob_close(blobs);
    return tear_down_store(state);
}

static void add_ended(struct fixture *fixture, uint64_t key, int64_t ended_at)
{
    struct effects *batch = effects_create();
    struct run_row row = make_run(key, (uint32_t)key, ended_at != 0 ? RUN_SUCCESS : RUN_RUNNING);
    row.ended_at = ended_at;
    add_run(batch, row);
    commit(fixture, batch);
}

static void write_log(uint64_t run, size_t bytes)
{
    static char data[64 * 1024];
    struct attempt_id id = {.run = run, .task = 1, .attempt = 1};
    struct log_chunk chunk = {.data = slice_make(data, bytes)};
    assert_int_equal(log_append(blobs, &id, &chunk, NULL), 0);
}

static bool has_expired(uint64_t run)
{
    struct arena arena = {0};
    struct buffer out = {0};
    struct log_piece piece;
    struct log_range range = {{.run = run, .task = 1, .attempt = 1}, 0, 10};
    assert_int_equal(log_read(blobs, &range, &arena, &out, &piece, NULL), 0);
    buffer_fini(&out);
    arena_fini(&arena);
    return piece.expired;
}

static struct retention_result tidy(void)
{
    struct retention_result result;
    struct error error = {0};
    if (retention_logs(&config, history, now_wall, &result, &error) != 0)
        fail_msg("%s", error.text);
    return result;
}

static void retention_by_age_takes_what_ended_long_ago(void **state)
{
    struct fixture *fixture = *state;
    config.keep_logs_ms = 1000;
    add_ended(fixture, 1, now_wall - 1001);
    add_ended(fixture, 2, now_wall - 999);
    add_ended(fixture, 3, 0);
    for (uint64_t run = 1; run <= 4; run++)
        write_log(run, 10);
    assert_int_equal(tidy().runs, 1);
    assert_true(has_expired(1));
    assert_false(has_expired(2));
    assert_false(has_expired(3));
    /* Of no row here: nobody knows when it ended. */
    assert_false(has_expired(4));
    assert_int_equal(tidy().runs, 0);
}

static void retention_by_size_takes_the_oldest_first(void **state)
{
    struct fixture *fixture = *state;
    config.logs_max_bytes = 150 * 1024;
    add_ended(fixture, 1, now_wall - 10);
    add_ended(fixture, 2, now_wall - 30);
    add_ended(fixture, 3, 0);
    add_ended(fixture, 4, now_wall - 20);
    for (uint64_t run = 1; run <= 4; run++)
        write_log(run, 64 * 1024);
    struct retention_result result = tidy();
    assert_int_equal(result.runs, 2);
    assert_true(result.left_bytes <= config.logs_max_bytes);
    assert_true(has_expired(2));
    assert_true(has_expired(4));
    assert_false(has_expired(1));
    assert_false(has_expired(3));
}

static void retention_without_bounds_takes_nothing(void **state)
{
    struct fixture *fixture = *state;
    add_ended(fixture, 1, 1);
    write_log(1, 64 * 1024);
    assert_int_equal(tidy().runs, 0);
    assert_false(has_expired(1));
}

/* ---- blobs ---- */

static struct hash put_old(const char *text)
{
    struct hash hash;
    char path[BLOB_PATH_MAX];
    struct timespec times[2] = {{.tv_sec = time(NULL) - 2 * BLOB_GRACE_MS / 1000}};
    times[1] = times[0];
    assert_int_equal(blob_put(blobs, slice_of(text), &hash, NULL), 0);
    blob_path(blobs, &hash, path);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    return hash;
}

static struct hash put_manifest(const char *name, const struct hash *content)
{
    struct manifest_file file = {slice_of(name), MANIFEST_MODE_FILE, 1, *content};
    struct manifest manifest = {&file, 1, 1};
    struct buffer text = {0};
    manifest_write(&manifest, &text);
    struct hash hash = put_old(buffer_text(&text));
    buffer_fini(&text);
    return hash;
}

static bool is_there(const struct hash *hash)
{
    char path[BLOB_PATH_MAX];
    blob_path(blobs, hash, path);
    return access(path, F_OK) == 0;
}

static bool go_on(void *context)
{
    (void)context;
    return true;
}

static void retention_keeps_all_that_a_row_names(void **state)
{
    struct fixture *fixture = *state;
    struct effects *batch = effects_create();
    struct blob_swept swept;
    struct hash plan = put_old("plan"), file = put_old("f"), artifact = put_old("a");
    struct hash bundle = put_manifest("x", &file), artifacts = put_manifest("y", &artifact);
    struct hash unused = put_old("unused");
    struct run_row run = make_run(1, 1, RUN_SUCCESS);
    struct attempt_row attempt = make_attempt(1, 0, 1, ATTEMPT_SUCCESS);
    run.plan = plan;
    run.bundle = slice_make(bundle.bytes, sizeof bundle.bytes);
    attempt.artifacts = slice_make(artifacts.bytes, sizeof artifacts.bytes);
    add_run(batch, run);
    add_attempt(batch, attempt);
    commit(fixture, batch);
    assert_int_equal(retention_blobs(&config, history, go_on, NULL, &swept), 0);
    assert_int_equal(swept.blobs, 1);
    assert_false(is_there(&unused));
    assert_true(is_there(&plan) && is_there(&bundle) && is_there(&file));
    assert_true(is_there(&artifacts) && is_there(&artifact));
}

static void retention_with_a_damaged_manifest_sweeps_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct effects *batch = effects_create();
    struct blob_swept swept;
    struct hash bundle = put_old("no manifest"), unused = put_old("unused");
    struct run_row run = make_run(1, 1, RUN_SUCCESS);
    run.bundle = slice_make(bundle.bytes, sizeof bundle.bytes);
    add_run(batch, run);
    commit(fixture, batch);
    assert_int_not_equal(retention_blobs(&config, history, go_on, NULL, &swept), 0);
    assert_true(is_there(&unused));
}

static void retention_starts_and_stops_at_once(void **state)
{
    struct retention *retention;
    (void)state;
    assert_int_equal(retention_start(&config, &retention, NULL), 0);
    retention_stop(retention);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(retention_by_age_takes_what_ended_long_ago),
        TEST(retention_by_size_takes_the_oldest_first),
        TEST(retention_without_bounds_takes_nothing),
        TEST(retention_keeps_all_that_a_row_names),
        TEST(retention_with_a_damaged_manifest_sweeps_nothing),
        TEST(retention_starts_and_stops_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
