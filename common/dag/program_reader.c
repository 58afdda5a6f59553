/*
 * program_reader.c - the options of operator programs: `postgres:` and the like by programs.def,
 * `operator: NAME` with whatever stands under `with`. They become the JSON object that the operator
 * gets, templates and all.
 */
#include "common/dag/json_text.h"
#include "common/dag/programs.h"
#include "common/dag/reader.h"
#include "common/dag/scalar.h"
#include "common/limits.h"

#include <stdio.h>

static bool is_users_own(struct slice name)
{
    return name.length >= 2 && memcmp(name.ptr, "x-", 2) == 0;
}

/* ---- values ---- */

static const char *wanted(enum option_type type)
{
    switch (type) {
    case OPTION_FLAG:
        return "true or false";
    case OPTION_COUNT:
        return "an integer";
    case OPTION_MAP:
    case OPTION_TEXT_MAP:
        return "a mapping";
    case OPTION_LIST:
    case OPTION_TEXTS:
        return "a list";
    default:
        return "text";
    }
}

static bool has_type(const struct node *value, enum option_type type)
{
    bool scalar = value->kind == NODE_SCALAR;
    switch (type) {
    case OPTION_FLAG:
        return scalar && scalar_type(value) == SCALAR_BOOLEAN;
    case OPTION_COUNT:
        return scalar && scalar_type(value) == SCALAR_INTEGER;
    case OPTION_MAP:
    case OPTION_TEXT_MAP:
        return value->kind == NODE_MAPPING;
    case OPTION_LIST:
    case OPTION_TEXTS:
        return value->kind == NODE_SEQUENCE;
    case OPTION_ANY:
        return true;
    default:
        return scalar && !node_is_null(value);
    }
}

static json_t *plain_json(struct reader *reader, const struct node *value, bool text)
{
    struct error error;
    json_t *made = node_to_json(value, text ? "string" : NULL, &error);
    if (made == NULL)
        report_error(reader->report, value->place, "%s", error.text);
    return made;
}

/* A list or a mapping whose scalars are text, whatever they look like. */
static json_t *texts_json(struct reader *reader, const struct node *value)
{
    bool list = value->kind == NODE_SEQUENCE;
    json_t *made = list ? json_array() : json_object();
    for (const struct node *at = list ? value->first : node_first_key(value); at != NULL;
         at = list ? at->next : node_next_key(at)) {
        const struct node *item = list ? at : at->next;
        if (item->kind != NODE_SCALAR || (list && node_is_null(item))) {
            if (item->kind != NODE_BROKEN)
                report_error(reader->report, item->place, "here texts are wanted, not %s",
                    node_description(item));
            continue;
        }
        json_t *text = plain_json(reader, item, true);
        if (list)
            (void)json_array_append_new(made, text);
        else
            (void)json_object_setn_new(made, at->text.ptr, at->text.length, text);
    }
    return made;
}

static json_t *mapping_json(struct reader *reader, const struct program *program,
    const struct node *mapping, const char *path);

/* NULL: it was reported. */
static json_t *option_json(struct reader *reader, const struct program *program,
    const struct program_option *option, const struct node *name)
{
    const struct node *value = name->next;
    if (value->kind == NODE_BROKEN)
        return NULL;
    if (!has_type(value, option->type)) {
        report_type(reader, name, wanted(option->type));
        return NULL;
    }
    switch (option->type) {
    case OPTION_MAP:
        return mapping_json(reader, program, value, option->path);
    case OPTION_TEXTS:
    case OPTION_TEXT_MAP:
        return texts_json(reader, value);
    case OPTION_PATH:
        return check_path(reader, value, option->path) ? plain_json(reader, value, true) : NULL;
    default:
        return plain_json(reader, value, option->type == OPTION_TEXT);
    }
}

/* The pairs of a mapping below an option; those that programs.def does not list are taken as they
 * are. */
static json_t *mapping_json(struct reader *reader, const struct program *program,
    const struct node *mapping, const char *path)
{
    json_t *made = json_object();
    node_each_pair(mapping, name)
    {
        char inner[NAME_MAX_BYTES * 2];
        int length = snprintf(inner, sizeof inner, "%s.%.*s", path, SLICE_PRINT(name->text));
        const struct program_option *option =
            length > 0 && (size_t)length < sizeof inner
                ? program_option_find(program, slice_make(inner, (size_t)length))
                : NULL;
        json_t *value = NULL;
        if (option != NULL)
            value = option_json(reader, program, option, name);
        else if (name->next->kind != NODE_BROKEN)
            value = plain_json(reader, name->next, false);
        if (value != NULL)
            (void)json_object_setn_new(made, name->text.ptr, name->text.length, value);
    }
    return made;
}

/* ---- programs that have a key of their own ---- */

static void report_option(
    struct reader *reader, const struct program *program, const struct node *name)
{
    char near[SUGGESTION_MAX];
    const char *names[PROGRAM_OPTIONS_MAX];
    size_t count = program_options(program, names);
    report_error(reader->report, name->place, "unknown option \"%.*s\" of %s%s",
        SLICE_PRINT(name->text), program->name,
        report_suggestion(reader->report, name->text, names, count, near));
}

static void check_choice(struct reader *reader, const struct program *program,
    const struct node *name, const struct node *mapping)
{
    const struct node *alone = NULL;
    bool has_main = false;
    node_each_pair(mapping, key)
    {
        const struct program_option *option = program_option_find(program, key->text);
        if (option == NULL)
            continue;
        has_main = has_main || (option->flags & OPTION_MAIN) != 0;
        if ((option->flags & OPTION_ALONE) == 0)
            continue;
        if (alone != NULL)
            report_error(reader->report, key->place, "%s has %.*s and %.*s: only one of them runs",
                program->name, SLICE_PRINT(alone->text), SLICE_PRINT(key->text));
        alone = key;
    }
    if (!has_main)
        report_error(reader->report, name->place, "%s needs %s", program->name, program->needs);
}

static json_t *options_json(
    struct reader *reader, const struct program *program, const struct node *mapping)
{
    json_t *made = json_object();
    node_each_pair(mapping, name)
    {
        const struct program_option *option = program_option_find(program, name->text);
        bool nested = memchr(name->text.ptr, '.', name->text.length) != NULL;
        if (is_users_own(name->text))
            continue;
        if (option == NULL || nested) {
            report_option(reader, program, name);
            continue;
        }
        json_t *value = option_json(reader, program, option, name);
        if (value != NULL)
            (void)json_object_setn_new(made, name->text.ptr, name->text.length, value);
    }
    return made;
}

/* Takes the object. */
static void keep_document(
    struct reader *reader, const struct node *name, struct task *task, json_t *object)
{
    struct buffer text = {0};
    if (object == NULL)
        return;
    json_append_compact(object, &text);
    json_decref(object);
    if (text.length > OPERATOR_OPTIONS_MAX_BYTES)
        report_error(reader->report, name->place,
            "the options have more than %d bytes: put what is long into a file beside the DAG",
            OPERATOR_OPTIONS_MAX_BYTES);
    else
        task->document = arena_copy(reader->arena, buffer_slice(&text));
    buffer_fini(&text);
}

static void read_text_of(struct reader *reader, const struct program *program,
    const struct node *name, struct task *task)
{
    const struct node *value = name->next;
    if (value->text.length == 0) {
        report_error(
            reader->report, value->place, "%s is empty: give it %s", program->name, program->needs);
        return;
    }
    json_t *object = json_object();
    (void)json_object_set_new(object, program->text, plain_json(reader, value, true));
    keep_document(reader, name, task, object);
}

void read_program(struct reader *reader, const struct node *name, struct task *task)
{
    const struct program *program = program_find(name->text);
    const struct node *value = name->next;
    task->kind = OPERATOR_PROGRAM;
    task->program = name->text;
    task->options = value;
    if (value->kind == NODE_SCALAR && !node_is_null(value)) {
        read_text_of(reader, program, name, task);
    } else if (value->kind == NODE_MAPPING) {
        check_choice(reader, program, name, value);
        keep_document(reader, name, task, options_json(reader, program, value));
    } else if (value->kind != NODE_BROKEN) {
        char text[200];
        (void)snprintf(text, sizeof text, "text, or a mapping with %s", program->needs);
        report_type(reader, name, text);
    }
    if (slice_is(name->text, "postgres"))
        check_sql(reader, value);
}

/* ---- operator: NAME, with: … ---- */

/* As docs/operators.md has it; it becomes a part of a file's name. */
static bool is_operator_name(struct slice name)
{
    bool sound = name.length > 0 && name.length <= OPERATOR_NAME_MAX_BYTES;
    for (size_t i = 0; sound && i < name.length; i++) {
        char c = name.ptr[i];
        sound = (c >= 'a' && c <= 'z') || (i > 0 && ((c >= '0' && c <= '9') || c == '_'));
    }
    return sound;
}

void read_operator_name(struct reader *reader, const struct node *name, struct task *task)
{
    struct slice text;
    if (!read_text(reader, name, &text))
        return;
    bool own_key = program_find(text) != NULL || slice_is(text, "bash") || slice_is(text, "exec") ||
                   slice_is(text, "noop");
    if (own_key)
        report_error(reader->report, name->next->place,
            "%.*s has a key of its own: write \"%.*s:\" with its options below", SLICE_PRINT(text),
            SLICE_PRINT(text));
    else if (!is_operator_name(text))
        report_error(reader->report, name->next->place,
            "\"%.*s\" cannot be the name of an operator: small letters, digits and \"_\", at most "
            "%d",
            SLICE_PRINT(text), OPERATOR_NAME_MAX_BYTES);
    task->kind = OPERATOR_PROGRAM;
    task->program = text;
}

void read_with(struct reader *reader, const struct node *name, struct task *task)
{
    task->with_key = name;
    if (name->next->kind == NODE_MAPPING)
        task->options = name->next;
    else if (!node_is_null(name->next))
        report_type(reader, name, "a mapping of the operator's options");
}

void finish_operator(struct reader *reader, struct task *task)
{
    bool by_name = task->operator_key != NULL && slice_is(task->operator_key->text, "operator");
    if (task->with_key != NULL && !by_name) {
        report_error(
            reader->report, task->with_key->place, "\"with\" belongs beside \"operator: NAME\"");
        return;
    }
    if (!by_name)
        return;
    json_t *object =
        task->options != NULL ? plain_json(reader, task->options, false) : json_object();
    keep_document(reader, task->operator_key, task, object);
}
