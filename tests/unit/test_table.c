#include "common/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

/* The model is an array: key i of a small set is in when present[i]. */
enum { KEYS = 600, STEPS = 200000 };

struct model {
    uint64_t values[KEYS];
    bool present[KEYS];
    size_t count;
};

static uint64_t draw(uint64_t *seed, uint64_t below)
{
    return hash_mix(++*seed * 0x9e3779b97f4a7c15u) % below;
}

/* Keys that collide in their low bits, their high bits, and 0. */
static uint64_t key_of(uint64_t index)
{
    return index % 3 == 0 ? index : index % 3 == 1 ? index << 32 : index * 0x100000001u;
}

static void check_table(const struct table *table, const struct model *model)
{
    assert_int_equal(table->count, model->count);
    for (uint64_t i = 0; i < KEYS; i++) {
        uint64_t value = 0;
        assert_int_equal(table_get(table, key_of(i), &value), model->present[i]);
        if (model->present[i])
            assert_int_equal(value, model->values[i]);
    }
}

static void table_agrees_with_an_array(void **state)
{
    (void)state;
    struct table table = {0};
    struct model model = {0};
    uint64_t seed = 1;
    for (uint64_t step = 0; step < STEPS; step++) {
        /* Phases that grow and phases that shrink, so that deleted slots pile up. */
        bool grow = step / 5000 % 2 == 0;
        uint64_t i = draw(&seed, KEYS);
        if (draw(&seed, 10) < (grow ? 7u : 3u)) {
            table_set(&table, key_of(i), step);
            model.count += !model.present[i];
            model.present[i] = true;
            model.values[i] = step;
        } else {
            assert_int_equal(table_remove(&table, key_of(i)), model.present[i]);
            model.count -= model.present[i];
            model.present[i] = false;
        }
        if (step % 997 == 0)
            check_table(&table, &model);
    }
    check_table(&table, &model);
    table_fini(&table);
    assert_int_equal(table.count, 0);
}

static void table_that_only_turns_over_does_not_grow(void **state)
{
    (void)state;
    struct table table = {0};
    for (uint64_t i = 0; i < 1000000; i++) {
        table_set(&table, i, i);
        if (i >= 100)
            assert_true(table_remove(&table, i - 100));
    }
    assert_int_equal(table.count, 100);
    assert_true(table.capacity <= 512);
    table_fini(&table);
}

static void table_get_without_a_place_for_the_value_only_looks(void **state)
{
    (void)state;
    struct table table = {0};
    assert_false(table_get(&table, 0, NULL));
    assert_false(table_remove(&table, 0));
    table_set(&table, 0, 7);
    assert_true(table_get(&table, 0, NULL));
    assert_false(table_get(&table, 1, NULL));
    table_fini(&table);
}

static struct slice name_of(uint64_t index, char text[32])
{
    /* Lengths from 0 up; number 0 is the empty name, and some hold NULs. */
    int length = index == 0 ? 0 : snprintf(text, 32, "%llu", (unsigned long long)(index * index));
    if (index % 5 == 4)
        text[length++] = '\0';
    return slice_make(text, (size_t)length);
}

static void check_names(const struct names *names, const struct model *model)
{
    assert_int_equal(names->count, model->count);
    for (uint64_t i = 0; i < KEYS; i++) {
        char text[32];
        uint64_t value = 0;
        assert_int_equal(names_get(names, name_of(i, text), &value), model->present[i]);
        if (model->present[i])
            assert_int_equal(value, model->values[i]);
    }
}

static void names_agree_with_an_array(void **state)
{
    (void)state;
    struct names names = {0};
    struct model model = {0};
    uint64_t seed = 2;
    for (uint64_t step = 0; step < STEPS; step++) {
        bool grow = step / 5000 % 2 == 0;
        uint64_t i = draw(&seed, KEYS);
        char text[32];
        struct slice key = name_of(i, text);
        if (draw(&seed, 10) < (grow ? 7u : 3u)) {
            names_set(&names, key, step);
            model.count += !model.present[i];
            model.present[i] = true;
            model.values[i] = step;
        } else {
            assert_int_equal(names_remove(&names, key), model.present[i]);
            model.count -= model.present[i];
            model.present[i] = false;
        }
        if (step % 997 == 0)
            check_names(&names, &model);
    }
    check_names(&names, &model);
    names_fini(&names);
}

static void names_keys_are_copied_in(void **state)
{
    (void)state;
    struct names names = {0};
    char text[8] = "before";
    uint64_t value = 0;
    names_set(&names, slice_of(text), 5);
    (void)snprintf(text, sizeof text, "after!");
    assert_true(names_get(&names, slice_of("before"), &value));
    assert_int_equal(value, 5);
    assert_false(names_get(&names, slice_of("after!"), NULL));
    names_fini(&names);
}

struct visited {
    size_t count;
    uint64_t sum;
};

static void add_up(void *context, struct slice key, uint64_t value)
{
    struct visited *visited = context;
    assert_true(key.length > 0);
    visited->count++;
    visited->sum += value;
}

static void names_each_visits_every_key_once(void **state)
{
    (void)state;
    struct names names = {0};
    struct visited visited = {0};
    names_each(&names, add_up, &visited);
    assert_int_equal(visited.count, 0);
    for (uint64_t i = 1; i <= 100; i++) {
        char text[32];
        names_set(&names, name_of(i, text), i);
    }
    for (uint64_t i = 1; i <= 50; i++) {
        char text[32];
        assert_true(names_remove(&names, name_of(i, text)));
    }
    names_each(&names, add_up, &visited);
    assert_int_equal(visited.count, 50);
    assert_int_equal(visited.sum, (51 + 100) * 50 / 2);
    names_fini(&names);
}

/* Ids made of hashes lie in files and messages: a change here is a change of format. */
static void hash_bytes_is_stable_between_releases(void **state)
{
    (void)state;
    assert_true(hash_bytes(slice_of("")) == hash_mix(0xcbf29ce484222325u));
    assert_true(hash_bytes(slice_of("a")) == hash_mix(0xaf63dc4c8601ec8cu));
    assert_true(hash_bytes(slice_of("foobar")) == hash_mix(0x85944171f73967e8u));
    assert_true(hash_mix(0) == 0);
    assert_true(hash_mix(0x9e3779b97f4a7c15u) == 0xe220a8397b1dcdafu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_agrees_with_an_array),
        cmocka_unit_test(table_that_only_turns_over_does_not_grow),
        cmocka_unit_test(table_get_without_a_place_for_the_value_only_looks),
        cmocka_unit_test(names_agree_with_an_array),
        cmocka_unit_test(names_keys_are_copied_in),
        cmocka_unit_test(names_each_visits_every_key_once),
        cmocka_unit_test(hash_bytes_is_stable_between_releases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
