/*
 * The plan as the cores see it: random DAGs are written as YAML, compiled, opened and walked, and
 * compared with the model that made them; then damaged in every byte.
 */
#include "common/dag/plan.h"

#include "common/dag/compile.h"
#include "common/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { TASKS_MAX = 40 };

/* One task of a random DAG. */
struct sketch {
    char name[16];
    uint64_t needs; /* a bit for each earlier task */
    uint32_t retries;
    int priority;
    int trigger_rule;
    enum operator_kind kind;
    bool artifacts;
};

static uint64_t next_random(uint64_t *seed)
{
    *seed += 0x9e3779b97f4a7c15u;
    uint64_t value = *seed;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

static uint32_t draw_sketch(uint64_t *seed, struct sketch sketch[TASKS_MAX])
{
    uint32_t count = (uint32_t)(next_random(seed) % TASKS_MAX) + 1;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bits = next_random(seed);
        /* The number makes the name unique; what stands before it shuffles the order of names. */
        (void)snprintf(sketch[i].name, sizeof sketch[i].name, "%c%c-%u", "azAZ_09m"[bits % 8],
            "b-Y5"[bits >> 8 & 3], i);
        uint64_t earlier = i == 0 ? 0 : ((uint64_t)1 << i) - 1;
        sketch[i].needs = earlier & next_random(seed) & next_random(seed) & next_random(seed);
        sketch[i].retries = (uint32_t)(bits >> 16 & 7);
        sketch[i].priority = (int)(bits >> 24 & 15) - 8;
        sketch[i].trigger_rule = (int)((bits >> 32) % TRIGGER_COUNT);
        sketch[i].kind = (enum operator_kind)((bits >> 40) % OPERATOR_COUNT);
        sketch[i].artifacts = (bits >> 48 & 3) == 0;
    }
    return count;
}

static void write_needs(const struct sketch *sketch, uint32_t task, struct buffer *yaml)
{
    if (sketch[task].needs == 0)
        return;
    const char *separator = "";
    buffer_append_text(yaml, "    needs: [");
    for (uint32_t j = 0; j < task; j++) {
        if ((sketch[task].needs >> j & 1) == 0)
            continue;
        buffer_printf(yaml, "%s%s", separator, sketch[j].name);
        separator = ", ";
    }
    buffer_append_text(yaml, "]\n");
}

static void write_yaml(const struct sketch *sketch, uint32_t count, struct buffer *yaml)
{
    static const char *const operators[] = {"    noop:\n", "    bash: echo hi\n",
        "    exec: [./run, \"{{ ds }}\"]\n",
        "    operator: slack\n    with: {text: \"{{ ds }}\"}\n"};
    buffer_append_text(yaml, "dag: random\nenv: {A: 1, B: 2}\ntasks:\n");
    for (uint32_t i = 0; i < count; i++) {
        buffer_printf(yaml, "  \"%s\":\n%s", sketch[i].name, operators[sketch[i].kind]);
        buffer_printf(yaml, "    retries: %u\n    priority_weight: %d\n    trigger_rule: %s\n",
            sketch[i].retries, sketch[i].priority, trigger_rule_name(sketch[i].trigger_rule));
        if (sketch[i].artifacts)
            buffer_append_text(yaml, "    artifacts: out\n    env: {B: null, C: x}\n");
        write_needs(sketch, i, yaml);
    }
}

static void compile(const char *yaml, struct buffer *bytes, struct plan *plan)
{
    struct diagnostics diagnostics = {0};
    struct error error = {0};
    if (dag_compile(slice_of(yaml), "test.yaml", bytes, &diagnostics) != 0)
        fail_msg("%s\n%s", diagnostics.items[0].message, yaml);
    diagnostics_fini(&diagnostics);
    if (plan_open(buffer_slice(bytes), plan, &error) != 0)
        fail_msg("%s\n%s", error.text, yaml);
}

static uint32_t rank_of(const struct plan *plan, const char *name)
{
    int64_t found = plan_find_task(plan, slice_of(name));
    assert_true(found >= 0);
    return (uint32_t)found;
}

/* The needs of a task as bits, read from the plan's predecessors; and that the successors say the
 * same. */
static uint64_t walk_needs(const struct plan *plan, const struct sketch *sketch, uint32_t task)
{
    uint64_t needs = 0;
    uint32_t rank = rank_of(plan, sketch[task].name);
    for (uint32_t i = plan->predecessor_starts[rank]; i < plan->predecessor_starts[rank + 1]; i++) {
        uint32_t from = plan->predecessors[i];
        bool mutual = false;
        for (uint32_t j = plan->successor_starts[from]; j < plan->successor_starts[from + 1]; j++)
            mutual = mutual || plan->successors[j] == rank;
        assert_true(mutual);
        for (uint32_t j = 0; j < task; j++) {
            if (rank_of(plan, sketch[j].name) == from)
                needs |= (uint64_t)1 << j;
        }
    }
    return needs;
}

static uint32_t count_artifacts_above(const struct sketch *sketch, uint32_t task)
{
    uint64_t above = sketch[task].needs;
    uint32_t count = 0;
    for (uint32_t j = task; j-- > 0;) {
        if ((above >> j & 1) == 0)
            continue;
        above |= sketch[j].needs;
        count += sketch[j].artifacts;
    }
    return count;
}

static void compare_task(const struct plan *plan, const struct sketch *sketch, uint32_t task)
{
    uint32_t rank = rank_of(plan, sketch[task].name);
    const struct plan_task *made = &plan->tasks[rank];
    const struct plan_body *body = plan_body(plan, rank);
    assert_int_equal(plan->display[task], rank);
    assert_int_equal(made->kind, sketch[task].kind);
    assert_int_equal(made->retries, sketch[task].retries);
    assert_int_equal(made->priority_weight, sketch[task].priority);
    assert_int_equal(made->trigger_rule, sketch[task].trigger_rule);
    assert_int_equal(made->lease_ms, 300000);
    assert_int_equal(made->max_losses, 3);
    assert_int_equal(walk_needs(plan, sketch, task), sketch[task].needs);
    assert_int_equal(made->artifact_needs, count_artifacts_above(sketch, task));
    assert_int_equal(body->artifacts.count, sketch[task].artifacts);
    assert_int_equal(body->env.count, sketch[task].artifacts ? 6 : 4);
    assert_int_equal(plan_items(plan, body->env)[3] == 0, sketch[task].artifacts);
    if (sketch[task].kind == OPERATOR_BASH)
        assert_string_equal(plan_string(plan, body->text).ptr, "echo hi");
    assert_true(
        slice_is(plan_program(plan, rank), sketch[task].kind == OPERATOR_PROGRAM ? "slack" : ""));
    if (sketch[task].kind == OPERATOR_PROGRAM)
        assert_string_equal(plan_string(plan, body->text).ptr, "{\"text\":\"{{ ds }}\"}");
}

static void plan_random_dags_are_what_their_files_say(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 300; round++) {
        uint64_t seed = round;
        struct sketch sketch[TASKS_MAX] = {0};
        struct buffer yaml = {0};
        struct buffer bytes = {0};
        struct plan plan;
        uint32_t count = draw_sketch(&seed, sketch);
        write_yaml(sketch, count, &yaml);
        compile(buffer_text(&yaml), &bytes, &plan);
        assert_int_equal(plan_task_count(&plan), count);
        for (uint32_t i = 0; i < count; i++)
            compare_task(&plan, sketch, i);
        buffer_fini(&yaml);
        buffer_fini(&bytes);
    }
}

/* Nothing recurses from task to task: the stack would not hold it. */
static void plan_long_chain_is_compiled(void **state)
{
    (void)state;
    const uint32_t count = 100000;
    struct buffer yaml = {0};
    struct buffer bytes = {0};
    struct plan plan;
    buffer_append_text(&yaml, "dag: chain\ntasks:\n  t0: {noop: }\n");
    for (uint32_t i = 1; i < count; i++)
        buffer_printf(&yaml, "  t%u: {noop: , needs: t%u}\n", i, i - 1);
    compile(buffer_text(&yaml), &bytes, &plan);
    assert_int_equal(plan_task_count(&plan), count);
    assert_int_equal(plan.header->edge_count, count - 1);
    assert_int_equal(plan_find_task(&plan, slice_of("t99999")), plan.display[count - 1]);
    buffer_fini(&yaml);
    buffer_fini(&bytes);
}

static const char *const example =
    "dag: example\nowner: me\ntags: [x, y]\ntimezone: Asia/Seoul\nmax_active_tasks: 5\n"
    "params: {region: EU, n: {type: integer, default: 3}}\nfiles: [sql/]\n"
    "default_args: {queue: slow, retries: 2, env: {B: two}}\nenv: {A: 1, B: 1}\n"
    "tasks:\n"
    "  z: {bash: {file: a.sh, args: [x, \"{{ ds }}\"], strict: false}, env: {A: null, C: NO},\n"
    "    labels: [gpu, zone=eu], run_as: etl}\n"
    "  a: {needs: z, exec: [./a, 3.10], kill_grace: 1s, lease: none, log_limit: 1 KiB}\n"
    "  m: {needs: [a, z], noop: , skip_on_exit_code: [3, 4], allow_failure: true}\n";

static void expect_text(const struct plan *plan, uint32_t offset, const char *wanted)
{
    assert_string_equal(plan_string(plan, offset).ptr, wanted);
}

static void plan_keys_of_the_dag_are_kept(void **state)
{
    (void)state;
    struct buffer bytes = {0};
    struct plan plan;
    compile(example, &bytes, &plan);
    const struct plan_header *header = plan.header;
    expect_text(&plan, header->name, "example");
    expect_text(&plan, header->owner, "me");
    expect_text(&plan, header->timezone, "Asia/Seoul");
    expect_text(&plan, header->params,
        "{\"region\":{\"type\":\"string\",\"default\":\"EU\"},"
        "\"n\":{\"type\":\"integer\",\"default\":3}}");
    expect_text(&plan, header->source, example);
    expect_text(&plan, plan_items(&plan, header->tags)[1], "y");
    expect_text(&plan, plan_items(&plan, header->files)[0], "sql/");
    assert_int_equal(header->description, 0);
    assert_null(plan_string(&plan, header->description).ptr);
    assert_int_equal(header->max_active_runs, 16);
    assert_int_equal(header->max_active_tasks, 5);
    assert_int_equal(header->flags, PLAN_FILES_IN_FOLDER);
    assert_int_equal(plan_find_task(&plan, slice_of("nobody")), -1);
    buffer_fini(&bytes);
}

static void plan_keys_of_tasks_are_merged(void **state)
{
    (void)state;
    struct buffer bytes = {0};
    struct plan plan;
    compile(example, &bytes, &plan);
    const struct plan_task *a = &plan.tasks[0];
    const struct plan_task *m = &plan.tasks[1];
    const struct plan_body *z = plan_body(&plan, 2);
    assert_int_equal(a->kill_grace_ms, 1000);
    assert_int_equal(a->lease_ms, 0);
    assert_int_equal(a->log_limit_bytes, 1024);
    assert_int_equal(a->retries, 2);
    expect_text(&plan, a->queue, "slow");
    expect_text(&plan, plan_items(&plan, plan_body(&plan, 0)->arguments)[1], "3.10");
    assert_int_equal(m->flags, PLAN_TASK_ALLOW_FAILURE);
    assert_int_equal(plan_body(&plan, 1)->skip_codes.count, 2);
    assert_int_equal(plan_items(&plan, plan_body(&plan, 1)->skip_codes)[1], 4);
    expect_text(&plan, z->file, "a.sh");
    assert_int_equal(z->strict, 0);
    const uint32_t *env = plan_items(&plan, z->env);
    assert_int_equal(z->env.count, 6);
    expect_text(&plan, env[0], "A");
    assert_int_equal(env[1], 0);
    expect_text(&plan, env[3], "two");
    expect_text(&plan, env[5], "NO");
    buffer_fini(&bytes);
}

static void plan_labels_and_users_are_kept(void **state)
{
    (void)state;
    struct buffer bytes = {0};
    struct plan plan;
    compile(
        "default_args: {labels: {zone: eu, gpu: }, run_as: etl}\ntasks:\n  a: {bash: ls}\n"
        "  b: {bash: ls, labels: [gpu, zone=eu, gpu]}\n  c: {bash: ls, labels: , run_as: root}\n",
        &bytes, &plan);
    struct plan_list labels = plan_labels(&plan, 0);
    assert_int_equal(labels.count, 2);
    expect_text(&plan, plan_items(&plan, labels)[0], "gpu");
    expect_text(&plan, plan_items(&plan, labels)[1], "zone=eu");
    assert_int_equal(plan.tasks[0].body, plan.tasks[1].body);
    expect_text(&plan, plan_body(&plan, 0)->run_as, "etl");
    assert_int_equal(plan_labels(&plan, 2).count, 0);
    expect_text(&plan, plan_body(&plan, 2)->run_as, "root");
    buffer_fini(&bytes);
}

/* Puts the checksum right again, so that what lies behind it is tried. */
static void seal(struct buffer *bytes)
{
    struct plan_header *header = (void *)bytes->data;
    plan_checksum(buffer_slice(bytes), header->version, header->checksum);
}

static void plan_limits_are_kept(void **state)
{
    (void)state;
    struct buffer bytes = {0};
    struct plan plan;
    compile(
        "default_args: {memory: 512MiB, cpus: 1.5}\ntasks:\n  a: {bash: ls}\n"
        "  b: {bash: ls, memory: none, cpus: 0.333}\n  c: {bash: ls, memory: 4097KiB, cpus: }\n",
        &bytes, &plan);
    assert_int_equal(plan_limits(&plan, 0).memory_bytes, 512ull * 1024 * 1024);
    assert_int_equal(plan_limits(&plan, 0).cpu_permille, 1500);
    assert_int_equal(plan_limits(&plan, 1).memory_bytes, 0);
    assert_int_equal(plan_limits(&plan, 1).cpu_permille, 333);
    assert_int_equal(plan_limits(&plan, 2).memory_bytes, 4097 * 1024);
    assert_int_equal(plan_limits(&plan, 2).cpu_permille, 0);
    /* What stands there in a plan of version 3 is no limit. */
    ((struct plan_header *)(void *)bytes.data)->version = 3;
    seal(&bytes);
    assert_int_equal(plan_open(buffer_slice(&bytes), &plan, NULL), 0);
    assert_int_equal(plan_limits(&plan, 0).memory_bytes, 0);
    assert_int_equal(plan_limits(&plan, 0).cpu_permille, 0);
    buffer_fini(&bytes);
}

/* Runs that a master of version 1 left open go on. */
static void plan_of_version_1_is_read(void **state)
{
    (void)state;
    struct buffer bytes = {0};
    struct plan plan;
    struct error error = {0};
    FILE *file = fopen(REEVE_SOURCE_DIR "/tests/fixtures/plan_version_1.plan", "rb");
    assert_non_null(file);
    bytes.length = fread(buffer_reserve(&bytes, 4096), 1, 4096, file);
    (void)fclose(file);
    if (plan_open(buffer_slice(&bytes), &plan, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(plan.header->version, 1);
    assert_int_equal(plan_task_count(&plan), 3);
    expect_text(&plan, plan.tasks[2].queue, "slow");
    expect_text(&plan, plan_body(&plan, 0)->text, "ls");
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(plan_labels(&plan, i).count, 0);
        assert_int_equal(plan_body(&plan, i)->run_as, 0);
    }
    ((struct plan_header *)(void *)bytes.data)->version = PLAN_VERSION + 1;
    assert_int_equal(plan_open(buffer_slice(&bytes), &plan, &error), ERR_VERSION);
    buffer_fini(&bytes);
}

static void plan_equal_bodies_are_stored_once(void **state)
{
    (void)state;
    struct buffer bytes = {0};
    struct plan plan;
    compile(
        "tasks:\n  a: {bash: ls}\n  b: {bash: ls, retries: 3}\n  c: {bash: cd}\n", &bytes, &plan);
    assert_int_equal(plan.tasks[0].body, plan.tasks[1].body);
    assert_int_not_equal(plan.tasks[0].body, plan.tasks[2].body);
    buffer_fini(&bytes);
}

static void plan_same_text_has_the_same_hash(void **state)
{
    (void)state;
    struct buffer one = {0};
    struct buffer two = {0};
    struct plan plan;
    unsigned char hashes[2][PLAN_HASH_BYTES];
    compile(example, &one, &plan);
    compile(example, &two, &plan);
    plan_hash(buffer_slice(&one), hashes[0]);
    plan_hash(buffer_slice(&two), hashes[1]);
    assert_memory_equal(hashes[0], hashes[1], PLAN_HASH_BYTES);
    two.data[two.length - 1] ^= 1;
    plan_hash(buffer_slice(&two), hashes[1]);
    assert_memory_not_equal(hashes[0], hashes[1], PLAN_HASH_BYTES);
    buffer_fini(&one);
    buffer_fini(&two);
}

static void plan_with_any_byte_changed_is_refused(void **state)
{
    (void)state;
    struct buffer bytes = {0};
    struct plan plan;
    compile(example, &bytes, &plan);
    for (size_t i = 0; i < bytes.length; i++) {
        for (int bit = 0; bit < 8; bit++) {
            bytes.data[i] ^= (char)(1 << bit);
            int result = plan_open(buffer_slice(&bytes), &plan, NULL);
            assert_true(result == ERR_CORRUPT || result == ERR_VERSION);
            bytes.data[i] ^= (char)(1 << bit);
        }
    }
    assert_int_equal(plan_open(buffer_slice(&bytes), &plan, NULL), 0);
    buffer_fini(&bytes);
}

static size_t walk_list(const struct plan *plan, struct plan_list list, bool strings)
{
    size_t sum = 0;
    for (uint32_t i = 0; i < list.count; i++) {
        uint32_t item = plan_items(plan, list)[i];
        sum += strings ? plan_string(plan, item).length : item;
    }
    return sum;
}

/* Touches all that a reader may follow. */
static size_t walk_all(const struct plan *plan)
{
    size_t sum =
        walk_list(plan, plan->header->tags, true) + walk_list(plan, plan->header->files, true);
    for (uint32_t i = 0; i < plan_task_count(plan); i++) {
        const struct plan_body *body = plan_body(plan, i);
        sum += strlen(plan_string(plan, plan->tasks[i].name).ptr) + plan->display[i];
        sum += plan_string(plan, body->text).length + plan_string(plan, body->file).length;
        sum += walk_list(plan, body->arguments, true) + walk_list(plan, body->env, true);
        sum += walk_list(plan, body->artifacts, true) + walk_list(plan, body->skip_codes, false);
        sum += walk_list(plan, plan_labels(plan, i), true);
        sum += plan_string(plan, body->run_as).length;
        for (uint32_t j = plan->successor_starts[i]; j < plan->successor_starts[i + 1]; j++)
            sum += plan->tasks[plan->successors[j]].retries;
        for (uint32_t j = plan->predecessor_starts[i]; j < plan->predecessor_starts[i + 1]; j++)
            sum += plan->tasks[plan->predecessors[j]].retries;
    }
    return sum;
}

static void plan_damaged_under_a_right_checksum_is_refused_or_safe(void **state)
{
    (void)state;
    static const unsigned char flips[] = {0x01, 0x04, 0x80, 0xff};
    struct buffer bytes = {0};
    struct plan plan;
    size_t refused = 0;
    compile(example, &bytes, &plan);
    for (size_t i = 0; i < bytes.length * sizeof flips; i++) {
        char *byte = &bytes.data[i / sizeof flips];
        *byte = (char)(*byte ^ (char)flips[i % sizeof flips]);
        seal(&bytes);
        if (plan_open(buffer_slice(&bytes), &plan, NULL) == 0)
            assert_true(walk_all(&plan) > 0);
        else
            refused++;
        *byte = (char)(*byte ^ (char)flips[i % sizeof flips]);
    }
    /* Most of a plan is structure; texts, numbers and padding may change. */
    assert_true(refused > bytes.length);
    buffer_fini(&bytes);
}

static uint32_t *section(struct buffer *bytes, uint32_t offset)
{
    return (void *)(bytes->data + offset);
}

static void expect_damage(struct buffer *bytes, const char *part)
{
    struct plan plan;
    struct error error = {0};
    seal(bytes);
    assert_int_equal(plan_open(buffer_slice(bytes), &plan, &error), ERR_CORRUPT);
    if (strstr(error.text, part) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", error.text, part);
}

/* A plan of the chain a -> b -> c, to forge. */
static const struct plan_header *forge(struct buffer *bytes)
{
    struct plan plan;
    buffer_clear(bytes);
    compile(
        "tasks:\n  a: {noop: }\n  b: {noop: , needs: a}\n  c: {noop: , needs: b}\n", bytes, &plan);
    return plan.header;
}

static void plan_forged_under_a_right_checksum_is_refused(void **state)
{
    (void)state;
    struct buffer bytes = {0};
    const struct plan_header *header = forge(&bytes);
    /* a -> b -> a: said alike by both sides. */
    section(&bytes, header->successors)[1] = 0;
    memcpy(section(&bytes, header->predecessor_starts), (uint32_t[]){0, 1, 2, 2}, 16);
    memcpy(section(&bytes, header->predecessors), (uint32_t[]){1, 0}, 8);
    expect_damage(&bytes, "wait for each other");
    header = forge(&bytes);
    section(&bytes, header->display)[0] = 1;
    expect_damage(&bytes, "display order");
    header = forge(&bytes);
    section(&bytes, header->predecessors)[0] = 2;
    expect_damage(&bytes, "contradict");
    header = forge(&bytes);
    /* a -> b and a -> c, but b's list is empty, and what c's holds beside a is never looked at. */
    memcpy(section(&bytes, header->successor_starts), (uint32_t[]){0, 2, 2, 2}, 16);
    memcpy(section(&bytes, header->successors), (uint32_t[]){1, 2}, 8);
    memcpy(section(&bytes, header->predecessor_starts), (uint32_t[]){0, 0, 0, 2}, 16);
    memcpy(section(&bytes, header->predecessors), (uint32_t[]){0, 77}, 8);
    expect_damage(&bytes, "contradict");
    header = forge(&bytes);
    /* a -> c before a -> b. */
    memcpy(section(&bytes, header->successor_starts), (uint32_t[]){0, 2, 2, 2}, 16);
    memcpy(section(&bytes, header->successors), (uint32_t[]){2, 1}, 8);
    memcpy(section(&bytes, header->predecessors), (uint32_t[]){0, 0}, 8);
    expect_damage(&bytes, "contradict");
    header = forge(&bytes);
    section(&bytes, header->successor_starts)[3] = 1;
    expect_damage(&bytes, "do not add up");
    header = forge(&bytes);
    bytes.data[header->name + 4 + 4] = 'x'; /* the NUL behind "test" */
    expect_damage(&bytes, "texts is out of bounds");
    header = forge(&bytes);
    struct plan_task *tasks = (void *)section(&bytes, header->tasks);
    tasks[1].name = tasks[0].name;
    expect_damage(&bytes, "order of their names");
    header = forge(&bytes);
    tasks = (void *)section(&bytes, header->tasks);
    tasks[2].kind = OPERATOR_EXEC;
    expect_damage(&bytes, "body");
    buffer_fini(&bytes);
}

static void plan_cut_short_is_refused(void **state)
{
    (void)state;
    struct buffer bytes = {0};
    struct plan plan;
    compile(example, &bytes, &plan);
    for (size_t length = 0; length < bytes.length; length++) {
        /* A copy of exactly that size: a sanitizer sees any look behind it. */
        char *copy = xmalloc(length);
        memcpy(copy, bytes.data, length);
        assert_int_equal(plan_open(slice_make(copy, length), &plan, NULL), ERR_CORRUPT);
        free(copy);
    }
    buffer_fini(&bytes);
}

static void plan_of_a_later_version_is_named(void **state)
{
    (void)state;
    struct buffer bytes = {0};
    struct plan plan;
    struct error error;
    compile(example, &bytes, &plan);
    bytes.data[offsetof(struct plan_header, version)] = PLAN_VERSION + 1;
    assert_int_equal(plan_open(buffer_slice(&bytes), &plan, &error), ERR_VERSION);
    assert_string_equal(error.text, "the plan is of version 5, this reeve reads 4");
    buffer_fini(&bytes);
}

static void plan_names_of_rules_are_those_of_the_file(void **state)
{
    (void)state;
    assert_string_equal(trigger_rule_name(TRIGGER_ALWAYS), "always");
    assert_string_equal(trigger_rule_name(TRIGGER_COUNT), "?");
    assert_string_equal(trigger_rule_name(-1), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plan_random_dags_are_what_their_files_say),
        cmocka_unit_test(plan_long_chain_is_compiled),
        cmocka_unit_test(plan_keys_of_the_dag_are_kept),
        cmocka_unit_test(plan_keys_of_tasks_are_merged),
        cmocka_unit_test(plan_labels_and_users_are_kept),
        cmocka_unit_test(plan_limits_are_kept),
        cmocka_unit_test(plan_of_version_1_is_read),
        cmocka_unit_test(plan_equal_bodies_are_stored_once),
        cmocka_unit_test(plan_same_text_has_the_same_hash),
        cmocka_unit_test(plan_with_any_byte_changed_is_refused),
        cmocka_unit_test(plan_damaged_under_a_right_checksum_is_refused_or_safe),
        cmocka_unit_test(plan_forged_under_a_right_checksum_is_refused),
        cmocka_unit_test(plan_cut_short_is_refused),
        cmocka_unit_test(plan_of_a_later_version_is_named),
        cmocka_unit_test(plan_names_of_rules_are_those_of_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
