#include "common/log.h"
#include "master/io/run_page.h"
#include "master/io/state.h"

static void load_dag(void *context, const struct dag_row *row)
{
    struct master *master = context;
    pipeline_step(&master->pipeline, &(struct event){.kind = EVENT_LOAD_DAG, .dag = *row});
}

static void load_worker(void *context, const struct worker_row *row)
{
    struct master *master = context;
    worker_port_know(&master->workers, row);
    pipeline_step(&master->pipeline, &(struct event){.kind = EVENT_LOAD_WORKER, .worker = *row});
}

static void load_session(void *context, const struct session_row *row)
{
    struct master *master = context;
    pipeline_step(&master->pipeline, &(struct event){.kind = EVENT_LOAD_SESSION, .session = *row});
}

static void load_peer(void *context, const struct peer_row *row)
{
    struct master *master = context;
    pipeline_step(&master->pipeline, &(struct event){.kind = EVENT_LOAD_PEER, .peer = *row});
}

static void load_connection(void *context, const struct connection_row *row)
{
    struct master *master = context;
    vault_keep_row(&master->vault, row);
}

static void load_token(void *context, const struct token_row *row)
{
    struct master *master = context;
    pipeline_step(&master->pipeline, &(struct event){.kind = EVENT_LOAD_TOKEN, .token = *row});
}

/* Of tasks that are named in a line of the log. */
enum { UNWAITED_NAMES_MAX = 5 };

/*
 * Of a run of a restored store: its tasks with `lease: none`. What the fleet may run of them is in
 * no row, and no wait is long enough for it: only a person can know.
 */
static void warn_of_unwaited(const struct master *master, const struct store_run *stored)
{
    struct run_view run;
    struct task_view task;
    struct buffer names = {0};
    uint32_t found = 0;
    if (!core_view_run(master->core, stored->run.key, &run))
        return;
    for (uint32_t i = 0; i < plan_task_count(run.plan); i++) {
        const struct plan_task *planned = &run.plan->tasks[i];
        if (planned->lease_ms != 0 || planned->kind == OPERATOR_NOOP ||
            !core_view_task(master->core, stored->run.key, i, &task) || task_is_over(task.state) ||
            ++found > UNWAITED_NAMES_MAX)
            continue;
        struct slice name = plan_string(run.plan, planned->name);
        buffer_printf(&names, "%s%.*s", found > 1 ? ", " : "", SLICE_PRINT(name));
    }
    if (found > 0)
        log_warn("%.*s/%u: %u of its tasks that are not over have lease: none (%s%s): what a "
                 "worker that does not come back still runs of them cannot be waited out; make "
                 "sure that none does",
            SLICE_PRINT(run.dag), run.number, found, buffer_text(&names),
            found > UNWAITED_NAMES_MAX ? ", …" : "");
    buffer_fini(&names);
}

static int load_run(void *context, const struct store_run *stored, struct error *error)
{
    struct master *master = context;
    struct event event = {
        .kind = EVENT_LOAD_RUN,
        .load =
            {
                .run = stored->run,
                .spans = stored->spans,
                .span_count = stored->span_count,
                .attempts = stored->attempts,
                .attempt_count = stored->attempt_count,
                .notes = stored->notes,
                .note_count = stored->note_count,
            },
    };
    int rc =
        plans_hold(&master->plans, stored->run.key, &stored->run.plan, &event.load.plan, error);
    if (rc != 0) {
        (void)error_prefix(
            error, "%.*s/%u: its plan", SLICE_PRINT(stored->run.dag), stored->run.number);
        return rc;
    }
    pipeline_step(&master->pipeline, &event);
    if (stored->run.state == RUN_RUNNING)
        table_set(&master->running, stored->run.key, 1);
    bool live = stored->run.state == RUN_RUNNING || stored->run.state == RUN_QUEUED;
    if (master->identity.restoring && live)
        warn_of_unwaited(master, stored);
    return 0;
}

struct store_loader master_loader(struct master *master)
{
    return (struct store_loader){
        .context = master,
        .dag = load_dag,
        .worker = load_worker,
        .session = load_session,
        .run = load_run,
        .peer = load_peer,
        .token = load_token,
        .connection = load_connection,
    };
}

int master_load_run(struct master *master, uint64_t run, struct error *error)
{
    const struct pipeline *pipeline = &master->pipeline;
    if (core_has_run(master->core, run))
        return 0;
    /* Its end may be among what is not committed: its rows would be older than what the core knew.
     */
    if (pipeline->oldest != NULL || pipeline->current->effects->fact_count > 0)
        return error_set(error, ERR_NO_SPACE,
            "the master's disk is full: ended runs are not shown until there is space");
    struct store_loader loader = master_loader(master);
    return store_load_run(master->store, run, &loader, error);
}
