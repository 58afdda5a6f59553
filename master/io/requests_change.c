#include "master/io/requests.h"
#include "master/io/run_params.h"

/* Finds the run, and the task in it (TASK_ALL without one), that a change names. */
static int find_target(struct master *master, struct slice run_text, struct slice task_text,
    struct event *event, struct error *error)
{
    struct run_view view;
    int rc = client_find_run(master, run_text, true, &event->change.run, error);
    if (rc != 0)
        return rc;
    if (!core_view_run(master->core, event->change.run, &view))
        return error_set(error, ERR_NOT_FOUND, "%.*s is gone", SLICE_PRINT(run_text));
    return client_find_task(view.plan, run_text, task_text, &event->change.task, error);
}

struct event client_event(const struct ask *ask, enum event_kind kind, struct slice target)
{
    return (struct event){
        .kind = kind,
        .ticket = ask->ticket,
        .request = ask->request,
        .actor = *ask->actor,
        .action = slice_of(message_name(ask->number)),
        .target = target,
    };
}

bool client_step(struct master *master, const struct ask *ask, struct event *event, int rc,
    const struct error *error)
{
    if (rc != 0) {
        ask_refuse(master, ask, error);
        return true;
    }
    pipeline_step(&master->pipeline, event);
    return false;
}

/* What people call it: "salaries/17" or "salaries/17/load". */
static struct slice target_name(const struct ask *ask, struct slice run, struct slice task)
{
    if (task.length == 0)
        return run;
    return arena_printf(ask->arena, "%.*s/%.*s", SLICE_PRINT(run), SLICE_PRINT(task));
}

bool client_cancel(struct master *master, struct ask *ask)
{
    const struct msg_cancel *body = ask->body;
    struct event event = client_event(ask, EVENT_CANCEL, target_name(ask, body->run, body->task));
    struct error error = {0};
    int rc = find_target(master, body->run, body->task, &event, &error);
    return client_step(master, ask, &event, rc, &error);
}

static int new_context(
    struct master *master, struct ask *ask, struct event *event, struct error *error)
{
    const struct msg_retry *body = ask->body;
    struct run_view view;
    if (body->params.count == 0 || !core_view_run(master->core, event->change.run, &view))
        return 0;
    return run_context_change(
        view.plan, view.context, &body->params, ask->arena, &event->change.context, error);
}

bool client_retry(struct master *master, struct ask *ask)
{
    const struct msg_retry *body = ask->body;
    struct event event = client_event(ask, EVENT_RETRY, target_name(ask, body->run, body->task));
    struct error error = {0};
    event.change.only = body->only;
    int rc = find_target(master, body->run, body->task, &event, &error);
    if (rc == 0)
        rc = new_context(master, ask, &event, &error);
    return client_step(master, ask, &event, rc, &error);
}

bool client_mark(struct master *master, struct ask *ask)
{
    const struct msg_mark *body = ask->body;
    struct event event = client_event(ask, EVENT_MARK, target_name(ask, body->run, body->task));
    struct error error = {0};
    event.change.state = body->state;
    event.change.note = body->note;
    int rc = 0;
    if (body->state != TASK_SUCCESS && body->state != TASK_SKIPPED && body->state != TASK_FAILED)
        rc = error_set(&error, ERR_USAGE, "a task is marked success, skipped or failed, not \"%s\"",
            task_state_name(body->state));
    else if (body->task.length == 0)
        rc = error_set(&error, ERR_USAGE, "mark needs a task: %.*s/TASK", SLICE_PRINT(body->run));
    else
        rc = find_target(master, body->run, body->task, &event, &error);
    return client_step(master, ask, &event, rc, &error);
}
