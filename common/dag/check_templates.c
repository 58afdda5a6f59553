#include "common/dag/checks.h"
#include "common/dag/schema.h"
#include "common/dag/template.h"
#include "common/dag/template_parse.h"
#include "common/memory.h"

#include <stdio.h>
#include <stdlib.h>

/* What becomes of a rendered text. */
enum text_use {
    TEXT_VALUE,      /* an environment value or an argument: whatever it holds, it stays one */
    TEXT_INTERPRETED /* a program: only reeve's own values may enter it */
};

struct checker {
    const struct dag *dag;
    const struct graph *graph;
    struct report *report;
    struct arena arena;
    struct upstream_uses uses;
    const struct task *task; /* NULL: the env that all tasks share */
    const struct node *node; /* the text that is being checked */
    enum text_use use;
};

/*
 * Where a piece of a scalar stands in the file. The scalar's text is not the file's (quotes,
 * escapes, folded lines), but a template nearly always stands there as it is: the n-th same one in
 * the scalar is the n-th in the file.
 */
static struct place piece_place(struct checker *checker, struct slice piece)
{
    struct slice text = checker->node->text;
    struct report *report = checker->report;
    size_t start = report_offset(report, checker->node->place);
    size_t end = report_offset(report, checker->node->end);
    const char *seen = text.ptr;
    size_t at = start;
    while (at < end) {
        const char *found = memmem(report->text.ptr + at, end - at, piece.ptr, piece.length);
        if (found == NULL)
            break;
        seen = memmem(seen, (size_t)(text.ptr + text.length - seen), piece.ptr, piece.length);
        if (seen == piece.ptr)
            return report_place(report, (size_t)(found - report->text.ptr));
        seen += piece.length;
        at = (size_t)(found - report->text.ptr) + piece.length;
    }
    return checker->node->place;
}

static void check_param(
    struct checker *checker, const struct expression *expression, struct place place)
{
    json_t *params = checker->dag->params;
    struct slice name = expression->name;
    const json_t *schema = json_object_getn(params, name.ptr, name.length);
    if (schema != NULL) {
        const char *type = schema_type(schema);
        if (expression->step_count > 0 && json_object_size(schema) > 0 &&
            strcmp(type, "object") != 0 && strcmp(type, "array") != 0)
            report_error(checker->report, place, "params.%.*s is a %s: there is nothing in it",
                SLICE_PRINT(name), type);
        return;
    }
    const char **names = xcalloc(json_object_size(params) + 1, sizeof *names);
    size_t count = 0;
    const char *declared;
    json_t *value;
    json_object_foreach(params, declared, value) names[count++] = declared;
    char near[SUGGESTION_MAX];
    report_error(checker->report, place, "\"%.*s\" is not declared under params%s",
        SLICE_PRINT(name), report_suggestion(checker->report, name, names, count, near));
    free(names);
}

/* outputs.TASK and artifacts.TASK: the task must be there, above, and leave what is used. */
static void check_upstream(
    struct checker *checker, const struct expression *expression, struct place place)
{
    struct slice name = expression->name;
    bool artifacts = expression->kind == EXPRESSION_ARTIFACT;
    uint32_t found = graph_find(checker->graph, name);
    char near[SUGGESTION_MAX];
    if (found == NEED_BROKEN) {
        report_error(checker->report, place, "%.*s: \"%.*s\" is no task%s",
            SLICE_PRINT(expression->path), SLICE_PRINT(name),
            graph_suggestion(checker->dag, checker->report, name, near));
        return;
    }
    const struct task *source = &checker->dag->tasks[found];
    if (checker->task == NULL) {
        report_error(checker->report, place,
            "%.*s in an env that every task gets, also \"%.*s\" itself: put it under the env of "
            "the "
            "tasks below",
            SLICE_PRINT(expression->path), SLICE_PRINT(name));
        return;
    }
    if (artifacts && source->settings.artifacts.count == 0)
        report_error(checker->report, place,
            "task \"%.*s\" leaves no artifacts: name them under its "
            "\"artifacts\"",
            SLICE_PRINT(name));
    upstream_add(
        &checker->uses, (struct upstream_use){source->rank, checker->task->rank, place, artifacts});
}

/* Values of a person or a task in a text that something runs: refused, with the way that is safe.
 */
static void report_interpreted(
    struct checker *checker, const struct expression *root, struct place place)
{
    const char *where =
        checker->task->kind == OPERATOR_BASH ? "bash text" : "text that a shell runs";
    if (root->kind == EXPRESSION_PARAM)
        report_error(checker->report, place,
            "%.*s cannot stand in %s: write \"$REEVE_PARAM_%.*s\" instead", SLICE_PRINT(root->path),
            where, SLICE_PRINT(root->name));
    else if (root->kind == EXPRESSION_ARTIFACT)
        report_error(checker->report, place,
            "%.*s cannot stand in %s: write \"$REEVE_ARTIFACTS/%.*s\" instead",
            SLICE_PRINT(root->path), where, SLICE_PRINT(root->name));
    else
        report_error(checker->report, place,
            "%.*s cannot stand in %s: put it under env, as in env: {VALUE: \"{{ %.*s }}\"}, and "
            "write \"$VALUE\" instead",
            SLICE_PRINT(root->path), where, SLICE_PRINT(root->path));
}

static void check_expression(
    struct checker *checker, const struct expression *expression, struct place place)
{
    const struct expression *root = expression_root(expression);
    switch (root->kind) {
    case EXPRESSION_VALUE:
        if (checker->dag->scheduled && slice_is(root->name, "data_interval_start"))
            report_error(checker->report, place,
                "data_interval_start is not supported in this "
                "version for a DAG with a schedule");
        return;
    case EXPRESSION_PARAM:
        check_param(checker, root, place);
        break;
    case EXPRESSION_OUTPUT:
    case EXPRESSION_ARTIFACT:
        check_upstream(checker, root, place);
        break;
    default:
        return;
    }
    if (checker->use == TEXT_INTERPRETED)
        report_interpreted(checker, root, place);
}

/* Statements look like templates and are none: better said here than found in a log. */
static void check_statement(struct checker *checker, struct slice raw)
{
    const char *open = raw.length > 0 ? memmem(raw.ptr, raw.length, "{%", 2) : NULL;
    if (open == NULL)
        return;
    size_t left = (size_t)(raw.ptr + raw.length - open);
    if (memmem(open, left, "%}", 2) != NULL)
        report_error(checker->report, piece_place(checker, slice_make(open, 2)),
            "\"{%% … %%}\" is not supported, templates are values only; to print it write {{ '{%%' "
            "}}");
}

static void check_text(struct checker *checker, const struct node *node, enum text_use use)
{
    checker->node = node;
    checker->use = use;
    struct template_reader reader = {.text = node->text, .arena = &checker->arena};
    if (!template_is_dynamic(node->text)) {
        check_statement(checker, node->text);
        return;
    }
    struct template_piece piece;
    struct error error;
    int more;
    while ((more = template_next(&reader, &piece, &error)) != 0) {
        if (more < 0)
            report_error(checker->report, piece_place(checker, piece.raw), "%s", error.text);
        else if (piece.expression == NULL)
            check_statement(checker, piece.raw);
        else
            check_expression(checker, piece.expression, piece_place(checker, piece.raw));
    }
    arena_reset(&checker->arena);
}

static void check_env(struct checker *checker, const struct env_set *env)
{
    for (uint32_t i = 0; i < env->count; i++) {
        if (env->entries[i].value != NULL)
            check_text(checker, env->entries[i].value, TEXT_VALUE);
    }
}

/* A program that runs text from its arguments, and the letter of the option before that text. */
struct interpreter {
    const char *program;
    char option;
};

static const struct interpreter *find_interpreter(struct slice argument)
{
    static const struct interpreter interpreters[] = {{"sh", 'c'}, {"bash", 'c'}, {"dash", 'c'},
        {"zsh", 'c'}, {"ksh", 'c'}, {"ash", 'c'}, {"fish", 'c'}, {"su", 'c'}, {"python", 'c'},
        {"python3", 'c'}, {"psql", 'c'}, {"perl", 'e'}, {"ruby", 'e'}, {"node", 'e'}, {"php", 'r'}};
    const char *slash = memrchr(argument.ptr, '/', argument.length);
    if (slash != NULL)
        argument = slice_make(slash + 1, argument.length - (size_t)(slash + 1 - argument.ptr));
    for (size_t i = 0; i < sizeof interpreters / sizeof interpreters[0]; i++) {
        if (slice_is(argument, interpreters[i].program))
            return &interpreters[i];
    }
    return NULL;
}

/* -c, -lc, -ec: one dash, letters, and the option among them. */
static bool has_option(struct slice argument, char option)
{
    return argument.length > 1 && argument.ptr[0] == '-' && argument.ptr[1] != '-' &&
           memchr(argument.ptr, option, argument.length) != NULL;
}

/*
 * exec's argv. After a shell's -c the next argument that is no option is its program, wherever in
 * the list the shell stands (env bash -c …, timeout 5 sh -c …); with the text stuck to the option
 * (-cTEXT) the option is it too.
 */
static void check_arguments(struct checker *checker, const struct node *arguments)
{
    const struct interpreter *interpreter = NULL;
    bool text_follows = false;
    node_each_item(arguments, item)
    {
        bool is_option = item->text.length > 0 && item->text.ptr[0] == '-';
        enum text_use use = TEXT_VALUE;
        if (interpreter != NULL && has_option(item->text, interpreter->option)) {
            text_follows = true;
            use = TEXT_INTERPRETED;
        } else if (text_follows && !is_option) {
            text_follows = false;
            interpreter = NULL;
            use = TEXT_INTERPRETED;
        } else if (interpreter == NULL) {
            interpreter = find_interpreter(item->text);
        }
        check_text(checker, item, use);
    }
}

static void check_task(struct checker *checker, const struct task *task)
{
    checker->task = task;
    check_env(checker, &task->settings.env);
    if (task->text != NULL)
        check_text(checker, task->text, TEXT_INTERPRETED);
    if (task->arguments == NULL)
        return;
    if (task->kind == OPERATOR_EXEC) {
        check_arguments(checker, task->arguments);
        return;
    }
    node_each_item(task->arguments, item) check_text(checker, item, TEXT_VALUE);
}

void check_templates(struct dag *dag, const struct graph *graph, struct report *report)
{
    struct checker checker = {.dag = dag, .graph = graph, .report = report};
    check_env(&checker, &dag->env);
    check_env(&checker, &dag->defaults.env);
    for (uint32_t i = 0; i < dag->task_count; i++)
        check_task(&checker, &dag->tasks[i]);
    upstream_check(&checker.uses, dag, graph, report);
    upstream_fini(&checker.uses);
    arena_fini(&checker.arena);
}
