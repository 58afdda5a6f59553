#include "common/file.h"

#include "common/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Each test has a folder of its own, and is in it. */
struct fixture {
    char folder[32];
    mode_t mask;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    if (f == NULL)
        return -1;
    (void)snprintf(f->folder, sizeof f->folder, "/tmp/reeve-XXXXXX");
    f->mask = umask(022);
    return mkdtemp(f->folder) == NULL || chdir(f->folder) != 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    (void)umask(f->mask);
    int rc = chdir("/");
    rc |= file_remove_tree(f->folder, NULL);
    free(f);
    return rc;
}

static mode_t mode_of(const char *path)
{
    struct stat status;
    assert_int_equal(lstat(path, &status), 0);
    return status.st_mode & 07777;
}

static void assert_content(const char *path, const char *wanted)
{
    struct buffer content = {0};
    assert_int_equal(file_read(path, 1000000, &content, NULL), 0);
    assert_string_equal(buffer_text(&content), wanted);
    buffer_fini(&content);
}

static size_t entries_of(const char *path)
{
    size_t count = 0;
    DIR *folder = opendir(path);
    assert_non_null(folder);
    while (readdir(folder) != NULL)
        count++;
    (void)closedir(folder);
    return count - 2;
}

static int replace(const char *path, const char *text, struct error *error)
{
    return file_replace(path, slice_of(text), 0644, error);
}

static void file_make_folder_makes_parents_with_the_exact_mode(void **state)
{
    (void)state;
    (void)umask(0777);
    assert_int_equal(file_make_folder("a/b//c/", 0711, NULL), 0);
    assert_int_equal(mode_of("a"), 0711);
    assert_int_equal(mode_of("a/b"), 0711);
    assert_int_equal(mode_of("a/b/c"), 0711);
}

static void file_make_folder_keeps_an_existing_ones_mode(void **state)
{
    (void)state;
    assert_int_equal(mkdir("a", 0750), 0);
    assert_int_equal(file_make_folder("a", 0700, NULL), 0);
    assert_int_equal(file_make_folder("a/b", 0700, NULL), 0);
    assert_int_equal(mode_of("a"), 0750);
    assert_int_equal(symlink("a", "link"), 0);
    assert_int_equal(file_make_folder("link/c", 0700, NULL), 0);
    assert_int_equal(mode_of("a/c"), 0700);
}

static void file_make_folder_where_a_file_is_names_it(void **state)
{
    (void)state;
    struct error error = {0};
    assert_int_equal(replace("x", "", NULL), 0);
    assert_int_equal(file_make_folder("x/y", 0700, &error), ERR_IO);
    assert_string_equal(error.text, "x: File exists");
    assert_int_equal(file_make_folder("", 0700, &error), ERR_USAGE);
}

static void file_read_appends_the_whole_file(void **state)
{
    (void)state;
    struct buffer out = {0};
    char *large = xmalloc(300000);
    memset(large, 'x', 300000);
    assert_int_equal(file_replace("x", slice_make(large, 300000), 0600, NULL), 0);
    buffer_append_text(&out, "before");
    assert_int_equal(file_read("x", 300000, &out, NULL), 0);
    assert_int_equal(out.length, 300006);
    assert_memory_equal(out.data, "beforexxx", 9);
    free(large);
    buffer_fini(&out);
}

static void file_read_over_the_limit_is_refused_and_appends_nothing(void **state)
{
    (void)state;
    struct buffer out = {0};
    struct error error = {0};
    assert_int_equal(replace("x", "12345", NULL), 0);
    buffer_append_text(&out, "before");
    assert_int_equal(file_read("x", 4, &out, &error), ERR_TOO_BIG);
    assert_string_equal(error.text, "x: larger than 4 bytes");
    assert_int_equal(file_read("/dev/zero", 100000, &out, &error), ERR_TOO_BIG);
    assert_int_equal(out.length, 6);
    assert_int_equal(file_read("x", 5, &out, &error), 0);
    assert_string_equal(buffer_text(&out), "before12345");
    buffer_fini(&out);
}

static void file_read_of_none_or_of_a_folder_is_an_error(void **state)
{
    (void)state;
    struct buffer out = {0};
    struct error error = {0};
    assert_int_equal(file_read("none", 10, &out, &error), ERR_NOT_FOUND);
    assert_string_equal(error.text, "none: No such file or directory");
    assert_int_equal(file_read(".", 10, &out, &error), ERR_IO);
    buffer_fini(&out);
}

static void file_write_all_goes_on_after_short_writes(void **state)
{
    (void)state;
    enum { LENGTH = 1000000 };
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        char piece[777];
        size_t sum = 0;
        ssize_t got;
        (void)close(ends[1]);
        while ((got = read(ends[0], piece, sizeof piece)) > 0)
            sum += (size_t)got;
        _exit(sum == LENGTH ? 0 : 1);
    }
    (void)close(ends[0]);
    char *bytes = xcalloc(1, LENGTH);
    assert_int_equal(file_write_all(ends[1], bytes, LENGTH, NULL), 0);
    (void)close(ends[1]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    free(bytes);
}

static void file_write_all_to_a_full_disk_is_no_space(void **state)
{
    (void)state;
    struct error error = {0};
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(file_write_all(fd, "x", 1, &error), ERR_NO_SPACE);
    assert_int_equal(file_write_all(fd, "x", 0, &error), 0);
    (void)close(fd);
    assert_int_equal(file_write_all(-1, "x", 1, &error), ERR_IO);
}

static void file_replace_makes_a_new_file_with_the_exact_mode(void **state)
{
    (void)state;
    (void)umask(0777);
    assert_int_equal(file_replace("x", slice_of("one"), 0644, NULL), 0);
    assert_int_equal(mode_of("x"), 0644);
    assert_int_equal(file_replace("x", slice_of(""), 0600, NULL), 0);
    assert_int_equal(mode_of("x"), 0600);
    assert_content("x", "");
    assert_int_equal(entries_of("."), 1);
}

/* A reader of the old file keeps it whole: the new one is another inode. */
static void file_replace_leaves_open_readers_the_old_file(void **state)
{
    struct fixture *f = *state;
    char path[64];
    char bytes[8] = "";
    assert_int_equal(replace("x", "one", NULL), 0);
    int fd = open("x", O_RDONLY | O_CLOEXEC);
    (void)snprintf(path, sizeof path, "%s/x", f->folder);
    assert_int_equal(replace(path, "two", NULL), 0);
    assert_int_equal(read(fd, bytes, sizeof bytes), 3);
    assert_string_equal(bytes, "one");
    assert_content("x", "two");
    (void)close(fd);
}

static void file_replace_of_a_link_replaces_the_link(void **state)
{
    (void)state;
    assert_int_equal(replace("target", "safe", NULL), 0);
    assert_int_equal(symlink("target", "x"), 0);
    assert_int_equal(replace("x", "new", NULL), 0);
    assert_content("target", "safe");
    assert_content("x", "new");
}

static void file_replace_that_cannot_rename_leaves_all_as_it_was(void **state)
{
    (void)state;
    struct error error = {0};
    assert_int_equal(mkdir("x", 0700), 0);
    assert_int_equal(replace("x", "new", &error), ERR_IO);
    assert_non_null(strstr(error.text, "x: rename failed"));
    assert_int_equal(entries_of("."), 1);
    assert_int_equal(replace("none/x", "new", &error), ERR_NOT_FOUND);
    assert_int_equal(strncmp(error.text, "none/x: ", 8), 0);
}

/* As another user where the tests run as root, who may write anywhere. */
static void file_replace_in_a_folder_that_is_not_writable_is_denied(void **state)
{
    (void)state;
    assert_int_equal(replace("x", "old", NULL), 0);
    assert_int_equal(chmod(".", 0555), 0);
    pid_t child = fork();
    if (child == 0) {
        struct error error = {0};
        if (getuid() == 0 && setuid(65534) != 0)
            _exit(2);
        _exit(replace("x", "new", &error) == ERR_DENIED ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(chmod(".", 0700), 0);
    assert_content("x", "old");
    assert_int_equal(entries_of("."), 1);
}

static void file_replace_on_a_full_disk_keeps_the_old_file(void **state)
{
    (void)state;
    struct error error = {0};
    assert_int_equal(mkdir("small", 0700), 0);
    if (mount("none", "small", "tmpfs", 0, "size=64k") != 0) {
        print_message("file_replace_on_a_full_disk: skipped, no file system may be mounted here\n");
        skip();
    }
    char *large = xcalloc(1, 200000);
    int first = replace("small/x", "old", &error);
    int full = file_replace("small/x", slice_make(large, 200000), 0600, &error);
    size_t entries = entries_of("small");
    struct buffer content = {0};
    int read_back = file_read("small/x", 100, &content, NULL);
    free(large);
    assert_int_equal(umount("small"), 0);
    assert_int_equal(first, 0);
    assert_int_equal(full, ERR_NO_SPACE);
    assert_string_equal(error.text, "small/x: write failed: No space left on device");
    assert_int_equal(entries, 1);
    assert_int_equal(read_back, 0);
    assert_string_equal(buffer_text(&content), "old");
    buffer_fini(&content);
}

enum { WRITERS = 4, WRITES = 15 };

static void *replace_often(void *context)
{
    char *text = xmalloc(20000);
    memset(text, *(const char *)context, 20000);
    for (int i = 0; i < WRITES; i++) {
        if (file_replace("x", slice_make(text, 20000), 0600, NULL) != 0)
            abort();
    }
    free(text);
    return NULL;
}

static void file_replace_by_several_threads_never_mixes_them(void **state)
{
    (void)state;
    pthread_t threads[WRITERS];
    static const char letters[WRITERS] = {'a', 'b', 'c', 'd'};
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, replace_often, (void *)&letters[i]), 0);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    struct buffer content = {0};
    assert_int_equal(file_read("x", 20000, &content, NULL), 0);
    assert_int_equal(content.length, 20000);
    for (size_t i = 1; i < content.length; i++)
        assert_int_equal(content.data[i], content.data[0]);
    assert_int_equal(entries_of("."), 1);
    buffer_fini(&content);
}

static void file_sync_folder_of_none_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(file_sync_folder(".", NULL), 0);
    assert_int_equal(file_sync_folder("none", NULL), ERR_NOT_FOUND);
    assert_int_equal(replace("x", "", NULL), 0);
    assert_int_equal(file_sync_folder("x", NULL), ERR_NOT_FOUND);
    assert_int_equal(file_sync_folder_of("x", NULL), 0);
    assert_int_equal(file_sync_folder_of("/x", NULL), 0);
    assert_int_equal(file_sync_folder_of("none/x", NULL), ERR_NOT_FOUND);
}

static void file_lock_that_is_held_names_the_holder(void **state)
{
    (void)state;
    struct error error = {0};
    char wanted[64];
    int first = -1, second = -1;
    assert_int_equal(file_lock("lock", &first, NULL), 0);
    assert_int_equal(mode_of("lock"), 0600);
    assert_int_equal(file_lock("lock", &second, &error), ERR_REFUSED);
    (void)snprintf(wanted, sizeof wanted, "lock: in use by process %ld", (long)getpid());
    assert_string_equal(error.text, wanted);
    assert_int_equal(second, -1);
    assert_true((fcntl(first, F_GETFD) & FD_CLOEXEC) != 0);
    (void)close(first);
    assert_int_equal(file_lock("lock", &second, NULL), 0);
    (void)close(second);
}

static void file_lock_of_a_killed_process_is_free_again(void **state)
{
    (void)state;
    int ends[2], fd = -1;
    char byte;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        int held;
        if (file_lock("lock", &held, NULL) == 0)
            (void)!write(ends[1], "x", 1);
        for (;;)
            (void)pause();
    }
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(file_lock("lock", &fd, NULL), ERR_REFUSED);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(file_lock("lock", &fd, NULL), 0);
    (void)close(fd);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void file_lock_through_a_link_or_in_no_folder_is_refused(void **state)
{
    (void)state;
    int fd = -1;
    assert_int_equal(symlink("elsewhere", "lock"), 0);
    assert_int_equal(file_lock("lock", &fd, NULL), ERR_IO);
    assert_int_equal(access("elsewhere", F_OK), -1);
    assert_int_equal(file_lock("none/lock", &fd, NULL), ERR_NOT_FOUND);
    assert_int_equal(fd, -1);
}

static void file_network_file_systems_are_known_by_name(void **state)
{
    (void)state;
    assert_string_equal(file_network_name(0x6969), "NFS");
    assert_string_equal(file_network_name(0xff534d42), "CIFS");
    assert_string_equal(file_network_name(0xfe534d42), "SMB");
    assert_string_equal(file_network_name(0x01021997), "9p");
    assert_string_equal(file_network_name(0x65735546), "FUSE");
    assert_null(file_network_name(0xef53));     /* ext4 */
    assert_null(file_network_name(0x58465342)); /* XFS */
    assert_null(file_network_name(0x9123683e)); /* btrfs */
    assert_null(file_network_name(0x01021994)); /* tmpfs */
    assert_null(file_network_name(0x794c7630)); /* overlayfs */
}

static void file_check_local_takes_a_local_folder_alone(void **state)
{
    (void)state;
    struct error error = {0};
    assert_int_equal(file_check_local("/proc", &error), 0);
    assert_int_equal(file_check_local("none", &error), ERR_NOT_FOUND);
    assert_string_equal(error.text, "none: No such file or directory");
}

static void file_check_socket_path_takes_what_the_kernel_takes(void **state)
{
    (void)state;
    struct error error = {0};
    char folder[103] = {0};
    memset(folder, 'd', 102);
    assert_int_equal(file_check_socket_path(folder, "/12345", &error), ERR_USAGE);
    assert_non_null(strstr(error.text, "too long for its sockets (102 bytes, at most 101);"));
    folder[101] = '\0';
    assert_int_equal(file_check_socket_path(folder, "/12345", &error), 0);
}

static void file_check_owner_refuses_a_folder_of_others(void **state)
{
    (void)state;
    const char *const marks[] = {"store", "own", NULL}, *const crumbs[] = {"lock", NULL};
    const struct folder_owner owner = {.name = "baker", .marks = marks, .crumbs = crumbs};
    struct error error = {0};
    assert_int_equal(file_check_owner("d", &owner, &error), 0);
    assert_int_equal(file_make_folder("d", 0700, NULL), 0);
    assert_int_equal(file_check_owner("d", &owner, &error), 0);
    assert_int_equal(replace("d/lock", "1", NULL), 0);
    assert_int_equal(file_check_owner("d", &owner, &error), 0);
    assert_int_equal(file_check_owner("d/lock", &owner, &error), ERR_REFUSED);
    assert_string_equal(error.text, "d/lock: is not a folder");
    assert_int_equal(replace("d/thesis", "1", NULL), 0);
    assert_int_equal(file_check_owner("d", &owner, &error), ERR_REFUSED);
    assert_string_equal(
        error.text, "d: is not empty and no baker's folder; name one of the baker's own");
    assert_int_equal(replace("d/own", "1", NULL), 0);
    assert_int_equal(file_check_owner("d", &owner, &error), 0);
}

static void file_map_shows_the_whole_file(void **state)
{
    (void)state;
    struct slice bytes = {0};
    assert_int_equal(replace("x", "abc", NULL), 0);
    assert_int_equal(file_map("x", &bytes, NULL), 0);
    assert_true(slice_is(bytes, "abc"));
    file_unmap(bytes);
    file_unmap((struct slice){0});
}

static void file_map_of_what_has_no_bytes_is_corrupt(void **state)
{
    (void)state;
    struct slice bytes = {0};
    struct error error = {0};
    assert_int_equal(replace("x", "", NULL), 0);
    assert_int_equal(file_map("x", &bytes, &error), ERR_CORRUPT);
    assert_int_equal(file_map(".", &bytes, &error), ERR_CORRUPT);
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_int_equal(file_map("fifo", &bytes, &error), ERR_CORRUPT);
    assert_int_equal(file_map("none", &bytes, &error), ERR_NOT_FOUND);
    assert_null(bytes.ptr);
}

static void file_remove_tree_of_none_or_of_a_file_is_fine(void **state)
{
    (void)state;
    assert_int_equal(file_remove_tree("none", NULL), 0);
    assert_int_equal(replace("x", "", NULL), 0);
    assert_int_equal(file_remove_tree("x", NULL), 0);
    assert_int_equal(entries_of("."), 0);
}

static void file_remove_tree_does_not_follow_links_out_of_it(void **state)
{
    (void)state;
    assert_int_equal(mkdir("safe", 0700), 0);
    assert_int_equal(replace("safe/x", "safe", NULL), 0);
    assert_int_equal(file_make_folder("tree/a", 0700, NULL), 0);
    assert_int_equal(symlink("../safe", "tree/link"), 0);
    assert_int_equal(symlink("../../safe", "tree/a/link"), 0);
    assert_int_equal(symlink("safe", "toplink"), 0);
    assert_int_equal(file_remove_tree("tree", NULL), 0);
    assert_int_equal(file_remove_tree("toplink", NULL), 0);
    assert_content("safe/x", "safe");
    assert_int_equal(entries_of("."), 1);
}

/* Deeper than descriptors, and than a path may be long. */
static void file_remove_tree_of_any_depth_and_width_goes(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkdir("tree", 0700), 0);
    assert_int_equal(chdir("tree"), 0);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(mkdir("a-name-of-some-length", 0700), 0);
        assert_int_equal(close(creat("x", 0000)), 0);
        assert_int_equal(chdir("a-name-of-some-length"), 0);
    }
    for (int i = 0; i < 500; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%d", i);
        assert_int_equal(mkdir(name, 0700), 0);
    }
    assert_int_equal(chdir(f->folder), 0);
    assert_int_equal(file_remove_tree("tree", NULL), 0);
    assert_int_equal(entries_of("."), 0);
}

/* As an ordinary user, whom modes bind. */
static void file_remove_tree_goes_through_closed_folders_of_its_owner(void **state)
{
    (void)state;
    assert_int_equal(chmod(".", 0777), 0);
    pid_t child = fork();
    if (child == 0) {
        if (getuid() == 0 && setuid(65534) != 0)
            _exit(2);
        if (file_make_folder("tree/a/b", 0700, NULL) != 0 || replace("tree/a/b/x", "", NULL) != 0 ||
            chmod("tree/a/b", 0000) != 0 || chmod("tree/a", 0500) != 0 || chmod("tree", 0500) != 0)
            _exit(3);
        _exit(file_remove_tree("tree", NULL) == 0 ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(entries_of("."), 0);
}

static void file_remove_tree_stops_at_a_mounted_file_system(void **state)
{
    (void)state;
    assert_int_equal(file_make_folder("tree/a/mounted", 0700, NULL), 0);
    if (mount("none", "tree/a/mounted", "tmpfs", 0, "size=64k,mode=0751") != 0) {
        print_message("file_remove_tree_stops: skipped, no file system may be mounted here\n");
        skip();
    }
    struct error error = {0};
    int written = replace("tree/a/mounted/x", "safe", NULL);
    int rc = file_remove_tree("tree", &error);
    struct buffer content = {0};
    int read_back = file_read("tree/a/mounted/x", 100, &content, NULL);
    mode_t mode = mode_of("tree/a/mounted");
    assert_int_equal(umount("tree/a/mounted"), 0);
    assert_int_equal(written, 0);
    assert_int_equal(rc, ERR_REFUSED);
    assert_string_equal(error.text, "tree: a file system is mounted in it");
    assert_int_equal(read_back, 0);
    assert_string_equal(buffer_text(&content), "safe");
    assert_int_equal(mode, 0751);
    buffer_fini(&content);
}

#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILE_TEST(file_make_folder_makes_parents_with_the_exact_mode),
        FILE_TEST(file_make_folder_keeps_an_existing_ones_mode),
        FILE_TEST(file_make_folder_where_a_file_is_names_it),
        FILE_TEST(file_read_appends_the_whole_file),
        FILE_TEST(file_read_over_the_limit_is_refused_and_appends_nothing),
        FILE_TEST(file_read_of_none_or_of_a_folder_is_an_error),
        FILE_TEST(file_write_all_goes_on_after_short_writes),
        FILE_TEST(file_write_all_to_a_full_disk_is_no_space),
        FILE_TEST(file_replace_makes_a_new_file_with_the_exact_mode),
        FILE_TEST(file_replace_leaves_open_readers_the_old_file),
        FILE_TEST(file_replace_of_a_link_replaces_the_link),
        FILE_TEST(file_replace_that_cannot_rename_leaves_all_as_it_was),
        FILE_TEST(file_replace_in_a_folder_that_is_not_writable_is_denied),
        FILE_TEST(file_replace_on_a_full_disk_keeps_the_old_file),
        FILE_TEST(file_replace_by_several_threads_never_mixes_them),
        FILE_TEST(file_sync_folder_of_none_is_an_error),
        FILE_TEST(file_lock_that_is_held_names_the_holder),
        FILE_TEST(file_lock_of_a_killed_process_is_free_again),
        FILE_TEST(file_lock_through_a_link_or_in_no_folder_is_refused),
        FILE_TEST(file_network_file_systems_are_known_by_name),
        FILE_TEST(file_check_local_takes_a_local_folder_alone),
        FILE_TEST(file_check_socket_path_takes_what_the_kernel_takes),
        FILE_TEST(file_check_owner_refuses_a_folder_of_others),
        FILE_TEST(file_map_shows_the_whole_file),
        FILE_TEST(file_map_of_what_has_no_bytes_is_corrupt),
        FILE_TEST(file_remove_tree_of_none_or_of_a_file_is_fine),
        FILE_TEST(file_remove_tree_does_not_follow_links_out_of_it),
        FILE_TEST(file_remove_tree_of_any_depth_and_width_goes),
        FILE_TEST(file_remove_tree_goes_through_closed_folders_of_its_owner),
        FILE_TEST(file_remove_tree_stops_at_a_mounted_file_system),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
