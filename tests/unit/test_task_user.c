/* Users of tasks. What changes users needs root, and is skipped by name without. */
#include "common/file.h"
#include "common/memory.h"
#include "worker/io/task_user.h"

#include <fcntl.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/task_user.XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL && chmod(folder, 0711) == 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return file_remove_tree(folder, NULL);
}

static void need_root(void)
{
    if (geteuid() != 0)
        skip();
}

static void task_users_unknown_name_is_refused(void **state)
{
    (void)state;
    need_root();
    struct task_users users;
    struct error error = {0};
    char *names[] = {"nobody", "no-such-user-here"};
    assert_int_equal(task_users_read(names, 2, folder, &users, &error), ERR_USAGE);
    assert_non_null(strstr(error.text, "no user \"no-such-user-here\""));
    assert_int_equal(users.count, 0);
}

static void task_users_choose_default_listed_and_others(void **state)
{
    (void)state;
    need_root();
    struct task_users users;
    const struct task_user *user;
    struct error error = {0};
    char *names[] = {"nobody", "games"};
    assert_int_equal(task_users_read(names, 2, folder, &users, &error), 0);
    assert_int_equal(task_users_choose(&users, slice_of(""), &user, &error), 0);
    assert_string_equal(user->name, "nobody");
    assert_int_equal(task_users_choose(&users, slice_of("games"), &user, &error), 0);
    assert_int_equal(user->uid, getpwnam("games")->pw_uid);
    assert_int_equal(task_users_choose(&users, slice_of("root"), &user, &error), ERR_DENIED);
    assert_non_null(strstr(error.text, "nobody, games and nobody else"));
    assert_null(user);
    task_users_fini(&users);
}

static void task_users_none_runs_as_the_agent_alone(void **state)
{
    (void)state;
    struct task_users users;
    const struct task_user *user;
    struct error error = {0};
    assert_int_equal(task_users_read(NULL, 0, folder, &users, &error), 0);
    assert_int_equal(task_users_choose(&users, slice_of(""), &user, &error), 0);
    assert_null(user);
    assert_int_equal(task_users_choose(&users, slice_of("nobody"), &user, &error), ERR_DENIED);
    assert_non_null(strstr(error.text, "--run-as"));
    task_users_fini(&users);
}

static void task_users_closed_folder_is_found_at_the_start(void **state)
{
    (void)state;
    need_root();
    struct task_users users;
    struct error error = {0};
    char *names[] = {"nobody"};
    char *closed = xasprintf("%s/closed/work", folder);
    char *parent = xasprintf("%s/closed", folder);
    assert_int_equal(mkdir(parent, 0700), 0);
    assert_int_equal(mkdir(closed, 0711), 0);
    assert_int_equal(task_users_read(names, 1, closed, &users, &error), ERR_DENIED);
    assert_non_null(strstr(error.text, "cannot reach"));
    free(parent);
    free(closed);
}

static void write_file(const char *path, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

static void task_guise_reads_what_the_owner_may_and_no_more(void **state)
{
    (void)state;
    need_root();
    struct passwd *games = getpwnam("games");
    struct task_guise guise;
    struct error error = {0};
    char *own = xasprintf("%s/own", folder);
    char *inside = xasprintf("%s/own/file", folder);
    char *ours = xasprintf("%s/secret", folder);
    assert_int_equal(mkdir(own, 0700), 0);
    write_file(inside, 0600);
    write_file(ours, 0600);
    assert_int_equal(file_give_tree(own, games->pw_uid, games->pw_gid, &error), 0);
    assert_int_equal(task_guise_take(own, &guise, &error), 0);
    int fd_inside = open(inside, O_RDONLY | O_CLOEXEC);
    int fd_ours = open(ours, O_RDONLY | O_CLOEXEC);
    task_guise_drop(&guise);
    assert_true(fd_inside >= 0);
    assert_int_equal(fd_ours, -1);
    fd_ours = open(ours, O_RDONLY | O_CLOEXEC);
    assert_true(fd_ours >= 0);
    assert_int_equal(close(fd_inside), 0);
    assert_int_equal(close(fd_ours), 0);
    free(own);
    free(inside);
    free(ours);
}

static void file_give_tree_gives_links_and_not_what_they_name(void **state)
{
    (void)state;
    need_root();
    struct stat status;
    struct error error = {0};
    char *own = xasprintf("%s/tree", folder);
    char *link_path = xasprintf("%s/tree/link", folder);
    char *outside = xasprintf("%s/outside", folder);
    assert_int_equal(mkdir(own, 0700), 0);
    write_file(outside, 0600);
    assert_int_equal(symlink(outside, link_path), 0);
    assert_int_equal(file_give_tree(own, 5, 6, &error), 0);
    assert_int_equal(lstat(link_path, &status), 0);
    assert_int_equal(status.st_uid, 5);
    assert_int_equal(stat(outside, &status), 0);
    assert_int_equal(status.st_uid, 0);
    assert_int_equal(stat(own, &status), 0);
    assert_int_equal(status.st_gid, 6);
    free(own);
    free(link_path);
    free(outside);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(task_users_unknown_name_is_refused),
        cmocka_unit_test(task_users_choose_default_listed_and_others),
        cmocka_unit_test(task_users_none_runs_as_the_agent_alone),
        cmocka_unit_test(task_users_closed_folder_is_found_at_the_start),
        cmocka_unit_test(task_guise_reads_what_the_owner_may_and_no_more),
        cmocka_unit_test(file_give_tree_gives_links_and_not_what_they_name),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
