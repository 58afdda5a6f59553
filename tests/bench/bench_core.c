/*
 * How fast the scheduler's core is by itself: a DAG of no-ops, answered by the agent's core, with
 * nothing between them but memory. Prints tasks a second.
 *
 *     bench_core [TASKS]
 */
#include "common/dag/compile.h"
#include "common/table.h"
#include "master/core/core.h"
#include "worker/core/agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct bench {
    struct core *master;
    struct agent *agent;
    struct effects *effects;
    struct agent_effects agent_effects;
    uint64_t facts, frames, bytes;
};

static double seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void make_dag(uint32_t tasks, struct buffer *plan)
{
    struct buffer yaml = {0};
    struct diagnostics diagnostics = {0};
    buffer_append_text(&yaml, "dag: bench\ntasks:\n");
    for (uint32_t i = 0; i < tasks; i++) {
        buffer_printf(&yaml, "  t%06u:\n    noop:\n", i);
        /* One of the lower half, one of the upper: never the same. */
        if (i >= 10)
            buffer_printf(&yaml, "    needs: [t%06u, t%06u]\n", (uint32_t)(hash_mix(i) % (i / 2)),
                (uint32_t)(i / 2 + hash_mix(i + 1000000) % (i - i / 2)));
    }
    double begin = seconds();
    if (dag_compile(buffer_slice(&yaml), "bench.yaml", plan, &diagnostics) != 0) {
        struct buffer text = {0};
        diagnostics_print(&diagnostics, "bench.yaml", &text);
        (void)fprintf(stderr, "%s", buffer_text(&text));
        exit(1);
    }
    (void)printf("compile: %.0f ms for %zu bytes\n", (seconds() - begin) * 1000, yaml.length);
    diagnostics_fini(&diagnostics);
    buffer_fini(&yaml);
}

static void agent_take(struct bench *bench, struct agent_event event)
{
    event.now_ms = 1000;
    event.random = 77;
    agent_step(bench->agent, &event, &bench->agent_effects);
}

static void master_take(struct bench *bench, struct event event)
{
    event.now_ms = 1000;
    event.now_wall = 1000;
    core_step(bench->master, &event, bench->effects);
}

/* Lets the master's frames reach the agent and the agent's the master; false when nothing moved. */
static bool exchange(struct bench *bench)
{
    bool moved = false;
    master_take(bench, (struct event){.kind = EVENT_FLUSH});
    for (size_t i = 0; i < bench->effects->send_count; i++, moved = true)
        agent_take(bench, (struct agent_event){
                              .kind = AGENT_EVENT_FRAME, .frame = bench->effects->sends[i].frame});
    bench->facts += bench->effects->fact_count;
    bench->frames += bench->effects->send_count;
    effects_reset(bench->effects);
    agent_take(bench, (struct agent_event){.kind = AGENT_EVENT_FLUSH});
    for (size_t i = 0; i < bench->agent_effects.count; i++) {
        const struct agent_effect *effect = &bench->agent_effects.items[i];
        if (effect->kind != AGENT_SEND)
            continue;
        struct event event = {.kind = EVENT_FRAME};
        event.frame.peer = 1;
        event.frame.bytes = effect->frame;
        bench->bytes += effect->frame.length;
        master_take(bench, event);
        moved = true;
    }
    agent_effects_reset(&bench->agent_effects);
    return moved || core_has_work(bench->master);
}

static void join(struct bench *bench)
{
    struct msg_runner_hello hello = {.version = PROTOCOL_VERSION, .instance = 5};
    struct agent_event event = {.kind = AGENT_EVENT_RUNNER};
    event.runner = (struct message){MESSAGE_runner_hello, &hello};
    agent_take(bench, event);
    struct msg_runner_listed listed = {.nonce = 77};
    event.runner = (struct message){MESSAGE_runner_listed, &listed};
    agent_take(bench, event);
    while (exchange(bench)) {
    }
}

static void submit(struct bench *bench, const struct buffer *plan_bytes)
{
    struct event event = {.kind = EVENT_SUBMIT, .request = 1};
    struct error error = {0};
    event.submit.key = 12345;
    event.submit.context = slice_of("{\"values\":{},\"params\":{}}");
    if (plan_open(buffer_slice(plan_bytes), &event.submit.plan, &error) != 0) {
        (void)fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    master_take(bench, event);
}

int main(int argc, char **argv)
{
    uint32_t tasks = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 100000;
    struct buffer plan = {0};
    struct slice queue = slice_of("default");
    struct core_config config = {
        .epoch = 1, .leader = 1, .cluster = slice_of("bench"), .now_ms = 1000};
    struct agent_config agent = {.name = slice_of("w1"),
        .host = slice_of("h"),
        .software = slice_of("s"),
        .slots = 2,
        .queues = {&queue, 1},
        .now_ms = 1000};
    struct bench bench = {
        .master = core_create(&config), .agent = agent_create(&agent), .effects = effects_create()};
    make_dag(tasks, &plan);
    master_take(&bench, (struct event){.kind = EVENT_LOADED});
    join(&bench);
    double begin = seconds();
    submit(&bench, &plan);
    while (exchange(&bench)) {
    }
    double took = seconds() - begin;
    struct run_view view;
    bool known = core_view_run(bench.master, 12345, &view);
    (void)printf("%s: %.0f tasks/s (%.2f us a task), %llu facts, %llu frames, %llu bytes back\n",
        known ? run_state_name(view.state) : "?", tasks / took, took / tasks * 1e6,
        (unsigned long long)bench.facts, (unsigned long long)bench.frames,
        (unsigned long long)bench.bytes);
    core_destroy(bench.master);
    agent_destroy(bench.agent);
    effects_destroy(bench.effects);
    agent_effects_fini(&bench.agent_effects);
    buffer_fini(&plan);
    return known && view.state == RUN_SUCCESS ? 0 : 1;
}
