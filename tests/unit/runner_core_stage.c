#include "tests/unit/runner_core_stage.h"

#include "common/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

const unsigned char BOOT[RUNNER_BOOT_BYTES] = {1, 2, 3};
const struct attempt_id A = {.run = 9, .task = 1, .attempt = 1};
const struct attempt_id B = {.run = 9, .task = 2, .attempt = 1};
const struct attempt_id C = {.run = 9, .task = 3, .attempt = 1};

void step(struct stage *stage, struct runner_event event)
{
    runner_effects_reset(&stage->effects);
    event.now_ms = stage->now_ms;
    runner_core_step(stage->core, &event, &stage->effects);
}

void say(struct stage *stage, uint32_t number, const void *body)
{
    step(stage, (struct runner_event){
                    .kind = RUNNER_EVENT_MESSAGE, .message = {.number = number, .body = body}});
}

int setup(void **state)
{
    struct stage *stage = xcalloc(1, sizeof *stage);
    stage->now_ms = START_MS;
    stage->core = runner_core_create(42, BOOT, 4711, START_MS);
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_CONNECTED});
    *state = stage;
    return 0;
}

int teardown(void **state)
{
    struct stage *stage = *state;
    runner_core_destroy(stage->core);
    runner_effects_fini(&stage->effects);
    free(stage);
    return 0;
}

const struct runner_effect *effect_of(struct stage *stage, enum runner_effect_kind kind)
{
    const struct runner_effect *found = NULL;
    for (size_t i = 0; i < stage->effects.count; i++) {
        if (stage->effects.items[i].kind != kind)
            continue;
        assert_null(found);
        found = &stage->effects.items[i];
    }
    return found;
}

const void *sent(struct stage *stage, uint32_t number)
{
    for (size_t i = 0; i < stage->effects.count; i++) {
        const struct runner_effect *effect = &stage->effects.items[i];
        if (effect->kind == RUNNER_EFFECT_SEND && effect->number == number)
            return effect->body;
    }
    return NULL;
}

struct msg_runner_start order(struct stage *stage, struct attempt_id id)
{
    return (struct msg_runner_start){
        .id = id,
        .stamp = stage->now_ms,
        .lease_ms = 60000,
        .kill_grace_ms = 10000,
        .cookie = slice_of("biscuit"),
    };
}

void start(struct stage *stage, struct msg_runner_start body)
{
    say(stage, MESSAGE_runner_start, &body);
}

void spawned(struct stage *stage, struct attempt_id id)
{
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_SPAWNED, .id = id, .pid = PID});
}

void run(struct stage *stage, struct msg_runner_start body)
{
    start(stage, body);
    assert_non_null(effect_of(stage, RUNNER_EFFECT_SPAWN));
    spawned(stage, body.id);
    assert_non_null(sent(stage, MESSAGE_runner_started));
}

void exited(struct stage *stage, struct attempt_id id, int status)
{
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_EXITED, .id = id, .status = status});
    assert_non_null(effect_of(stage, RUNNER_EFFECT_KILL));
    assert_null(sent(stage, MESSAGE_runner_exited));
}

const struct msg_runner_exited *emptied(struct stage *stage, struct attempt_id id)
{
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_EMPTY, .id = id});
    const struct msg_runner_exited *end = sent(stage, MESSAGE_runner_exited);
    assert_non_null(end);
    return end;
}

void timer_at(struct stage *stage, uint64_t now_ms)
{
    stage->now_ms = now_ms;
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_TIMER});
}

void sleep_until_effect(struct stage *stage)
{
    for (int i = 0; i < 10000; i++) {
        uint64_t next = runner_core_next_ms(stage->core);
        assert_true(next != UINT64_MAX);
        timer_at(stage, next > stage->now_ms ? next : stage->now_ms + 1);
        if (stage->effects.count > 0)
            return;
    }
    fail_msg("the core asks for timers that do nothing");
}

void assert_about(uint64_t now_ms, uint64_t due_ms)
{
    assert_in_range(now_ms, due_ms, due_ms + WHEEL_TICK_MS);
}

void ask_kill(struct stage *stage, struct attempt_id id, uint32_t reason)
{
    struct msg_runner_kill kill = {.id = id, .reason = reason};
    say(stage, MESSAGE_runner_kill, &kill);
}

void renew(struct stage *stage, uint64_t stamp)
{
    struct msg_runner_renew body = {.stamp = stamp};
    say(stage, MESSAGE_runner_renew, &body);
}

void list(struct stage *stage)
{
    struct msg_runner_list body = {.nonce = 5, .slots = stage->slots};
    say(stage, MESSAGE_runner_list, &body);
    const struct msg_runner_listed *listed = sent(stage, MESSAGE_runner_listed);
    assert_non_null(listed);
    assert_int_equal(listed->nonce, 5);
}

void forget(struct stage *stage, struct attempt_id id)
{
    struct msg_runner_forget body = {.id = id};
    say(stage, MESSAGE_runner_forget, &body);
}

void run_to_end(struct stage *stage, struct attempt_id id)
{
    run(stage, order(stage, id));
    exited(stage, id, 0);
    (void)emptied(stage, id);
}
