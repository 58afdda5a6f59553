/*
 * People who ask, all the time, what a run or one of its tasks waits for. They may ask in any state
 * of anything, and of what has not ended there is always something to say.
 */
#include "tests/sim/checker.h"

enum { EVERY_MS = 20000 };

static bool is_end(uint32_t state)
{
    return state >= TASK_SUCCESS && state <= TASK_CANCELLED;
}

static void check_answer(
    struct world *world, const struct run_view *run, const struct msg_explained *answer)
{
    bool open = run->state == RUN_QUEUED || run->state == RUN_RUNNING;
    if (open && answer->text.length == 0)
        violated(world, "nothing is said of a run that is %s", run_state_name(run->state));
    for (uint32_t i = 0; i < answer->lines.count; i++) {
        const struct explain_line *line = &answer->lines.items[i];
        if (!is_end(line->state) && (line->text.length == 0 || line->waits_for.length == 0))
            violated(world, "nothing is said of task %.*s, which is %s", SLICE_PRINT(line->task),
                task_state_name(line->state));
    }
}

static void ask(struct world *world, const struct happening *happening)
{
    (void)happening;
    const struct core *core = world->master.core;
    (void)plan_ahead(world, EVERY_MS, ask);
    if (core == NULL || world->run_count == 0)
        return;
    const struct sim_run *run = &world->runs[draw_below(world, DICE_CHECKER, world->run_count)];
    uint32_t task = draw_below(world, DICE_CHECKER, run->task_count + 1);
    struct run_view view;
    if (run->key == 0 || !core_view_run(core, run->key, &view))
        return;
    struct arena arena = {0};
    struct msg_explained answer = {0};
    bool whole = task == run->task_count;
    core_explain(core, run->key, whole ? TASK_ALL : task, &arena, &answer);
    if (!whole && answer.lines.count != 1)
        violated(world, "%u lines are said of one task", answer.lines.count);
    check_answer(world, &view, &answer);
    arena_fini(&arena);
}

void questions_begin(struct world *world)
{
    (void)plan_ahead(world, draw_below(world, DICE_CHECKER, EVERY_MS), ask);
}
