#include "cli/client.h"
#include "cli/follow.h"
#include "cli/log_follow.h"
#include "cli/session.h"
#include "common/clock.h"
#include "common/random.h"
#include "common/transport/transport.h"
#include "fake_master.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the scripts count and do. Test and master share it, and only the sockets say who is first.
 */
struct script {
    atomic_int pings, requests, watches;
    atomic_ullong last_request;
    atomic_int lose;         /* so many requests get no answer */
    _Atomic uint32_t tasks;  /* of the run */
    atomic_int state;        /* of the run, as get_run tells it */
    atomic_bool gap;         /* the watch misses a number */
    const char *_Atomic log; /* what the log reads give, in pieces of 7 bytes */
};

static struct fake_master *_Atomic fake;
static struct client *client;
static struct script script;

static struct slice task_name(uint32_t index)
{
    static _Thread_local char name[32];
    return slice_make(name, (size_t)snprintf(name, sizeof name, "t%u", index));
}

static void answer_run(const struct msg_get_run *ask)
{
    static struct task_info tasks[2000];
    static struct attempt_info attempts[2000];
    static char names[2000][16];
    struct msg_run_info info = {.request = ask->request,
        .run = slice_of("d/1"),
        .dag = slice_of("d"),
        .state = (uint32_t)script.state,
        .task_count = script.tasks,
        .key = 77,
        .started_at = 1000,
        .ended_at = script.state == RUN_RUNNING ? 0 : 2000};
    info.tasks.items = tasks;
    for (uint32_t i = ask->after; i < script.tasks && info.tasks.count < ask->limit; i++) {
        uint32_t at = info.tasks.count++;
        struct slice name = task_name(i);
        memcpy(names[at], name.ptr, name.length);
        attempts[at] = (struct attempt_info){.attempt = 1,
            .state = script.state == RUN_RUNNING ? ATTEMPT_RUNNING : ATTEMPT_SUCCESS,
            .started_at = 1000 + i,
            .ended_at = script.state == RUN_RUNNING ? 0 : 2000,
            .log_bytes = script.log != NULL ? strlen(script.log) : 10};
        tasks[at] = (struct task_info){.task = slice_make(names[at], name.length),
            .state = script.state == RUN_RUNNING ? TASK_RUNNING : TASK_SUCCESS,
            .index = i,
            .attempts = {&attempts[at], 1}};
    }
    info.more = ask->after + info.tasks.count < script.tasks;
    fake_master_send(fake, MESSAGE_run_info, &info);
}

static void tell_watch(const struct msg_watch *watch, uint64_t number, uint32_t state)
{
    struct state_count counts[] = {{TASK_RUNNING, 1}};
    struct task_change change = {.task = slice_of("t0"), .state = TASK_SUCCESS, .attempt = 1};
    struct msg_run_changed changed = {.request = watch->request,
        .number = number,
        .run = slice_of("d/1"),
        .state = state,
        .counts = {counts, 1},
        .task_count = script.tasks};
    if (state != RUN_RUNNING) {
        changed.changes.items = &change;
        changed.changes.count = 1;
    }
    fake_master_send(fake, MESSAGE_run_changed, &changed);
}

static void answer_watch(const struct msg_watch *watch)
{
    if (watch->stop)
        return;
    int count = atomic_fetch_add(&script.watches, 1) + 1;
    tell_watch(watch, 1, RUN_RUNNING);
    if (script.gap && count == 1) {
        script.state = RUN_SUCCESS;
        tell_watch(watch, 3, RUN_RUNNING);
    } else if (!script.gap) {
        script.state = RUN_SUCCESS;
        tell_watch(watch, 2, RUN_SUCCESS);
    }
}

static void answer_log(const struct msg_log_read *ask)
{
    size_t length = strlen(script.log), offset = (size_t)ask->offset;
    size_t piece = length - offset < 7 ? length - offset : 7;
    const struct msg_log_data data = {.request = ask->request,
        .offset = offset,
        .data = slice_make(script.log + offset, piece),
        .next = offset + piece,
        .end = offset + piece == length,
        .known = true};
    fake_master_send(fake, MESSAGE_log_data, &data);
}

static void answer(struct fake_master *master, void *context, const struct message *message)
{
    (void)master;
    (void)context;
    if (message->number == MESSAGE_ping) {
        const struct msg_pong pong = {.request = ((const struct msg_ping *)message->body)->request};
        atomic_fetch_add(&script.pings, 1);
        fake_master_send(fake, MESSAGE_pong, &pong);
        return;
    }
    uint64_t request;
    memcpy(&request, message->body, sizeof request);
    atomic_fetch_add(&script.requests, 1);
    atomic_store(&script.last_request, request);
    if (atomic_fetch_sub(&script.lose, 1) > 0)
        return;
    if (message->number == MESSAGE_get_run)
        answer_run(message->body);
    else if (message->number == MESSAGE_watch)
        answer_watch(message->body);
    else if (message->number == MESSAGE_log_read)
        answer_log(message->body);
    else {
        const struct msg_refused refused = {
            .request = request, .code = ERR_NOT_FOUND, .text = slice_of("no run nothing/1")};
        fake_master_send(fake, MESSAGE_refused, &refused);
    }
}

static int setup(void **state)
{
    (void)state;
    script = (struct script){.tasks = 1};
    script.state = RUN_RUNNING;
    script.log = "";
    transport_start();
    fake = fake_master_start(answer, NULL);
    struct master_search search = fake_master_search(fake);
    return client_create(&search, &client, NULL);
}

static int teardown(void **state)
{
    (void)state;
    client_destroy(client);
    fake_master_destroy(fake);
    transport_stop();
    return 0;
}

static void client_refusal_is_the_masters_error(void **state)
{
    const struct msg_cancel ask = {.request = random_id(), .run = slice_of("nothing/1")};
    const void *body;
    struct error error = {0};
    (void)state;
    assert_int_equal(
        client_ask(client, MESSAGE_cancel, &ask, MESSAGE_done, &body, &error), ERR_NOT_FOUND);
    assert_string_equal(error.text, "no run nothing/1");
}

static void client_lost_request_is_sent_again_with_its_id(void **state)
{
    const struct msg_cancel ask = {.request = 4711, .run = slice_of("nothing/1")};
    const void *body;
    (void)state;
    script.lose = 2;
    client_set_repeat(client, 10);
    assert_int_equal(
        client_ask(client, MESSAGE_cancel, &ask, MESSAGE_done, &body, NULL), ERR_NOT_FOUND);
    assert_true(atomic_load(&script.requests) >= 3);
    assert_int_equal(atomic_load(&script.last_request), 4711);
}

static void client_silent_master_is_unreachable_in_time(void **state)
{
    const struct msg_ping ask = {.request = random_id()};
    const void *body;
    struct error error = {0};
    (void)state;
    fake_master_stop(fake);
    client_set_patience(client, 200);
    uint64_t before = clock_boot_ms();
    assert_int_equal(
        client_ask(client, MESSAGE_ping, &ask, MESSAGE_pong, &body, &error), ERR_UNREACHABLE);
    assert_in_range(clock_boot_ms() - before, 200, 30000);
    assert_non_null(strstr(error.text, "control.sock does not answer"));
    assert_non_null(strstr(error.text, "reeve-master"));
}

static void client_master_that_answers_pings_is_waited_for(void **state)
{
    const struct msg_cancel ask = {.request = random_id()};
    const void *body;
    (void)state;
    /* Slower than its patience, but alive: as a submit of a large DAG is. */
    script.lose = 25;
    client_set_repeat(client, 100);
    client_set_patience(client, 1500);
    assert_int_equal(
        client_ask(client, MESSAGE_cancel, &ask, MESSAGE_done, &body, NULL), ERR_NOT_FOUND);
    assert_true(atomic_load(&script.pings) >= 1);
}

static void client_restarted_master_gets_the_request_again(void **state)
{
    const struct msg_ping ask = {.request = random_id()}, second = {.request = random_id()};
    const void *body;
    (void)state;
    client_set_repeat(client, 50);
    assert_int_equal(client_ask(client, MESSAGE_ping, &ask, MESSAGE_pong, &body, NULL), 0);
    assert_int_equal(client_restarts(client), 0);
    fake_master_restart(fake);
    assert_int_equal(client_ask(client, MESSAGE_ping, &second, MESSAGE_pong, &body, NULL), 0);
    assert_int_equal(client_restarts(client), 1);
}

static void client_signal_interrupts_a_request(void **state)
{
    const struct msg_cancel ask = {.request = random_id()};
    const void *body;
    (void)state;
    script.lose = 1000;
    assert_int_equal(client_catch_signals(client, NULL), 0);
    (void)kill(getpid(), SIGINT);
    assert_int_equal(
        client_ask(client, MESSAGE_cancel, &ask, MESSAGE_done, &body, NULL), CLIENT_INTERRUPTED);
    assert_int_equal(client_take_signal(client), SIGINT);
    assert_int_equal(client_take_signal(client), 0);
}

static void client_broken_descriptor_ends_the_waiting(void **state)
{
    const struct msg_cancel ask = {.request = random_id()};
    const void *body;
    int fds[2];
    (void)state;
    script.lose = 1000;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(client_break_on(client, fds[0], NULL), 0);
    (void)close(fds[1]);
    assert_int_equal(
        client_ask(client, MESSAGE_cancel, &ask, MESSAGE_done, &body, NULL), CLIENT_BROKEN);
    (void)close(fds[0]);
}

static int count_page(
    void *context, const struct msg_run_info *page, uint32_t before, struct error *error)
{
    uint32_t *count = context;
    (void)error;
    assert_int_equal(before, *count);
    for (uint32_t i = 0; i < page->tasks.count; i++) {
        struct slice wanted = task_name(*count + i);
        assert_true(slice_equal(page->tasks.items[i].task, wanted));
    }
    *count += page->tasks.count;
    return 0;
}

static void session_pages_join_to_the_whole_run(void **state)
{
    uint32_t count = 0;
    (void)state;
    script.tasks = 4500;
    assert_int_equal(session_read_run(client, "last", "", count_page, &count, NULL), 0);
    assert_int_equal(count, 4500);
}

static void follow_ends_with_the_run(void **state)
{
    struct follow *follow = follow_create(client, "d/1", true, false);
    (void)state;
    assert_int_equal(follow_wait(follow, UINT64_MAX, NULL), 0);
    assert_int_equal(follow_state(follow), RUN_SUCCESS);
    follow_destroy(follow);
}

static void follow_after_a_gap_reads_the_state_again(void **state)
{
    struct follow *follow = follow_create(client, "d/1", true, false);
    (void)state;
    script.gap = true;
    assert_int_equal(follow_wait(follow, UINT64_MAX, NULL), 0);
    assert_int_equal(follow_state(follow), RUN_SUCCESS);
    assert_true(atomic_load(&script.watches) >= 2);
    follow_destroy(follow);
}

static void follow_past_its_time_is_a_timeout(void **state)
{
    struct error error = {0};
    struct follow *follow = follow_create(client, "d/1", true, false);
    (void)state;
    script.lose = 100000;
    assert_int_equal(follow_wait(follow, clock_boot_ms() + 100, &error), ERR_TIMEOUT);
    follow_destroy(follow);
}

static void log_follow_prints_all_of_it_and_ends(void **state)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    const struct log_job job = {.run = "d/1", .style = {.names = true}, .stream = stream};
    const struct log_wish wish = {.failed = false};
    (void)state;
    script.log = "first line\nsecond line\nunfinished";
    assert_int_equal(log_follow(client, &job, &wish, NULL), 0);
    (void)fclose(stream);
    assert_string_equal(text, "t0 | first line\nt0 | second line\nt0 | unfinished\n");
    free(text);
}

static void log_print_of_a_long_log_joins_its_pieces(void **state)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    char name[] = "t0", none[] = "";
    const struct log_job job = {.run = "d/1", .stream = stream};
    const struct log_choice choice = {.id = {.run = 77, .attempt = 1}, .task = name, .error = none};
    (void)state;
    script.log = "0123456789\n0123456789\n\033[1mraw";
    assert_int_equal(log_print(client, &job, &choice, NULL), 0);
    (void)fclose(stream);
    assert_string_equal(text, script.log);
    free(text);
}

#define WITH_MASTER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    /* The fake's threads inherit this: the signal is for the client. */
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    const struct CMUnitTest tests[] = {
        WITH_MASTER(client_refusal_is_the_masters_error),
        WITH_MASTER(client_lost_request_is_sent_again_with_its_id),
        WITH_MASTER(client_silent_master_is_unreachable_in_time),
        WITH_MASTER(client_master_that_answers_pings_is_waited_for),
        WITH_MASTER(client_restarted_master_gets_the_request_again),
        WITH_MASTER(client_signal_interrupts_a_request),
        WITH_MASTER(client_broken_descriptor_ends_the_waiting),
        WITH_MASTER(session_pages_join_to_the_whole_run),
        WITH_MASTER(follow_ends_with_the_run),
        WITH_MASTER(follow_after_a_gap_reads_the_state_again),
        WITH_MASTER(follow_past_its_time_is_a_timeout),
        WITH_MASTER(log_follow_prints_all_of_it_and_ends),
        WITH_MASTER(log_print_of_a_long_log_joins_its_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
