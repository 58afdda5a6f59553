#include "common/dag/compile.h"

#include "common/dag/plan.h"
#include "common/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* A text, and what is said of it: "LINE:COLUMN part of the message", one a line, in order, all of
 * them. */
struct example {
    const char *yaml;
    const char *mistakes;
};

static void compile(struct slice text, struct buffer *plan, struct diagnostics *diagnostics)
{
    int result = dag_compile(text, "folder/example.yaml", plan, diagnostics);
    assert_int_equal(result, diagnostics->errors > 0 ? ERR_INVALID : 0);
    assert_true((result == 0) == (plan->length > 0));
}

/* "12:5 " at the front, the rest somewhere in the message. */
static bool is_told(const struct diagnostic *item, const char *line, size_t length)
{
    char place[32];
    int used = snprintf(place, sizeof place, "%u:%u ", item->line, item->column);
    if (length < (size_t)used || memcmp(line, place, (size_t)used) != 0)
        return false;
    return memmem(item->message, strlen(item->message), line + used, length - (size_t)used) != NULL;
}

static void print_all(const char *yaml, const struct diagnostics *diagnostics)
{
    print_error("%s\n", yaml);
    for (size_t i = 0; i < diagnostics->count; i++)
        print_error("%u:%u %s\n", diagnostics->items[i].line, diagnostics->items[i].column,
            diagnostics->items[i].message);
}

static void expect(const char *yaml, const char *mistakes)
{
    struct buffer plan = {0};
    struct diagnostics diagnostics = {0};
    compile(slice_of(yaml), &plan, &diagnostics);
    size_t told = 0;
    for (const char *line = mistakes; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        bool matches = told < diagnostics.count && is_told(&diagnostics.items[told], line, length);
        if (!matches) {
            print_all(yaml, &diagnostics);
            fail_msg("wanted %.*s", (int)length, line);
        }
        told++;
        line += length + (line[length] == '\n');
    }
    if (told != diagnostics.count)
        print_all(yaml, &diagnostics);
    assert_int_equal(told, diagnostics.count);
    diagnostics_fini(&diagnostics);
    buffer_fini(&plan);
}

static void expect_all(const struct example *examples, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect(examples[i].yaml, examples[i].mistakes);
}

#define EXPECT_ALL(examples) expect_all((examples), sizeof(examples) / sizeof(examples)[0])

#define NOOP "tasks: {a: {noop: }}\n"

static void compile_file_that_is_no_dag_is_refused(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"", "0:0 the file is empty"},
        {"# nothing\n", "0:0 the file is empty"},
        {"~\n", "0:0 the file is empty"},
        {"- a\n", "1:1 a DAG file is a mapping with \"tasks\", not a list"},
        {"text", "1:1 not text"},
        {"dag: x\n", "1:1 a DAG file needs \"tasks\""},
        {"tasks:\n", "1:1 there are no tasks"},
        {"tasks: {}\n", "1:1 there are no tasks"},
        {"tasks:\n  x-a: {noop: }\n", "1:1 there are no tasks"},
        {"tasks:\n  - a: {noop: }\n", "2:3 must be a mapping of names to tasks, not a list"},
        {"tasks: 7\n", "1:8 \"tasks\" must be a mapping of names to tasks, not a number"},
        {NOOP "---\n" NOOP, "2:1 a second document"},
    };
    EXPECT_ALL(examples);
}

static void compile_broken_yaml_is_explained(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"tasks:\n\ta: 1\n", "2:1 a tab; YAML is indented with spaces"},
        {"tasks:\n  a: x: y\n", "2:7 a \":\" cannot stand here"},
        {"tasks: [a\n", "2:1 a \",\" or \"]\" is missing"},
        {"tasks: {a: b\n", "2:1 a \",\" or \"}\" is missing"},
        {"tasks:\n  a: @b\n", "2:6 \"@\" cannot begin a value"},
        {"tasks:\n  a: \"x\n", "3:1 the file ends inside quotes"},
        {"dag: x\xff\n", "1:7 byte 0xff is not UTF-8"},
        {"dag: é\xc0\x80\n", "1:7 byte 0xc0 is not UTF-8"},
        {"dag: x\x01\n", "1:7 control characters are not allowed"},
        {"description: \"a\\0b\"\n" NOOP, "1:14 cannot hold a NUL"},
    };
    EXPECT_ALL(examples);
}

static void compile_yaml_beyond_the_format_is_refused(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"env: &e {A: 1}\n" NOOP,
            "1:6 anchors (&e) are not supported; put what repeats in default_args"},
        {"x-a: &e 1\nowner: *e\n" NOOP, "1:6 anchors\n2:8 aliases (*e)"},
        {"tasks:\n  a: &a [*a]\n", "2:6 \"a\" must be a mapping\n2:6 anchors\n2:10 aliases"},
        {"tasks:\n  a:\n    <<: {noop: }\n    noop:\n", "3:5 merge keys"},
        {"owner: !!str x\n" NOOP, "1:8 tags (tag:yaml.org,2002:str) are not supported"},
        {"owner: !include x\n" NOOP, "1:8 tags (!include)"},
        {"{[a]: b, tasks: {a: {noop: }}}\n", "1:2 a key must be text"},
        {"owner: a\ntasks: {a: {noop: }}\nowner: b\n",
            "3:1 duplicate key \"owner\"; the first is in line 1"},
        {"tasks:\n  a: {noop: }\n  a: {noop: }\n",
            "3:3 duplicate task \"a\"; the first is in line 2"},
        {"env: {A: 1, A: 2}\n" NOOP, "1:13 duplicate key \"A\""},
    };
    EXPECT_ALL(examples);
}

static void compile_nesting_and_size_are_bounded(void **state)
{
    (void)state;
    struct buffer text = {0};
    memset(buffer_reserve(&text, 1000000), '[', 1000000);
    text.length = 1000000;
    struct buffer plan = {0};
    struct diagnostics diagnostics = {0};
    compile(buffer_slice(&text), &plan, &diagnostics);
    assert_int_equal(diagnostics.count, 1);
    assert_int_equal(diagnostics.items[0].column, 65);
    assert_string_equal(diagnostics.items[0].message, "the file is nested deeper than 64 levels");
    assert_int_equal(strlen(diagnostics.items[0].source), 200);
    diagnostics_fini(&diagnostics);
    buffer_fini(&text);
}

static void compile_file_that_is_too_big_is_not_read(void **state)
{
    (void)state;
    struct buffer plan = {0};
    struct diagnostics diagnostics = {0};
    /* Only the length is looked at: there is no such text. */
    compile(slice_make("dag: x", (size_t)DAG_FILE_MAX_BYTES + 1), &plan, &diagnostics);
    assert_int_equal(diagnostics.count, 1);
    assert_int_equal(diagnostics.items[0].line, 0);
    assert_non_null(strstr(diagnostics.items[0].message, "too big"));
    diagnostics_fini(&diagnostics);
}

static void compile_duplicates_are_found_among_many(void **state)
{
    (void)state;
    struct buffer yaml = {0};
    buffer_append_text(&yaml, "tasks:\n");
    for (int i = 0; i < 40; i++)
        buffer_printf(&yaml, "  t%d: {noop: }\n", i);
    buffer_append_text(&yaml, "  t3: {noop: }\n  t30: {noop: }\n  t30: {noop: }\n");
    expect(buffer_text(&yaml), "42:3 duplicate task \"t3\"; the first is in line 5\n"
                               "43:3 duplicate task \"t30\"; the first is in line 32\n"
                               "44:3 duplicate task \"t30\"; the first is in line 32");
    buffer_fini(&yaml);
}

static void compile_long_line_is_cut_around_the_place(void **state)
{
    (void)state;
    struct buffer yaml = {0};
    struct buffer plan = {0};
    struct diagnostics diagnostics = {0};
    buffer_append_text(&yaml, "tasks: {");
    for (int i = 0; i < 100; i++)
        buffer_printf(&yaml, "é%02d: {noop: }, ", i);
    buffer_append_text(&yaml, "b: {noop: , zzz: 1}}\n");
    compile(buffer_slice(&yaml), &plan, &diagnostics);
    const struct diagnostic *last = &diagnostics.items[diagnostics.count - 2];
    assert_int_equal(last->column, 9 + 99 * 15);
    assert_int_equal(last->caret, 120);
    /* Characters are counted, not bytes: an é has two. */
    const char *at = last->source;
    for (uint32_t i = 0; i < last->caret; at++)
        i += ((unsigned char)at[1] & 0xc0) != 0x80;
    assert_memory_equal(at, "é99", 4);
    diagnostics_fini(&diagnostics);
    buffer_fini(&yaml);
}

static void compile_unknown_keys_get_the_right_word(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"ownr: x\n" NOOP, "1:1 unknown key \"ownr\"; did you mean \"owner\"?"},
        {"zzz: x\n" NOOP, "1:1 unknown key \"zzz\""},
        {"schedule_interval: x\n" NOOP, "1:1 \"schedule_interval\" is called \"schedule\" here"},
        {"dag_id: x\n" NOOP, "1:1 \"dag_id\" is called \"dag\" here"},
        {"retries: 1\n" NOOP, "1:1 belongs in a task, or in default_args"},
        {"needs: 1\n" NOOP, "1:1 belongs in a task"},
        {"default_args: {needs: a, bash: x}\n" NOOP,
            "1:16 belongs in a task\n1:26 belongs in a task"},
        {"default_args: {owner: a}\n" NOOP, "1:16 belongs at the top of the file"},
        {"tasks:\n  a:\n    noop:\n    timout: 5m\n",
            "4:5 unknown key \"timout\" in task \"a\"; did you mean \"execution_timeout\"?"},
        {"tasks:\n  a: {noop: , depends_on: b}\n",
            "2:15 \"depends_on\" is called \"needs\" here in task \"a\""},
        {"tasks:\n  a: {noop: , timeout: 1m}\n",
            "2:15 \"timeout\" is called \"execution_timeout\""},
        {"tasks:\n  a: {bash_command: ls}\n", "2:7 \"bash_command\" is called \"bash\""},
        {"tasks:\n  a: {bsh: ls}\n", "2:7 did you mean \"bash\"?"},
        {"tasks:\n  a: {noop: , task_id: b}\n", "2:15 a task's name is its key under tasks"},
        {"tasks:\n  a: {noop: , postgres_conn_id: b}\n", "2:15 \"connection\""},
        {"tasks:\n  a: {noop: , trigger: b}\n", "2:15 \"trigger_rule\""},
        {"tasks:\n  a: {noop: , cpu: b}\n", "2:15 \"cpu\" is called \"cpus\" here"},
        {"tasks:\n  a: {noop: , resources: b}\n", "2:15 write memory: 512MiB and cpus: 1.5"},
        {"tasks:\n  a: {noop: , retries_delay: b}\n", "2:15 \"retry_delay\""},
        {"tasks:\n  a: {noop: , schedule: b}\n", "2:15 at the top of the file"},
        {"x-mine: {a: 1}\ntasks:\n  x-more: 1\n  a: {noop: , x-b: 2}\n", ""},
    };
    EXPECT_ALL(examples);
}

static void compile_keys_of_later_versions_are_named(void **state)
{
    (void)state;
    static const char *const task_keys[] = {"pool", "pool_slots", "slots", "expand",
        "poke_interval", "poke_timeout", "depends_on_past", "wait_for_downstream", "on_failure",
        "on_success", "on_retry", "group", "setup", "teardown", "doc_md"};
    static const char *const dag_keys[] = {
        "doc_md", "dagrun_timeout", "fail_fast", "logical_date", "on_failure", "on_success"};
    char yaml[200];
    char wanted[200];
    for (size_t i = 0; i < sizeof task_keys / sizeof task_keys[0]; i++) {
        (void)snprintf(yaml, sizeof yaml, "tasks: {a: {noop: , %s: x}}\n", task_keys[i]);
        (void)snprintf(
            wanted, sizeof wanted, "1:21 \"%s\" is not supported in this version", task_keys[i]);
        expect(yaml, wanted);
    }
    for (size_t i = 0; i < sizeof dag_keys / sizeof dag_keys[0]; i++) {
        (void)snprintf(yaml, sizeof yaml, "%s: x\n" NOOP, dag_keys[i]);
        (void)snprintf(
            wanted, sizeof wanted, "1:1 \"%s\" is not supported in this version", dag_keys[i]);
        expect(yaml, wanted);
    }
    expect("tasks: {a: {noop: , on_lost: rerun, max_losses: 3, idempotent: false}}\n", "");
    expect("tasks: {a: {noop: , on_lost: hold, max_losses: 4}}\n", "");
    expect("tasks: {a: {noop: , on_lost: fail, max_losses: none}}\n", "");
    expect("tasks: {a: {noop: , max_losses: 255, idempotent: true}}\n", "");
    expect("tasks: {a: {noop: , on_lost: again, max_losses: 0, idempotent: 1}}\n",
        "1:30 \"on_lost\" is rerun, fail or hold, not \"again\"\n"
        "1:49 \"max_losses\" must lie between 1 and 255, and is 0\n"
        "1:64 \"idempotent\" must be true or false");
    expect("default_args: {on_lost: hold}\ntasks: {a: {noop: , idempotent: true}}\n",
        "2:9 task \"a\" is idempotent");
}

static void compile_options_of_programs_are_checked(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"tasks: {a: {postgres: SELECT 1}, b: {python: print(1)}, c: {spark: app.py}}\n", ""},
        {"tasks: {a: {postgres: {sql: \"SELECT :a\", autocommit: true, parameters: {a: [1]}}}}\n",
            ""},
        {"tasks: {a: {postgres: {copy_from: {file: \"{{ ds }}.csv\", table: t}}}}\n", ""},
        {"tasks: {a: {spark: {application: x, conf: {spark.a: 3.10}, args: [1]}}}\n", ""},
        {"tasks: {a: {operator: slack, with: {text: \"{{ ds }}\"}}}\n", ""},
        {"tasks: {a: {with: {n: 1}, operator: slack}}\n", ""},
        {"tasks: {a: {operator: slack}}\n", ""},
        {"tasks: {a: {postgres: }}\n", "1:23 \"postgres\" must be text, or a mapping with sql"},
        {"tasks: {a: {postgres: {autocommit: true}}}\n", "1:13 postgres needs sql or file"},
        {"tasks: {a: {postgres: {sql: x, file: x.sql}}}\n",
            "1:32 postgres has sql and file: only one of them runs"},
        {"tasks: {a: {postgres: {sql: x, autocomit: true}}}\n",
            "1:32 unknown option \"autocomit\" of postgres; did you mean \"autocommit\"?"},
        {"tasks: {a: {postgres: {sql: x, copy_from.file: y}}}\n",
            "1:32 unknown option \"copy_from.file\" of postgres"},
        {"tasks: {a: {postgres: {sql: x, autocommit: 1}}}\n",
            "1:44 \"autocommit\" must be true or false, not a number"},
        {"tasks: {a: {postgres: {sql: [x]}}}\n", "1:29 \"sql\" must be text, not a list"},
        {"tasks: {a: {postgres: {file: ../x.sql}}}\n", "1:30 a path in \"file\" cannot lead out"},
        {"tasks: {a: {python: {call: m:f, kwargs: x}}}\n",
            "1:41 \"kwargs\" must be a mapping, not text"},
        {"tasks: {a: {spark: {application: x, conf: {a: [1]}}}}\n",
            "1:47 here texts are wanted, not a list"},
        {"tasks: {a: {postgres: {file: x.sql, parameters: {a: 1}}}}\n", ""},
        {"tasks: {a: {postgres: {sql: x, parameters: {a: 1}}}}\n",
            "1:45 the parameter \"a\" is used nowhere: write :a in the SQL"},
        {"tasks: {a: {postgres: {sql: \":a\", parameters: {a: 1, b-c: 2}}}}\n",
            "1:54 \"b-c\" cannot be a parameter's name"},
        {"tasks: {a: {postgres: \"x; SELECT %(b)s\"}}\n",
            "1:23 line 1 of the SQL, column 11: %(b)s is not a parameter here: write :b"},
        {"tasks: {a: {postgres: {sql: \"COMMIT; x\", autocommit: true}}}\n", ""},
        {"tasks: {a: {postgres: \"COMMIT; x\"}}\n",
            "1:23 line 1 of the SQL, column 1: the task is one transaction already"},
        {"tasks: {a: {postgres: {copy_to: {file: a, query: \"SELECT DATE :d\"}, parameters: {d: "
         "x}}}}\n",
            "1:50 line 1 of the SQL, column 8: DATE before a parameter is not SQL"},
        {"tasks: {a: {operator: postgres}}\n", "1:23 postgres has a key of its own"},
        {"tasks: {a: {operator: Slack}}\n", "1:23 \"Slack\" cannot be the name of an operator"},
        {"tasks: {a: {noop: , with: {a: 1}}}\n", "1:21 \"with\" belongs beside \"operator: NAME\""},
        {"tasks: {a: {operator: slack, with: x}}\n",
            "1:36 \"with\" must be a mapping of the operator's options, not text"},
        {"tasks: {a: {operator: slack, bash: x}}\n", "1:30 task \"a\" has two operators"},
    };
    EXPECT_ALL(examples);
}

static void compile_templates_in_programs_keep_out_of_texts(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"params: {p: x}\ntasks: {a: {postgres: {sql: \"{{ params.p }}\"}}}\n",
            "2:30 params.p cannot stand in SQL: put it under parameters"},
        {"params: {p: x}\ntasks: {a: {postgres: \"{{ ds }} {{ params.p }}\"}}\n",
            "2:33 params.p cannot stand in SQL"},
        {"params: {p: x}\ntasks: {a: {python: \"{{ params.p }}\"}}\n",
            "2:22 params.p cannot stand in python text: put it under env"},
        {"params: {p: x}\ntasks: {a: {postgres: {sql: \"SELECT :a\", parameters: {a: \"{{ params.p "
         "}}\"}}}}\n",
            ""},
        {"tasks: {a: {postgres: {sql: x, copy_from: {file: a, table: \"{{ ds }}\"}}}}\n",
            "1:60 templates are not rendered here"},
        {"params: {p: x}\ntasks: {a: {postgres: {copy_to: {file: a, query: \"{{ params.p "
         "}}\"}}}}\n",
            "2:51 params.p cannot stand in SQL"},
        {"tasks: {a: {operator: slack, with: {a: [{b: \"{{ dss }}\"}]}}}\n", "1:46 \"dss\""},
        {"tasks: {a: {operator: slack, with: {a: \"{{ outputs.b.c }}\"}}, b: {noop: }}\n",
            "1:41 task \"a\" uses outputs of \"b\", which does not come before it"},
    };
    EXPECT_ALL(examples);
}

static void compile_labels_and_users_are_checked_by_form(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"tasks: {a: {noop: , labels: gpu, run_as: etl}}\n", ""},
        {"tasks: {a: {noop: , labels: [gpu, zone=eu, k8s.io/x=a-1]}}\n", ""},
        {"tasks: {a: {noop: , labels: {zone: eu, gpus: 2, ssd: }, run_as: _b-1$}}\n", ""},
        {"default_args: {labels: gpu, run_as: etl}\ntasks: {a: {noop: , labels: []}}\n", ""},
        {"tasks: {a: {noop: , labels: [a b]}}\n", "1:30 \"a b\" cannot be a label"},
        {"tasks: {a: {noop: , labels: [zone=]}}\n", "1:30 cannot be a label"},
        {"tasks: {a: {noop: , labels: [a=b=c]}}\n", "1:30 cannot be a label"},
        {"tasks: {a: {noop: , labels: [=eu, \"\"]}}\n",
            "1:30 \"=eu\" cannot be a label\n1:35 \"\" cannot be a label"},
        {"tasks: {a: {noop: , labels: [[a]]}}\n", "1:30 \"labels\" holds texts, not a list"},
        {"tasks: {a: {noop: , labels: {zone: [eu]}}}\n", "1:36 must be text, or nothing"},
        {"tasks: {a: {noop: , labels: {zone: \"e u\"}}}\n", "1:30 \"zone=e u\" cannot be a label"},
        {"tasks: {a: {noop: , labels: \"{{ ds }}\"}}\n",
            "1:29 templates are not rendered in labels"},
        {"tasks: {a: {noop: , nodeSelector: {a: b}}}\n", "1:21 is called \"labels\""},
        {"tasks: {a: {noop: , run_as: Etl}}\n", "1:29 \"Etl\" cannot be a user's name"},
        {"tasks: {a: {noop: , run_as: 1a}}\n", "1:29 cannot be a user's name"},
        {"tasks: {a: {noop: , run_as: a$b}}\n", "1:29 cannot be a user's name"},
        {"tasks: {a: {noop: , run_as: abcdefghijklmnopqrstuvwxyz0123456}}\n",
            "1:29 at most 32 bytes"},
        {"tasks: {a: {noop: , run_as: \"\"}}\n", "1:29 cannot be a user's name"},
        {"tasks: {a: {noop: , run_as: \"{{ ds }}\"}}\n",
            "1:29 templates are not rendered in run_as"},
        {"tasks: {a: {noop: , user: etl}}\n", "1:21 is called \"run_as\""},
    };
    EXPECT_ALL(examples);
    struct buffer many = {0};
    buffer_append_text(&many, "tasks: {a: {noop: , labels: [");
    for (int i = 0; i < 65; i++)
        buffer_printf(&many, "l%d,", i);
    buffer_append_text(&many, "]}}\n");
    expect(buffer_text(&many), "1:29 \"labels\" has more than 64 items");
    buffer_fini(&many);
}

static void compile_values_of_the_wrong_type_are_refused(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"reeve: 2\n" NOOP, "1:8 the file is of format version 2; this reeve reads version 1"},
        {"reeve: one\n" NOOP, "1:8 \"reeve\" must be the format's version, 1, not text"},
        {"reeve: 0\n" NOOP, "1:8 there is no format version 0"},
        {"dag: [x]\n" NOOP, "1:6 \"dag\" must be text, not a list"},
        {"dag: a.b\n" NOOP, "1:6 cannot be the name of a DAG"},
        {"dag:\n" NOOP, "1:5 \"dag\" must be text, not nothing"},
        {"tags: {a: 1}\n" NOOP, "1:7 \"tags\" must be a list of texts, not a mapping"},
        {"tags: [a, [b]]\n" NOOP, "1:11 \"tags\" holds texts, not a list"},
        {"files: [../x]\n" NOOP, "1:9 cannot lead out of the folder"},
        {"files: [/x]\n" NOOP, "1:9 is relative"},
        {"timezone: Asia/Seol\n" NOOP, "1:11 did you mean \"Asia/Seoul\"?"},
        {"max_active_runs: 0\n" NOOP, "1:18 must lie between 1 and 1000000, and is 0"},
        {"max_active_tasks: lots\n" NOOP, "1:19 must be an integer, not text"},
        {"default_args: [a]\n" NOOP, "1:15 must be a mapping of task keys, not a list"},
        {"env: [a]\n" NOOP, "1:6 must be a mapping of names to texts, not a list"},
        {"env: {A: [1]}\n" NOOP, "1:10 \"A\" must be text, or null to unset it, not a list"},
        {"env: {1A: x, REEVE_RUN_ID: x}\n" NOOP,
            "1:7 cannot be a variable's name\n1:14 \"REEVE_RUN_ID\" is reeve's own, env cannot set "
            "it"},
        {"tasks: {a: {noop: , retries: 1.5}}\n",
            "1:30 \"retries\" must be an integer, not a number"},
        {"tasks: {a: {noop: , retries: \"3\"}}\n", "1:30 must be an integer without quotes"},
        {"tasks: {a: {noop: , retries: 1000001}}\n", "1:30 must lie between 0 and 1000000"},
        {"tasks: {a: {noop: , retries: 99999999999999999999}}\n", "1:30 must lie between"},
        {"tasks: {a: {noop: , retries: -1}}\n", "1:30 must lie between 0 and"},
        {"tasks: {a: {noop: , allow_failure: yes}}\n", "1:36 must be true or false, not text"},
        {"tasks: {a: {noop: , trigger_rule: all_don}}\n",
            "1:35 unknown trigger rule \"all_don\"; did you mean \"all_done\"?"},
        {"tasks: {a: {noop: , trigger_rule: dummy}}\n", "1:35 it is called \"always\" here"},
        {"tasks: {a: {noop: , queue: a b}}\n", "1:28 cannot be the name of a queue"},
        {"tasks: {a: {noop: , queue: \"{{ ds }}\"}}\n", "1:28 templates are not rendered"},
        {"tasks: {a: {noop: , priority_weight: x}}\n", "1:38 must be an integer"},
        {"tasks: {a: {noop: , log_limit: 256}}\n", "1:32 a size needs a unit: write 256MiB"},
        {"tasks: {a: {noop: , log_limit: 1MB}}\n", "1:32 \"1MB\" is not a size"},
        {"tasks: {a: {noop: , log_limit: 1B}}\n", "1:32 at least 1KiB"},
        {"tasks: {a: {noop: , skip_on_exit_code: 0}}\n", "1:40 between 1 and 255"},
        {"tasks: {a: {noop: , artifacts: [\"{{ ds }}\"]}}\n", "1:33 is never rendered"},
        {"tasks: {a: ls}\n", "1:12 \"a\" must be a mapping, as in {bash: …}, not text"},
        {"tasks: {a.b: {noop: }}\n", "1:9 \"a.b\" cannot be the name of a task"},
    };
    EXPECT_ALL(examples);
}

static void compile_bad_durations_show_the_right_way(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"tasks: {a: {noop: , retry_delay: 300}}\n", "1:34 write 300s or 5m instead of 300"},
        {"tasks: {a: {noop: , execution_timeout: soon}}\n", "1:40 \"soon\" is not a duration"},
        {"tasks: {a: {noop: , execution_timeout: 0s}}\n", "1:40 must be longer than 0s"},
        {"tasks: {a: {noop: , kill_grace: [1s]}}\n", "1:33 must be a duration like 5m, not a list"},
        {"tasks: {a: {noop: , lease: 44s}}\n",
            "1:28 lease 44s is too short for kill_grace 10s: it must be at least 45s"},
        {"tasks: {a: {noop: , kill_grace: 2m}}\n", "1:33 lease 5m is too short for kill_grace 2m: "
                                                   "it must be at least 6m15s"},
        {"default_args: {lease: 1s}\ntasks: {a: {noop: }, b: {noop: }}\n", "1:23 too short"},
        {"default_args: {kill_grace: 1m}\ntasks: {a: {noop: , lease: 3m}}\n", "2:28 too short"},
        {"tasks: {a: {noop: , lease: none, execution_timeout: none}, b: {noop: , lease: 45s}}\n",
            ""},
    };
    EXPECT_ALL(examples);
}

static void compile_operators_are_checked(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"tasks:\n  a: {needs: []}\n", "2:3 task \"a\" has no operator: give it bash, exec, "
                                       "python, postgres, spark, noop or operator"},
        {"tasks:\n  a:\n", "2:3 task \"a\" has no operator"},
        {"tasks:\n  a:\n    bash: ls\n    exec: [ls]\n",
            "4:5 task \"a\" has two operators, \"bash\" and \"exec\""},
        {"tasks: {a: {noop: 1}}\n", "1:19 \"noop\" must be empty, not a number"},
        {"tasks: {a: {exec: ls}}\n", "1:19 \"exec\" must be a list"},
        {"tasks: {a: {exec: []}}\n", "1:19 needs at least the program"},
        {"tasks: {a: {exec: [ls, [x]]}}\n", "1:24 an argument must be text, not a list"},
        {"tasks: {a: {exec: [\"\"]}}\n", "1:20 the program's name is empty"},
        {"tasks: {a: {bash: }}\n", "1:19 \"bash\" must be text, not nothing"},
        {"tasks: {a: {bash: \"\"}}\n", "1:19 the script is empty"},
        {"tasks: {a: {bash: {args: [x]}}}\n", "1:13 bash needs script or file"},
        {"tasks: {a: {bash: {script: x, file: y}}}\n", "1:31 only one of them runs"},
        {"tasks: {a: {bash: {file: x, argz: [y]}}}\n",
            "1:29 unknown option \"argz\" of bash; did you mean \"args\"?"},
        {"tasks: {a: {bash: {file: \"{{ ds }}.sh\"}}}\n", "1:26 is never rendered"},
        {"tasks: {a: {bash: {file: /bin/x}}}\n", "1:26 is relative"},
        {"tasks: {a: {bash: {script: x, strict: 1}}}\n", "1:39 must be true or false"},
    };
    EXPECT_ALL(examples);
}

static void compile_needs_are_checked(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"tasks:\n  load: {noop: }\n  b: {noop: , needs: laod}\n",
            "3:22 task \"b\" needs \"laod\", which is no task; did you mean \"load\"?"},
        {"tasks:\n  a: {noop: , needs: [zzz]}\n", "2:23 which is no task"},
        {"tasks:\n  a: {noop: , needs: a}\n", "2:22 task \"a\" needs itself"},
        {"tasks:\n  a: {noop: }\n  b: {noop: , needs: [a, a]}\n",
            "3:26 task \"b\" needs \"a\" twice"},
        {"tasks:\n  a: {noop: , needs: {b: 1}}\n", "2:22 must be a task's name or a list of them"},
        {"tasks:\n  a: {noop: , needs: [\"{{ ds }}\"]}\n",
            "2:23 templates are not rendered in \"needs\""},
        {"tasks:\n  a: {noop: , needs: c}\n  b: {noop: , needs: a}\n  c: {noop: , needs: b}\n",
            "2:22 these tasks wait for each other: a -> b -> c -> a"},
        {"tasks:\n  a: {noop: , needs: b}\n  b: {noop: , needs: a}\n"
         "  c: {noop: , needs: [a, d]}\n  d: {noop: , needs: c}\n",
            "2:22 a -> b -> a\n4:26 c -> d -> c"},
        {"tasks:\n  a: {noop: , needs: [b, c]}\n  b: {noop: , needs: a}\n"
         "  c: {noop: , needs: d}\n  d: {noop: , needs: c}\n",
            "2:23 a -> b -> a\n4:22 c -> d -> c"},
    };
    EXPECT_ALL(examples);
}

static void compile_long_cycle_is_cut_in_the_middle(void **state)
{
    (void)state;
    struct buffer yaml = {0};
    buffer_append_text(&yaml, "tasks:\n");
    for (int i = 0; i < 5000; i++)
        buffer_printf(&yaml, "  t%d: {noop: , needs: t%d}\n", i, (i + 1) % 5000);
    expect(buffer_text(&yaml),
        "2:23 t0 -> t4999 -> t4998 -> t4997 -> t4996 -> t4995 -> t4994 -> t4993 -> "
        "t4992 -> t4991 -> t4990 -> … (4988 more) -> t1 -> t0");
    buffer_fini(&yaml);
}

static void compile_params_are_checked(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"params: [a]\n" NOOP, "1:9 must be a mapping of names"},
        {"params: {a-b: 1}\n" NOOP, "1:10 cannot be a parameter's name"},
        {"params: {a: }\n" NOOP, "1:10 neither default nor type"},
        {"params: {a: {type: strin}}\n" NOOP, "1:20 did you mean \"string\"?"},
        {"params: {a: {type: int}}\n" NOOP, "1:20 the type \"int\" is called \"integer\" here"},
        {"params: {a: {type: [string, integer]}}\n" NOOP, "1:20 a parameter has one type"},
        {"params: {a: {type: string, defalt: x}}\n" NOOP, "1:28 did you mean \"default\"?"},
        {"params: {a: {type: string, format: date}}\n" NOOP, "1:28 \"format\" is not supported"},
        {"params: {a: {type: string, minimum: 1}}\n" NOOP,
            "1:28 not for a parameter of type string"},
        {"params: {a: {type: integer, minimum: x}}\n" NOOP, "1:38 must be a number, not text"},
        {"params: {a: {type: integer, default: x}}\n" NOOP,
            "1:38 the default does not fit: \"x\" is no integer"},
        {"params: {a: {type: string, enum: [EU], default: KR}}\n" NOOP,
            "1:49 \"KR\" is none of [\"EU\"]"},
        {"params: {a: {type: integer, enum: [1, x]}}\n" NOOP,
            "1:35 a choice of enum is no integer"},
        {"params: {a: {type: string, pattern: \"(\"}}\n" NOOP, "1:37 POSIX"},
        {"params: {a: {type: array, items: 1}}\n" NOOP, "1:34 must be a mapping"},
        {"params: {a: {type: array, items: {type: integer}, default: [1, x]}}\n" NOOP,
            "1:60 item 1: \"x\" is no integer"},
        {"params: {a: {k: 1}}\n" NOOP, "1:14 {type: object, default: {…}}"},
        {"params: {a: .inf}\n" NOOP, "1:13 cannot be had as JSON"},
    };
    EXPECT_ALL(examples);
}

static void compile_templates_are_checked(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"env: {A: \"{{ dss }}\"}\n" NOOP,
            "1:11 unknown name \"dss\" in a template; did you mean \"ds\"?"},
        {"env: {A: \"x {{ ds | uper }}\"}\n" NOOP, "1:13 unknown filter \"uper\""},
        {"env: {A: \"{{ item.x }}\"}\n" NOOP, "1:11 \"item\" is not supported in this version"},
        {"env: {A: \"{{ ds\"}\n" NOOP, "1:11 never closed"},
        {"env: {A: \"{% if x %}\"}\n" NOOP, "1:11 is not supported, templates are values only"},
        {"env: {A: \"{{ params.x }}\"}\n" NOOP, "1:11 \"x\" is not declared under params"},
        {"params: {regions: x}\nenv: {A: \"{{ params.region }}\"}\n" NOOP,
            "2:11 did you mean \"regions\"?"},
        {"params: {r: x}\nenv: {A: \"{{ params.r.y }}\"}\n" NOOP, "2:11 params.r is a string"},
        {"env: {A: \"{{ outputs.a.x }}\"}\n" NOOP, "1:11 in an env that every task gets"},
        {"tasks:\n  a: {noop: }\n  b: {exec: [x, \"{{ outputs.a.x }}\"]}\n",
            "3:18 task \"b\" uses outputs of \"a\", which does not come before it: add it to "
            "needs"},
        {"tasks:\n  a: {exec: [x, \"{{ outputs.a.x }}\"]}\n", "2:18 uses its own outputs"},
        {"tasks:\n  a: {exec: [x, \"{{ outputs.z.x }}\"]}\n", "2:18 \"z\" is no task"},
        {"tasks:\n  load: {noop: }\n  b: {needs: load, exec: [x, \"{{ artifacts.laod }}\"]}\n",
            "3:31 artifacts.laod: \"laod\" is no task; did you mean \"load\"?"},
        {"tasks:\n  a: {noop: }\n  b: {needs: a, exec: [x, \"{{ artifacts.a }}\"]}\n",
            "3:28 task \"a\" leaves no artifacts"},
        {"tasks:\n  a: {noop: , artifacts: [f]}\n  b: {noop: , needs: a}\n"
         "  c: {needs: b, exec: [x, \"{{ artifacts.a }}/f {{ outputs.a.n }}\"]}\n",
            ""},
        {"schedule: \"@daily\"\nenv: {A: \"{{ data_interval_start }}\"}\n" NOOP,
            "1:1 runs are not started by the clock\n2:11 data_interval_start is not supported"},
    };
    EXPECT_ALL(examples);
}

static void compile_values_from_outside_never_enter_interpreted_text(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"params: {r: x}\ntasks:\n  a: {bash: \"echo {{ params.r }}\"}\n",
            "3:19 params.r cannot stand in bash text: write \"$REEVE_PARAM_r\" instead"},
        {"tasks:\n  a: {noop: , artifacts: [f]}\n  b:\n    needs: a\n    bash: |\n      x\n"
         "      cat {{ artifacts.a }} {{ ds }} {{ outputs.a.n }}\n",
            "7:11 write \"$REEVE_ARTIFACTS/a\" instead\n7:38 write \"$VALUE\" instead"},
        {"params: {r: x}\ntasks:\n  a: {bash: {script: \"{{ ds_add(params.r, 1) }}\"}}\n",
            "3:23 params.r"},
        {"params: {r: x}\ntasks:\n  a: {exec: [bash, -c, \"{{ params.r }}\"]}\n",
            "3:25 cannot stand in text that a shell runs"},
        {"params: {r: x}\ntasks:\n  a: {exec: [/usr/bin/env, A=1, sh, -e, -xc, \"{{ params.r "
         "}}\"]}\n",
            "3:47 cannot stand"},
        {"params: {r: x}\ntasks:\n  a: {exec: [python3, \"-c{{ params.r }}\"]}\n",
            "3:26 cannot stand"},
        {"params: {r: x}\ntasks:\n  a: {exec: [bash, -c, 'echo \"$1\"', sh, \"{{ params.r }}\"]}\n",
            ""},
        {"params: {r: x}\ntasks:\n  a: {exec: [bash, -eo, pipefail, -c, \"{{ params.r }}\"]}\n",
            "3:40 cannot stand"},
        {"params: {r: x}\ntasks:\n  a: {exec: [psql, -h, db, shop, -c, \"{{ params.r }}\"]}\n",
            "3:39 cannot stand"},
        {"params: {r: x}\ntasks:\n  a: {exec: [bash, --rcfile, f, -c, \"{{ params.r }}\"]}\n",
            "3:38 cannot stand"},
        {"params: {r: x}\ntasks:\n  a: {exec: [python3, load.py, -c, \"{{ params.r }}\"]}\n", ""},
        {"params: {r: x}\ntasks:\n  a: {exec: [bash, x.sh, \"{{ params.r }}\", -c, \"{{ params.r "
         "}}\"]}\n",
            ""},
        {"params: {r: x}\ntasks:\n  a: {exec: [grep, -c, \"{{ params.r }}\"]}\n", ""},
        {"params: {r: x}\ntasks:\n  a: {bash: {file: x.sh, args: [\"{{ params.r }}\"]}}\n", ""},
        {"tasks:\n  a: {bash: \"echo {{ ds }} {{ run_id }} {{ '{{' }} ${#x}\"}\n", ""},
    };
    EXPECT_ALL(examples);
}

static void compile_schedule_is_checked_and_warned_of(void **state)
{
    (void)state;
    static const char *const sound[] = {"\"0 3 * * *\"", "\"*/5 0-6,12 1,15 JAN-mar sun\"",
        "\"@daily\"", "\"@once\"", "{every: 15m}", "\"0 0 * * 7\""};
    static const char *const broken[] = {"\"60 * * * *\"", "\"* * * *\"", "\"@dayly\"",
        "{every: 15}", "[a]", "\"* * * * 5-1\"", "\"*/0 * * * *\"", "\"1, * * * *\"", "daily",
        "{at: 1}"};
    char yaml[200];
    for (size_t i = 0; i < sizeof sound / sizeof sound[0]; i++) {
        (void)snprintf(yaml, sizeof yaml, "schedule: %s\n" NOOP, sound[i]);
        expect(yaml,
            "1:1 \"schedule\" is kept, but runs are not started by the clock in this version");
    }
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct buffer plan = {0};
        struct diagnostics diagnostics = {0};
        (void)snprintf(yaml, sizeof yaml, "schedule: %s\n" NOOP, broken[i]);
        compile(slice_of(yaml), &plan, &diagnostics);
        assert_int_equal(diagnostics.errors, 1);
        diagnostics_fini(&diagnostics);
    }
    expect("schedule: none\ncatchup: false\n" NOOP, "");
    expect("start_date: 2026-01-01\n" NOOP, "1:1 \"start_date\" is kept");
    expect("start_date: 2026-02-30\n" NOOP, "1:13 \"2026-02-30\" is no date");
    expect("catchup: true\n" NOOP, "1:1 \"catchup\" is kept\n1:10 needs start_date");
    expect("schedule: \"@daily\"\nparams: {a: {type: string}}\n" NOOP,
        "1:1 is kept\n2:10 a DAG with a schedule needs a default for each parameter; \"a\" has "
        "none");
}

static void compile_ten_mistakes_get_ten_messages(void **state)
{
    (void)state;
    static const struct {
        uint32_t line, column;
        const char *part;
    } wanted[] = {{3, 8, "\"owner\" must be text"}, {7, 5, "\"execution_timeout\""},
        {9, 12, "\"extract\""}, {11, 18, "5m"}, {13, 12, "first -> second -> third -> first"},
        {24, 5, "two operators"}, {27, 16, "outputs.load.rows"},
        {29, 5, "not supported in this version"}, {32, 17, "\"ds\""},
        {35, 5, "duplicate key \"retries\"; the first is in line 34"}};
    FILE *file = fopen(REEVE_SOURCE_DIR "/tests/fixtures/ten_mistakes.yaml", "rb");
    assert_non_null(file);
    static char text[4096];
    size_t length = fread(text, 1, sizeof text, file);
    (void)fclose(file);
    struct buffer plan = {0};
    struct diagnostics diagnostics = {0};
    compile(slice_make(text, length), &plan, &diagnostics);
    assert_int_equal(diagnostics.count, 10);
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(diagnostics.items[i].line, wanted[i].line);
        assert_int_equal(diagnostics.items[i].column, wanted[i].column);
        assert_non_null(strstr(diagnostics.items[i].message, wanted[i].part));
    }
    diagnostics_fini(&diagnostics);
}

static void compile_many_mistakes_are_counted(void **state)
{
    (void)state;
    struct buffer yaml = {0};
    buffer_append_text(&yaml, "tasks:\n");
    for (int i = 0; i < 250; i++)
        buffer_printf(&yaml, "  t%d: {noop: , zzz: 1}\n", i);
    struct buffer plan = {0};
    struct diagnostics diagnostics = {0};
    compile(buffer_slice(&yaml), &plan, &diagnostics);
    assert_int_equal(diagnostics.errors, 250);
    assert_int_equal(diagnostics.count, DIAGNOSTICS_MAX + 1);
    assert_string_equal(
        diagnostics.items[DIAGNOSTICS_MAX].message, "150 more mistakes are not shown");
    diagnostics_fini(&diagnostics);
    buffer_fini(&yaml);
}

static void compile_diagnostics_print_with_source_and_caret(void **state)
{
    (void)state;
    struct buffer plan = {0};
    struct buffer out = {0};
    struct diagnostics diagnostics = {0};
    const char *yaml = "tasks:\n  é: {noop: }\n  b: {noop: , \"t\\e[1m\": 5m}\n";
    compile(slice_of(yaml), &plan, &diagnostics);
    diagnostics_print(&diagnostics, "f.yaml", &out);
    assert_string_equal(buffer_text(&out),
        "f.yaml:2:3: \"é\" cannot be the name of a task: letters, digits, \"_\", and \"-\" "
        "after the first\n"
        "      é: {noop: }\n"
        "      ^\n"
        "f.yaml:3:15: unknown key \"t?[1m\" in task \"b\"\n"
        "      b: {noop: , \"t\\e[1m\": 5m}\n"
        "                  ^\n");
    diagnostics_fini(&diagnostics);
    buffer_clear(&out);
    compile(slice_of(""), &plan, &diagnostics);
    diagnostics_print(&diagnostics, "f.yaml", &out);
    assert_string_equal(buffer_text(&out), "f.yaml: the file is empty\n");
    diagnostics_fini(&diagnostics);
    buffer_fini(&out);
}

static void compile_places_count_characters_and_any_line_end(void **state)
{
    (void)state;
    expect("description: é한글 x\r\ntasks:\r\n  a: {bash: \"é {{ dss }}\"}\r\n", "3:16 \"dss\"");
    expect("\xef\xbb\xbfzzz: 1\n" NOOP, "1:1 unknown key \"zzz\"");
    expect("tasks:\n  a:\n    env: {A: '{{ x1 }} it''s {{ x1 }} {{ x2 }}'}\n    noop:\n",
        "3:15 \"x1\"\n3:30 \"x1\"\n3:39 \"x2\"");
    expect("tasks:\n  a:\n    bash: >\n      one {{ ds }}\n      two {{ dz }}\n", "5:11 \"dz\"");
}

static void compile_dag_without_a_name_takes_its_files(void **state)
{
    (void)state;
    struct buffer bytes = {0};
    struct diagnostics diagnostics = {0};
    struct plan plan;
    assert_int_equal(dag_compile(slice_of(NOOP), "/x/nightly-load.yml", &bytes, &diagnostics), 0);
    assert_int_equal(plan_open(buffer_slice(&bytes), &plan, NULL), 0);
    assert_string_equal(plan_string(&plan, plan.header->name).ptr, "nightly-load");
    assert_string_equal(plan_string(&plan, plan.header->file).ptr, "nightly-load.yml");
    buffer_clear(&bytes);
    assert_int_equal(dag_compile(slice_of(NOOP), "a b.yaml", &bytes, &diagnostics), ERR_INVALID);
    assert_int_equal(diagnostics.items[0].line, 0);
    assert_non_null(strstr(diagnostics.items[0].message, "dag: NAME"));
    diagnostics_fini(&diagnostics);
    buffer_fini(&bytes);
}

static void compile_other_yaml_files_are_no_dags(void **state)
{
    (void)state;
    assert_true(dag_is_dag(slice_of("dag: x\ntasks: {}\n")));
    assert_true(dag_is_dag(slice_of("{x: {tasks: 1}, \"tasks\": 2}")));
    assert_true(dag_is_dag(slice_of("a: [\ntasks:\n")));
    assert_true(dag_is_dag(slice_of("tasks:\n\tx: 1\n")));
    assert_false(dag_is_dag(slice_of("x: {tasks: 1}\ny: tasks\n")));
    assert_false(dag_is_dag(slice_of("- tasks: 1\n")));
    assert_false(dag_is_dag(slice_of("tasks")));
    assert_false(dag_is_dag(slice_of("")));
    assert_false(dag_is_dag(slice_of("a: [\n")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compile_file_that_is_no_dag_is_refused),
        cmocka_unit_test(compile_broken_yaml_is_explained),
        cmocka_unit_test(compile_yaml_beyond_the_format_is_refused),
        cmocka_unit_test(compile_nesting_and_size_are_bounded),
        cmocka_unit_test(compile_file_that_is_too_big_is_not_read),
        cmocka_unit_test(compile_duplicates_are_found_among_many),
        cmocka_unit_test(compile_long_line_is_cut_around_the_place),
        cmocka_unit_test(compile_unknown_keys_get_the_right_word),
        cmocka_unit_test(compile_keys_of_later_versions_are_named),
        cmocka_unit_test(compile_options_of_programs_are_checked),
        cmocka_unit_test(compile_templates_in_programs_keep_out_of_texts),
        cmocka_unit_test(compile_labels_and_users_are_checked_by_form),
        cmocka_unit_test(compile_values_of_the_wrong_type_are_refused),
        cmocka_unit_test(compile_bad_durations_show_the_right_way),
        cmocka_unit_test(compile_operators_are_checked),
        cmocka_unit_test(compile_needs_are_checked),
        cmocka_unit_test(compile_long_cycle_is_cut_in_the_middle),
        cmocka_unit_test(compile_params_are_checked),
        cmocka_unit_test(compile_templates_are_checked),
        cmocka_unit_test(compile_values_from_outside_never_enter_interpreted_text),
        cmocka_unit_test(compile_schedule_is_checked_and_warned_of),
        cmocka_unit_test(compile_ten_mistakes_get_ten_messages),
        cmocka_unit_test(compile_many_mistakes_are_counted),
        cmocka_unit_test(compile_diagnostics_print_with_source_and_caret),
        cmocka_unit_test(compile_places_count_characters_and_any_line_end),
        cmocka_unit_test(compile_dag_without_a_name_takes_its_files),
        cmocka_unit_test(compile_other_yaml_files_are_no_dags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
