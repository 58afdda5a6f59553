/*
 * runner_core_stage.h - the runner's core in virtual time, for its unit tests: the test plays the
 * agent and the io. What an event led to stands in `effects`.
 */
#ifndef TESTS_UNIT_RUNNER_CORE_STAGE_H
#define TESTS_UNIT_RUNNER_CORE_STAGE_H

#include "worker/runner/attempt.h"

enum { START_MS = 1000000, PID = 77 };

struct stage {
    struct runner_core *core;
    struct runner_effects effects; /* of the last event */
    uint64_t now_ms;
    uint32_t slots; /* as the next list says */
};

extern const unsigned char BOOT[RUNNER_BOOT_BYTES];
extern const struct attempt_id A;
extern const struct attempt_id B;
extern const struct attempt_id C;

/* For cmocka: a runner that an agent is connected to. */
int setup(void **state);
int teardown(void **state);

void step(struct stage *stage, struct runner_event event);
void say(struct stage *stage, uint32_t number, const void *body);
/* The only effect of this kind in the last step, or NULL; two fail the test. */
const struct runner_effect *effect_of(struct stage *stage, enum runner_effect_kind kind);
/* The body of the first message of this number in the last step, or NULL. */
const void *sent(struct stage *stage, uint32_t number);

/* A lease of 60 s with a grace of 10 s, from now. */
struct msg_runner_start order(struct stage *stage, struct attempt_id id);
void start(struct stage *stage, struct msg_runner_start body);
void spawned(struct stage *stage, struct attempt_id id);
/* Ordered, and made at once. */
void run(struct stage *stage, struct msg_runner_start body);
void exited(struct stage *stage, struct attempt_id id, int status);
/* The tree is empty: the message that says so. */
const struct msg_runner_exited *emptied(struct stage *stage, struct attempt_id id);
void run_to_end(struct stage *stage, struct attempt_id id);
void ask_kill(struct stage *stage, struct attempt_id id, uint32_t reason);
void renew(struct stage *stage, uint64_t stamp);
void list(struct stage *stage);
void forget(struct stage *stage, struct attempt_id id);

void timer_at(struct stage *stage, uint64_t now_ms);
/* Goes to the next moment at which the core wants a timer, as often as it takes to have an effect.
 */
void sleep_until_effect(struct stage *stage);
void assert_about(uint64_t now_ms, uint64_t due_ms);

#endif
