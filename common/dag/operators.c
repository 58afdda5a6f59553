/*
 * operators.c - what a task runs: the values of `bash`, `exec` and `noop`. Those of operator
 * programs: program_reader.c.
 */
#include "common/dag/reader.h"
#include "common/dag/scalar.h"
#include "common/limits.h"

enum { ARGUMENTS_MAX = 100000 };

static bool check_script(struct reader *reader, const struct node *text)
{
    if (text->text.length > ARGUMENT_MAX_BYTES)
        report_error(reader->report, text->place,
            "the script has more than %d bytes; put it in a file: bash: {file: …}",
            ARGUMENT_MAX_BYTES);
    else if (text->text.length == 0)
        report_error(reader->report, text->place,
            "the script is empty; a task that runs nothing "
            "is noop");
    else
        return true;
    return false;
}

/* A list of arguments; each is text. */
static void read_arguments(struct reader *reader, const struct node *name, struct task *task)
{
    const struct node *list = name->next;
    if (list->count > ARGUMENTS_MAX) {
        report_error(
            reader->report, list->place, "there are more than %d arguments", ARGUMENTS_MAX);
        return;
    }
    size_t bytes = 0;
    node_each_item(list, item)
    {
        if (item->kind == NODE_BROKEN)
            return;
        if (item->kind != NODE_SCALAR || node_is_null(item)) {
            report_error(reader->report, item->place, "an argument must be text, not %s",
                node_description(item));
            return;
        }
        bytes += item->text.length + 1;
        if (item->text.length > ARGUMENT_MAX_BYTES || bytes > ARGUMENTS_MAX_BYTES) {
            report_error(reader->report, item->place,
                "an argument has at most %d bytes, all together %d", ARGUMENT_MAX_BYTES,
                ARGUMENTS_MAX_BYTES);
            return;
        }
    }
    task->arguments = list;
}

static void read_bash_script(struct reader *reader, const struct node *name, struct task *task)
{
    struct slice text;
    if (read_text(reader, name, &text) && check_script(reader, name->next))
        task->text = name->next;
}

static void read_bash_option(struct reader *reader, const struct node *name, struct task *task)
{
    static const char *const options[] = {"script", "file", "args", "strict", NULL};
    const struct node *value = name->next;
    if (slice_is(name->text, "script")) {
        read_bash_script(reader, name, task);
    } else if (slice_is(name->text, "file")) {
        if (check_path(reader, value, "file"))
            task->file = value;
    } else if (slice_is(name->text, "args")) {
        if (value->kind == NODE_SEQUENCE)
            read_arguments(reader, name, task);
        else
            report_type(reader, name, "a list of texts");
    } else if (slice_is(name->text, "strict")) {
        if (value->kind == NODE_SCALAR && scalar_type(value) == SCALAR_BOOLEAN)
            task->strict = scalar_is_true(value);
        else
            report_type(reader, name, "true or false");
    } else {
        char near[SUGGESTION_MAX];
        report_error(reader->report, name->place, "unknown option \"%.*s\" of bash%s",
            SLICE_PRINT(name->text),
            report_suggestion(reader->report, name->text, options, 4, near));
    }
}

static void read_bash(struct reader *reader, const struct node *name, struct task *task)
{
    const struct node *value = name->next;
    if (value->kind == NODE_SCALAR) {
        read_bash_script(reader, name, task);
        return;
    }
    if (value->kind != NODE_MAPPING) {
        report_type(reader, name, "the script, or a mapping with script or file");
        return;
    }
    const struct node *script = NULL;
    const struct node *file = NULL;
    node_each_pair(value, option)
    {
        if (slice_is(option->text, "script"))
            script = option;
        else if (slice_is(option->text, "file"))
            file = option;
        if (option->text.length < 2 || memcmp(option->text.ptr, "x-", 2) != 0)
            read_bash_option(reader, option, task);
    }
    if (script == NULL && file == NULL)
        report_error(reader->report, name->place, "bash needs script or file");
    else if (script != NULL && file != NULL)
        report_error(
            reader->report, file->place, "bash has script and file: only one of them runs");
}

static void read_exec(struct reader *reader, const struct node *name, struct task *task)
{
    const struct node *value = name->next;
    if (value->kind == NODE_SCALAR && !node_is_null(value)) {
        report_error(reader->report, value->place,
            "\"exec\" must be a list, as in [./notify, --fast]; for a line of shell write bash:");
        return;
    }
    if (value->kind != NODE_SEQUENCE || value->count == 0) {
        if (value->kind == NODE_SEQUENCE)
            report_error(reader->report, value->place, "\"exec\" needs at least the program");
        else
            report_type(reader, name, "a list, the program and its arguments");
        return;
    }
    if (value->first->kind == NODE_SCALAR && value->first->text.length == 0) {
        report_error(reader->report, value->first->place, "the program's name is empty");
        return;
    }
    read_arguments(reader, name, task);
}

void read_operator(struct reader *reader, const struct node *name, struct task *task)
{
    if (task->operator_key != NULL) {
        report_error(reader->report, name->place,
            "task \"%.*s\" has two operators, \"%.*s\" and \"%.*s\": make two tasks of it",
            SLICE_PRINT(task->name), SLICE_PRINT(task->operator_key->text),
            SLICE_PRINT(name->text));
        return;
    }
    task->operator_key = name;
    if (slice_is(name->text, "bash")) {
        task->kind = OPERATOR_BASH;
        read_bash(reader, name, task);
    } else if (slice_is(name->text, "exec")) {
        task->kind = OPERATOR_EXEC;
        read_exec(reader, name, task);
    } else if (slice_is(name->text, "operator")) {
        read_operator_name(reader, name, task);
    } else if (!slice_is(name->text, "noop")) {
        read_program(reader, name, task);
    } else {
        task->kind = OPERATOR_NOOP;
        if (!node_is_null(name->next))
            report_type(reader, name, "empty");
    }
}
