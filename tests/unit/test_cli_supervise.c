#include "cli/supervise.h"
#include "common/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * The programs are scripts that say in a FIFO that they live. A "task" is a process in a session of
 * its own, as a runner's are.
 */
static const char master_script[] = "#!/bin/sh\n"
                                    "trap 'echo master-over >>\"$2/said\"; exit 0' TERM\n"
                                    "echo \"master $$\" >\"$2/fifo\"\n"
                                    "while :; do sleep 1000 & wait; done\n";
static const char worker_script[] = "#!/bin/sh\n"
                                    "if [ \"$1\" = stop ]; then\n"
                                    "    echo \"stopped $2\" >>\"${4%/workers/*}/said\"\n"
                                    "    kill \"$(cat \"$4.pid\")\"; exit 0\n"
                                    "fi\n"
                                    "fifo=$4/fifo\n"
                                    "echo $$ >\"$2.pid\"\n"
                                    "setsid sleep 1000 &\n"
                                    "echo \"$6 $$ $!\" >\"$fifo\"\n"
                                    "[ ! -e \"$4/once\" ] || { rm \"$4/once\"; exit 75; }\n"
                                    "[ ! -e \"$4/bad\" ] || exit 3\n"
                                    "while :; do sleep 1000 & wait; done\n";

struct stage {
    char folder[32], workers[64], fifo[64];
    struct supervise_programs programs;
    struct supervisor_order order;
    int order_fd, report_fd;
    pid_t supervisor;
    FILE *said;
};

static struct stage stage;

static void write_script(const char *path, const char *text)
{
    assert_int_equal(file_replace(path, slice_of(text), 0755, NULL), 0);
}

static void begin(void)
{
    int orders[2], reports[2];
    assert_int_equal(pipe2(orders, O_CLOEXEC), 0);
    assert_int_equal(pipe2(reports, O_CLOEXEC), 0);
    (void)fflush(NULL);
    stage.supervisor = fork();
    if (stage.supervisor == 0) {
        (void)close(orders[1]);
        (void)close(reports[0]);
        _exit(supervise(&stage.order, &stage.programs, orders[0], reports[1]));
    }
    (void)close(orders[0]);
    (void)close(reports[1]);
    stage.order_fd = orders[1];
    stage.report_fd = reports[0];
}

static int setup(void **state)
{
    (void)state;
    memset(&stage, 0, sizeof stage);
    strcpy(stage.folder, "/tmp/rv.XXXXXX");
    assert_non_null(mkdtemp(stage.folder));
    (void)snprintf(stage.workers, sizeof stage.workers, "%s/workers", stage.folder);
    (void)snprintf(stage.fifo, sizeof stage.fifo, "%s/fifo", stage.folder);
    (void)snprintf(stage.programs.master, PATH_MAX, "%s/master.sh", stage.folder);
    (void)snprintf(stage.programs.worker, PATH_MAX, "%s/worker.sh", stage.folder);
    assert_int_equal(mkdir(stage.workers, 0700), 0);
    assert_int_equal(mkfifo(stage.fifo, 0600), 0);
    write_script(stage.programs.master, master_script);
    write_script(stage.programs.worker, worker_script);
    stage.said = fopen(stage.fifo, "r+");
    assert_non_null(stage.said);
    stage.order = (struct supervisor_order){.master = stage.folder,
        .workers = stage.workers,
        .logs = stage.folder,
        .worker_count = 2,
        .slots = 1};
    begin();
    return 0;
}

static void order(char what)
{
    assert_int_equal(write(stage.order_fd, &what, 1), 1);
}

/* The next "NAME PID [TASK]" that a program said. */
static void listen_to(const char *name, pid_t *ret_pid, pid_t *ret_task)
{
    char line[200], found[64];
    int pid = 0, task = 0;
    assert_non_null(fgets(line, sizeof line, stage.said));
    assert_true(sscanf(line, "%63s %d %d", found, &pid, &task) >= 2);
    if (name != NULL)
        assert_string_equal(found, name);
    *ret_pid = pid;
    *ret_task = task;
}

static bool is_alive(pid_t pid)
{
    return kill(pid, 0) == 0;
}

static int wait_for_end(void)
{
    int status;
    assert_int_equal(waitpid(stage.supervisor, &status, 0), stage.supervisor);
    stage.supervisor = 0;
    return status;
}

static int teardown(void **state)
{
    (void)state;
    if (stage.order_fd >= 0)
        (void)close(stage.order_fd);
    if (stage.supervisor > 0)
        (void)wait_for_end();
    (void)close(stage.report_fd);
    (void)fclose(stage.said);
    return file_remove_tree(stage.folder, NULL);
}

/* Everything lives; its pids. */
static void start_all(pid_t pids[5])
{
    pid_t none;
    listen_to("master", &pids[0], &none);
    order(SUPERVISE_START_WORKERS);
    listen_to(NULL, &pids[1], &pids[2]);
    listen_to(NULL, &pids[3], &pids[4]);
    for (int i = 0; i < 5; i++)
        assert_true(is_alive(pids[i]));
}

static void expect_all_dead(const pid_t pids[5])
{
    for (int i = 0; i < 5; i++)
        assert_false(is_alive(pids[i]));
}

static void said_in_order(const char *first, const char *second)
{
    struct buffer text = {0};
    char path[64];
    (void)snprintf(path, sizeof path, "%s/said", stage.folder);
    assert_int_equal(file_read(path, 4096, &text, NULL), 0);
    const char *at = strstr(buffer_text(&text), first);
    assert_non_null(at);
    assert_non_null(strstr(at, second));
    buffer_fini(&text);
}

static void supervise_end_stops_workers_then_master_then_the_rest(void **state)
{
    pid_t pids[5];
    (void)state;
    start_all(pids);
    order(SUPERVISE_END);
    assert_int_equal(wait_for_end(), 0);
    expect_all_dead(pids);
    said_in_order("stopped --now", "master-over");
}

static void supervise_killed_command_leaves_nothing(void **state)
{
    pid_t pids[5];
    (void)state;
    start_all(pids);
    (void)close(stage.order_fd);
    stage.order_fd = -1;
    assert_int_equal(wait_for_end(), 0);
    expect_all_dead(pids);
}

static void supervise_end_now_does_not_ask(void **state)
{
    pid_t pids[5];
    (void)state;
    start_all(pids);
    order(SUPERVISE_END_NOW);
    assert_int_equal(wait_for_end(), 0);
    expect_all_dead(pids);
    char path[64];
    (void)snprintf(path, sizeof path, "%s/said", stage.folder);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void supervise_worker_that_asks_for_it_is_started_again(void **state)
{
    char path[64];
    pid_t pids[5], again, task;
    (void)state;
    (void)snprintf(path, sizeof path, "%s/once", stage.folder);
    write_script(path, "");
    pid_t none;
    listen_to("master", &pids[0], &none);
    order(SUPERVISE_START_WORKERS);
    listen_to(NULL, &pids[1], &pids[2]);
    listen_to(NULL, &pids[3], &pids[4]);
    listen_to(NULL, &again, &task);
    assert_true(is_alive(again));
    order(SUPERVISE_END);
    assert_int_equal(wait_for_end(), 0);
    assert_false(is_alive(again) || is_alive(task));
}

static void expect_report(const char *part)
{
    char text[200];
    ssize_t length = read(stage.report_fd, text, sizeof text - 1);
    assert_true(length > 0);
    text[length] = '\0';
    assert_non_null(strstr(text, part));
}

static void supervise_worker_that_fails_ends_all_and_is_reported(void **state)
{
    char path[64];
    pid_t pid, task;
    (void)state;
    (void)snprintf(path, sizeof path, "%s/bad", stage.folder);
    write_script(path, "");
    listen_to("master", &pid, &task);
    order(SUPERVISE_START_WORKERS);
    expect_report("ended with status 3");
    assert_int_equal(wait_for_end(), 0);
    assert_false(is_alive(pid));
}

static void supervise_master_that_dies_before_it_served_ends_all_and_is_reported(void **state)
{
    pid_t master, none;
    (void)state;
    listen_to("master", &master, &none);
    assert_int_equal(kill(master, SIGKILL), 0);
    expect_report("reeve-master was ended by signal 9");
    assert_int_equal(wait_for_end(), 0);
    assert_false(is_alive(master));
}

static void supervise_master_that_is_killed_is_started_again_and_its_workers_live(void **state)
{
    pid_t pids[5], none;
    (void)state;
    start_all(pids);
    assert_int_equal(kill(pids[0], SIGKILL), 0);
    listen_to("master", &pids[0], &none);
    for (int i = 0; i < 5; i++)
        assert_true(is_alive(pids[i]));
    order(SUPERVISE_END);
    assert_int_equal(wait_for_end(), 0);
    expect_all_dead(pids);
}

static void supervise_master_that_dies_again_and_again_ends_all_and_is_reported(void **state)
{
    pid_t pids[5], none;
    (void)state;
    start_all(pids);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(kill(pids[0], SIGKILL), 0);
        listen_to("master", &pids[0], &none);
    }
    assert_int_equal(kill(pids[0], SIGKILL), 0);
    expect_report("reeve-master was ended by signal 9");
    assert_int_equal(wait_for_end(), 0);
    expect_all_dead(pids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            supervise_end_stops_workers_then_master_then_the_rest, setup, teardown),
        cmocka_unit_test_setup_teardown(supervise_killed_command_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(supervise_end_now_does_not_ask, setup, teardown),
        cmocka_unit_test_setup_teardown(
            supervise_worker_that_asks_for_it_is_started_again, setup, teardown),
        cmocka_unit_test_setup_teardown(
            supervise_worker_that_fails_ends_all_and_is_reported, setup, teardown),
        cmocka_unit_test_setup_teardown(
            supervise_master_that_dies_before_it_served_ends_all_and_is_reported, setup, teardown),
        cmocka_unit_test_setup_teardown(
            supervise_master_that_is_killed_is_started_again_and_its_workers_live, setup, teardown),
        cmocka_unit_test_setup_teardown(
            supervise_master_that_dies_again_and_again_ends_all_and_is_reported, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
