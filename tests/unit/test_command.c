#include "worker/io/command.h"

#include "common/dag/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

static const struct attempt_id id = {.run = 0xab, .task = 1, .attempt = 2};

struct fixture {
    struct arena arena;
    struct place place;
    struct command_base base;
    struct command command;
};

static int set_up(void **state)
{
    static char *const environment[] = {(char *)"PATH=/bin", (char *)"HOME=/h",
        (char *)"REEVE_DATA=/m", (char *)"AIRFLOW_X=1", (char *)"PYTHONUNBUFFERED=", NULL};
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    place_make(&f->place, "/w/work", &id, &f->arena);
    f->base.worker = slice_of("w1");
    command_base_env(environment, &f->arena, &f->base.env);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    arena_fini(&f->arena);
    free(f);
    return 0;
}

/* The texts joined by '|'. */
static void assert_texts(const struct texts *texts, const char *wanted)
{
    struct buffer joined = {0};
    for (uint32_t i = 0; i < texts->count; i++) {
        buffer_append_text(&joined, i > 0 ? "|" : "");
        buffer_append_slice(&joined, texts->items[i]);
    }
    assert_string_equal(buffer_text(&joined), wanted);
    buffer_fini(&joined);
}

static void make(struct fixture *f, const struct msg_assign *assign)
{
    command_make(&f->command, assign, &f->place, &f->base, &f->arena);
}

static void command_bash_text_is_one_argument(void **state)
{
    struct fixture *f = *state;
    struct slice arguments[] = {slice_of("a b"), slice_of("$c")};
    make(f, &(struct msg_assign){.kind = OPERATOR_BASH,
                .strict = true,
                .text = slice_of("echo \"$1\""),
                .arguments = {arguments, 2}});
    assert_texts(&f->command.arguments, "bash|-eo|pipefail|-c|echo \"$1\"|reeve-task|a b|$c");
}

static void command_bash_that_is_not_strict_has_no_options(void **state)
{
    struct fixture *f = *state;
    make(f, &(struct msg_assign){.kind = OPERATOR_BASH, .text = slice_of("true")});
    assert_texts(&f->command.arguments, "bash|-c|true|reeve-task");
}

static void command_bash_file_is_run_by_bash(void **state)
{
    struct fixture *f = *state;
    struct slice arguments[] = {slice_of("x")};
    make(f, &(struct msg_assign){.kind = OPERATOR_BASH,
                .strict = true,
                .file = slice_of("-x.sh"),
                .arguments = {arguments, 1}});
    assert_texts(&f->command.arguments, "bash|-eo|pipefail|./-x.sh|x");
}

static void command_long_text_goes_through_a_file(void **state)
{
    struct fixture *f = *state;
    size_t length = 131072;
    char *text = malloc(length);
    memset(text, ':', length);
    make(f, &(struct msg_assign){.kind = OPERATOR_BASH, .text = slice_make(text, length)});
    assert_texts(&f->command.arguments, "bash|/w/work/00000000000000ab.1.0.2/script");
    assert_int_equal(f->command.script.length, length);
    free(text);
}

static void command_exec_is_its_own_argv(void **state)
{
    struct fixture *f = *state;
    struct slice arguments[] = {slice_of("./notify"), slice_of("--x")};
    make(f, &(struct msg_assign){.kind = OPERATOR_EXEC, .arguments = {arguments, 2}});
    assert_texts(&f->command.arguments, "./notify|--x");
}

static void command_env_overrides_and_unsets(void **state)
{
    struct fixture *f = *state;
    struct slice env[] = {slice_of("PATH=/x"), slice_of("HOME"), slice_of("A=b=c")};
    make(f, &(struct msg_assign){.kind = OPERATOR_EXEC, .env = {env, 3}});
    assert_texts(&f->command.env, "PYTHONUNBUFFERED=1|PATH=/x|A=b=c|REEVE_WORKER=w1|"
                                  "REEVE_OUTPUT=/w/work/00000000000000ab.1.0.2/out|"
                                  "REEVE_ARTIFACTS=/w/work/00000000000000ab.1.0.2/artifacts");
}

static void command_mark_becomes_the_artifacts_folder(void **state)
{
    struct fixture *f = *state;
    struct slice arguments[] = {slice_of("x" ASSIGN_ARTIFACTS_MARK "/a:" ASSIGN_ARTIFACTS_MARK)};
    struct slice env[] = {slice_of("P=" ASSIGN_ARTIFACTS_MARK)};
    f->place.artifacts = slice_of("/art");
    f->base.env.count = 0;
    make(f, &(struct msg_assign){.kind = OPERATOR_BASH,
                .text = slice_of("ls " ASSIGN_ARTIFACTS_MARK),
                .arguments = {arguments, 1},
                .env = {env, 1}});
    assert_texts(&f->command.arguments, "bash|-c|ls /art|reeve-task|x/art/a:/art");
    assert_true(slice_is(f->command.env.items[0], "P=/art"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(command_bash_text_is_one_argument),
        TEST(command_bash_that_is_not_strict_has_no_options),
        TEST(command_bash_file_is_run_by_bash),
        TEST(command_long_text_goes_through_a_file),
        TEST(command_exec_is_its_own_argv),
        TEST(command_env_overrides_and_unsets),
        TEST(command_mark_becomes_the_artifacts_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
