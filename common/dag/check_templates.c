#include "common/dag/checks.h"
#include "common/dag/programs.h"
#include "common/dag/schema.h"
#include "common/dag/template.h"
#include "common/dag/template_parse.h"
#include "common/limits.h"
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

/* The place of a piece of the text that is being checked. */
static struct place piece_place(const struct checker *checker, struct slice piece)
{
    return node_place_of(checker->node, piece, checker->report);
}

static void check_param(
    struct checker *checker, const struct expression *expression, struct slice piece)
{
    json_t *params = checker->dag->params;
    struct slice name = expression->name;
    const json_t *schema = json_object_getn(params, name.ptr, name.length);
    if (schema != NULL) {
        const char *type = schema_type(schema);
        if (expression->step_count > 0 && json_object_size(schema) > 0 &&
            strcmp(type, "object") != 0 && strcmp(type, "array") != 0)
            report_error(checker->report, piece_place(checker, piece),
                "params.%.*s is a %s: there is nothing in it", SLICE_PRINT(name), type);
        return;
    }
    const char **names = xcalloc(json_object_size(params) + 1, sizeof *names);
    size_t count = 0;
    const char *declared;
    json_t *value;
    json_object_foreach(params, declared, value) names[count++] = declared;
    char near[SUGGESTION_MAX];
    report_error(checker->report, piece_place(checker, piece),
        "\"%.*s\" is not declared under params%s", SLICE_PRINT(name),
        report_suggestion(checker->report, name, names, count, near));
    free(names);
}

/* outputs.TASK and artifacts.TASK: the task must be there, above, and leave what is used. */
static void check_upstream(
    struct checker *checker, const struct expression *expression, struct slice piece)
{
    struct slice name = expression->name;
    bool artifacts = expression->kind == EXPRESSION_ARTIFACT;
    uint32_t found = graph_find(checker->graph, name);
    char near[SUGGESTION_MAX];
    if (found == NEED_BROKEN) {
        report_error(checker->report, piece_place(checker, piece), "%.*s: \"%.*s\" is no task%s",
            SLICE_PRINT(expression->path), SLICE_PRINT(name),
            graph_suggestion(checker->dag, checker->report, name, near));
        return;
    }
    const struct task *source = &checker->dag->tasks[found];
    if (checker->task == NULL) {
        report_error(checker->report, piece_place(checker, piece),
            "%.*s in an env that every task gets, also \"%.*s\" itself: put it under the env of "
            "the "
            "tasks below",
            SLICE_PRINT(expression->path), SLICE_PRINT(name));
        return;
    }
    if (artifacts && source->settings.artifacts.count == 0)
        report_error(checker->report, piece_place(checker, piece),
            "task \"%.*s\" leaves no artifacts: name them under its "
            "\"artifacts\"",
            SLICE_PRINT(name));
    upstream_add(&checker->uses,
        (struct upstream_use){source->rank, checker->task->rank, checker->node, piece, artifacts});
}

static void report_in_program(
    struct checker *checker, const struct expression *root, struct slice piece)
{
    struct place place = piece_place(checker, piece);
    struct slice program = checker->task->program;
    if (slice_is(program, "postgres"))
        report_error(checker->report, place,
            "%.*s cannot stand in SQL: put it under parameters, as in parameters: {value: \"{{ "
            "%.*s }}\"}, and write :value instead",
            SLICE_PRINT(root->path), SLICE_PRINT(root->path));
    else
        report_error(checker->report, place,
            "%.*s cannot stand in %.*s text: put it under env, as in env: {VALUE: \"{{ %.*s }}\"}, "
            "and read that",
            SLICE_PRINT(root->path), SLICE_PRINT(program), SLICE_PRINT(root->path));
}

/* Values of a person or a task in a text that something runs: refused, with the way that is safe.
 */
static void report_interpreted(
    struct checker *checker, const struct expression *root, struct slice piece)
{
    struct place place = piece_place(checker, piece);
    if (checker->task->kind == OPERATOR_PROGRAM) {
        report_in_program(checker, root, piece);
        return;
    }
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
    struct checker *checker, const struct expression *expression, struct slice piece)
{
    const struct expression *root = expression_root(expression);
    switch (root->kind) {
    case EXPRESSION_VALUE:
        if (checker->dag->scheduled && slice_is(root->name, "data_interval_start"))
            report_error(checker->report, piece_place(checker, piece),
                "data_interval_start is not supported in this "
                "version for a DAG with a schedule");
        return;
    case EXPRESSION_PARAM:
        check_param(checker, root, piece);
        break;
    case EXPRESSION_OUTPUT:
    case EXPRESSION_ARTIFACT:
        check_upstream(checker, root, piece);
        break;
    default:
        return;
    }
    if (checker->use == TEXT_INTERPRETED)
        report_interpreted(checker, root, piece);
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
            check_expression(checker, piece.expression, piece.raw);
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

/* A program that runs text from its arguments. */
struct interpreter {
    const char *program;
    char option;        /* stands before that text */
    const char *valued; /* options that take a value; NULL: no argument of it is a script, whatever
                           stands there */
};

static const struct interpreter *find_interpreter(struct slice argument)
{
    static const struct interpreter interpreters[] = {{"sh", 'c', "oO"}, {"bash", 'c', "oO"},
        {"dash", 'c', "oO"}, {"zsh", 'c', "oO"}, {"ksh", 'c', "oO"}, {"ash", 'c', "oO"},
        {"fish", 'c', "C"}, {"python", 'c', "WX"}, {"python3", 'c', "WX"}, {"perl", 'e', "I"},
        {"ruby", 'e', "Ir"}, {"node", 'e', "r"}, {"php", 'r', "dc"}, {"psql", 'c', NULL},
        {"su", 'c', NULL}};
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

/* Whether the argument after this option may be its value: "-o pipefail", "+o posix", "--rcfile F".
 */
static bool takes_value(const struct interpreter *interpreter, struct slice option)
{
    if (option.length > 1 && option.ptr[1] == '-')
        return true;
    for (const char *letter = interpreter->valued; letter != NULL && *letter != '\0'; letter++) {
        if (memchr(option.ptr, *letter, option.length) != NULL)
            return true;
    }
    return false;
}

/* How far the arguments of an argv have been understood. */
struct argument_walk {
    const struct interpreter *interpreter; /* the one whose options are being read, or NULL */
    bool text_follows; /* its option was seen: the next argument is its program */
    bool value_follows;
};

/*
 * The next of exec's arguments. After a shell's -c the next one that is no option is its program,
 * wherever in the list the shell stands (env bash -c …, timeout 5 sh -c …); with the text stuck to
 * the option (-cTEXT) the option is it too. After a script's name all is the script's own (python3
 * load.py -c FILE).
 */
static enum text_use next_argument(struct argument_walk *walk, struct slice argument)
{
    const struct interpreter *interpreter = walk->interpreter;
    bool is_option = argument.length > 0 && (argument.ptr[0] == '-' || argument.ptr[0] == '+');
    if (interpreter == NULL) {
        walk->interpreter = find_interpreter(argument);
        return TEXT_VALUE;
    }
    if (has_option(argument, interpreter->option)) {
        walk->text_follows = true;
        return TEXT_INTERPRETED;
    }
    if (is_option) {
        walk->value_follows = takes_value(interpreter, argument);
        return TEXT_VALUE;
    }
    enum text_use use = walk->text_follows ? TEXT_INTERPRETED : TEXT_VALUE;
    bool goes_on = walk->value_follows || interpreter->valued == NULL;
    if (walk->text_follows || !goes_on)
        *walk = (struct argument_walk){0};
    walk->value_follows = false;
    return use;
}

static void check_arguments(struct checker *checker, const struct node *arguments)
{
    struct argument_walk walk = {0};
    node_each_item(arguments, item) check_text(checker, item, next_argument(&walk, item->text));
}

/* ---- the options of operator programs ---- */

static void check_option(struct checker *checker, const struct node *value, enum option_use use)
{
    if (value->kind != NODE_SCALAR)
        return;
    if (use != USE_PLAIN)
        check_text(checker, value, use == USE_TEXT ? TEXT_INTERPRETED : TEXT_VALUE);
    else if (template_is_dynamic(value->text))
        report_error(checker->report, value->place, "templates are not rendered here");
}

/* Recursion is bounded by YAML_DEPTH_MAX. */
static void check_options(struct checker *checker, const struct program *program,
    const struct node *value, const char *path, enum option_use use)
{
    check_option(checker, value, use);
    if (value->kind == NODE_SEQUENCE) {
        node_each_item(value, item) check_options(checker, program, item, path, use);
        return;
    }
    node_each_pair(value, name)
    {
        char inner[NAME_MAX_BYTES * 2];
        (void)snprintf(inner, sizeof inner, "%s%s%.*s", path, path[0] != '\0' ? "." : "",
            SLICE_PRINT(name->text));
        const struct program_option *option =
            program != NULL ? program_option_find(program, slice_of(inner)) : NULL;
        check_options(checker, program, name->next, inner, option != NULL ? option->use : use);
    }
}

static void check_program(struct checker *checker, const struct task *task)
{
    const struct program *program = program_find(task->program);
    const struct node *options = task->options;
    if (options == NULL)
        return;
    if (options->kind == NODE_SCALAR && program != NULL)
        check_option(checker, options, program_option_find(program, slice_of(program->text))->use);
    else if (options->kind == NODE_MAPPING)
        check_options(checker, program, options, "", USE_VALUE);
}

static void check_task(struct checker *checker, const struct task *task)
{
    checker->task = task;
    check_env(checker, &task->settings.env);
    if (task->text != NULL)
        check_text(checker, task->text, TEXT_INTERPRETED);
    if (task->kind == OPERATOR_PROGRAM)
        check_program(checker, task);
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
