#include "common/memory.h"
#include "master/io/requests.h"
#include "master/io/run_name.h"

#include <stdlib.h>

enum { DAGS_MAX = 10000 };

bool client_get_dags(struct master *master, struct ask *ask)
{
    struct compile_job *job = xcalloc(1, sizeof *job);
    job->owner = ask;
    job->list = true;
    compiler_post(master->compiler, job);
    return false;
}

/* Both are by name: files' lines and the rows of DAGs that ever ran, each name once. */
static uint32_t merge(const struct dag_lines *files, const struct dag_row *rows, size_t row_count,
    struct dag_line *lines)
{
    uint32_t count = 0, file = 0;
    size_t row = 0;
    while (count < DAGS_MAX && (file < files->count || row < row_count)) {
        int order = file == files->count ? 1
                    : row == row_count   ? -1
                                         : slice_compare(files->items[file].dag, rows[row].dag);
        lines[count] = order <= 0 ? files->items[file] : (struct dag_line){.dag = rows[row].dag};
        file += order <= 0;
        row += order >= 0;
        count++;
    }
    return count;
}

static int add_last_run(
    struct master *master, struct arena *arena, struct dag_line *line, struct error *error)
{
    struct run_row row;
    int rc = store_last_run(master->store, line->dag, arena, &row, error);
    if (rc != 0)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    line->last_run = run_name_text(arena, row.dag, row.number);
    line->last_state = slice_of(run_state_name(row.state));
    return 0;
}

static int make_lines(struct master *master, struct ask *ask, const struct dag_lines *files,
    struct msg_dags *body, struct error *error)
{
    struct dag_row *rows;
    size_t row_count;
    int rc = store_list_dags(master->store, ask->arena, &rows, &row_count, error);
    if (rc != 0)
        return rc;
    body->dags.items =
        arena_alloc(ask->arena, (files->count + row_count) * sizeof(struct dag_line) + 1);
    body->dags.count = merge(files, rows, row_count, body->dags.items);
    for (uint32_t i = 0; i < body->dags.count && rc == 0; i++)
        rc = add_last_run(master, ask->arena, &body->dags.items[i], error);
    return rc;
}

void client_dags_compiled(struct master *master, struct compile_job *job)
{
    struct ask *ask = job->owner;
    struct msg_dags body = {.request = ask->request};
    struct error error = {0};
    if (make_lines(master, ask, &job->lines, &body, &error) == 0)
        ask_answer(master, ask, MESSAGE_dags, &body);
    else
        ask_refuse(master, ask, &error);
    ask_end(master, ask);
}
