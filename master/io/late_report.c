#include "master/io/late_report.h"

#include "common/log.h"
#include "master/io/requests.h"
#include "proto/roles.h"

static void remember(struct lates *lates, int64_t told_at)
{
    for (uint32_t i = 0; i < lates->count; i++) {
        if (lates->told_at[i] == told_at)
            return;
    }
    if (lates->count < LATES_MAX)
        lates->told_at[lates->count++] = told_at;
}

void late_report_batch(struct master *master, const struct effects *effects)
{
    for (size_t i = 0; i < effects->fact_count; i++) {
        const struct fact *fact = &effects->facts[i];
        if (fact->kind == FACT_LATE)
            remember(&master->lates, fact->late.told_at);
        else if (fact->kind == FACT_SWEPT)
            remember(&master->lates, fact->swept.at);
    }
}

bool late_report_waits(const struct master *master)
{
    return master->lates.count > 0 && !master->full;
}

static const struct attempt_info *find_attempt(const struct task_info *task, uint32_t attempt)
{
    for (uint32_t i = 0; i < task->attempts.count; i++) {
        if (task->attempts.items[i].attempt == attempt)
            return &task->attempts.items[i];
    }
    return NULL;
}

static int report(
    struct master *master, const struct attempt_id *id, struct arena *arena, struct error *error)
{
    struct slice run;
    struct task_info task;
    int rc = client_read_task(master, id, arena, &run, &task, error);
    if (rc != 0)
        return rc;
    const struct attempt_info *attempt = find_attempt(&task, id->attempt);
    if (attempt == NULL || attempt->late.length == 0)
        return 0;
    struct slice name =
        arena_printf(arena, "%.*s/%.*s@%u", SLICE_PRINT(run), SLICE_PRINT(task.task), id->attempt);
    struct actor actor = {.role = ROLE_WORKER, .name = attempt->worker};
    struct slice text = arena_printf(arena, "%.*s", SLICE_PRINT(attempt->late));
    refusals_add(master->refusals, &actor, "late_end", name, text.ptr);
    if (attempt->overlap.length > 0)
        log_warn("%.*s: %.*s", SLICE_PRINT(name), SLICE_PRINT(text));
    return 0;
}

void late_report(struct master *master)
{
    struct lates *lates = &master->lates;
    struct arena arena = {0};
    struct error error = {0};
    int rc = 0;
    for (uint32_t i = 0; i < lates->count && rc == 0; i++) {
        struct late_row *rows;
        size_t count = 0;
        rc = store_list_late_told(master->store, lates->told_at[i], &arena, &rows, &count, &error);
        for (size_t k = 0; k < count && rc == 0; k++)
            rc = report(master, &rows[k].id, &arena, &error);
    }
    if (rc != 0)
        log_warn("an attempt's late end cannot be reported: %s", error.text);
    lates->count = 0;
    arena_fini(&arena);
}
