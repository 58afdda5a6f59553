/*
 * Out of memory at each site of the store: the process ends by abort, or says what it could not do;
 * and a start after it finds every batch that was acknowledged, whole, and goes on. See
 * no_memory.h.
 */
#include "store_stage.h"
#include "tests/unit/no_memory.h"

#include "common/file.h"
#include "common/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BATCHES = 2 };

static void ignore_wake(void *context)
{
    uint64_t one = 1;
    (void)!write(*(int *)context, &one, sizeof one);
}

/* Waits until the batch is committed, or will never be. */
static bool was_committed(struct store *store, int woken, struct error *error)
{
    struct effects *back;
    while ((back = store_take_committed(store)) == NULL) {
        struct pollfd poll_fd = {woken, POLLIN, 0};
        uint64_t count;
        if (store_state(store, error) != STORE_OK)
            return false;
        if (poll(&poll_fd, 1, 30000) != 1 || read(woken, &count, sizeof count) < 0)
            abort();
    }
    effects_destroy(back);
    return true;
}

static struct effects *make_batch(uint32_t number)
{
    struct effects *batch = effects_create();
    add_run(batch, make_run(number, number, RUN_RUNNING));
    add_session(batch, 0xfedcba9876543210);
    add_attempt(batch, make_attempt(number, 0, 1, ATTEMPT_ASSIGNED));
    return batch;
}

/* Goes on where an earlier start ended: leads, commits, reads. A line for each thing that was done,
 * or why it was not. */
static void lead_and_commit(void *context, struct buffer *out)
{
    struct fixture *fixture = context;
    struct error error = {0};
    struct store *store = NULL;
    struct store_identity identity;
    struct seen seen = {0};
    const struct store_loader loader = loader_into(&seen);
    int rc = store_open(fixture->folder, ignore_wake, &fixture->woken, &store, &error);
    if (rc == 0)
        rc = store_load(store, &loader, &error);
    if (rc == 0)
        buffer_printf(out, "loaded %u runs, %zu attempts, last %llu\n", seen.runs, seen.attempts,
            seen.runs > 0 ? (unsigned long long)seen.keys[seen.runs - 1] : 0);
    if (rc == 0)
        rc = store_lead(store, 77, 1000, &identity, &error);
    for (uint32_t i = 1; rc == 0 && i <= BATCHES; i++) {
        store_commit(store, make_batch(seen.runs + i));
        rc = was_committed(store, fixture->woken, &error) ? 0 : error.code;
        if (rc == 0)
            buffer_printf(out, "committed %u\n", seen.runs + i);
    }
    if (rc != 0)
        buffer_printf(out, "refused: %s\n", error.text);
    store_close(store);
}

static void expect_clean(struct ending *ending, uint64_t n)
{
    const char *made = buffer_text(&ending->out), *refused = strstr(made, "refused: ");
    bool said = ending->done && (refused == NULL || strlen(refused) > strlen("refused: \n"));
    if (!ending->aborted && !said)
        fail_msg("allocation %llu: status 0x%x, last words \"%s\", made:\n%s",
            (unsigned long long)n, (unsigned)ending->status, buffer_text(&ending->words), made);
}

/* What the child was told to be committed: at least so many runs are there after it. */
static uint32_t runs_said(struct ending *ending)
{
    uint32_t runs = 0;
    for (const char *at = buffer_text(&ending->out); (at = strstr(at, "committed ")) != NULL; at++)
        runs++;
    return runs;
}

/* What a start reads is all of `least` to `most` runs, each with its attempt, or it reads nothing.
 */
static uint32_t expect_loaded(struct ending *ending, uint32_t least, uint32_t most)
{
    unsigned runs, attempts, last;
    int got = sscanf(
        buffer_text(&ending->out), "loaded %u runs, %u attempts, last %u", &runs, &attempts, &last);
    if (got != 3)
        return 0;
    assert_in_range(runs, least, most);
    assert_int_equal(attempts, runs);
    assert_int_equal(last, runs);
    return runs;
}

/* Every STEP-th: the sites in the store's own code are few, those in sqlite thousands. */
enum { STEP = 41, RUNS_MAX_KEPT = 8 };

static void store_without_memory_keeps_what_it_acknowledged(void **state)
{
    struct fixture *fixture = *state;
    uint32_t runs = 0;
    bool reached = true;
    uint64_t n = 1;
    no_memory_or_skip();
    for (; reached; n += STEP) {
        struct ending ending, after;
        no_memory_play(lead_and_commit, fixture, n, n % 8 == 0, &ending);
        reached = ending.reached;
        expect_clean(&ending, n);
        (void)expect_loaded(&ending, runs, runs);
        no_memory_play(lead_and_commit, fixture, 0, false, &after);
        assert_true(after.done);
        /* A batch in flight is there or not, and never a part of it. */
        runs = expect_loaded(&after, runs + runs_said(&ending), runs + BATCHES) + BATCHES;
        assert_int_equal(runs_said(&after), BATCHES);
        ending_fini(&ending);
        ending_fini(&after);
        if (runs > RUNS_MAX_KEPT) {
            /* A store that grows would ask for more each time. */
            assert_int_equal(file_remove_tree(fixture->folder, NULL), 0);
            assert_int_equal(file_make_folder(fixture->folder, 0700, NULL), 0);
            runs = 0;
        }
    }
    print_message("of %llu allocations every %dst failed\n", (unsigned long long)n, STEP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            store_without_memory_keeps_what_it_acknowledged, set_up_store, tear_down_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
