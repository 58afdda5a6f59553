/*
 * Random DAGs of every shape and trigger rule, compiled by the real compiler, and how their
 * processes behave.
 */
#include "common/dag/compile.h"
#include "common/memory.h"
#include "common/table.h"
#include "tests/sim/world.h"

#include <stdio.h>
#include <stdlib.h>

enum { PARENTS_MAX = 8, LEASE_MIN_S = 21, LEASE_MORE_S = 40 };

static uint32_t below(struct world *world, uint32_t most)
{
    return draw_below(world, DICE_WORKLOAD, most);
}

static bool percent(struct world *world, uint32_t chance)
{
    return draw_percent(world, DICE_WORKLOAD, chance);
}

/* ---- the shape ---- */

enum shape {
    SHAPE_RANDOM,
    SHAPE_CHAIN,
    SHAPE_STAR,
    SHAPE_FUNNEL,
    SHAPE_LAYERS,
    SHAPE_APART,
    SHAPES
};

/* Whether `above` is one that this task waits for; about as many of a large DAG as of a small one.
 */
static bool is_parent(struct world *world, enum shape shape, uint32_t above, uint32_t index)
{
    uint32_t width = 3 + world->scale.tasks / 16;
    switch (shape) {
    case SHAPE_CHAIN:
        return above + 1 == index;
    case SHAPE_STAR:
        return above == 0;
    case SHAPE_FUNNEL:
        return index % width == width - 1 && above + width > index && percent(world, 90);
    case SHAPE_LAYERS:
        return above / width + 1 == index / width && percent(world, 60);
    case SHAPE_APART:
        return false;
    default:
        return above + 16 > index && percent(world, 30);
    }
}

static void add_parents(
    struct world *world, struct sim_run *run, enum shape shape, struct buffer *yaml)
{
    uint32_t index = run->task_count;
    struct sim_task *task = &run->tasks[index];
    const char *separator = "    needs: [";
    uint32_t first = index > 4096 ? index - 4096 : 0;
    for (uint32_t above = shape == SHAPE_STAR || shape == SHAPE_LAYERS ? 0 : first; above < index;
         above++) {
        if (task->parent_count == PARENTS_MAX || !is_parent(world, shape, above, index))
            continue;
        if (task->parents == NULL)
            task->parents = xcalloc(PARENTS_MAX, sizeof *task->parents);
        task->parents[task->parent_count++] = above;
        buffer_printf(yaml, "%s%s", separator, run->tasks[above].name);
        separator = ", ";
    }
    if (task->parent_count > 0)
        buffer_append_text(yaml, "]\n");
}

/* ---- a task ---- */

/* What some host has, or part of it: a run can always end. */
static void write_asks(struct world *world, struct sim_task *task, struct buffer *yaml)
{
    if (!percent(world, 25))
        return;
    task->asks = host_has(world, below(world, world->host_count)) & below(world, HAS_ALL + 1);
    if ((task->asks & (HAS_GPU | HAS_ZONE)) != 0)
        buffer_printf(yaml, "    labels: [%s%s]\n", (task->asks & HAS_GPU) != 0 ? "gpu, " : "",
            (task->asks & HAS_ZONE) != 0 ? "zone=eu" : "");
    if ((task->asks & HAS_USER) != 0)
        buffer_append_text(yaml, "    run_as: etl\n");
}

static void write_loss(struct world *world, struct sim_task *task, struct buffer *yaml)
{
    task->on_lost = percent(world, 25) ? 1 + below(world, 2) : ON_LOST_RERUN;
    task->max_losses = percent(world, 30) ? below(world, 4) : 3;
    task->idempotent = task->on_lost == ON_LOST_RERUN && percent(world, 20);
    buffer_printf(yaml, "    on_lost: %s\n", on_lost_name((int)task->on_lost));
    world->has_idempotent = world->has_idempotent || task->idempotent;
    if (task->idempotent)
        buffer_append_text(yaml, "    idempotent: true\n");
    if (task->max_losses == 0)
        buffer_append_text(yaml, "    max_losses: none\n");
    else
        buffer_printf(yaml, "    max_losses: %u\n", task->max_losses);
}

static void write_lease(struct world *world, struct sim_task *task, struct buffer *yaml)
{
    if (!world->has_unleased || !draw_percent(world, DICE_LEASES, 15))
        return;
    task->unleased = true;
    buffer_append_text(yaml, "    lease: none\n");
}

/* `slow`: a run of tasks that take long, which faults have time to find. */
static void draw_behaviour(struct world *world, struct sim_task *task, bool slow)
{
    task->fail_percent = percent(world, 30) ? 60 : 5;
    task->long_percent = slow ? 60 : 5;
    task->hang_percent = percent(world, 18) ? 60 : 0;
    task->timeout_s = percent(world, task->hang_percent > 0 ? 40 : 10) ? 2 + below(world, 60) : 0;
    if (percent(world, 3))
        task->takes = (enum take_down)(1 + below(world, 3));
}

/* False: it is left out of this story. */
static bool write_task(
    struct world *world, struct sim_run *run, enum shape shape, struct buffer *yaml)
{
    struct sim_task *task = &run->tasks[run->task_count];
    struct buffer text = {0};
    (void)snprintf(task->name, sizeof task->name, "t%05u", run->task_count);
    task->noop = percent(world, 20);
    task->rule = percent(world, 50) ? 0 : below(world, TRIGGER_COUNT);
    task->retries = below(world, 3);
    task->allow_failure = percent(world, 10);
    draw_behaviour(world, task, run->dag % 2 == 1 || world->faults.quiet);
    task->notes = !task->noop && draw_percent(world, DICE_NOTES, 25);
    buffer_printf(&text, "  %s:\n    %s\n", task->name,
        task->noop    ? "noop:"
        : task->notes ? "operator: op"
                      : "bash: run");
    buffer_printf(&text, "    trigger_rule: %s\n    retries: %u\n",
        trigger_rule_name((int)task->rule), task->retries);
    if (task->timeout_s > 0 && !task->noop)
        buffer_printf(&text, "    execution_timeout: %us\n", task->timeout_s);
    if (task->allow_failure)
        buffer_append_text(&text, "    allow_failure: true\n");
    write_asks(world, task, &text);
    write_loss(world, task, &text);
    write_lease(world, task, &text);
    if (percent(world, 20))
        buffer_printf(&text, "    priority_weight: %u\n", below(world, 5));
    add_parents(world, run, shape, &text);
    bool kept = is_kept(world);
    if (kept) {
        buffer_append_slice(yaml, buffer_slice(&text));
        run->task_count++;
    } else {
        free(task->parents);
        *task = (struct sim_task){0};
    }
    buffer_fini(&text);
    return kept;
}

/* ---- a run ---- */

static void write_dag(
    struct world *world, struct sim_run *run, uint32_t number, struct buffer *yaml)
{
    static const char *const backoff[] = {"false", "true"};
    run->request = number + 1;
    run->dag = number % 2;
    run->max_active_runs = 1 + below(world, 3);
    run->max_active_tasks = percent(world, 20) ? 1 + below(world, 3) * world->scale.slots : 0;
    buffer_printf(yaml, "dag: d%u\nmax_active_runs: %u\n", run->dag, run->max_active_runs);
    if (run->max_active_tasks > 0)
        buffer_printf(yaml, "max_active_tasks: %u\n", run->max_active_tasks);
    buffer_printf(yaml,
        "default_args: {retry_delay: %us, lease: %us, kill_grace: 2s, "
        "retry_exponential_backoff: %s}\ntasks:\n",
        1 + below(world, 20), LEASE_MIN_S + below(world, LEASE_MORE_S), backoff[below(world, 2)]);
    uint32_t wanted = world->scale.full ? world->scale.tasks : 1 + below(world, world->scale.tasks);
    enum shape shape = (enum shape)below(world, SHAPES);
    run->tasks = xcalloc(wanted, sizeof *run->tasks);
    for (uint32_t i = 0; i < wanted; i++)
        (void)write_task(world, run, shape, yaml);
    /* A DAG has a task at least. */
    if (run->task_count == 0) {
        run->tasks[run->task_count++] = (struct sim_task){.name = "t00000", .noop = true};
        buffer_append_text(yaml, "  t00000:\n    noop:\n");
    }
}

static void find_children(struct sim_run *run)
{
    uint32_t edges = 0;
    run->child_starts = xcalloc(run->task_count + 2, sizeof *run->child_starts);
    for (uint32_t i = 0; i < run->task_count; i++) {
        edges += run->tasks[i].parent_count;
        for (uint32_t p = 0; p < run->tasks[i].parent_count; p++)
            run->child_starts[run->tasks[i].parents[p] + 2]++;
    }
    run->children = xcalloc(edges + 1, sizeof *run->children);
    for (uint32_t i = 0; i < run->task_count; i++)
        run->child_starts[i + 2] += run->child_starts[i + 1];
    for (uint32_t i = 0; i < run->task_count; i++) {
        for (uint32_t p = 0; p < run->tasks[i].parent_count; p++)
            run->children[run->child_starts[run->tasks[i].parents[p] + 1]++] = i;
    }
}

void workload_make(struct world *world, struct sim_run *run, uint32_t number)
{
    struct buffer yaml = {0}, plan = {0};
    struct diagnostics diagnostics = {0};
    struct error error = {0};
    write_dag(world, run, number, &yaml);
    if (dag_compile(buffer_slice(&yaml), "sim.yaml", &plan, &diagnostics) != 0) {
        struct buffer text = {0};
        diagnostics_print(&diagnostics, "sim.yaml", &text);
        violated(world, "the workload does not compile: %s", buffer_text(&text));
    }
    run->plan_bytes = plan.data;
    run->plan_length = plan.length;
    if (plan_open(slice_make(plan.data, plan.length), &run->plan, &error) != 0)
        violated(world, "the plan does not open: %s", error.text);
    diagnostics_fini(&diagnostics);
    buffer_fini(&yaml);
    find_children(run);
    run->losses = xcalloc(run->task_count, sizeof *run->losses);
}

struct sim_run *workload_find(struct world *world, uint64_t key)
{
    for (uint32_t i = 0; i < world->run_count; i++) {
        if (world->runs[i].key == key || (world->runs[i].before == key && key != 0))
            return &world->runs[i];
    }
    violated(world, "a run that nobody submitted: %llx", (unsigned long long)key);
}

void workload_fini(struct world *world)
{
    for (uint32_t i = 0; i < world->run_count; i++) {
        struct sim_run *run = &world->runs[i];
        for (uint32_t t = 0; t < run->task_count; t++)
            free(run->tasks[t].parents);
        free(run->tasks);
        free(run->losses);
        free(run->child_starts);
        free(run->children);
        free(run->plan_bytes);
    }
}

/* ---- how its processes behave ---- */

void workload_process(
    struct world *world, const struct attempt_id *id, struct process *process, uint64_t *ret_ms)
{
    const struct sim_run *run = workload_find(world, id->run);
    const struct sim_task *task = &run->tasks[id->task];
    uint64_t dice =
        hash_mix(world->seed ^ hash_mix(run->request ^ ((uint64_t)id->task << 32) ^ id->attempt));
    process->stubborn = dice % 4 == 0;
    process->messy = !process->late && (dice >> 4) % 5 == 0;
    process->status = (dice >> 8) % 100 < task->fail_percent ? 1 << 8 : 0;
    if ((dice >> 16) % 10 == 0)
        process->status = 99 << 8;
    /* One that may be lost for ever would be. */
    if (id->attempt <= 2 || task->max_losses > 0)
        process->takes = task->takes;
    *ret_ms = 1 + (dice >> 32) % 8000;
    if ((dice >> 24) % 100 < task->long_percent)
        *ret_ms = (world->faults.quiet ? 60000 : 5000) + (dice >> 32) % 120000;
    if ((dice >> 40) % 100 < task->hang_percent && !process->late)
        *ret_ms = ENDLESS;
}
