/*
 * run_page.h - a page of a run's tasks as get_run shows them: the core's view, met with the rows of
 * attempts and spans. Pages go by the file's order (plan->display), rows by task index. No I/O.
 */
#ifndef MASTER_IO_RUN_PAGE_H
#define MASTER_IO_RUN_PAGE_H

#include "master/core/core.h"

/* A page ends before it is so large, though it has fewer tasks than were asked for. */
enum { PAGE_TASKS_MAX = 2000, PAGE_BYTES_MAX = 4 * 1024 * 1024 };

/* Where the page's facts come from. */
struct page_source {
    void *context;
    bool (*view)(void *context, uint32_t task, struct task_view *ret_view);
    struct slice (*worker_name)(void *context, uint32_t number);
};

struct page_range {
    uint32_t first, last; /* task indices, inclusive */
};

struct run_page {
    const struct plan *plan;
    struct arena *arena;
    uint32_t *tasks; /* in the file's order */
    uint32_t count;
    bool more;
    uint32_t *sorted; /* positions in `tasks`, by task index */
    /* Rows of the ranges, in their order. */
    struct attempt_row *attempts;
    size_t attempt_count, attempt_capacity;
    struct late_row *lates; /* likewise */
    size_t late_count, late_capacity;
};

/* Chooses the page's tasks. */
void run_page_init(struct run_page *page, const struct plan *plan, struct arena *arena,
    uint32_t after, uint32_t limit);
/* A page of one task. */
void run_page_init_task(
    struct run_page *page, const struct plan *plan, struct arena *arena, uint32_t task);
void run_page_fini(struct run_page *page);

/* The ranges of task indices whose rows are wanted, ascending; neighbours with small gaps are one.
 */
struct page_range *run_page_ranges(const struct run_page *page, size_t *ret_count);
/* Adds the rows of a range; texts are borrowed. Ranges come in their order. */
void run_page_add(struct run_page *page, const struct attempt_row *rows, size_t count);
void run_page_add_late(struct run_page *page, const struct late_row *rows, size_t count);

/* Whether a task in this state has ended. */
bool task_is_over(uint32_t task_state);

/* Makes the tasks of the answer, in the arena; sets page->more when the page was cut for its size.
 */
struct task_info *run_page_tasks(struct run_page *page, const struct page_source *source,
    const struct span_row *spans, size_t span_count, uint32_t *ret_count);

#endif
