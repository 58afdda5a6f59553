/*
 * agent_stage.h - the agent's core in virtual time, for its unit tests: the test plays the master,
 * the runner and the host's disk. What an event and the flush after it led to stands in `effects`.
 */
#ifndef TESTS_UNIT_AGENT_STAGE_H
#define TESTS_UNIT_AGENT_STAGE_H

#include "common/dag/plan.h"
#include "common/limits.h"
#include "worker/core/state.h"

enum { START_MS = 1000000, LEASE_MS = 60000, GRACE_MS = 2000, SLOTS = 2 };

struct stage {
    struct agent *agent;
    struct agent_effects effects; /* of the last event and its flush */
    struct arena arena;
    uint64_t now_ms, random, instance;
    /* The master. */
    uint64_t epoch, leader, session;
    struct channel channel;
    bool quiet;      /* it does not answer */
    bool old_runner; /* starts at once what it gets */
};

/* For cmocka: an agent with an open session. */
int stage_setup(void **state);
/* A new one, of the same runner or another. */
void open_session(struct stage *stage);
int stage_teardown(void **state);

void stage_step(struct stage *stage, struct agent_event event);
void runner_says(struct stage *stage, uint32_t number, const void *body);
struct frame_header header_of(const struct stage *stage);
void master_frame(struct stage *stage, const struct buffer *frame);
/* A PLAIN message in the present session. */
void master_tells(struct stage *stage, enum message_id number, const void *body);
/* A NUMBERED one. */
void master_orders(struct stage *stage, enum message_id number, const void *body);
const struct agent_effect *effect_of(const struct stage *stage, enum agent_effect_kind kind);
/* What the runner was told of this number, or NULL. */
const void *ordered(const struct stage *stage, uint32_t number);
/* What the master was told of this number in the last event, or NULL; its session is noted. */
const void *told(struct stage *stage, uint32_t number);
struct agent *make_agent(const struct stage *stage, uint64_t dead_instance);
struct agent *make_agent_of(const struct stage *stage, const uint64_t *dead, uint32_t dead_count);
uint64_t nonce_of(const struct stage *stage);
void runner_listed(struct stage *stage, uint64_t nonce);
uint64_t stage_hello(struct stage *stage);
void registered(struct stage *stage, const struct attempt_id *keep, uint32_t count);
void stage_ack(struct stage *stage, uint64_t stamp);
/* Lets time pass, a second at a time; the master acknowledges unless it is quiet. */
void stage_pass(struct stage *stage, uint64_t ms);
void assign_resting_on(struct stage *stage, struct attempt_id id, uint64_t stamp);
void assign(struct stage *stage, struct attempt_id id);
/* Its files are ready: it may be handed to the runner. */
void prepared(struct stage *stage, struct attempt_id id, enum reason reason);
void started(struct stage *stage, struct attempt_id id);
void stage_run(struct stage *stage, struct attempt_id id);
void exited(struct stage *stage, struct attempt_id id, uint32_t reason, int64_t code);
void collected(struct stage *stage, struct attempt_id id);
void saved(struct stage *stage, struct attempt_id id);

#endif
