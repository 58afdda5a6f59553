/*
 * Random DAGs of every trigger rule, compiled by the real compiler, and how their processes behave.
 */
#include "common/dag/compile.h"
#include "common/table.h"
#include "tests/sim/world.h"

#include <stdio.h>
#include <stdlib.h>

/* What some host has, or part of it: a run can always end. */
static void write_asks(struct world *world, struct sim_task *task, struct buffer *yaml)
{
    if (!draw_percent(world, 25))
        return;
    task->asks =
        host_has(world, draw_below(world, world->host_count)) & draw_below(world, HAS_ALL + 1);
    if ((task->asks & (HAS_GPU | HAS_ZONE)) != 0)
        buffer_printf(yaml, "    labels: [%s%s]\n", (task->asks & HAS_GPU) != 0 ? "gpu, " : "",
            (task->asks & HAS_ZONE) != 0 ? "zone=eu" : "");
    if ((task->asks & HAS_USER) != 0)
        buffer_append_text(yaml, "    run_as: etl\n");
}

static void write_loss(struct world *world, struct sim_task *task, struct buffer *yaml)
{
    task->on_lost = draw_percent(world, 25) ? 1 + draw_below(world, 2) : ON_LOST_RERUN;
    task->max_losses = draw_percent(world, 30) ? draw_below(world, 4) : 3;
    buffer_printf(yaml, "    on_lost: %s\n", on_lost_name((int)task->on_lost));
    if (task->max_losses == 0)
        buffer_append_text(yaml, "    max_losses: none\n");
    else
        buffer_printf(yaml, "    max_losses: %u\n", task->max_losses);
}

static void write_task(
    struct world *world, struct sim_run *run, uint32_t index, struct buffer *yaml)
{
    struct sim_task *task = &run->tasks[index];
    (void)snprintf(task->name, sizeof task->name, "t%02u", index);
    task->noop = draw_percent(world, 25);
    task->rule = draw_percent(world, 50) ? 0 : draw_below(world, TRIGGER_COUNT);
    task->retries = draw_below(world, 3);
    task->allow_failure = draw_percent(world, 10);
    task->fail_percent = draw_percent(world, 30) ? 60 : 5;
    buffer_printf(yaml, "  %s:\n    %s\n", task->name, task->noop ? "noop:" : "bash: run");
    buffer_printf(yaml, "    trigger_rule: %s\n    retries: %u\n",
        trigger_rule_name((int)task->rule), task->retries);
    if (task->allow_failure)
        buffer_append_text(yaml, "    allow_failure: true\n");
    write_asks(world, task, yaml);
    write_loss(world, task, yaml);
    if (draw_percent(world, 20))
        buffer_printf(yaml, "    priority_weight: %u\n", draw_below(world, 5));
    const char *separator = "    needs: [";
    for (uint32_t above = 0; above < index; above++) {
        if (!draw_percent(world, 30))
            continue;
        task->parents |= 1u << above;
        buffer_printf(yaml, "%s%s", separator, run->tasks[above].name);
        separator = ", ";
    }
    if (task->parents != 0)
        buffer_append_text(yaml, "]\n");
}

void workload_make(struct world *world, struct sim_run *run, uint32_t number)
{
    struct buffer yaml = {0}, plan = {0};
    struct diagnostics diagnostics = {0};
    struct error error = {0};
    buffer_printf(&yaml, "dag: d%u\nmax_active_runs: %u\n", number % 2, 1 + draw_below(world, 3));
    if (draw_percent(world, 20))
        buffer_printf(&yaml, "max_active_tasks: %u\n", 1 + draw_below(world, 3));
    buffer_printf(&yaml, "default_args: {retry_delay: %us, lease: %us, kill_grace: 2s}\ntasks:\n",
        1 + draw_below(world, 20), 21 + draw_below(world, 40));
    run->task_count = 1 + draw_below(world, TASKS_MAX);
    for (uint32_t i = 0; i < run->task_count; i++)
        write_task(world, run, i, &yaml);
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
}

struct sim_run *workload_find(struct world *world, uint64_t key)
{
    for (uint32_t i = 0; i < world->run_count; i++) {
        if (world->runs[i].key == key)
            return &world->runs[i];
    }
    violated(world, "a run that nobody submitted: %llx", (unsigned long long)key);
}

void workload_process(
    struct world *world, const struct attempt_id *id, struct process *process, uint64_t *ret_ms)
{
    const struct sim_run *run = workload_find(world, id->run);
    uint64_t dice =
        hash_mix(world->seed ^ hash_mix(id->run ^ ((uint64_t)id->task << 32) ^ id->attempt));
    const struct sim_task *task = &run->tasks[id->task];
    process->stubborn = dice % 10 == 0;
    process->status = (dice >> 8) % 100 < task->fail_percent ? 1 << 8 : 0;
    if ((dice >> 16) % 50 == 0)
        process->status = 99 << 8;
    *ret_ms = (dice >> 24) % 20 == 0 ? 5000 + (dice >> 32) % 120000 : 1 + (dice >> 32) % 8000;
}
