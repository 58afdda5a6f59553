#include "common/clock.h"
#include "common/memory.h"
#include "master/io/requests.h"
#include "master/io/run_name.h"
#include "master/io/run_page.h"
#include "master/io/run_params.h"
#include "proto/roles.h"

#include <stdlib.h>

enum { RUNS_MAX = 10000, WORKERS_MAX = 10000 };

struct page_context {
    const struct master *master;
    uint64_t run;
};

static bool refuse(struct master *master, const struct ask *ask, const struct error *error)
{
    ask_refuse(master, ask, error);
    return true;
}

bool client_ping(struct master *master, struct ask *ask)
{
    struct worker_view view;
    struct msg_pong pong = {
        .request = ask->request,
        .software = slice_of(REEVE_VERSION),
        .cluster = slice_of(master->identity.cluster),
        .epoch = master->identity.epoch,
        .started_at = master->started_at,
        .runs_running = (uint32_t)master->running.count,
        .role = slice_of(role_name(ask->actor->role)),
        .name = ask->actor->name,
        .now = clock_wall_ms(),
    };
    for (uint32_t i = 0; core_view_worker(master->core, i, clock_boot_ms(), &view); i++)
        pong.workers_up += view.state == WORKER_UP || view.state == WORKER_DRAINING;
    ask_answer(master, ask, MESSAGE_pong, &pong);
    return true;
}

static bool view_task(void *context, uint32_t task, struct task_view *ret_view)
{
    const struct page_context *page = context;
    return core_view_task(page->master->core, page->run, task, ret_view);
}

static struct slice view_worker_name(void *context, uint32_t number)
{
    const struct page_context *page = context;
    return worker_port_name(&page->master->workers, number);
}

/* Reads the rows that the page needs, and makes its tasks. */
static int fill_page(struct master *master, struct run_page *page, uint64_t run,
    struct msg_run_info *info, struct error *error)
{
    struct page_context context = {master, run};
    struct page_source source = {&context, view_task, view_worker_name};
    size_t range_count, span_count = 0;
    struct span_row *spans = NULL;
    struct page_range *ranges = run_page_ranges(page, &range_count);
    int rc = store_list_spans(master->store, run, page->arena, &spans, &span_count, error);
    for (size_t i = 0; i < range_count && rc == 0; i++) {
        struct store_attempts_filter filter = {run, ranges[i].first, ranges[i].last};
        struct attempt_row *rows;
        size_t count;
        rc = store_list_attempts(master->store, &filter, page->arena, &rows, &count, error);
        if (rc == 0)
            run_page_add(page, rows, count);
        struct late_row *lates;
        if (rc == 0)
            rc = store_list_late(master->store, &filter, page->arena, &lates, &count, error);
        if (rc == 0)
            run_page_add_late(page, lates, count);
    }
    if (rc == 0)
        info->tasks.items = run_page_tasks(page, &source, spans, span_count, &info->tasks.count);
    info->more = page->more;
    return rc;
}

int client_read_task(struct master *master, const struct attempt_id *id, struct arena *arena,
    struct slice *ret_run, struct task_info *ret_task, struct error *error)
{
    struct msg_run_info info = {0};
    struct run_page page = {0};
    struct run_view view;
    int rc = master_load_run(master, id->run, error);
    if (rc == 0 &&
        (!core_view_run(master->core, id->run, &view) || id->task >= plan_task_count(view.plan)))
        rc = error_set(error, ERR_NOT_FOUND, "this run is gone");
    if (rc != 0)
        return rc;
    run_page_init_task(&page, view.plan, arena, id->task);
    rc = fill_page(master, &page, id->run, &info, error);
    run_page_fini(&page);
    if (rc == 0 && info.tasks.count != 1)
        rc = error_set(error, ERR_NOT_FOUND, "this task is gone");
    if (rc != 0)
        return rc;
    *ret_run = run_name_text(arena, view.dag, view.number);
    *ret_task = info.tasks.items[0];
    return 0;
}

static void set_run(struct msg_run_info *info, const struct run_view *view, struct arena *arena)
{
    info->run = run_name_text(arena, view->dag, view->number);
    info->dag = view->dag;
    info->state = view->state;
    info->logical_date = view->logical_date;
    info->submitted_at = view->submitted_at;
    info->started_at = view->started_at;
    info->ended_at = view->ended_at;
    info->cancelling = view->cancelled && (view->state == RUN_QUEUED || view->state == RUN_RUNNING);
    info->params = run_context_params(view->context, arena);
    info->task_count = plan_task_count(view->plan);
    info->counts.items = arena_alloc(
        arena, sizeof view->counts / sizeof view->counts[0] * sizeof(struct state_count));
    for (uint32_t state = 0; state < sizeof view->counts / sizeof view->counts[0]; state++) {
        if (view->counts[state] > 0)
            info->counts.items[info->counts.count++] =
                (struct state_count){state, view->counts[state]};
    }
}

static void set_waits_for(
    const struct master *master, uint64_t run, struct msg_run_info *info, struct arena *arena)
{
    struct buffer text = {0};
    core_explain_run(master->core, run, &text);
    info->waits_for = arena_copy(arena, buffer_slice(&text));
    buffer_fini(&text);
}

/* Chooses the page: of one task, or of the file's order. */
static int begin_page(const struct msg_get_run *body, const struct plan *plan, struct arena *arena,
    struct run_page *page, struct error *error)
{
    uint32_t task;
    int rc = client_find_task(plan, body->run, body->task, &task, error);
    if (rc == 0 && task == TASK_ALL)
        run_page_init(page, plan, arena, body->after, body->limit);
    else if (rc == 0)
        run_page_init_task(page, plan, arena, task);
    return rc;
}

bool client_get_run(struct master *master, struct ask *ask)
{
    const struct msg_get_run *body = ask->body;
    struct msg_run_info info = {.request = ask->request};
    struct run_page page = {0};
    struct run_view view;
    struct error error = {0};
    int rc = client_find_run(master, body->run, false, &info.key, &error);
    if (rc == 0 && !core_view_run(master->core, info.key, &view))
        rc = error_set(&error, ERR_NOT_FOUND, "%.*s is gone", SLICE_PRINT(body->run));
    if (rc == 0)
        rc = begin_page(body, view.plan, ask->arena, &page, &error);
    if (rc == 0) {
        set_run(&info, &view, ask->arena);
        set_waits_for(master, info.key, &info, ask->arena);
        rc = fill_page(master, &page, info.key, &info, &error);
    }
    run_page_fini(&page);
    if (rc != 0)
        return refuse(master, ask, &error);
    ask_answer(master, ask, MESSAGE_run_info, &info);
    return true;
}

bool client_get_runs(struct master *master, struct ask *ask)
{
    const struct msg_get_runs *body = ask->body;
    struct store_runs_filter filter = {
        .dag = body->dag,
        .state = body->state,
        .since = body->since,
        .limit = body->limit < RUNS_MAX ? body->limit : RUNS_MAX,
    };
    struct run_row *rows;
    size_t count;
    struct error error = {0};
    int rc = store_list_runs(master->store, &filter, ask->arena, &rows, &count, &error);
    if (rc != 0)
        return refuse(master, ask, &error);
    struct msg_runs runs = {.request = ask->request};
    runs.runs.items = arena_alloc(ask->arena, count * sizeof(struct run_line) + 1);
    for (size_t i = 0; i < count; i++) {
        const struct run_row *row = &rows[i];
        runs.runs.items[runs.runs.count++] = (struct run_line){
            .run = run_name_text(ask->arena, row->dag, row->number),
            .dag = row->dag,
            .state = row->state,
            .logical_date = row->logical_date,
            .submitted_at = row->submitted_at,
            .started_at = row->started_at,
            .ended_at = row->ended_at,
            .task_count = row->task_count,
        };
    }
    ask_answer(master, ask, MESSAGE_runs, &runs);
    return true;
}

static int by_name(const void *a, const void *b)
{
    const struct worker_line *one = a, *two = b;
    int order = slice_compare(one->worker, two->worker);
    return order != 0 ? order : slice_compare(one->key, two->key);
}

static struct slice note_of(const struct worker_view *view)
{
    if (view->state == WORKER_GONE)
        return slice_of(NULL);
    if (view->full)
        return slice_of("its disk is full: it takes no more tasks");
    if (view->load.leaving)
        return slice_of("it stops when what runs there has ended");
    if (view->state == WORKER_DRAINING)
        return slice_of("it takes no more tasks: `reeve undrain` lets it");
    return slice_of(NULL);
}

static struct worker_line line_of(const struct worker_view *view)
{
    struct worker_line line = {
        .worker = view->name,
        .state = view->state,
        .slots = view->slots,
        .running = view->running,
        .in_hand = view->in_hand,
        .heartbeat_age_ms = view->heartbeat_age_ms,
        .host = view->host,
        .queues = {(struct slice *)(uintptr_t)view->queues, view->queue_count},
        .software = view->software,
        .registered_at = view->registered_at,
        .note = note_of(view),
        .key = view->key,
        .labels = view->labels,
        .users = view->users,
        .cpus = view->load.cpus,
        .cpu_permille = view->load.cpu_permille,
        .memory_bytes = view->load.memory_bytes,
        .memory_used = view->load.memory_used,
        .disk_bytes = view->load.disk_bytes,
        .disk_free = view->load.disk_free,
        .address = view->address,
        .memory_limit_by = view->memory_limit_by,
        .cpu_limit_by = view->cpu_limit_by,
    };
    line.operators.items = (struct operator_line *)(uintptr_t)view->operators;
    line.operators.count = view->operator_count;
    return line;
}

bool client_get_workers(struct master *master, struct ask *ask)
{
    struct msg_workers workers = {.request = ask->request};
    struct worker_line *lines = NULL;
    size_t count = 0, capacity = 0;
    struct worker_view view;
    uint64_t now_ms = clock_boot_ms();
    for (uint32_t i = 0; count < WORKERS_MAX && core_view_worker(master->core, i, now_ms, &view);
         i++) {
        if (view.removed)
            continue;
        vector_reserve(&lines, count, &capacity);
        lines[count++] = line_of(&view);
    }
    if (count > 1)
        qsort(lines, count, sizeof *lines, by_name);
    workers.workers.items = lines;
    workers.workers.count = (uint32_t)count;
    ask_answer(master, ask, MESSAGE_workers, &workers);
    free(lines);
    return true;
}

static bool begin_watch(struct master *master, struct ask *ask, uint64_t run)
{
    const struct msg_watch *body = ask->body;
    struct watch_wish wish = {{ask->peer, ask->request}, run, body->tasks};
    struct buffer frame = {0};
    bool begun = watch_begin(&master->watches, &wish, clock_boot_ms(), &frame);
    if (begun)
        client_send(master, ask->peer, buffer_slice(&frame));
    else
        ask_refuse_text(master, ask, ERR_REFUSED,
            slice_of("too many follow runs at this moment; try again later"));
    buffer_fini(&frame);
    return true;
}

bool client_watch(struct master *master, struct ask *ask)
{
    const struct msg_watch *body = ask->body;
    struct watch_key key = {ask->peer, ask->request};
    struct error error = {0};
    uint64_t run;
    if (body->stop) {
        watch_end(&master->watches, key);
        return true;
    }
    if (watch_renew(&master->watches, key, clock_boot_ms()))
        return true;
    if (client_find_run(master, body->run, false, &run, &error) != 0)
        return refuse(master, ask, &error);
    return begin_watch(master, ask, run);
}
