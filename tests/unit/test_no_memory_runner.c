/* Out of memory at each site of the runner's core: a clean end. See no_memory.h and
 * runner_core_stage.h. */
#include "tests/unit/no_memory.h"
#include "tests/unit/runner_core_stage.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Three tasks: one ends, one is killed on demand, one outlives its lease. */
static void work(void *context, struct buffer *out)
{
    void *state;
    (void)context;
    (void)setup(&state);
    struct stage *stage = state;
    run_to_end(stage, A);
    run(stage, order(stage, B));
    run(stage, order(stage, C));
    renew(stage, stage->now_ms);
    ask_kill(stage, B, REASON_CANCELLED);
    exited(stage, B, 9);
    (void)emptied(stage, B);
    sleep_until_effect(stage);
    sleep_until_effect(stage);
    list(stage);
    const struct msg_runner_listed *listed = sent(stage, MESSAGE_runner_listed);
    if (listed != NULL)
        message_print(MESSAGE_runner_listed, listed, out);
    forget(stage, A);
    forget(stage, B);
    (void)teardown(&state);
}

static void no_memory_for_the_runner_ends_cleanly(void **state)
{
    (void)state;
    no_memory_expect_clean_ends(work, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_memory_for_the_runner_ends_cleanly)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
