/*
 * A task's connections as files on memory. Skipped where this host has no tmpfs to write to.
 */
#include "worker/io/secrets.h"

#include "common/buffer.h"
#include "common/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct secrets secrets;
static struct arena arena;
static struct msg_assign assign;
static struct assigned_connection items[2];
static struct slice folder;

static int set_up(void **state)
{
    unsigned char key[32] = {0x7e, 0x57};
    pid_t pid = getpid();
    (void)state;
    memcpy(key + 2, &pid, sizeof pid);
    secrets = (struct secrets){0};
    secrets_init(&secrets, key);
    assign = (struct msg_assign){.id = {.run = 9, .task = 3, .attempt = 1}};
    assign.connections.items = items;
    folder = (struct slice){0};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    secrets_remove(&secrets, &assign.id);
    char *base = secrets.base != NULL ? strdup(secrets.base) : NULL;
    secrets_fini(&secrets);
    /* Nothing is left of it. */
    int left = base != NULL && access(base, F_OK) == 0;
    free(base);
    arena_fini(&arena);
    arena = (struct arena){0};
    return left;
}

static void give(const char *name, const char *document)
{
    items[assign.connections.count++] =
        (struct assigned_connection){slice_of(name), slice_of(document)};
}

static int write_all(struct error *error)
{
    int rc = secrets_write(&secrets, &assign, NULL, &arena, &folder, error);
    if (rc == ERR_REFUSED) {
        print_message("%s\n", error->text);
        skip();
    }
    return rc;
}

static void expect_file(const char *name, const char *wanted)
{
    struct buffer text = {0};
    struct stat status;
    struct slice path = arena_printf(&arena, "%s/%s", folder.ptr, name);
    assert_int_equal(file_read(path.ptr, 100000, &text, NULL), 0);
    assert_string_equal(buffer_text(&text), wanted);
    assert_int_equal(stat(path.ptr, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    buffer_fini(&text);
}

static void secrets_are_files_of_one_part_each(void **state)
{
    (void)state;
    struct error error = {0};
    give("a.b", "{\"type\":\"generic\",\"password\":\"$(id)\\n'\",\"port\":7,\"extra\":{\"k\":1}}");
    assert_int_equal(write_all(&error), 0);
    expect_file("a.b/password", "$(id)\n'");
    expect_file("a.b/port", "7");
    expect_file("a.b/login", "");
    expect_file("a.b/extra", "{\"k\":1}");
    expect_file("a.b/uri", "generic://:%24%28id%29%0A%27@:7/?__extra__=%7B%22k%22%3A1%7D");
    struct texts env = {.items = arena_alloc(&arena, SECRETS_VARIABLES * sizeof(struct slice))};
    secrets_add_env(folder, &(struct texts){NULL, 0}, &env, &arena);
    assert_int_equal(env.count, 1);
    assert_memory_equal(env.items[0].ptr, "REEVE_CONNECTIONS=", 18);
}

static void secrets_of_postgres_are_a_service_and_a_password_too(void **state)
{
    (void)state;
    struct error error = {0};
    give("pg",
        "{\"type\":\"postgres\",\"host\":\"db\",\"port\":5433,\"schema\":\"sales\",\"login\":"
        "\"e:l\",\"password\":\"p\\\\:w \",\"extra\":{\"sslmode\":\"require\",\"cursor\":\"x\"}}");
    assert_int_equal(write_all(&error), 0);
    expect_file(".pg_service", "[pg]\nhost=db\nport=5433\ndbname=sales\nuser=e:l\n"
                               "sslmode=require\n\n");
    expect_file(".pgpass", "db:5433:sales:e\\:l:p\\\\\\:w \n");
    struct slice own = slice_of("PGPASSFILE=mine");
    struct texts env = {.items = arena_alloc(&arena, SECRETS_VARIABLES * sizeof(struct slice))};
    secrets_add_env(folder, &(struct texts){&own, 1}, &env, &arena);
    assert_int_equal(env.count, 2);
    assert_memory_equal(env.items[1].ptr, "PGSERVICEFILE=", 14);
}

static void secrets_that_cannot_be_read_leave_nothing(void **state)
{
    (void)state;
    struct error error = {0};
    give("good", "{\"type\":\"generic\"}");
    give("bad", "{\"type\":\"generic\",\"password\":7}");
    int rc = write_all(&error);
    assert_int_equal(rc, ERR_INVALID);
    assert_non_null(strstr(error.text, "connection \"bad\": its password must be a text"));
    assign.connections.count = 0;
    give("../x", "{\"type\":\"generic\"}");
    assert_int_equal(write_all(&error), ERR_INVALID);
    assert_null(folder.ptr);
}

static bool nobody(void *context, const struct attempt_id *id)
{
    *(uint64_t *)context = id->run;
    return false;
}

static void secrets_of_attempts_that_nobody_knows_go(void **state)
{
    (void)state;
    struct error error = {0};
    uint64_t asked = 0;
    give("a", "{\"type\":\"generic\"}");
    assert_int_equal(write_all(&error), 0);
    assert_int_equal(access(folder.ptr, F_OK), 0);
    secrets_clean(&secrets, nobody, &asked);
    assert_int_equal(asked, 9);
    assert_int_equal(access(folder.ptr, F_OK), -1);
}

#define WITH_SECRETS(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SECRETS(secrets_are_files_of_one_part_each),
        WITH_SECRETS(secrets_of_postgres_are_a_service_and_a_password_too),
        WITH_SECRETS(secrets_that_cannot_be_read_leave_nothing),
        WITH_SECRETS(secrets_of_attempts_that_nobody_knows_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
