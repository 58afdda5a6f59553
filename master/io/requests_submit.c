#include "common/clock.h"
#include "common/memory.h"
#include "common/random.h"
#include "master/io/requests.h"
#include "master/io/run_name.h"
#include "proto/roles.h"

/* Where the DAG's file lies, and whether the master can see it there. */
static int check_file(const struct ask *ask, const struct msg_submit *body, struct error *error)
{
    if (body->file.length == 0)
        return body->dag.length > 0
                   ? 0
                   : error_set(error, ERR_USAGE, "submit needs a DAG file or the name of a DAG");
    if (memchr(body->file.ptr, 0, body->file.length) != NULL)
        return error_set(error, ERR_USAGE, "a file's name has no NUL");
    if (body->bundle.length > 0)
        return 0;
    if (ask->actor->role != ROLE_LOCAL)
        return error_set(error, ERR_USAGE,
            "%.*s: that path is on your host, where the master sees nothing: its folder has to be "
            "sent along",
            SLICE_PRINT(body->file));
    if (body->file.ptr[0] != '/')
        return error_set(error, ERR_USAGE, "a DAG file is named by its whole path");
    return 0;
}

bool client_submit(struct master *master, struct ask *ask)
{
    const struct msg_submit *body = ask->body;
    struct error error = {0};
    if (check_file(ask, body, &error) != 0) {
        ask_refuse(master, ask, &error);
        return true;
    }
    struct compile_job *job = xcalloc(1, sizeof *job);
    job->owner = ask;
    job->dag = body->file.length > 0 ? slice_of(NULL) : body->dag;
    job->submission.path = body->file;
    job->submission.sent = body->file.length > 0 ? body->bundle : slice_of(NULL);
    job->submission.date = body->date;
    job->submission.params = &body->params;
    job->submission.now_wall = clock_wall_ms();
    compiler_post(master->compiler, job);
    return false;
}

/* The run of an earlier submit with this key. */
static void answer_existing(
    struct master *master, const struct ask *ask, const struct run_row *row, struct texts warnings)
{
    struct msg_submitted body = {
        .request = ask->request,
        .run = run_name_text(ask->arena, row->dag, row->number),
        .existing = true,
        .warnings = warnings,
    };
    ask_answer(master, ask, MESSAGE_submitted, &body);
}

/* What the rows have to say against a new run: 0, or the ask is answered. */
static int ask_rows(struct master *master, struct ask *ask, const struct submission *submission)
{
    const struct msg_submit *body = ask->body;
    struct run_row row;
    struct error error = {0};
    int rc = ERR_NOT_FOUND;
    if (body->key.length > 0)
        rc = store_find_key(master->store, submission->dag, body->key, ask->arena, &row, &error);
    if (rc == 0) {
        answer_existing(master, ask, &row, submission->warnings);
        return ERR_REFUSED;
    }
    if (rc == ERR_NOT_FOUND && submission->date_given && !body->again)
        rc = store_find_date(
            master->store, submission->dag, submission->logical_date, ask->arena, &row, &error);
    if (rc == 0)
        rc = error_set(&error, ERR_REFUSED,
            "%.*s/%u has this date already; a second run for it needs --again",
            SLICE_PRINT(row.dag), row.number);
    if (rc == ERR_NOT_FOUND)
        return 0;
    ask_refuse(master, ask, &error);
    return rc;
}

static void step_submit(struct master *master, struct ask *ask, struct submission *submission)
{
    const struct msg_submit *body = ask->body;
    uint64_t run = random_id();
    struct hash hash = submission->mapped.hash;
    struct event event =
        client_event(ask, EVENT_SUBMIT, body->file.length > 0 ? body->file : body->dag);
    event.submit = (struct submit_event){
        .key = run,
        .plan = *plans_adopt(&master->plans, run, &submission->mapped),
        .plan_hash = hash,
        .bundle = submission->bundle,
        .context = submission->context,
        .key_text = body->key,
        .logical_date = submission->logical_date,
        .date_given = submission->date_given,
        .again = body->again,
        .warnings = submission->warnings,
    };
    pipeline_step(&master->pipeline, &event);
    /* It was refused. */
    if (!core_has_run(master->core, run))
        plans_forget(&master->plans, run);
}

void client_submit_compiled(struct master *master, struct compile_job *job)
{
    struct ask *ask = job->owner;
    struct submission *submission = &job->submission;
    if (submission->code != 0) {
        ask_refuse_text(master, ask, submission->code, buffer_slice(&submission->why));
        ask_end(master, ask);
    } else if (ask_rows(master, ask, submission) != 0) {
        ask_end(master, ask);
    } else {
        step_submit(master, ask, submission);
    }
}
