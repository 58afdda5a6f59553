/* The runner with real processes: whole trees die in time, and the runner itself ends when it may.
 */
#include "runner_stage.h"

#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- trees ---- */

/* A grandchild in a session of its own, whose parent is gone; its pid is said. */
#define ESCAPEE "setsid bash -c '(trap \"\" TERM; exec sleep 1000) & echo $!'; "

static void escapee_dies_with_the_main_process(void **state)
{
    struct agent *agent = *state;
    int fd = start_bash(agent, A, ESCAPEE ":");
    pid_t pid = read_pid(fd);
    const struct msg_runner_exited *end = expect(agent, MESSAGE_runner_exited);
    assert_int_equal(end->exit_code, 0);
    assert_gone(pid);
    assert_end_of_pipe(fd);
}

static void escapee_without_environment_dies_too(void **state)
{
    struct agent *agent = *state;
    int fd =
        start_bash(agent, A, "env -i /usr/bin/setsid /bin/bash -c '/bin/sleep 1000 & echo $!'; :");
    pid_t pid = read_pid(fd);
    (void)expect(agent, MESSAGE_runner_exited);
    assert_gone(pid);
    (void)close(fd);
}

static void escapee_of_another_task_lives_on(void **state)
{
    struct agent *agent = *state;
    int other = start_bash(agent, B, ESCAPEE "echo ready; exec sleep 1000");
    pid_t pid = read_pid(other);
    assert_line(other, "ready");
    int fd = start_bash(agent, A, ESCAPEE ":");
    pid_t own = read_pid(fd);
    const struct msg_runner_exited *end = expect(agent, MESSAGE_runner_exited);
    assert_int_equal(end->id.task, A.task);
    assert_gone(own);
    assert_int_equal(kill(pid, 0), 0);
    ask_kill(agent, B);
    end = expect(agent, MESSAGE_runner_exited);
    assert_int_equal(end->id.task, B.task);
    assert_gone(pid);
    (void)close(fd);
    (void)close(other);
}

static void cancel_kills_what_ignores_sigterm(void **state)
{
    struct agent *agent = *state;
    int fd = start_bash(agent, A, ESCAPEE "trap '' TERM; echo ready; while :; do sleep 1000; done");
    pid_t pid = read_pid(fd);
    assert_line(fd, "ready");
    uint64_t asked_at = clock_boot_ms();
    ask_kill(agent, A);
    const struct msg_runner_exited *end = expect(agent, MESSAGE_runner_exited);
    assert_int_equal(end->reason, REASON_CANCELLED);
    assert_int_equal(end->signal, SIGKILL);
    assert_true(clock_boot_ms() - asked_at >= GRACE_MS);
    assert_gone(pid);
    (void)close(fd);
}

static void cancel_lets_a_task_end_well(void **state)
{
    struct agent *agent = *state;
    struct slice arguments[] = {slice_of("bash"), slice_of("-c"),
        slice_of("trap 'exit 0' TERM; echo ready; while :; do sleep 0.02; done")};
    struct msg_runner_start start = {.id = A, .kill_grace_ms = PATIENCE_MS};
    int fd = start_with(agent, &start, arguments, 3);
    assert_line(fd, "ready");
    ask_kill(agent, A);
    const struct msg_runner_exited *end = expect(agent, MESSAGE_runner_exited);
    assert_int_equal(end->reason, REASON_CANCELLED);
    assert_int_equal(end->exit_code, 0);
    (void)close(fd);
}

static void cancel_reaches_a_stopped_task(void **state)
{
    struct agent *agent = *state;
    int fd = start_bash(agent, A, "trap 'exit 7' TERM; echo ready; kill -STOP $$; sleep 1000");
    assert_line(fd, "ready");
    ask_kill(agent, A);
    const struct msg_runner_exited *end = expect(agent, MESSAGE_runner_exited);
    assert_int_equal(end->reason, REASON_CANCELLED);
    (void)close(fd);
}

static void cancel_ends_a_task_that_forks_on_and_on(void **state)
{
    struct agent *agent = *state;
    int fd = start_bash(agent, A,
        "trap '' TERM; f() { for ((i = 0; i < 400; i++)); do "
        "setsid bash -c '(sleep 1000 &) ; sleep 1000' & ((i == 40)) && echo $!; done; }; f; wait");
    pid_t pid = read_pid(fd);
    ask_kill(agent, A);
    (void)expect(agent, MESSAGE_runner_exited);
    assert_gone(pid);
    assert_end_of_pipe(fd);
}

static void timeout_ends_a_task(void **state)
{
    struct agent *agent = *state;
    struct slice arguments[] = {slice_of("sleep"), slice_of("1000")};
    struct msg_runner_start start = {.id = A, .timeout_ms = 100};
    (void)close(start_with(agent, &start, arguments, 2));
    const struct msg_runner_exited *end = expect(agent, MESSAGE_runner_exited);
    assert_int_equal(end->reason, REASON_TIMEOUT);
    assert_int_equal(end->signal, SIGTERM);
    assert_text(end->error, "ran longer than its execution_timeout of 100ms");
}

static void lease_that_is_not_renewed_ends_a_task_in_time(void **state)
{
    struct agent *agent = *state;
    struct slice arguments[] = {
        slice_of("bash"), slice_of("-c"), slice_of("trap '' TERM; while :; do sleep 1000; done")};
    struct msg_runner_start start = {.id = A, .lease_ms = 1000};
    (void)close(start_with(agent, &start, arguments, 3));
    (void)expect(agent, MESSAGE_runner_started);
    disconnect_agent(agent);
    connect_agent(agent);
    const struct msg_runner_exited *end = expect(agent, MESSAGE_runner_exited);
    assert_int_equal(end->reason, REASON_LEASE);
    assert_int_equal(end->signal, SIGKILL);
    assert_in_range(end->ended_at, start.stamp + 1000, start.stamp + 1000 + PATIENCE_MS);
}

/* ---- the runner's end ---- */

static void stop_ends_an_idle_runner_and_removes_its_socket(void **state)
{
    struct agent *agent = *state;
    struct runner_instances found;
    struct msg_runner_stop stop = {0};
    assert_int_equal(runner_find(agent->folder, &found, NULL), 0);
    assert_int_equal(found.count, 1);
    assert_int_equal(found.items[0], agent->instance);
    runner_instances_fini(&found);
    say(agent, MESSAGE_runner_stop, &stop);
    wait_for_end(agent);
    assert_int_equal(next_message(agent).number, 0);
    disconnect_agent(agent);
    assert_int_equal(runner_find(agent->folder, &found, NULL), 0);
    assert_int_equal(found.count, 0);
    runner_instances_fini(&found);
}

static void stop_now_says_the_ends_before_it_goes(void **state)
{
    struct agent *agent = *state;
    int fd = start_bash(agent, A, "exec sleep 1000");
    (void)expect(agent, MESSAGE_runner_started);
    struct msg_runner_stop stop = {.now = true};
    say(agent, MESSAGE_runner_stop, &stop);
    wait_for_end(agent);
    const struct msg_runner_exited *end = expect(agent, MESSAGE_runner_exited);
    assert_int_equal(end->reason, REASON_WORKER_STOPPED);
    disconnect_agent(agent);
    (void)close(fd);
}

static void sigterm_does_not_end_a_runner_at_work(void **state)
{
    struct agent *agent = *state;
    pid_t runner = runner_client_pid(agent->client);
    int fd = start_bash(agent, A, "exec sleep 1000");
    (void)expect(agent, MESSAGE_runner_started);
    (void)kill(runner, SIGTERM);
    (void)kill(runner, SIGINT);
    (void)kill(runner, SIGHUP);
    struct msg_runner_list list = {.nonce = 3};
    say(agent, MESSAGE_runner_list, &list);
    (void)expect(agent, MESSAGE_runner_listed);
    (void)close(fd);
}

static void sweep_kills_what_a_dead_runner_left(void **state)
{
    struct agent *agent = *state;
    struct error error;
    int fd = start_bash(agent, A, ESCAPEE "echo $$; exec sleep 1000");
    pid_t escapee = read_pid(fd);
    pid_t main = read_pid(fd);
    (void)kill(runner_client_pid(agent->client), SIGKILL);
    wait_for_end(agent);
    disconnect_agent(agent);
    assert_int_equal(
        runner_connect(agent->folder, agent->instance, &agent->client, &error), ERR_UNREACHABLE);
    if (runner_sweep(agent->instance, PATIENCE_MS, &error) != 0)
        fail_msg("%s", error.text);
    assert_end_of_pipe(fd);
    /* Dead, though whoever inherited them may not have reaped them yet. */
    char state_of[64];
    for (int i = 0; i < 2; i++) {
        (void)snprintf(state_of, sizeof state_of, "/proc/%d/exe", (int)(i == 0 ? escapee : main));
        assert_int_equal(access(state_of, F_OK), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(escapee_dies_with_the_main_process),
        BOTH(escapee_without_environment_dies_too),
        BOTH(escapee_of_another_task_lives_on),
        BOTH(cancel_kills_what_ignores_sigterm),
        BOTH(cancel_lets_a_task_end_well),
        BOTH(cancel_reaches_a_stopped_task),
        BOTH(cancel_ends_a_task_that_forks_on_and_on),
        BOTH(timeout_ends_a_task),
        BOTH(lease_that_is_not_renewed_ends_a_task_in_time),
        BOTH(stop_ends_an_idle_runner_and_removes_its_socket),
        BOTH(stop_now_says_the_ends_before_it_goes),
        BOTH(sigterm_does_not_end_a_runner_at_work),
        BOTH(sweep_kills_what_a_dead_runner_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
