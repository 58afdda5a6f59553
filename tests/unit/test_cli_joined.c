#include "cli/find_master.h"
#include "cli/joined.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/memory.h"
#include "proto/roles.h"
#include "tests/unit/damage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A home of its own, and nothing in the environment that names a master. */
static char home[64];

static int set_up(void **state)
{
    (void)state;
    (void)strcpy(home, "/tmp/reeve-joined-XXXXXX");
    assert_non_null(mkdtemp(home));
    (void)setenv("HOME", home, 1);
    (void)unsetenv("XDG_CONFIG_HOME");
    (void)unsetenv("REEVE_DATA");
    (void)unsetenv("REEVE_MASTER");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return file_remove_tree(home, NULL);
}

static struct joined make(const char *name, uint32_t role)
{
    struct joined joined = {.role = role, .token = 0x1234, .address_count = 2};
    (void)snprintf(joined.name, sizeof joined.name, "%s", name);
    (void)strcpy(joined.cluster, "c1");
    (void)strcpy(joined.who, "ann@laptop");
    (void)strcpy(joined.addresses[0], "tcp://lab.example:7411");
    (void)strcpy(joined.addresses[1], "tcp://[::1]:7500");
    memset(joined.server_key, 7, sizeof joined.server_key);
    key_pair_make(&joined.keys);
    return joined;
}

static void write_joined(const char *name, uint32_t role)
{
    struct joined joined = make(name, role);
    assert_int_equal(joined_write(&joined, NULL), 0);
}

static void write_text(const char *name, const char *text, mode_t mode)
{
    char path[PATH_MAX];
    assert_int_equal(joined_path(name, path, NULL), 0);
    assert_int_equal(file_replace(path, slice_of(text), mode, NULL), 0);
}

static mode_t mode_of(const char *below_home)
{
    struct stat status;
    char *path = xasprintf("%s/%s", home, below_home);
    assert_int_equal(stat(path, &status), 0);
    free(path);
    return status.st_mode & 07777;
}

/* ---- the files ---- */

static void joined_file_comes_back_as_it_was(void **state)
{
    struct joined joined = make("lab", ROLE_OPERATOR), read;
    (void)state;
    assert_int_equal(joined_write(&joined, NULL), 0);
    assert_int_equal(joined_read("lab", &read, NULL), 0);
    assert_string_equal(read.name, "lab");
    assert_string_equal(read.cluster, "c1");
    assert_string_equal(read.who, "ann@laptop");
    assert_int_equal(read.address_count, 2);
    assert_string_equal(read.addresses[1], "tcp://[::1]:7500");
    assert_int_equal(read.role, ROLE_OPERATOR);
    assert_int_equal(read.token, 0x1234);
    assert_memory_equal(read.server_key, joined.server_key, KEY_BYTES);
    assert_memory_equal(&read.keys, &joined.keys, sizeof read.keys);
}

static void joined_file_is_its_users_alone(void **state)
{
    (void)state;
    mode_t before = umask(0);
    write_joined("lab", ROLE_VIEWER);
    (void)umask(before);
    assert_int_equal(mode_of(".config/reeve/masters/lab"), 0600);
    assert_int_equal(mode_of(".config/reeve/masters"), 0700);
}

static void joined_file_lies_where_xdg_says(void **state)
{
    char path[PATH_MAX];
    (void)state;
    (void)setenv("XDG_CONFIG_HOME", "/elsewhere", 1);
    assert_int_equal(joined_path("lab", path, NULL), 0);
    assert_string_equal(path, "/elsewhere/reeve/masters/lab");
}

static void joined_file_that_others_may_read_is_refused(void **state)
{
    char path[PATH_MAX];
    struct joined read;
    struct error error = {0};
    (void)state;
    write_joined("lab", ROLE_VIEWER);
    assert_int_equal(joined_path("lab", path, NULL), 0);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(joined_read("lab", &read, &error), ERR_DENIED);
    assert_non_null(strstr(error.text, "chmod 600"));
    assert_non_null(strstr(error.text, path));
}

static void joined_file_that_is_damaged_is_refused(void **state)
{
    static const char *const texts[] = {"", "{", "[]", "{\"reeve_master\": 1}",
        "{\"reeve_master\": 1, \"cluster\": \"c\", \"who\": \"a\", \"token\": \"1\"}"};
    struct joined read;
    (void)state;
    write_joined("lab", ROLE_VIEWER);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        write_text("lab", texts[i], 0600);
        assert_int_equal(joined_read("lab", &read, NULL), ERR_CORRUPT);
    }
    write_text("lab", "{\"reeve_master\": 2}", 0600);
    assert_int_equal(joined_read("lab", &read, NULL), ERR_VERSION);
}

static void joined_key_that_fits_no_secret_is_refused(void **state)
{
    struct joined joined = make("lab", ROLE_VIEWER), read;
    (void)state;
    joined.keys.public_key[0] ^= 1;
    assert_int_equal(joined_write(&joined, NULL), 0);
    assert_int_equal(joined_read("lab", &read, NULL), ERR_CORRUPT);
}

static void joined_names_are_no_paths(void **state)
{
    static const char *const bad[] = {"", ".", "..", "../lab", "a/b", ".hidden", "-x", "a b", "ä"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(joined_check_name(bad[i], NULL), ERR_USAGE);
    assert_int_equal(joined_check_name("lab.example-1_2", NULL), 0);
}

static void joined_name_that_is_missing_shows_those_that_are(void **state)
{
    struct joined read;
    struct error error = {0};
    (void)state;
    assert_int_equal(joined_read("lab", &read, &error), ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "reeve join TOKEN"));
    write_joined("prod", ROLE_VIEWER);
    write_joined("beta", ROLE_VIEWER);
    assert_int_equal(joined_read("lab", &read, &error), ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "beta, prod"));
}

static void joined_list_leaves_out_what_was_not_answered(void **state)
{
    struct joined_names names = {0};
    (void)state;
    assert_int_equal(joined_list(&names, NULL), 0);
    assert_int_equal(names.count, 0);
    write_joined("prod", ROLE_VIEWER);
    write_joined("half", ROLE_NONE);
    write_joined("lab", ROLE_OPERATOR);
    assert_int_equal(joined_list(&names, NULL), 0);
    assert_int_equal(names.count, 2);
    assert_string_equal(names.items[0], "lab");
    assert_string_equal(names.items[1], "prod");
    joined_names_fini(&names);
}

static void joined_bulk_is_the_next_port(void **state)
{
    char text[ENDPOINT_TEXT_MAX];
    (void)state;
    assert_int_equal(joined_endpoint("tcp://lab.example:7411", 0, text, NULL), 0);
    assert_string_equal(text, "tcp://lab.example:7411");
    assert_int_equal(joined_endpoint("tcp://[::1]:7411", 1, text, NULL), 0);
    assert_string_equal(text, "tcp://[::1]:7412");
    assert_int_equal(joined_endpoint("tcp://lab:65535", 1, text, NULL), ERR_USAGE);
    assert_int_equal(joined_endpoint("tcp://*:7411", 1, text, NULL), ERR_USAGE);
    assert_int_equal(joined_endpoint("lab:7411", 1, text, NULL), ERR_USAGE);
}

/* ---- which master ---- */

static int find(
    const char *data, const char *master, struct master_search *search, struct error *error)
{
    const struct master_wish wish = {data, master};
    *error = (struct error){0};
    return find_master(&wish, search, error);
}

static void make_socket(const char *below_home)
{
    char *folder = xasprintf("%s/%s", home, below_home);
    char *path = xasprintf("%s/control.sock", folder);
    assert_int_equal(file_make_folder(folder, 0700, NULL), 0);
    assert_int_equal(file_replace(path, slice_of(""), 0600, NULL), 0);
    free(path);
    free(folder);
}

/* The usual place of a master of this host comes before all. */
static void skip_beside_a_master(void)
{
    if (access("/var/lib/reeve/master/control.sock", F_OK) == 0)
        skip();
}

static void find_master_uses_the_one_that_was_joined(void **state)
{
    struct master_search search;
    struct error error;
    (void)state;
    skip_beside_a_master();
    write_joined("lab", ROLE_VIEWER);
    assert_int_equal(find(NULL, NULL, &search, &error), 0);
    assert_true(find_master_is_remote(&search));
    assert_string_equal(search.joined.name, "lab");
    assert_int_equal(search.joined.address_count, 2);
}

static void find_master_prefers_one_of_this_host(void **state)
{
    struct master_search search;
    struct error error;
    (void)state;
    skip_beside_a_master();
    write_joined("lab", ROLE_VIEWER);
    make_socket(".local/share/reeve/master");
    assert_int_equal(find(NULL, NULL, &search, &error), 0);
    assert_false(find_master_is_remote(&search));
    assert_int_equal(find(NULL, "lab", &search, &error), 0);
    assert_true(find_master_is_remote(&search));
}

static void find_master_asks_which_of_several_joined(void **state)
{
    struct master_search search;
    struct error error;
    (void)state;
    skip_beside_a_master();
    write_joined("lab", ROLE_VIEWER);
    write_joined("prod", ROLE_VIEWER);
    assert_int_equal(find(NULL, NULL, &search, &error), ERR_UNREACHABLE);
    assert_non_null(strstr(error.text, "lab, prod: all were joined: choose one with --master"));
    (void)setenv("REEVE_MASTER", "prod", 1);
    assert_int_equal(find(NULL, NULL, &search, &error), 0);
    assert_string_equal(search.joined.name, "prod");
}

static void find_master_takes_no_other_than_the_one_named(void **state)
{
    struct master_search search;
    struct error error;
    (void)state;
    write_joined("lab", ROLE_VIEWER);
    assert_int_equal(find("/nowhere", NULL, &search, &error), ERR_UNREACHABLE);
    assert_non_null(strstr(error.text, "/nowhere (--data): no such folder"));
    assert_null(strstr(error.text, "lab"));
    assert_int_equal(find(NULL, "prod", &search, &error), ERR_NOT_FOUND);
    assert_int_equal(find("/nowhere", "lab", &search, &error), ERR_USAGE);
    (void)setenv("REEVE_DATA", "/nowhere", 1);
    (void)setenv("REEVE_MASTER", "lab", 1);
    assert_int_equal(find(NULL, NULL, &search, &error), ERR_USAGE);
    assert_int_equal(find(NULL, "lab", &search, &error), 0);
}

static void find_master_of_an_unanswered_join_says_so(void **state)
{
    struct master_search search;
    struct error error;
    (void)state;
    write_joined("lab", ROLE_NONE);
    assert_int_equal(find(NULL, "lab", &search, &error), ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "was not answered"));
}

static void find_master_silent_names_every_address_and_its_trouble(void **state)
{
    struct master_search search;
    struct error error;
    const char *troubles[TOKEN_ADDRESSES_MAX] = {"tcp://lab.example:7411: connection refused"};
    (void)state;
    write_joined("lab", ROLE_VIEWER);
    assert_int_equal(find(NULL, "lab", &search, &error), 0);
    assert_int_equal(find_master_silent(&search, troubles, &error), ERR_UNREACHABLE);
    assert_non_null(strstr(error.text, "lab (--master)"));
    assert_non_null(strstr(error.text, "tcp://lab.example:7411: connection refused"));
    assert_non_null(strstr(error.text, "tcp://[::1]:7500: does not answer"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void look_at_damaged(void *context, const char *what)
{
    struct joined *then = context, now = {0};
    struct error error = {0};
    if (joined_read("lab", &now, &error) != 0) {
        if (strstr(error.text, "masters/lab") == NULL)
            fail_msg("%s: \"%s\"", what, error.text);
        return;
    }
    bool same = strcmp(now.cluster, then->cluster) == 0 && strcmp(now.who, then->who) == 0 &&
                memcmp(now.server_key, then->server_key, KEY_BYTES) == 0 &&
                memcmp(now.keys.public_key, then->keys.public_key, KEY_BYTES) == 0 &&
                now.address_count == then->address_count && now.token == then->token &&
                now.role == then->role && strcmp(now.addresses[0], then->addresses[0]) == 0 &&
                strcmp(now.addresses[1], then->addresses[1]) == 0;
    if (!same)
        fail_msg("%s: taken, and it says something else", what);
}

static void joined_damaged_file_is_refused_or_the_same(void **state)
{
    char path[PATH_MAX];
    struct joined joined = make("lab", ROLE_OPERATOR);
    (void)state;
    assert_int_equal(joined_write(&joined, NULL), 0);
    assert_int_equal(joined_path("lab", path, NULL), 0);
    damage_each(path, 1, look_at_damaged, &joined);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(joined_damaged_file_is_refused_or_the_same),
        TEST(joined_file_comes_back_as_it_was),
        TEST(joined_file_is_its_users_alone),
        TEST(joined_file_lies_where_xdg_says),
        TEST(joined_file_that_others_may_read_is_refused),
        TEST(joined_file_that_is_damaged_is_refused),
        TEST(joined_key_that_fits_no_secret_is_refused),
        TEST(joined_names_are_no_paths),
        TEST(joined_name_that_is_missing_shows_those_that_are),
        TEST(joined_list_leaves_out_what_was_not_answered),
        TEST(joined_bulk_is_the_next_port),
        TEST(find_master_uses_the_one_that_was_joined),
        TEST(find_master_prefers_one_of_this_host),
        TEST(find_master_asks_which_of_several_joined),
        TEST(find_master_takes_no_other_than_the_one_named),
        TEST(find_master_of_an_unanswered_join_says_so),
        TEST(find_master_silent_names_every_address_and_its_trouble),
    };
    hash_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
