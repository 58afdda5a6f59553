/*
 * docs/dag-file.md and dags/dag.schema.json say what keys.def says: a key that is added in one
 * place alone fails here, and every example of the page compiles.
 */
#include "common/dag/compile.h"
#include "common/dag/keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <jansson.h>

static const char *const page_file = REEVE_SOURCE_DIR "/docs/dag-file.md";
static const char *const schema_file = REEVE_SOURCE_DIR "/dags/dag.schema.json";

static void read_page(struct buffer *page)
{
    FILE *file = fopen(page_file, "rb");
    assert_non_null(file);
    size_t more;
    while ((more = fread(buffer_reserve(page, 4096), 1, 4096, file)) > 0)
        page->length += more;
    (void)fclose(file);
}

static void compile_example(struct slice yaml)
{
    struct buffer text = {0};
    struct buffer plan = {0};
    struct diagnostics diagnostics = {0};
    buffer_append_slice(&text, yaml);
    /* An example may show one key alone. */
    if (!dag_is_dag(yaml))
        buffer_append_text(&text, "tasks: {a: {noop: }}\n");
    if (dag_compile(buffer_slice(&text), "page.yaml", &plan, &diagnostics) != 0)
        fail_msg("%s\n%s", diagnostics.items[0].message, buffer_text(&text));
    diagnostics_fini(&diagnostics);
    buffer_fini(&text);
    buffer_fini(&plan);
}

static void page_examples_compile(void **state)
{
    (void)state;
    struct buffer page = {0};
    read_page(&page);
    const char *at = buffer_text(&page);
    size_t count = 0;
    while ((at = strstr(at, "```yaml\n")) != NULL) {
        at += strlen("```yaml\n");
        const char *end = strstr(at, "```");
        assert_non_null(end);
        compile_example(slice_make(at, (size_t)(end - at)));
        count++;
    }
    assert_true(count >= 3);
    buffer_fini(&page);
}

static bool is_for_users(const struct key *key)
{
    return key->type < KEY_FOREIGN;
}

static void page_names_every_key(void **state)
{
    (void)state;
    struct buffer page = {0};
    struct keys keys;
    read_page(&page);
    keys_init(&keys);
    for (unsigned scope = SCOPE_DAG; scope <= SCOPE_DEFAULTS; scope <<= 1) {
        const char *words[KEYS_MAX];
        size_t count = keys_words((enum key_scope)scope, words);
        for (size_t i = 0; i < count; i++) {
            const struct key *key = keys_find(&keys, (enum key_scope)scope, slice_of(words[i]));
            char quoted[80];
            (void)snprintf(quoted, sizeof quoted, "`%s`", words[i]);
            if (is_for_users(key) && strstr(buffer_text(&page), quoted) == NULL)
                fail_msg("docs/dag-file.md lacks %s", quoted);
        }
    }
    keys_fini(&keys);
    buffer_fini(&page);
}

/* The keys of one scope that this version reads are the properties of that part of the schema. */
static void compare_scope(const struct keys *keys, enum key_scope scope, const json_t *properties)
{
    const char *words[KEYS_MAX];
    size_t count = keys_words(scope, words);
    size_t built = 0;
    assert_true(json_is_object(properties));
    for (size_t i = 0; i < count; i++) {
        const struct key *key = keys_find(keys, scope, slice_of(words[i]));
        bool is_built = key->type < KEY_LATER;
        bool is_in_schema = json_object_get(properties, words[i]) != NULL;
        if (is_built != is_in_schema)
            fail_msg("dag.schema.json %s %s", is_built ? "lacks" : "has", words[i]);
        built += is_built;
    }
    assert_int_equal(built, json_object_size(properties));
}

static void schema_for_editors_has_every_key(void **state)
{
    (void)state;
    struct keys keys;
    json_t *schema = json_load_file(schema_file, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(schema);
    keys_init(&keys);
    const json_t *top = json_object_get(schema, "properties");
    const json_t *task = json_object_get(json_object_get(schema, "definitions"), "task");
    compare_scope(&keys, SCOPE_DAG, top);
    compare_scope(&keys, SCOPE_TASK, json_object_get(task, "properties"));
    compare_scope(
        &keys, SCOPE_DEFAULTS, json_object_get(json_object_get(top, "default_args"), "properties"));
    keys_fini(&keys);
    json_decref(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_examples_compile),
        cmocka_unit_test(page_names_every_key),
        cmocka_unit_test(schema_for_editors_has_every_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
