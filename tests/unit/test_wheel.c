#include "common/wheel.h"

#include "common/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

/*
 * The model: a list of timers with the tick at which each has to fire, searched from end to end. A
 * timer fires at the first tick that is wholly past its due time, and never in the tick in which it
 * was armed.
 */
enum { TIMERS = 300, STEPS = 20000 };

struct model {
    struct wheel wheel;
    struct wheel_timer timers[TIMERS];
    uint64_t fire_tick[TIMERS]; /* 0: not armed */
    uint64_t now_ms;
    uint64_t seed;
    uint64_t fired;
};

static uint64_t draw(struct model *model, uint64_t below)
{
    return hash_mix(++model->seed * 0x9e3779b97f4a7c15u) % below;
}

/* Spans of every magnitude, from 0 to past the wheel's end (2^39 ms). */
static uint64_t draw_span(struct model *model, uint64_t bits)
{
    return draw(model, (uint64_t)1 << draw(model, bits));
}

static uint64_t ceil_tick(uint64_t due_ms)
{
    return due_ms / WHEEL_TICK_MS + (due_ms % WHEEL_TICK_MS != 0);
}

static void model_arm(struct model *model, size_t index, uint64_t due_ms)
{
    uint64_t next = model->wheel.tick + 1;
    uint64_t tick = ceil_tick(due_ms);
    model->fire_tick[index] = tick > next ? tick : next;
    wheel_arm(&model->wheel, &model->timers[index], due_ms);
    assert_true(wheel_is_armed(&model->timers[index]));
}

static void model_disarm(struct model *model, size_t index)
{
    model->fire_tick[index] = 0;
    wheel_disarm(&model->wheel, &model->timers[index]);
    assert_false(wheel_is_armed(&model->timers[index]));
}

static uint64_t model_first_tick(const struct model *model)
{
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < TIMERS; i++) {
        if (model->fire_tick[i] != 0 && model->fire_tick[i] < first)
            first = model->fire_tick[i];
    }
    return first;
}

static void model_advance(struct model *model, uint64_t now_ms)
{
    struct wheel_timer *timer;
    model->now_ms = now_ms;
    while ((timer = wheel_pop(&model->wheel, now_ms)) != NULL) {
        size_t index = (size_t)(timer - model->timers);
        assert_true(index < TIMERS);
        assert_int_not_equal(model->fire_tick[index], 0);
        /* Never early. */
        assert_true(timer->due_ms <= now_ms);
        assert_true(model->fire_tick[index] <= now_ms / WHEEL_TICK_MS);
        assert_false(wheel_is_armed(timer));
        model->fire_tick[index] = 0;
        model->fired++;
        /* Some come again at once, as a retry's timer does. */
        if (draw(model, 4) == 0)
            model_arm(model, index, now_ms + draw_span(model, 12));
    }
    /* Nothing that was due is left, and the next call is neither late nor now. */
    uint64_t first = model_first_tick(model);
    uint64_t next_ms = wheel_next_ms(&model->wheel);
    assert_true(first > now_ms / WHEEL_TICK_MS);
    assert_true(next_ms > now_ms);
    if (first == UINT64_MAX)
        assert_true(next_ms == WHEEL_NEVER);
    else
        assert_true(next_ms <= first * WHEEL_TICK_MS);
}

static void model_run(struct model *model, uint64_t start_ms, uint64_t seed)
{
    *model = (struct model){.seed = seed, .now_ms = start_ms};
    wheel_init(&model->wheel, start_ms);
    for (int step = 0; step < STEPS; step++) {
        size_t index = draw(model, TIMERS);
        uint64_t now_ms = model->now_ms;
        uint64_t next_ms = wheel_next_ms(&model->wheel);
        switch (draw(model, 8)) {
        case 0:
        case 1:
        case 2:
            model_arm(model, index, now_ms + draw_span(model, 42));
            break;
        case 3:
            model_arm(model, index, now_ms - draw(model, now_ms < 1000 ? now_ms + 1 : 1000));
            break;
        case 4:
            model_disarm(model, index);
            break;
        case 5:
            model_advance(model, now_ms + draw_span(model, 14));
            break;
        case 6:
            if (next_ms != WHEEL_NEVER)
                model_advance(model, next_ms);
            break;
        default:
            if (draw(model, 20) == 0)
                model_advance(model, now_ms + draw_span(model, 41));
        }
    }
    assert_true(model->fired > 1000);
}

static void wheel_agrees_with_a_naive_model(void **state)
{
    (void)state;
    struct model *model = malloc(sizeof *model);
    assert_non_null(model);
    const uint64_t turn_ms = ((uint64_t)1 << 36) * WHEEL_TICK_MS;
    const uint64_t starts[] = {0, 1, 7, 8, 511, 512 * 8 - 1, 123456789, turn_ms - 1, turn_ms - 8,
        turn_ms, turn_ms + 12345};
    for (uint64_t i = 0; i < sizeof starts / sizeof starts[0]; i++)
        model_run(model, starts[i], i * 1000003);
    free(model);
}

static void expect_fired_at(uint64_t start, uint64_t tick)
{
    struct wheel wheel;
    struct wheel_timer timer = {0};
    wheel_init(&wheel, start * WHEEL_TICK_MS);
    wheel_arm(&wheel, &timer, tick * WHEEL_TICK_MS);
    assert_true(wheel_next_ms(&wheel) <= tick * WHEEL_TICK_MS);
    assert_null(wheel_pop(&wheel, tick * WHEEL_TICK_MS - 1));
    assert_true(wheel_next_ms(&wheel) <= tick * WHEEL_TICK_MS);
    assert_ptr_equal(wheel_pop(&wheel, tick * WHEEL_TICK_MS), &timer);
    assert_null(wheel_pop(&wheel, tick * WHEEL_TICK_MS));
}

/* The worst slots: whole multiples of a level's turn, and one tick to either side of them. */
static void wheel_timers_at_level_borders_fire_at_their_tick(void **state)
{
    (void)state;
    for (uint64_t start = 0; start < 200; start++) {
        for (int bits = 0; bits <= 37; bits++) {
            uint64_t border = start + ((uint64_t)1 << bits);
            expect_fired_at(start, border);
            expect_fired_at(start, border + 1);
            if (border - 1 > start)
                expect_fired_at(start, border - 1);
        }
    }
}

static void wheel_followed_by_its_own_next_time_reaches_far_timers_in_few_steps(void **state)
{
    (void)state;
    struct wheel wheel;
    const uint64_t century_ms = 100ull * 365 * 86400000;
    struct wheel_timer timer = {0};
    uint64_t now_ms = 987654321;
    wheel_init(&wheel, now_ms);
    wheel_arm(&wheel, &timer, now_ms + century_ms);
    int steps = 0;
    struct wheel_timer *popped;
    while ((popped = wheel_pop(&wheel, now_ms)) == NULL) {
        now_ms = wheel_next_ms(&wheel);
        steps++;
    }
    assert_ptr_equal(popped, &timer);
    assert_true(now_ms - timer.due_ms <= WHEEL_TICK_MS);
    assert_true(steps <= 20);
}

static void wheel_timer_armed_for_never_stays(void **state)
{
    (void)state;
    struct wheel wheel;
    struct wheel_timer timer = {0};
    wheel_init(&wheel, 5);
    wheel_arm(&wheel, &timer, WHEEL_NEVER);
    for (uint64_t now_ms = 5; now_ms < (uint64_t)1 << 62; now_ms = now_ms * 3 + 1)
        assert_null(wheel_pop(&wheel, now_ms));
    assert_true(wheel_is_armed(&timer));
    wheel_disarm(&wheel, &timer);
    assert_true(wheel_next_ms(&wheel) == WHEEL_NEVER);
}

static void wheel_timer_armed_again_fires_once_at_the_last_time(void **state)
{
    (void)state;
    struct wheel wheel;
    struct wheel_timer timer = {0};
    wheel_init(&wheel, 0);
    wheel_arm(&wheel, &timer, 100);
    wheel_arm(&wheel, &timer, 50000);
    wheel_arm(&wheel, &timer, 800);
    assert_int_equal(wheel.armed, 1);
    assert_null(wheel_pop(&wheel, 799));
    assert_ptr_equal(wheel_pop(&wheel, 800), &timer);
    assert_null(wheel_pop(&wheel, 100000));
    assert_true(wheel_next_ms(&wheel) == WHEEL_NEVER);
}

static void wheel_disarm_of_an_unarmed_timer_is_no_effect(void **state)
{
    (void)state;
    struct wheel wheel;
    struct wheel_timer timer = {0};
    wheel_init(&wheel, 0);
    wheel_disarm(&wheel, &timer);
    assert_int_equal(wheel.armed, 0);
}

/* Timers that fall due together: one may take the others down before they are popped. */
static void wheel_timer_disarmed_between_pops_does_not_fire(void **state)
{
    (void)state;
    struct wheel wheel;
    struct wheel_timer timers[3] = {0};
    wheel_init(&wheel, 0);
    for (int i = 0; i < 3; i++)
        wheel_arm(&wheel, &timers[i], 16);
    struct wheel_timer *first = wheel_pop(&wheel, 16);
    assert_non_null(first);
    for (int i = 0; i < 3; i++)
        wheel_disarm(&wheel, &timers[i]);
    assert_null(wheel_pop(&wheel, 16));
    assert_int_equal(wheel.armed, 0);
}

static void wheel_timer_armed_for_the_past_by_a_pop_waits_for_the_next_tick(void **state)
{
    (void)state;
    struct wheel wheel;
    struct wheel_timer timer = {0};
    wheel_init(&wheel, 1000);
    wheel_arm(&wheel, &timer, 0);
    assert_null(wheel_pop(&wheel, 1007));
    assert_ptr_equal(wheel_pop(&wheel, 1008), &timer);
    wheel_arm(&wheel, &timer, 0);
    assert_null(wheel_pop(&wheel, 1008));
    assert_int_equal(wheel_next_ms(&wheel), 1016);
}

static void wheel_million_timers_all_fire_in_order_of_their_ticks(void **state)
{
    (void)state;
    enum { MANY = 1000000 };
    struct wheel wheel;
    struct wheel_timer *timers = calloc(MANY, sizeof *timers);
    assert_non_null(timers);
    wheel_init(&wheel, 0);
    for (uint64_t i = 0; i < MANY; i++)
        wheel_arm(&wheel, &timers[i], hash_mix(i) % 86400000);
    uint64_t fired = 0, last_tick = 0;
    struct wheel_timer *timer;
    while ((timer = wheel_pop(&wheel, 86400000)) != NULL) {
        assert_true(ceil_tick(timer->due_ms) >= last_tick);
        last_tick = ceil_tick(timer->due_ms);
        fired++;
    }
    assert_int_equal(fired, MANY);
    free(timers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wheel_agrees_with_a_naive_model),
        cmocka_unit_test(wheel_timers_at_level_borders_fire_at_their_tick),
        cmocka_unit_test(wheel_followed_by_its_own_next_time_reaches_far_timers_in_few_steps),
        cmocka_unit_test(wheel_timer_armed_for_never_stays),
        cmocka_unit_test(wheel_timer_armed_again_fires_once_at_the_last_time),
        cmocka_unit_test(wheel_disarm_of_an_unarmed_timer_is_no_effect),
        cmocka_unit_test(wheel_timer_disarmed_between_pops_does_not_fire),
        cmocka_unit_test(wheel_timer_armed_for_the_past_by_a_pop_waits_for_the_next_tick),
        cmocka_unit_test(wheel_million_timers_all_fire_in_order_of_their_ticks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
