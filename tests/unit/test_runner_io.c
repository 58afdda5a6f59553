/* The runner with real processes: how tasks end, what they find, agents that come and go. */
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

/* ---- ends ---- */

/* Runs a command that does not start; the end. */
static const struct msg_runner_exited *start_and_fail(
    struct agent *agent, const char *command, const char *folder)
{
    struct slice arguments[] = {slice_of(command)};
    struct msg_runner_start start = {.id = A, .folder = slice_of(folder)};
    int fd = start_with(agent, &start, arguments, 1);
    const struct msg_runner_exited *end = expect(agent, MESSAGE_runner_exited);
    (void)close(fd);
    assert_int_equal(end->started_at, 0);
    assert_int_equal(end->exit_code, -1);
    return end;
}

static void task_that_ends_tells_its_code(void **state)
{
    struct agent *agent = *state;
    (void)close(start_bash(agent, A, "exit 3"));
    const struct msg_runner_started *started = expect(agent, MESSAGE_runner_started);
    assert_true(started->pid > 1);
    const struct msg_runner_exited *end = expect(agent, MESSAGE_runner_exited);
    assert_int_equal(end->reason, REASON_EXIT_CODE);
    assert_int_equal(end->exit_code, 3);
    assert_int_equal(end->started_at, started->at);
    assert_true(end->max_rss_kb > 100);
}

static void task_that_dies_tells_its_signal(void **state)
{
    struct agent *agent = *state;
    (void)close(start_bash(agent, A, "kill -USR1 $$"));
    const struct msg_runner_exited *end = expect(agent, MESSAGE_runner_exited);
    assert_int_equal(end->reason, REASON_SIGNAL);
    assert_int_equal(end->signal, SIGUSR1);
    assert_int_equal(end->exit_code, -1);
}

static void task_killed_by_a_stranger_is_not_out_of_memory(void **state)
{
    struct agent *agent = *state;
    (void)close(start_bash(agent, A, "kill -KILL $$"));
    const struct msg_runner_exited *end = expect(agent, MESSAGE_runner_exited);
    assert_int_equal(end->reason, REASON_SIGNAL);
    assert_int_equal(end->signal, SIGKILL);
}

static void cpu_time_of_the_tree_is_told(void **state)
{
    struct agent *agent = *state;
    (void)close(start_bash(agent, A, "bash -c 'for ((i = 0; i < 300000; i++)); do :; done'"));
    const struct msg_runner_exited *end = expect(agent, MESSAGE_runner_exited);
    assert_true(end->cpu_us > 50000);
}

static void unknown_command_is_not_found(void **state)
{
    const struct msg_runner_exited *end = start_and_fail(*state, "no-such-command", "/tmp");
    assert_int_equal(end->reason, REASON_NOT_FOUND);
    assert_text(end->error, "no-such-command: command not found in PATH");
}

static void unknown_path_is_not_found(void **state)
{
    const struct msg_runner_exited *end = start_and_fail(*state, "./no-such-file", "/tmp");
    assert_int_equal(end->reason, REASON_NOT_FOUND);
    assert_text(end->error, "./no-such-file: no such file");
}

/* A script in the agent's folder; removed by the caller. */
static void write_script(struct agent *agent, const char *text, mode_t mode, char path[128])
{
    (void)snprintf(path, 128, "%s/x.sh", agent->folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

static void script_without_x_is_not_executable(void **state)
{
    struct agent *agent = *state;
    char path[128];
    write_script(agent, "#!/bin/sh\n", 0644, path);
    const struct msg_runner_exited *end = start_and_fail(agent, "./x.sh", agent->folder);
    (void)unlink(path);
    assert_int_equal(end->reason, REASON_NOT_EXECUTABLE);
    assert_text(end->error, "./x.sh: not executable (chmod +x)");
}

static void script_with_unknown_interpreter_is_not_found(void **state)
{
    struct agent *agent = *state;
    char path[128];
    write_script(agent, "#!/no/such/python -u\n", 0755, path);
    const struct msg_runner_exited *end = start_and_fail(agent, "./x.sh", agent->folder);
    (void)unlink(path);
    assert_int_equal(end->reason, REASON_NOT_FOUND);
    assert_text(end->error, "./x.sh: #! names /no/such/python, which was not found");
}

static void script_without_first_line_is_not_executable(void **state)
{
    struct agent *agent = *state;
    char path[128];
    write_script(agent, "echo hello\n", 0755, path);
    const struct msg_runner_exited *end = start_and_fail(agent, "./x.sh", agent->folder);
    (void)unlink(path);
    assert_int_equal(end->reason, REASON_NOT_EXECUTABLE);
    assert_text(
        end->error, "./x.sh: no program for this machine, and no script that begins with #!");
}

static void bad_working_directory_is_the_workers_error(void **state)
{
    const struct msg_runner_exited *end = start_and_fail(*state, "true", "/no/such/folder");
    assert_int_equal(end->reason, REASON_WORKER_ERROR);
    assert_text(end->error, "working directory /no/such/folder: No such file or directory");
}

static void order_without_a_pipe_is_the_workers_error(void **state)
{
    struct agent *agent = *state;
    struct slice arguments[] = {slice_of("true")};
    struct msg_runner_start start = {
        .id = A, .arguments = {arguments, 1}, .folder = slice_of("/"), .stamp = clock_boot_ms()};
    say(agent, MESSAGE_runner_start, &start);
    const struct msg_runner_exited *end = expect(agent, MESSAGE_runner_exited);
    assert_int_equal(end->reason, REASON_WORKER_ERROR);
}

/* ---- what a task finds ---- */

static void task_writes_stdout_and_stderr_into_one_pipe(void **state)
{
    struct agent *agent = *state;
    int fd = start_bash(agent, A, "echo one; echo two >&2; echo three >/dev/stderr; echo four");
    assert_line(fd, "one");
    assert_line(fd, "two");
    assert_line(fd, "three");
    assert_line(fd, "four");
    (void)expect(agent, MESSAGE_runner_exited);
    assert_end_of_pipe(fd);
}

static void task_has_its_environment_and_scope(void **state)
{
    struct agent *agent = *state;
    char expected[128];
    int fd = start_bash(agent, A, "echo $GREETING; echo $REEVE_SCOPE; env | grep -c SCOPE");
    assert_line(fd, "hello");
    (void)snprintf(expected, sizeof expected, "%016llx:0000000000000009-1-0-1",
        (unsigned long long)agent->instance);
    assert_line(fd, expected);
    assert_line(fd, "1");
    (void)close(fd);
}

static void task_has_nothing_of_the_runner(void **state)
{
    struct agent *agent = *state;
    int fd = start_bash(agent, A,
        "echo /proc/self/fd/* | wc -w; readlink /proc/self/fd/0; ulimit -Sn; "
        "awk '{print ($5 == $1) ($6 == $1)}' /proc/$$/stat; "
        "exec awk '/^Sig(Blk|Ign)/ {print $2}' /proc/self/status");
    char line[32];
    char own[32];
    assert_line(fd, "4"); /* 0, 1, 2 and the folder that the glob reads */
    assert_line(fd, "/dev/null");
    read_line(fd, line, sizeof line);
    (void)snprintf(own, sizeof own, "%ld", sysconf(_SC_OPEN_MAX));
    assert_string_equal(line, own);
    assert_line(fd, "11");
    assert_line(fd, "0000000000000000");
    assert_line(fd, "0000000000000000");
    (void)close(fd);
}

static void task_dies_before_the_runner_when_memory_is_short(void **state)
{
    struct agent *agent = *state;
    char path[64];
    char own[16] = "";
    char line[32];
    (void)snprintf(
        path, sizeof path, "/proc/%d/oom_score_adj", (int)runner_client_pid(agent->client));
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(own, sizeof own, file));
    (void)fclose(file);
    int fd = start_bash(agent, A, "cat /proc/self/oom_score_adj");
    read_line(fd, line, sizeof line);
    assert_true(atoi(line) > atoi(own));
    (void)close(fd);
}

/* ---- agents come and go ---- */

static void next_agent_gets_tasks_pipes_and_ends(void **state)
{
    struct agent *agent = *state;
    (void)close(start_bash(agent, A, "exit 4"));
    (void)expect(agent, MESSAGE_runner_exited);
    int fd = start_bash(agent, B, "echo before; read -r line < /proc/self/fd/0; sleep 1000");
    (void)expect(agent, MESSAGE_runner_started);
    assert_line(fd, "before");
    (void)close(fd);
    disconnect_agent(agent);
    connect_agent(agent);
    const struct msg_runner_hello *hello = expect(agent, MESSAGE_runner_hello);
    assert_int_equal(hello->instance, agent->instance);
    struct msg_runner_list list = {.nonce = 77};
    say(agent, MESSAGE_runner_list, &list);
    const struct msg_runner_holds *first = expect(agent, MESSAGE_runner_holds);
    assert_int_equal(first->id.task, A.task);
    assert_true(first->over);
    assert_true(agent->fd >= 0);
    assert_end_of_pipe(agent->fd);
    const struct msg_runner_exited *end = expect(agent, MESSAGE_runner_exited);
    assert_int_equal(end->exit_code, 4);
    const struct msg_runner_holds *second = expect(agent, MESSAGE_runner_holds);
    assert_int_equal(second->id.task, B.task);
    assert_false(second->over);
    assert_text(second->cookie, "biscuit");
    int pipe = agent->fd;
    assert_true(pipe >= 0);
    assert_int_equal(
        ((const struct msg_runner_listed *)expect(agent, MESSAGE_runner_listed))->nonce, 77);
    ask_kill(agent, B);
    (void)expect(agent, MESSAGE_runner_exited);
    assert_end_of_pipe(pipe);
}

static void output_between_two_agents_is_kept(void **state)
{
    struct agent *agent = *state;
    char go[128];
    (void)snprintf(go, sizeof go, "%s/go", agent->folder);
    assert_int_equal(mkfifo(go, 0600), 0);
    char script[256];
    (void)snprintf(script, sizeof script, "read -r line < %s; echo $line", go);
    (void)close(start_bash(agent, A, script));
    (void)expect(agent, MESSAGE_runner_started);
    disconnect_agent(agent);
    FILE *fifo = fopen(go, "w");
    assert_non_null(fifo);
    (void)fputs("while you were away\n", fifo);
    (void)fclose(fifo);
    connect_agent(agent);
    struct msg_runner_list list = {0};
    say(agent, MESSAGE_runner_list, &list);
    (void)expect(agent, MESSAGE_runner_holds);
    assert_line(agent->fd, "while you were away");
    assert_end_of_pipe(agent->fd);
    (void)unlink(go);
}

static void forgotten_end_is_not_said_again(void **state)
{
    struct agent *agent = *state;
    (void)close(start_bash(agent, A, "exit 0"));
    (void)expect(agent, MESSAGE_runner_exited);
    forget(agent, A);
    struct msg_runner_list list = {.nonce = 1};
    say(agent, MESSAGE_runner_list, &list);
    assert_int_equal(next_message(agent).number, MESSAGE_runner_listed);
}

static void killed_agent_leaves_tasks_running(void **state)
{
    struct agent *agent = *state;
    int said[2];
    assert_int_equal(pipe(said), 0);
    disconnect_agent(agent);
    pid_t pid = fork();
    if (pid == 0) {
        connect_agent(agent);
        (void)start_bash(agent, A, "exec sleep 1000");
        const struct msg_runner_started *started = expect(agent, MESSAGE_runner_started);
        (void)!write(said[1], &started->pid, sizeof started->pid);
        (void)pause();
    }
    uint64_t task = 0;
    (void)close(said[1]);
    assert_int_equal(read(said[0], &task, sizeof task), sizeof task);
    (void)close(said[0]);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    connect_agent(agent);
    struct msg_runner_list list = {0};
    say(agent, MESSAGE_runner_list, &list);
    const struct msg_runner_holds *holds = expect(agent, MESSAGE_runner_holds);
    assert_int_equal(holds->pid, task);
    assert_false(holds->over);
    (void)close(agent->fd);
    assert_int_equal(kill((pid_t)task, 0), 0);
}

static void new_agent_ends_the_old(void **state)
{
    struct agent *agent = *state;
    struct runner_client *old = agent->client;
    connect_agent(agent);
    (void)expect(agent, MESSAGE_runner_hello);
    struct runner_client *new = agent->client;
    agent->client = old;
    agent->reading = false;
    assert_int_equal(next_message(agent).number, 0);
    disconnect_agent(agent);
    agent->client = new;
}

static void damaged_frame_ends_the_connection_only(void **state)
{
    struct agent *agent = *state;
    assert_int_equal(runner_client_send(agent->client, slice_of("\xc1nonsense"), NULL, 0, NULL), 0);
    assert_int_equal(next_message(agent).number, 0);
    disconnect_agent(agent);
    connect_agent(agent);
    (void)expect(agent, MESSAGE_runner_hello);
}

static void large_order_passes(void **state)
{
    struct agent *agent = *state;
    enum { COUNT = 50, BYTES = 30000 };
    static char text[BYTES];
    struct slice arguments[COUNT + 4] = {
        slice_of("bash"), slice_of("-c"), slice_of("echo $# ${#50}"), slice_of("name")};
    memset(text, 'x', sizeof text);
    for (int i = 0; i < COUNT; i++)
        arguments[4 + i] = slice_make(text, sizeof text);
    struct msg_runner_start start = {.id = A};
    int fd = start_with(agent, &start, arguments, COUNT + 4);
    assert_line(fd, "50 30000");
    (void)close(fd);
}

/* ---- operators ---- */

static void operator_has_its_socket_and_nothing_else(void **state)
{
    struct agent *agent = *state;
    int channel = -1;
    int fd = start_operator(
        agent, A, "read -r line <&3; echo \"heard $line\" >&3; ls /proc/self/fd | wc -l", &channel);
    assert_int_equal(write(channel, "word\n", 5), 5);
    assert_line(channel, "heard word");
    /* 0, 1, 2, 3, and the folder that ls reads. */
    assert_line(fd, "5");
    const struct msg_runner_exited *end = expect(agent, MESSAGE_runner_exited);
    assert_int_equal(end->exit_code, 0);
    (void)close(fd);
    (void)close(channel);
}

static void operator_socket_is_given_to_the_next_agent(void **state)
{
    struct agent *agent = *state;
    int channel = -1;
    int fd = start_operator(agent, A, "echo ready >&3; read -r line <&3; echo \"$line\"", &channel);
    (void)expect(agent, MESSAGE_runner_started);
    disconnect_agent(agent);
    (void)close(channel);
    connect_agent(agent);
    (void)expect(agent, MESSAGE_runner_hello);
    struct msg_runner_list list = {.nonce = 7};
    say(agent, MESSAGE_runner_list, &list);
    const struct msg_runner_holds *holds = expect(agent, MESSAGE_runner_holds);
    assert_true(holds->operator&& agent->channel >= 0);
    channel = agent->channel;
    (void)close(agent->fd);
    assert_line(channel, "ready");
    assert_int_equal(write(channel, "again\n", 6), 6);
    assert_line(fd, "again");
    (void)close(fd);
    (void)close(channel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(operator_has_its_socket_and_nothing_else),
        BOTH(operator_socket_is_given_to_the_next_agent),
        BOTH(task_that_ends_tells_its_code),
        BOTH(task_that_dies_tells_its_signal),
        BOTH(task_killed_by_a_stranger_is_not_out_of_memory),
        BOTH(cpu_time_of_the_tree_is_told),
        BOTH(unknown_command_is_not_found),
        BOTH(unknown_path_is_not_found),
        BOTH(script_without_x_is_not_executable),
        BOTH(script_with_unknown_interpreter_is_not_found),
        BOTH(script_without_first_line_is_not_executable),
        BOTH(bad_working_directory_is_the_workers_error),
        BOTH(order_without_a_pipe_is_the_workers_error),
        BOTH(task_writes_stdout_and_stderr_into_one_pipe),
        BOTH(task_has_its_environment_and_scope),
        BOTH(task_has_nothing_of_the_runner),
        BOTH(task_dies_before_the_runner_when_memory_is_short),
        BOTH(next_agent_gets_tasks_pipes_and_ends),
        BOTH(output_between_two_agents_is_kept),
        BOTH(forgotten_end_is_not_said_again),
        BOTH(killed_agent_leaves_tasks_running),
        BOTH(new_agent_ends_the_old),
        BOTH(damaged_frame_ends_the_connection_only),
        BOTH(large_order_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
