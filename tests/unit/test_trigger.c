/* The twelve trigger rules against their plain definitions, over every way up to four predecessors
 * can end. */
#include "master/core/trigger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { OPEN, SUCCESS, FAILED, SKIPPED, UPSTREAM, WAYS, PREDECESSORS_MAX = 4 };

/* How many of the predecessors ended so, of how many. */
struct ends {
    uint32_t all, of[WAYS];
};

static struct ends ends_of(uint32_t code, uint32_t count)
{
    struct ends ends = {.all = count};
    for (uint32_t i = 0; i < count; i++, code /= WAYS)
        ends.of[code % WAYS]++;
    return ends;
}

static enum verdict verdict_of(enum trigger_rule rule, const struct ends *ends)
{
    struct upstream_counts counts = {
        .total = ends->all,
        .success = ends->of[SUCCESS],
        .failed = ends->of[FAILED],
        .skipped = ends->of[SKIPPED],
        .upstream_failed = ends->of[UPSTREAM],
    };
    return trigger_verdict(rule, &counts);
}

/* Whether the rule holds once all have ended. */
static bool holds(enum trigger_rule rule, const struct ends *e)
{
    uint32_t success = e->of[SUCCESS], skipped = e->of[SKIPPED];
    uint32_t bad = e->of[FAILED] + e->of[UPSTREAM];
    switch (rule) {
    case TRIGGER_ALL_SUCCESS:
        return success == e->all;
    case TRIGGER_ALL_FAILED:
        return bad == e->all;
    case TRIGGER_ALL_DONE:
    case TRIGGER_ALWAYS:
        return true;
    case TRIGGER_ALL_DONE_MIN_ONE_SUCCESS:
    case TRIGGER_ONE_SUCCESS:
        return success >= 1;
    case TRIGGER_ALL_SKIPPED:
        return skipped == e->all;
    case TRIGGER_ONE_FAILED:
        return bad >= 1;
    case TRIGGER_ONE_DONE:
        return success + e->of[FAILED] >= 1;
    case TRIGGER_NONE_FAILED:
        return bad == 0;
    case TRIGGER_NONE_FAILED_MIN_ONE_SUCCESS:
        return bad == 0 && success >= 1;
    case TRIGGER_NONE_SKIPPED:
        return skipped == 0;
    case TRIGGER_COUNT:
        break;
    }
    return false;
}

/* What becomes of a task whose rule does not hold: Airflow's TriggerRuleDep. */
static enum verdict otherwise(enum trigger_rule rule, const struct ends *e)
{
    uint32_t bad = e->of[FAILED] + e->of[UPSTREAM];
    bool needs_success = rule == TRIGGER_ALL_SUCCESS || rule == TRIGGER_NONE_FAILED ||
                         rule == TRIGGER_NONE_FAILED_MIN_ONE_SUCCESS;
    if (needs_success)
        return bad > 0 ? VERDICT_UPSTREAM_FAILED : VERDICT_SKIP;
    if (rule == TRIGGER_ONE_SUCCESS || rule == TRIGGER_ALL_DONE_MIN_ONE_SUCCESS)
        return e->of[SKIPPED] == e->all ? VERDICT_SKIP : VERDICT_UPSTREAM_FAILED;
    return VERDICT_SKIP;
}

static enum verdict definition(enum trigger_rule rule, const struct ends *ends)
{
    return holds(rule, ends) ? VERDICT_READY : otherwise(rule, ends);
}

static uint32_t power(uint32_t exponent)
{
    uint32_t result = 1;
    while (exponent-- > 0)
        result *= WAYS;
    return result;
}

static void trigger_when_all_ended_is_its_definition(void **state)
{
    (void)state;
    for (int rule = 0; rule < TRIGGER_COUNT; rule++) {
        for (uint32_t count = 1; count <= PREDECESSORS_MAX; count++) {
            for (uint32_t code = 0; code < power(count); code++) {
                struct ends ends = ends_of(code, count);
                if (ends.of[OPEN] == 0)
                    assert_int_equal(verdict_of((enum trigger_rule)rule, &ends),
                        definition((enum trigger_rule)rule, &ends));
            }
        }
    }
}

/* Every completion of the open ones. */
static void check_early(enum trigger_rule rule, uint32_t code, uint32_t count)
{
    struct ends now = ends_of(code, count);
    enum verdict early = verdict_of(rule, &now);
    if (early == VERDICT_WAIT)
        return;
    for (uint32_t end = 0; end < power(count); end++) {
        struct ends later = ends_of(end, count);
        bool completes = later.of[OPEN] == 0;
        for (uint32_t i = 0, a = code, b = end; i < count; i++, a /= WAYS, b /= WAYS)
            completes = completes && (a % WAYS == OPEN || a % WAYS == b % WAYS);
        /* `always` is ready whatever comes. */
        if (completes && verdict_of(rule, &later) != early)
            fail_msg("%s: verdict %d of %u,%u,%u,%u is taken back", trigger_rule_name((int)rule),
                (int)early, now.of[SUCCESS], now.of[FAILED], now.of[SKIPPED], now.of[UPSTREAM]);
    }
}

static void trigger_early_verdict_is_the_final_one(void **state)
{
    (void)state;
    for (int rule = 0; rule < TRIGGER_COUNT; rule++) {
        for (uint32_t count = 1; count <= PREDECESSORS_MAX; count++) {
            for (uint32_t code = 0; code < power(count); code++)
                check_early((enum trigger_rule)rule, code, count);
        }
    }
}

/* What is certain is said at once: nothing waits for an end that can change nothing. */
static void trigger_certain_start_waits_for_nothing(void **state)
{
    (void)state;
    struct upstream_counts one_of_two = {.total = 2, .success = 1};
    assert_int_equal(trigger_verdict(TRIGGER_ONE_SUCCESS, &one_of_two), VERDICT_READY);
    assert_int_equal(trigger_verdict(TRIGGER_ONE_DONE, &one_of_two), VERDICT_READY);
    assert_int_equal(trigger_verdict(TRIGGER_ALL_SUCCESS, &one_of_two), VERDICT_WAIT);
    assert_int_equal(trigger_verdict(TRIGGER_ALL_FAILED, &one_of_two), VERDICT_SKIP);
    struct upstream_counts failed = {.total = 2, .failed = 1};
    assert_int_equal(trigger_verdict(TRIGGER_ONE_FAILED, &failed), VERDICT_READY);
    assert_int_equal(trigger_verdict(TRIGGER_ALL_SUCCESS, &failed), VERDICT_UPSTREAM_FAILED);
    assert_int_equal(trigger_verdict(TRIGGER_NONE_FAILED, &failed), VERDICT_UPSTREAM_FAILED);
    assert_int_equal(trigger_verdict(TRIGGER_ALWAYS, &failed), VERDICT_READY);
}

static void trigger_without_predecessors_is_ready(void **state)
{
    (void)state;
    struct upstream_counts none = {0};
    for (int rule = 0; rule < TRIGGER_COUNT; rule++)
        assert_int_equal(trigger_verdict((enum trigger_rule)rule, &none), VERDICT_READY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trigger_when_all_ended_is_its_definition),
        cmocka_unit_test(trigger_early_verdict_is_the_final_one),
        cmocka_unit_test(trigger_certain_start_waits_for_nothing),
        cmocka_unit_test(trigger_without_predecessors_is_ready),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
