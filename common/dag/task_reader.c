/*
 * task_reader.c - default_args and tasks: each task begins as default_args left it.
 */
#include "common/dag/reader.h"
#include "common/dag/scalar.h"
#include "common/dag/template.h"
#include "common/duration.h"
#include "common/limits.h"
#include "common/memory.h"

enum { LEASE_SPARE_MS = 15000 };

void task_settings_init(struct task_settings *settings)
{
    static const uint32_t skip_code = 99;
    *settings = (struct task_settings){
        .queue = slice_of("default"),
        .retry_delay_ms = 5 * 60 * 1000,
        .max_retry_delay_ms = 24 * 60 * 60 * 1000,
        .kill_grace_ms = KILL_GRACE_DEFAULT_MS,
        .lease_ms = LEASE_DEFAULT_MS,
        .log_limit_bytes = 256ull * 1024 * 1024,
        .skip_codes = {&skip_code, 1},
        .priority_weight = 1,
        .trigger_rule = TRIGGER_ALL_SUCCESS,
        .on_lost = ON_LOST_RERUN,
        .max_losses = 3,
    };
}

/* The runner stops a task one grace before its lease ends: a lease without room for that would
 * never start one. */
static void check_lease(struct reader *reader, const struct task_settings *settings)
{
    uint64_t least = 3 * settings->kill_grace_ms + LEASE_SPARE_MS;
    if (settings->lease_ms == 0 || settings->lease_ms >= least)
        return;
    char lease[DURATION_TEXT_MAX];
    char grace[DURATION_TEXT_MAX];
    char wanted[DURATION_TEXT_MAX];
    duration_format(settings->lease_ms, lease);
    duration_format(settings->kill_grace_ms, grace);
    duration_format(least, wanted);
    struct place place =
        settings->lease_place.line != 0 ? settings->lease_place : settings->kill_grace_place;
    report_error(reader->report, place,
        "lease %s is too short for kill_grace %s: it must be at least %s (3 x kill_grace + 15s), "
        "or none",
        lease, grace, wanted);
}

static bool same_place(struct place a, struct place b)
{
    return a.line == b.line && a.column == b.column;
}

/* One key, in one of its two spellings. */
static void note_connections(
    struct reader *reader, const struct node *name, const struct node **first)
{
    if (*first != NULL && !slice_equal((*first)->text, name->text))
        report_error(reader->report, name->place,
            "\"connection\" and \"connections\" are the same key: put all names under one of them");
    *first = name;
}

/* Reads settings from a mapping, and notes where lease and kill_grace were said. */
static void read_settings(struct reader *reader, const struct node *mapping,
    const struct section *section, struct task_settings *settings, void *target)
{
    const struct place lease = settings->lease_place;
    const struct place grace = settings->kill_grace_place;
    const struct node *connections = NULL;
    node_each_pair(mapping, name)
    {
        if (slice_is(name->text, "connection") || slice_is(name->text, "connections"))
            note_connections(reader, name, &connections);
        if (slice_is(name->text, "lease"))
            settings->lease_place = name->next->place;
        else if (slice_is(name->text, "kill_grace"))
            settings->kill_grace_place = name->next->place;
    }
    read_keys(reader, mapping, section, target);
    /* What default_args say wrongly is told once, there. */
    if (!same_place(lease, settings->lease_place) || !same_place(grace, settings->kill_grace_place))
        check_lease(reader, settings);
}

/* Two wishes for the same moment: a second attempt at once, and none by itself. */
static void check_lost(struct reader *reader, const struct node *name, const struct task *task)
{
    const struct task_settings *settings = &task->settings;
    if (settings->idempotent && settings->on_lost != ON_LOST_RERUN)
        report_error(reader->report, name->place,
            "task \"%.*s\" is idempotent, so that it starts again as soon as its worker is silent: "
            "on_lost must be rerun, not %s",
            SLICE_PRINT(name->text), on_lost_name((int)settings->on_lost));
}

void read_default_args(struct reader *reader, const struct node *name)
{
    const struct section section = {.scope = SCOPE_DEFAULTS};
    if (node_is_null(name->next))
        return;
    if (name->next->kind != NODE_MAPPING) {
        report_type(reader, name, "a mapping of task keys");
        return;
    }
    read_settings(reader, name->next, &section, &reader->dag->defaults, &reader->dag->defaults);
}

static void add_need(struct reader *reader, struct task *task, const struct node *node)
{
    struct dag *dag = reader->dag;
    if (node->kind == NODE_BROKEN)
        return;
    if (node->kind != NODE_SCALAR || node_is_null(node)) {
        report_error(reader->report, node->place, "\"needs\" holds names of tasks, not %s",
            node_description(node));
        return;
    }
    if (template_is_dynamic(node->text)) {
        report_error(reader->report, node->place, "templates are not rendered in \"needs\"");
        return;
    }
    vector_reserve(&dag->needs, dag->need_count, &dag->need_capacity);
    dag->needs[dag->need_count++] = (struct need){node, NEED_BROKEN};
    task->need_count++;
}

static void read_needs(struct reader *reader, const struct node *name, struct task *task)
{
    const struct node *value = name->next;
    if (node_is_null(value))
        return;
    if (value->kind == NODE_SCALAR) {
        add_need(reader, task, value);
    } else if (value->kind == NODE_SEQUENCE) {
        node_each_item(value, item) add_need(reader, task, item);
    } else {
        report_type(reader, name, "a task's name or a list of them");
    }
}

static void read_task_key(
    struct reader *reader, const struct key *key, const struct node *name, void *target)
{
    if (key->reader == READER_NEEDS)
        read_needs(reader, name, target);
    else if (key->reader == READER_WITH)
        read_with(reader, name, target);
    else
        read_operator(reader, name, target);
}

static void read_task(struct reader *reader, const struct node *name, struct task *task)
{
    const struct node *value = name->next;
    task->settings = reader->dag->defaults;
    task->settings.env = (struct env_set){0};
    task->name = name->text;
    task->key = name;
    task->strict = true;
    task->first_need = (uint32_t)reader->dag->need_count;
    (void)check_name(reader, name->place, name->text, "task");
    if (value->kind == NODE_MAPPING) {
        const struct section section = {
            .scope = SCOPE_TASK, .task = name->text, .read = read_task_key};
        read_settings(reader, value, &section, &task->settings, task);
        check_lost(reader, name, task);
        finish_operator(reader, task);
    } else if (!node_is_null(value)) {
        report_type(reader, name, "a mapping, as in {bash: …}");
        return;
    }
    if (task->operator_key == NULL && !task->operator_named)
        report_error(reader->report, name->place,
            "task \"%.*s\" has no operator: give it bash, exec, python, postgres, spark, noop or "
            "operator",
            SLICE_PRINT(name->text));
}

void read_tasks(struct reader *reader, const struct node *name)
{
    const struct node *value = name->next;
    struct dag *dag = reader->dag;
    if (value->kind == NODE_SEQUENCE) {
        report_error(reader->report, value->place,
            "\"tasks\" must be a mapping of names to tasks, not a list: write \"NAME:\" for \"- "
            "\"");
        return;
    }
    if (value->kind != NODE_MAPPING && !node_is_null(value)) {
        report_type(reader, name, "a mapping of names to tasks");
        return;
    }
    if (value->count > DAG_TASKS_MAX) {
        report_error(reader->report, name->place, "the DAG is too big: it has more than %d tasks",
            DAG_TASKS_MAX);
        return;
    }
    dag->tasks = xcalloc(value->count, sizeof *dag->tasks);
    node_each_pair(value, task)
    {
        bool users_own = task->text.length >= 2 && memcmp(task->text.ptr, "x-", 2) == 0;
        if (!users_own)
            read_task(reader, task, &dag->tasks[dag->task_count++]);
    }
    if (dag->task_count == 0)
        report_error(reader->report, name->place, "there are no tasks");
}
