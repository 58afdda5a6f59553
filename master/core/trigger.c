/*
 * The twelve trigger rules, as Airflow's TriggerRuleDep decides them: a rule that can no longer
 * hold ends the task at once, and a cancelled predecessor counts as failed (the caller adds them
 * up). One thing is stricter: the same ends give the same verdict in whatever order they come. So
 * `all_success` waits with a skip, because a failure that still comes makes it upstream_failed.
 */
#include "master/core/trigger.h"

#include "common/probe.h"

#include <assert.h>
#include <stdbool.h>

static enum verdict verdict_if(bool condition, enum verdict verdict)
{
    return condition ? verdict : VERDICT_WAIT;
}

/* All predecessors must end in one way; `bad` of them ended otherwise. */
static enum verdict all_must(uint32_t good, uint32_t bad, uint32_t total, enum verdict otherwise)
{
    if (bad > 0)
        return otherwise;
    return verdict_if(good == total, VERDICT_READY);
}

/* One is enough; when all are done and none did, `otherwise`. */
static enum verdict one_must(uint32_t good, bool all_done, enum verdict otherwise)
{
    if (good > 0)
        return VERDICT_READY;
    return verdict_if(all_done, otherwise);
}

static enum verdict all_success(const struct upstream_counts *c, bool all_done)
{
    if (c->failed + c->upstream_failed > 0)
        return VERDICT_UPSTREAM_FAILED;
    if (MUTANT(RULE_TOO_SOON) && c->success > 0)
        return VERDICT_READY;
    return verdict_if(all_done, c->skipped > 0 ? VERDICT_SKIP : VERDICT_READY);
}

static enum verdict none_failed(
    const struct upstream_counts *c, bool all_done, bool min_one_success)
{
    if (c->failed + c->upstream_failed > 0)
        return VERDICT_UPSTREAM_FAILED;
    if (min_one_success && c->skipped == c->total)
        return VERDICT_SKIP;
    return verdict_if(all_done, VERDICT_READY);
}

/* Skipped when nothing above it did anything, upstream_failed when something failed and nothing
 * succeeded. */
static enum verdict without_success(const struct upstream_counts *c)
{
    return c->skipped == c->total ? VERDICT_SKIP : VERDICT_UPSTREAM_FAILED;
}

enum verdict trigger_verdict(enum trigger_rule rule, const struct upstream_counts *c)
{
    uint32_t failures = c->failed + c->upstream_failed;
    bool all_done = c->success + failures + c->skipped == c->total;
    if (c->total == 0)
        return VERDICT_READY;
    switch (rule) {
    case TRIGGER_ALL_SUCCESS:
        return all_success(c, all_done);
    case TRIGGER_ALL_FAILED:
        return all_must(failures, c->success + c->skipped, c->total, VERDICT_SKIP);
    case TRIGGER_ALL_DONE:
        return verdict_if(all_done, VERDICT_READY);
    case TRIGGER_ALL_DONE_MIN_ONE_SUCCESS:
        return verdict_if(all_done, c->success > 0 ? VERDICT_READY : without_success(c));
    case TRIGGER_ALL_SKIPPED:
        return all_must(c->skipped, c->success + failures, c->total, VERDICT_SKIP);
    case TRIGGER_ONE_FAILED:
        return one_must(failures, all_done, VERDICT_SKIP);
    case TRIGGER_ONE_SUCCESS:
        return one_must(c->success, all_done, without_success(c));
    case TRIGGER_ONE_DONE:
        return one_must(c->success + c->failed, all_done, VERDICT_SKIP);
    case TRIGGER_NONE_FAILED:
        return none_failed(c, all_done, false);
    case TRIGGER_NONE_FAILED_MIN_ONE_SUCCESS:
        return none_failed(c, all_done, true);
    case TRIGGER_NONE_SKIPPED:
        return c->skipped > 0 ? VERDICT_SKIP : verdict_if(all_done, VERDICT_READY);
    case TRIGGER_ALWAYS:
        return VERDICT_READY;
    case TRIGGER_COUNT:
        break;
    }
    assert(!"a plan holds only known trigger rules");
    return VERDICT_WAIT;
}
