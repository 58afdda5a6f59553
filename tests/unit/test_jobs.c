#include "common/jobs.h"

#include "common/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { JOBS_MAX = 64, THREADS = 4 };

struct fixture {
    struct loop *loop;
    struct jobs *jobs;
    pthread_barrier_t barrier; /* of THREADS */
    struct job_item {
        struct fixture *fixture;
        pthread_t thread;
        int number;
    } items[JOBS_MAX];
    atomic_int worked, dropped;
    int done[JOBS_MAX]; /* numbers, as they came back */
    int done_count, done_wanted;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    if (f == NULL || loop_create(&f->loop, NULL) != 0)
        return 1;
    for (int i = 0; i < JOBS_MAX; i++)
        f->items[i] = (struct job_item){.fixture = f, .number = i};
    return pthread_barrier_init(&f->barrier, NULL, THREADS);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    jobs_destroy(f->jobs);
    loop_destroy(f->loop);
    (void)pthread_barrier_destroy(&f->barrier);
    free(f);
    return 0;
}

static void start(struct fixture *f, int thread_count)
{
    assert_int_equal(jobs_start(f->loop, thread_count, "test", &f->jobs, NULL), 0);
}

static void work(void *context)
{
    struct job_item *item = context;
    item->thread = pthread_self();
    atomic_fetch_add(&item->fixture->worked, 1);
}

/* Ends only when THREADS of them run at once. */
static void meet(void *context)
{
    struct job_item *item = context;
    (void)pthread_barrier_wait(&item->fixture->barrier);
    work(context);
}

static void note(struct job_item *item)
{
    struct fixture *f = item->fixture;
    f->done[f->done_count++] = item->number;
}

static void done(void *context)
{
    note(context);
}

static void drop(void *context)
{
    struct job_item *item = context;
    atomic_fetch_add(&item->fixture->dropped, 1);
}

/* The loop has no other reason to wake than the end of a job. */
static bool take_all(void *context)
{
    struct fixture *f = context;
    (void)jobs_take(f->jobs);
    if (f->done_count == f->done_wanted)
        loop_stop(f->loop);
    return false;
}

static bool next_all(void *context)
{
    struct fixture *f = context;
    for (struct job_item *item; (item = jobs_next(f->jobs)) != NULL;)
        note(item);
    if (f->done_count == f->done_wanted)
        loop_stop(f->loop);
    return false;
}

static void run_until(struct fixture *f, bool (*on_round)(void *context), int wanted)
{
    f->done_wanted = wanted;
    loop_on_round(f->loop, on_round, f);
    loop_run(f->loop);
}

static void assert_done_in_order(const struct fixture *f, int count)
{
    assert_int_equal(f->done_count, count);
    for (int i = 0; i < count; i++)
        assert_int_equal(f->done[i], i);
}

static void jobs_without_any_takes_nothing(void **state)
{
    struct fixture *f = *state;
    f->jobs = jobs_create(f->loop);
    assert_false(jobs_take(f->jobs));
    assert_null(jobs_next(f->jobs));
}

static void jobs_run_ends_in_order_on_another_thread_and_wakes_the_loop(void **state)
{
    struct fixture *f = *state;
    f->jobs = jobs_create(f->loop);
    for (int i = 0; i < JOBS_MAX; i++)
        jobs_run(f->jobs, work, done, &f->items[i]);
    run_until(f, take_all, JOBS_MAX);
    assert_done_in_order(f, JOBS_MAX);
    assert_int_equal(f->worked, JOBS_MAX);
    for (int i = 0; i < JOBS_MAX; i++) {
        assert_false(pthread_equal(f->items[i].thread, pthread_self()));
        assert_true(pthread_equal(f->items[i].thread, f->items[0].thread));
    }
    assert_false(jobs_take(f->jobs));
}

static void jobs_posted_are_given_back_in_order_on_one_thread(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    for (int i = 0; i < JOBS_MAX; i++)
        jobs_post(f->jobs, work, drop, &f->items[i]);
    run_until(f, next_all, JOBS_MAX);
    assert_done_in_order(f, JOBS_MAX);
    assert_int_equal(f->dropped, 0);
}

static void jobs_next_calls_done_of_what_was_run_between(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    for (int i = 0; i < 6; i++) {
        if (i % 2 == 0)
            jobs_run(f->jobs, work, done, &f->items[i]);
        else
            jobs_post(f->jobs, work, drop, &f->items[i]);
    }
    run_until(f, next_all, 6);
    assert_done_in_order(f, 6);
}

static void jobs_started_with_threads_work_at_once(void **state)
{
    struct fixture *f = *state;
    start(f, THREADS);
    for (int i = 0; i < THREADS; i++)
        jobs_post(f->jobs, meet, drop, &f->items[i]);
    run_until(f, next_all, THREADS);
    assert_int_equal(f->worked, THREADS);
}

static void be_held(void *context)
{
    meet(context);
    meet(context);
}

static void meet_held(struct fixture *f)
{
    (void)pthread_barrier_wait(&f->barrier);
}

/* The only thread is in this job when it returns, and until meet_held: what follows waits. */
static void hold(struct fixture *f)
{
    (void)pthread_barrier_destroy(&f->barrier);
    (void)pthread_barrier_init(&f->barrier, NULL, 2);
    jobs_run(f->jobs, be_held, done, &f->items[0]);
    meet_held(f);
}

static void *destroy(void *context)
{
    struct fixture *f = context;
    jobs_destroy(f->jobs);
    return NULL;
}

static void jobs_destroyed_drops_each_posted_job_once_and_calls_no_done(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    start(f, 1);
    jobs_post(f->jobs, work, drop, &f->items[1]);
    hold(f);
    jobs_post(f->jobs, work, drop, &f->items[2]);
    jobs_run(f->jobs, work, done, &f->items[3]);
    /* Waits for the job that runs. */
    assert_int_equal(pthread_create(&thread, NULL, destroy, f), 0);
    meet_held(f);
    assert_int_equal(pthread_join(thread, NULL), 0);
    f->jobs = NULL;
    assert_int_equal(f->dropped, 2);
    assert_int_equal(f->done_count, 0);
}

static void touch(void *context)
{
    *(char *)context = 'x';
}

/* A second free, or none, is for the sanitizers to see. */
static void jobs_without_done_free_their_context_taken_or_not(void **state)
{
    struct fixture *f = *state;
    f->jobs = jobs_create(f->loop);
    jobs_run(f->jobs, touch, NULL, xmalloc(1));
    jobs_run(f->jobs, work, done, &f->items[0]);
    run_until(f, take_all, 1);
    hold(f);
    jobs_run(f->jobs, touch, NULL, xmalloc(1));
    meet_held(f);
}

static void jobs_started_without_memory_for_a_stack_say_what_for(void **state)
{
    struct fixture *f = *state;
    struct error error = {0};
    pthread_attr_t before, huge;
    assert_int_equal(pthread_getattr_default_np(&before), 0);
    assert_int_equal(pthread_attr_init(&huge), 0);
    assert_int_equal(pthread_attr_setstacksize(&huge, (size_t)1 << 50), 0);
    assert_int_equal(pthread_setattr_default_np(&huge), 0);
    int rc = jobs_start(f->loop, THREADS, "sing", &f->jobs, &error);
    assert_int_equal(pthread_setattr_default_np(&before), 0);
    assert_int_equal(rc, ERR_IO);
    assert_ptr_equal(strstr(error.text, "no thread to sing"), error.text);
    assert_null(f->jobs);
    (void)pthread_attr_destroy(&huge);
    (void)pthread_attr_destroy(&before);
}

static void jobs_destroy_of_null_is_nothing(void **state)
{
    (void)state;
    jobs_destroy(NULL);
}

#define JOBS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        JOBS_TEST(jobs_without_any_takes_nothing),
        JOBS_TEST(jobs_run_ends_in_order_on_another_thread_and_wakes_the_loop),
        JOBS_TEST(jobs_posted_are_given_back_in_order_on_one_thread),
        JOBS_TEST(jobs_next_calls_done_of_what_was_run_between),
        JOBS_TEST(jobs_started_with_threads_work_at_once),
        JOBS_TEST(jobs_destroyed_drops_each_posted_job_once_and_calls_no_done),
        JOBS_TEST(jobs_without_done_free_their_context_taken_or_not),
        JOBS_TEST(jobs_started_without_memory_for_a_stack_say_what_for),
        cmocka_unit_test(jobs_destroy_of_null_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
