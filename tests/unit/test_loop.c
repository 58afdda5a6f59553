#include "common/loop.h"

#include "common/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* One loop and two pipes; the callbacks count, and stop the loop when the test has seen enough. */
struct fixture {
    struct loop *loop;
    int first[2], second[2];
    int first_calls, second_calls, rounds, timers, runs, signal;
    int stop_after_rounds; /* 0: never */
    uint64_t fired_ms;
    bool source_ready;
    struct loop_source source;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    return f == NULL || loop_create(&f->loop, NULL) != 0 || pipe2(f->first, O_NONBLOCK) != 0 ||
           pipe2(f->second, O_NONBLOCK) != 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    loop_destroy(f->loop);
    for (int i = 0; i < 2; i++) {
        (void)close(f->first[i]);
        (void)close(f->second[i]);
    }
    free(f);
    return 0;
}

static void put_byte(int fd)
{
    assert_int_equal(write(fd, "x", 1), 1);
}

static void take_byte(int fd)
{
    char byte;
    assert_int_equal(read(fd, &byte, 1), 1);
}

static bool count_round(void *context)
{
    struct fixture *f = context;
    f->rounds++;
    if (f->rounds == f->stop_after_rounds)
        loop_stop(f->loop);
    return false;
}

static bool count_round_busily(void *context)
{
    (void)count_round(context);
    return true;
}

static void on_first(void *context, int fd, uint32_t events)
{
    struct fixture *f = context;
    assert_true((events & EPOLLIN) != 0);
    f->first_calls++;
    take_byte(fd);
    loop_stop(f->loop);
}

static void on_second(void *context, int fd, uint32_t events)
{
    struct fixture *f = context;
    (void)events;
    f->second_calls++;
    take_byte(fd);
}

static void loop_stopped_before_it_runs_returns_at_once(void **state)
{
    struct fixture *f = *state;
    loop_on_round(f->loop, count_round, f);
    loop_stop(f->loop);
    loop_run(f->loop);
    assert_int_equal(f->rounds, 0);
}

static void loop_round_callback_runs_once_before_the_first_sleep(void **state)
{
    struct fixture *f = *state;
    f->stop_after_rounds = 1;
    loop_on_round(f->loop, count_round, f);
    loop_run(f->loop);
    assert_int_equal(f->rounds, 1);
}

static void loop_busy_round_callback_does_not_sleep(void **state)
{
    struct fixture *f = *state;
    f->stop_after_rounds = 1000;
    loop_on_round(f->loop, count_round_busily, f);
    loop_run(f->loop);
    assert_int_equal(f->rounds, 1000);
}

static void loop_readable_descriptor_calls_back_each_time(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(loop_watch(f->loop, f->first[0], EPOLLIN, on_first, f, NULL), 0);
    put_byte(f->first[1]);
    put_byte(f->first[1]);
    loop_run(f->loop);
    assert_int_equal(f->first_calls, 1);
    loop_run(f->loop);
    assert_int_equal(f->first_calls, 2);
}

static void loop_descriptor_watched_again_gets_the_new_callback_alone(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(loop_watch(f->loop, f->first[0], EPOLLIN, on_second, f, NULL), 0);
    assert_int_equal(loop_watch(f->loop, f->first[0], EPOLLIN, on_first, f, NULL), 0);
    put_byte(f->first[1]);
    loop_run(f->loop);
    assert_int_equal(f->first_calls, 1);
    assert_int_equal(f->second_calls, 0);
}

static void loop_bad_descriptor_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct error error = {0};
    int fd = dup(f->first[0]);
    (void)close(fd);
    assert_int_equal(loop_watch(f->loop, fd, EPOLLIN, on_first, f, &error), ERR_IO);
    assert_non_null(strstr(error.text, "cannot be watched"));
}

static void loop_number_closed_and_used_again_is_watched_again(void **state)
{
    struct fixture *f = *state;
    int fd = dup(f->first[0]);
    assert_int_equal(loop_watch(f->loop, fd, EPOLLIN, on_second, f, NULL), 0);
    (void)close(fd);
    assert_int_equal(dup(f->second[0]), fd);
    assert_int_equal(loop_watch(f->loop, fd, EPOLLIN, on_first, f, NULL), 0);
    put_byte(f->second[1]);
    loop_run(f->loop);
    assert_int_equal(f->first_calls, 1);
    loop_forget(f->loop, fd);
    (void)close(fd);
}

/* Whichever of the two is served first forgets the other. */
static void forget_other(void *context, int fd, uint32_t events)
{
    struct fixture *f = context;
    (void)events;
    take_byte(fd);
    f->first_calls++;
    loop_forget(f->loop, fd == f->first[0] ? f->second[0] : f->first[0]);
}

static void loop_descriptor_forgotten_in_a_callback_is_not_called_in_that_round(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(loop_watch(f->loop, f->first[0], EPOLLIN, forget_other, f, NULL), 0);
    assert_int_equal(loop_watch(f->loop, f->second[0], EPOLLIN, forget_other, f, NULL), 0);
    put_byte(f->first[1]);
    put_byte(f->second[1]);
    f->stop_after_rounds = 3;
    loop_on_round(f->loop, count_round_busily, f);
    loop_run(f->loop);
    assert_int_equal(f->first_calls, 1);
}

/* Closes the other descriptor and opens a silent one of the same number, which must not get the old
 * event. */
static void replace_other(void *context, int fd, uint32_t events)
{
    struct fixture *f = context;
    (void)events;
    int other = fd == f->first[0] ? f->second[0] : f->first[0];
    f->first_calls++;
    take_byte(fd);
    loop_forget(f->loop, other);
    int silent[2];
    assert_int_equal(pipe2(silent, O_NONBLOCK), 0);
    assert_int_equal(dup2(silent[0], other), other);
    (void)close(silent[0]);
    (void)close(silent[1]);
    assert_int_equal(loop_watch(f->loop, other, EPOLLPRI, on_second, f, NULL), 0);
    loop_forget(f->loop, other);
    assert_int_equal(loop_watch(f->loop, other, EPOLLIN, on_second, f, NULL), 0);
    loop_forget(f->loop, fd);
    loop_forget(f->loop, other);
}

static void loop_stale_event_does_not_reach_the_next_owner_of_the_number(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(loop_watch(f->loop, f->first[0], EPOLLIN, replace_other, f, NULL), 0);
    assert_int_equal(loop_watch(f->loop, f->second[0], EPOLLIN, replace_other, f, NULL), 0);
    put_byte(f->first[1]);
    put_byte(f->second[1]);
    f->stop_after_rounds = 3;
    loop_on_round(f->loop, count_round_busily, f);
    loop_run(f->loop);
    assert_int_equal(f->first_calls, 1);
    assert_int_equal(f->second_calls, 0);
}

static void on_timer(void *context)
{
    struct fixture *f = context;
    f->timers++;
    f->fired_ms = clock_boot_ms();
    loop_stop(f->loop);
}

static void loop_timer_fires_once_and_never_early(void **state)
{
    struct fixture *f = *state;
    loop_on_timer(f->loop, on_timer, f);
    for (int i = 1; i <= 20; i++) {
        uint64_t due_ms = clock_boot_ms() + 3;
        loop_set_timer(f->loop, due_ms);
        loop_run(f->loop);
        assert_int_equal(f->timers, i);
        assert_true(f->fired_ms >= due_ms);
    }
}

static void loop_timer_in_the_past_fires_at_once(void **state)
{
    struct fixture *f = *state;
    loop_on_timer(f->loop, on_timer, f);
    loop_set_timer(f->loop, 0);
    loop_run(f->loop);
    loop_set_timer(f->loop, 1);
    loop_run(f->loop);
    assert_int_equal(f->timers, 2);
}

static void loop_timer_set_to_never_does_not_fire(void **state)
{
    struct fixture *f = *state;
    loop_on_timer(f->loop, on_timer, f);
    loop_set_timer(f->loop, 1);
    loop_set_timer(f->loop, UINT64_MAX);
    loop_set_timer(f->loop, UINT64_MAX - 1);
    f->stop_after_rounds = 10;
    loop_on_round(f->loop, count_round_busily, f);
    loop_run(f->loop);
    assert_int_equal(f->timers, 0);
}

/* Moves the timer into the far future in the round in which it is due. */
static void postpone(void *context, int fd, uint32_t events)
{
    struct fixture *f = context;
    (void)events;
    take_byte(fd);
    loop_set_timer(f->loop, clock_boot_ms() + 3600000);
}

static void loop_timer_postponed_in_the_round_of_its_event_does_not_fire(void **state)
{
    struct fixture *f = *state;
    loop_on_timer(f->loop, on_timer, f);
    assert_int_equal(loop_watch(f->loop, f->first[0], EPOLLIN, postpone, f, NULL), 0);
    put_byte(f->first[1]);
    f->stop_after_rounds = 5;
    loop_on_round(f->loop, count_round_busily, f);
    uint64_t due_ms = clock_boot_ms() + 2;
    loop_set_timer(f->loop, due_ms);
    while (clock_boot_ms() <= due_ms)
        continue;
    loop_run(f->loop);
    /* The descriptor was ready first, so it is served first; the timer may at most have been served
     * before. */
    assert_int_equal(f->timers, 0);
}

static atomic_bool awake;

/* Until the loop has come round: wakes that end before its first round count once. */
static void *wake_often(void *context)
{
    while (!atomic_load(&awake))
        loop_wake(context);
    return NULL;
}

static void loop_wake_from_another_thread_runs_the_round_callback(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    f->stop_after_rounds = 2;
    loop_on_round(f->loop, count_round, f);
    atomic_store(&awake, false);
    assert_int_equal(pthread_create(&thread, NULL, wake_often, f->loop), 0);
    loop_run(f->loop);
    atomic_store(&awake, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(f->rounds, 2);
}

static void on_signal(void *context, int signal)
{
    struct fixture *f = context;
    f->signal = signal;
    loop_stop(f->loop);
}

static void loop_signal_arrives_as_a_callback(void **state)
{
    struct fixture *f = *state;
    const int signals[] = {SIGUSR1, SIGUSR2};
    assert_int_equal(loop_on_signals(f->loop, signals, 2, on_signal, f, NULL), 0);
    assert_int_equal(kill(getpid(), SIGUSR2), 0);
    loop_run(f->loop);
    assert_int_equal(f->signal, SIGUSR2);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    loop_run(f->loop);
    assert_int_equal(f->signal, SIGUSR1);
}

static bool source_is_ready(void *context)
{
    struct fixture *f = context;
    return f->source_ready;
}

static void run_source(void *context)
{
    struct fixture *f = context;
    f->runs++;
    if (f->runs == 100) {
        f->source_ready = false;
        loop_set_timer(f->loop, clock_boot_ms() + 30);
    }
}

static void loop_ready_source_keeps_the_loop_awake_until_it_is_done(void **state)
{
    struct fixture *f = *state;
    f->source = (struct loop_source){source_is_ready, run_source, f};
    f->source_ready = true;
    loop_add_source(f->loop, &f->source);
    loop_on_timer(f->loop, on_timer, f);
    loop_on_round(f->loop, count_round, f);
    loop_run(f->loop);
    assert_true(f->runs >= 100);
    /* Once a round, and the loop slept when it was no longer ready: a polling loop would have run
     * far on. */
    assert_int_equal(f->runs, f->rounds);
    assert_true(f->runs < 110);
}

static void remove_itself(void *context)
{
    struct fixture *f = context;
    f->runs++;
    loop_remove_source(f->loop, &f->source);
    f->source = (struct loop_source){0};
}

static void loop_source_removed_in_its_own_callback_is_not_called_again(void **state)
{
    struct fixture *f = *state;
    f->source = (struct loop_source){source_is_ready, remove_itself, f};
    f->source_ready = true;
    f->stop_after_rounds = 5;
    loop_add_source(f->loop, &f->source);
    loop_on_round(f->loop, count_round_busily, f);
    loop_run(f->loop);
    assert_int_equal(f->runs, 1);
}

static void clock_text_is_rfc_3339_in_utc(void **state)
{
    (void)state;
    char text[CLOCK_TEXT_MAX];
    clock_format_wall(0, text);
    assert_string_equal(text, "-");
    clock_format_wall(1, text);
    assert_string_equal(text, "1970-01-01T00:00:00.001Z");
    clock_format_wall(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999Z");
    clock_format_wall(1795230000007, text);
    assert_string_equal(text, "2026-11-21T03:00:00.007Z");
    clock_format_wall(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
    clock_format_wall(INT64_MIN, text);
    assert_string_equal(text, "1000-01-01T00:00:00.000Z");
}

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(loop_stopped_before_it_runs_returns_at_once),
        LOOP_TEST(loop_round_callback_runs_once_before_the_first_sleep),
        LOOP_TEST(loop_busy_round_callback_does_not_sleep),
        LOOP_TEST(loop_readable_descriptor_calls_back_each_time),
        LOOP_TEST(loop_descriptor_watched_again_gets_the_new_callback_alone),
        LOOP_TEST(loop_bad_descriptor_is_an_error),
        LOOP_TEST(loop_number_closed_and_used_again_is_watched_again),
        LOOP_TEST(loop_descriptor_forgotten_in_a_callback_is_not_called_in_that_round),
        LOOP_TEST(loop_stale_event_does_not_reach_the_next_owner_of_the_number),
        LOOP_TEST(loop_timer_fires_once_and_never_early),
        LOOP_TEST(loop_timer_in_the_past_fires_at_once),
        LOOP_TEST(loop_timer_set_to_never_does_not_fire),
        LOOP_TEST(loop_timer_postponed_in_the_round_of_its_event_does_not_fire),
        LOOP_TEST(loop_wake_from_another_thread_runs_the_round_callback),
        LOOP_TEST(loop_signal_arrives_as_a_callback),
        LOOP_TEST(loop_ready_source_keeps_the_loop_awake_until_it_is_done),
        LOOP_TEST(loop_source_removed_in_its_own_callback_is_not_called_again),
        cmocka_unit_test(clock_text_is_rfc_3339_in_utc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
