/* Parts of the runner by themselves: the fork for where exec may hang, the mount table, paths. */
#include "worker/runner/mounts.h"
#include "worker/runner/order.h"
#include "worker/runner/spawn.h"
#include "worker/runner_client.h"

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

static pid_t fork_and_wait(char *command, int *ret_status, struct spawn_failure *ret_failure)
{
    struct spawner spawner;
    char *arguments[] = {command, NULL};
    char path[] = "PATH=/usr/bin:/bin";
    char *env[] = {path, NULL};
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct spawn_order order = {.arguments = arguments,
        .env = env,
        .folder = "/",
        .output = null,
        .channel = -1,
        .cgroup_fd = -1,
        .may_hang = true};
    int failure_fd;
    spawner_init(&spawner);
    pid_t pid = spawn(&spawner, &order, &failure_fd, ret_failure);
    assert_true(pid > 0 && failure_fd >= 0);
    assert_int_equal(waitpid(pid, ret_status, 0), pid);
    if (!spawn_failure_read(failure_fd, ret_failure))
        ret_failure->reason = REASON_NONE;
    spawner_fini(&spawner);
    (void)close(null);
    return pid;
}

static void fork_where_exec_may_hang_tells_its_failure_later(void **state)
{
    (void)state;
    struct spawn_failure failure;
    int status;
    char missing[] = "no-such-command";
    char present[] = "false";
    (void)fork_and_wait(missing, &status, &failure);
    assert_int_equal(failure.reason, REASON_NOT_FOUND);
    assert_string_equal(failure.text, "no-such-command: command not found in PATH");
    (void)fork_and_wait(present, &status, &failure);
    assert_int_equal(failure.reason, REASON_NONE);
    assert_int_equal(WEXITSTATUS(status), 1);
}

static void path_behind_a_link_into_a_remote_mount_is_not_local(void **state)
{
    (void)state;
    char folder[] = "/tmp/reeve-XXXXXX";
    char remote[64];
    char link[64];
    char inside[96];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(remote, sizeof remote, "%s/remote", folder);
    (void)snprintf(link, sizeof link, "%s/link", folder);
    (void)snprintf(inside, sizeof inside, "%s/../link/deep/file", remote);
    assert_int_equal(mkdir(remote, 0700), 0);
    assert_int_equal(symlink("remote", link), 0);
    struct mount items[] = {{"/", true}, {remote, false}};
    struct mounts mounts = {.items = items, .count = 2, .remote = 1, .fd = 1};
    assert_true(mounts_path_is_local(&mounts, folder));
    assert_true(mounts_path_is_local(&mounts, "/usr/bin/env"));
    assert_true(mounts_path_is_local(&mounts, "/no/such/file"));
    assert_false(mounts_path_is_local(&mounts, remote));
    assert_false(mounts_path_is_local(&mounts, link));
    assert_false(mounts_path_is_local(&mounts, inside));
    (void)unlink(link);
    (void)rmdir(remote);
    (void)rmdir(folder);
}

/* Whether `name`, found by PATH, may hang, at a time and after so many readings of the mounts. */
static bool search_may_hang(
    const char *path, struct mounts *mounts, struct searches *searches, uint64_t now_ms)
{
    char variable[256];
    (void)snprintf(variable, sizeof variable, "PATH=%s", path);
    char name[] = "program";
    char *arguments[] = {name, NULL};
    char *env[] = {variable, NULL};
    struct spawn_order order = {.arguments = arguments, .env = env, .folder = "/"};
    return order_may_hang(&order, mounts, searches, now_ms);
}

static void search_of_a_path_is_remembered_until_it_may_have_changed(void **state)
{
    (void)state;
    char remote[] = "/remote";
    char root[] = "/";
    char data[] = "/srv";
    struct mount items[] = {{root, true}, {remote, false}, {data, true}};
    struct mounts mounts = {.items = items, .count = 3, .remote = 1, .fd = 1};
    struct searches searches = {0};
    assert_false(search_may_hang("/usr/bin:/srv", &mounts, &searches, 5));
    assert_true(search_may_hang("/usr/bin:/remote/bin", &mounts, &searches, 5));
    items[2].local = false;
    assert_false(search_may_hang("/usr/bin:/srv", &mounts, &searches, 5 + SEARCH_VALID_MS - 1));
    assert_true(search_may_hang("/usr/bin:/srv", &mounts, &searches, 5 + SEARCH_VALID_MS));
    items[2].local = true;
    assert_true(search_may_hang("/usr/bin:/srv", &mounts, &searches, 5 + SEARCH_VALID_MS));
    mounts.readings++;
    assert_false(search_may_hang("/usr/bin:/srv", &mounts, &searches, 5 + SEARCH_VALID_MS));
}

static void search_from_the_own_folder_is_made_each_time(void **state)
{
    (void)state;
    char root[] = "/";
    char remote[] = "/remote";
    static const char *const paths[] = {"", ":/usr", "/usr:", "/usr::/srv", "bin:/usr", "/usr:bin"};
    struct mount items[] = {{root, true}, {remote, false}};
    struct mounts mounts = {.items = items, .count = 2, .remote = 1, .fd = 1};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct searches searches = {0};
        assert_false(search_may_hang(paths[i], &mounts, &searches, 5));
        for (size_t k = 0; k < SEARCHES_KEPT; k++)
            assert_int_equal(searches.items[k].key, 0);
    }
}

static void mounts_of_this_machine_are_read(void **state)
{
    (void)state;
    struct mounts mounts = {0};
    mounts_refresh(&mounts);
    assert_true(mounts.count > 0);
    assert_true(mounts_path_is_local(&mounts, "/proc/self"));
    mounts_fini(&mounts);
}

static void too_long_a_folder_is_refused_by_name(void **state)
{
    (void)state;
    char folder[120];
    struct runner_client *client;
    struct error error;
    memset(folder, 'x', sizeof folder - 1);
    folder[0] = '/';
    folder[sizeof folder - 1] = '\0';
    assert_int_equal(runner_connect(folder, 1, &client, &error), ERR_USAGE);
    assert_non_null(strstr(error.text, folder));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fork_where_exec_may_hang_tells_its_failure_later),
        cmocka_unit_test(path_behind_a_link_into_a_remote_mount_is_not_local),
        cmocka_unit_test(search_of_a_path_is_remembered_until_it_may_have_changed),
        cmocka_unit_test(search_from_the_own_folder_is_made_each_time),
        cmocka_unit_test(mounts_of_this_machine_are_read),
        cmocka_unit_test(too_long_a_folder_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
