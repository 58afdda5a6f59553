/* Out of memory at each site of the agent's core: a clean end. See no_memory.h and agent_stage.h.
 */
#include "tests/unit/agent_stage.h"
#include "tests/unit/no_memory.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct attempt_id A = {7, 0, 0, 1}, B = {7, 1, 0, 1}, C = {7, 2, 0, 1};

/* Tasks that end well, that cannot be prepared and that are killed; an answer that gets lost; a new
 * session that knows of one of them. */
static void work(void *context, struct buffer *out)
{
    void *state;
    (void)context;
    (void)stage_setup(&state);
    struct stage *stage = state;
    stage->old_runner = true;
    stage_run(stage, A);
    assign(stage, B);
    prepared(stage, B, REASON_WORKER_ERROR);
    assign(stage, C);
    prepared(stage, C, REASON_NONE);
    started(stage, C);
    exited(stage, A, REASON_EXIT_CODE, 0);
    collected(stage, A);
    saved(stage, A);
    const struct msg_ended *ended = told(stage, MESSAGE_ended);
    if (ended != NULL)
        message_print(MESSAGE_ended, ended, out);
    struct msg_settled settled = {.id = A};
    master_orders(stage, MESSAGE_settled, &settled);
    stage->quiet = true;
    stage_pass(stage, 5000);
    stage->quiet = false;
    open_session(stage);
    stage_pass(stage, 3000);
    buffer_printf(out, " %u run\n", agent_running(stage->agent));
    (void)stage_teardown(&state);
}

static void no_memory_for_the_agent_ends_cleanly(void **state)
{
    (void)state;
    no_memory_expect_clean_ends(work, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_memory_for_the_agent_ends_cleanly)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
