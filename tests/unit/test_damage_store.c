/*
 * The store's files, damaged in every way: a store is refused by its name, with what a person can
 * do, or it holds what was acknowledged.
 */
#include "store_stage.h"
#include "tests/unit/damage.h"

#include "common/file.h"
#include "common/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BATCHES = 6 };

/* So many batches, and a kill: they stand in the log alone. */
static void make_log(struct fixture *fixture)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)setenv("CMOCKA_TEST_ABORT", "1", 1);
        lead_store(fixture);
        for (uint32_t i = 1; i <= BATCHES; i++) {
            struct effects *batch = effects_create();
            add_run(batch, make_run(i, i, RUN_RUNNING));
            add_session(batch, 0xfedcba9876543210);
            add_attempt(batch, make_attempt(i, 0, 1, ATTEMPT_ASSIGNED));
            commit(fixture, batch);
        }
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

struct look {
    struct fixture *fixture;
    uint32_t refused, whole, shorter, torn;
};

static void expect_refusal(struct look *look, const struct error *error, const char *what)
{
    if (strstr(error->text, look->fixture->folder) == NULL || strchr(error->text, ';') == NULL)
        fail_msg("%s: \"%s\"", what, error->text);
    look->refused++;
}

/* Runs that a start finds, each with its attempt; UINT32_MAX: it is refused. */
static uint32_t load(struct fixture *fixture, struct error *error)
{
    struct store *store;
    struct seen seen = {0};
    const struct store_loader loader = loader_into(&seen);
    int rc = store_open(fixture->folder, wake, fixture, &store, error);
    if (rc != 0)
        return UINT32_MAX;
    rc = store_load(store, &loader, error);
    store_close(store);
    if (rc != 0)
        return UINT32_MAX;
    assert_int_equal(seen.attempts, seen.runs);
    for (uint32_t i = 0; i < seen.runs; i++)
        assert_int_equal(seen.keys[i], i + 1);
    return seen.runs;
}

static void look_at_log(void *context, const char *what)
{
    struct look *look = context;
    struct error error = {0};
    uint32_t runs = load(look->fixture, &error);
    if (runs == UINT32_MAX)
        expect_refusal(look, &error, what);
    else if (runs == BATCHES)
        look->whole++;
    else if (strstr(what, "cut off") != NULL)
        look->shorter++; /* nobody can tell it from what a kill leaves */
    else if (runs == BATCHES - 1)
        look->torn++; /* nor this from what a power cut leaves */
    else
        fail_msg("%s: of %d batches %u are left", what, BATCHES, runs);
}

static void damaged_log_is_refused_or_lacks_its_last_batch(void **state)
{
    struct look look = {.fixture = *state};
    struct error error = {0};
    make_log(*state);
    char *path = store_path(*state), *log = xasprintf("%s-wal", path);
    damage_each(log, 997, look_at_log, &look);
    /* Of six batches one may be the torn one. */
    assert_true(look.torn > 0 && look.refused > 3 * look.torn && look.shorter > 0);
    assert_int_equal(load(*state, &error), BATCHES);
    free(log);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            damaged_log_is_refused_or_lacks_its_last_batch, set_up_store, tear_down_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
