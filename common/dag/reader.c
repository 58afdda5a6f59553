/*
 * reader.c - the keys at the top of a DAG file, and what to say of a key that may not stand where
 * it stands.
 */
#include "common/dag/reader.h"

#include "common/dag/dates.h"
#include "common/dag/scalar.h"
#include "common/limits.h"

#include <stdio.h>
#include <stdlib.h>

enum { FORMAT_VERSION = 1, WHERE_MAX = 160 };

/* ` in task "load"`, ` in default_args`, or "". */
static const char *where_text(const struct section *section, char text[WHERE_MAX])
{
    text[0] = '\0';
    if (section->scope == SCOPE_TASK)
        (void)snprintf(text, WHERE_MAX, " in task \"%.*s\"",
            section->task.length > NAME_MAX_BYTES ? NAME_MAX_BYTES : (int)section->task.length,
            section->task.ptr);
    else if (section->scope == SCOPE_DEFAULTS)
        (void)snprintf(text, WHERE_MAX, " in default_args");
    return text;
}

/* A mistake for the operator's key stands for the operator: its absence is then no second mistake.
 */
static void note_operator(const struct section *section, const char *word, void *target)
{
    static const char *const operators[] = {
        "bash", "exec", "noop", "python", "postgres", "spark", "operator", NULL};
    if (section->scope != SCOPE_TASK)
        return;
    for (size_t i = 0; operators[i] != NULL; i++) {
        if (strcmp(word, operators[i]) == 0)
            ((struct task *)target)->operator_named = true;
    }
}

/* Where a known word belongs that may not stand here. */
static const char *right_scope(const struct reader *reader, struct slice word)
{
    const struct key *key = keys_find(&reader->keys, SCOPE_DEFAULTS, word);
    if (key != NULL && key->type < KEY_FOREIGN)
        return "belongs in a task, or in default_args";
    key = keys_find(&reader->keys, SCOPE_TASK, word);
    if (key != NULL && key->type < KEY_FOREIGN)
        return "belongs in a task";
    key = keys_find(&reader->keys, SCOPE_DAG, word);
    if (key != NULL && key->type < KEY_FOREIGN)
        return "belongs at the top of the file";
    return NULL;
}

static void report_unknown(
    struct reader *reader, const struct node *name, const struct section *section, void *target)
{
    char where[WHERE_MAX];
    (void)where_text(section, where);
    const char *belongs = right_scope(reader, name->text);
    if (belongs != NULL) {
        report_error(reader->report, name->place, "\"%.*s\" cannot stand%s: it %s",
            SLICE_PRINT(name->text),
            section->scope == SCOPE_DAG ? " at the top of the file" : where, belongs);
        return;
    }
    const char *words[KEYS_MAX];
    size_t count = keys_words(section->scope, words);
    char near[SUGGESTION_MAX];
    (void)report_suggestion(reader->report, name->text, words, count, near);
    char *word = strchr(near, '"');
    if (word != NULL) {
        char *end = strrchr(near, '"');
        const struct key *key = keys_find(
            &reader->keys, section->scope, slice_make(word + 1, (size_t)(end - word - 1)));
        const char *right = key->word;
        if (key->type == KEY_FOREIGN)
            right = key->text;
        note_operator(section, right, target);
        (void)snprintf(near, sizeof near, "; did you mean \"%s\"?", right);
    }
    report_error(reader->report, name->place, "unknown key \"%.*s\"%s%s", SLICE_PRINT(name->text),
        where, near);
}

static void read_key(
    struct reader *reader, const struct node *name, const struct section *section, void *target)
{
    char where[WHERE_MAX];
    const struct key *key = keys_find(&reader->keys, section->scope, name->text);
    if (key == NULL) {
        report_unknown(reader, name, section, target);
        return;
    }
    switch (key->type) {
    case KEY_READER:
        section->read(reader, key, name, target);
        break;
    case KEY_LATER:
        note_operator(section, key->word, target);
        report_error(reader->report, name->place, "\"%s\" is not supported in this version%s",
            key->word, where_text(section, where));
        break;
    case KEY_FOREIGN:
        note_operator(section, key->text, target);
        report_error(reader->report, name->place, "\"%s\" is called \"%s\" here%s", key->word,
            key->text, where_text(section, where));
        break;
    case KEY_ADVICE:
        report_error(reader->report, name->place, "unknown key \"%s\"%s: %s", key->word,
            where_text(section, where), key->text);
        break;
    default:
        field_read(reader, key, name, target);
    }
}

void read_keys(
    struct reader *reader, const struct node *mapping, const struct section *section, void *target)
{
    node_each_pair(mapping, name)
    {
        bool users_own = name->text.length >= 2 && memcmp(name->text.ptr, "x-", 2) == 0;
        if (!users_own)
            read_key(reader, name, section, target);
    }
}

static void read_version(struct reader *reader, const struct node *name)
{
    const struct node *value = name->next;
    int64_t version = 0;
    if (value->kind != NODE_SCALAR || scalar_type(value) != SCALAR_INTEGER)
        report_type(reader, name, "the format's version, 1");
    else if (!scalar_integer(value, &version) || version > FORMAT_VERSION)
        report_error(reader->report, value->place,
            "the file is of format version %.*s; this reeve reads version %d",
            SLICE_PRINT(value->text), FORMAT_VERSION);
    else if (version < 1)
        report_error(reader->report, value->place, "there is no format version %.*s; write 1",
            SLICE_PRINT(value->text));
}

static void read_dag_name(struct reader *reader, const struct node *name)
{
    struct slice text;
    reader->dag_named = true;
    if (read_text(reader, name, &text) && check_name(reader, name->next->place, text, "DAG"))
        reader->dag->name = text;
}

static void read_timezone(struct reader *reader, const struct node *name)
{
    struct slice text;
    struct error error;
    if (!read_text(reader, name, &text))
        return;
    if (dates_check_zone(text, &error) != 0)
        report_error(reader->report, name->next->place, "%s", error.text);
    else
        reader->dag->timezone = text;
}

static void read_dag_key(
    struct reader *reader, const struct key *key, const struct node *name, void *target)
{
    (void)target;
    switch (key->reader) {
    case READER_VERSION:
        read_version(reader, name);
        break;
    case READER_DAG_NAME:
        read_dag_name(reader, name);
        break;
    case READER_TIMEZONE:
        read_timezone(reader, name);
        break;
    case READER_SCHEDULE:
        read_schedule(reader, name);
        break;
    case READER_START_DATE:
        read_start_date(reader, name);
        break;
    case READER_CATCHUP:
        read_catchup(reader, name);
        break;
    case READER_PARAMS:
        read_params(reader, name);
        break;
    case READER_DEFAULT_ARGS:
    case READER_TASKS:
    default:
        /* Read by dag_read itself: tasks begin as default_args left them, wherever those stand. */
        break;
    }
}

static const struct node *find_key(const struct node *mapping, const char *word)
{
    node_each_pair(mapping, name)
    {
        if (slice_is(name->text, word))
            return name;
    }
    return NULL;
}

void dag_read(struct reader *reader, const struct node *root)
{
    struct dag *dag = reader->dag;
    dag->max_active_runs = 16;
    dag->timezone = slice_of("UTC");
    dag->params = json_object();
    task_settings_init(&dag->defaults);
    if (root->kind != NODE_MAPPING) {
        if (root->kind == NODE_SCALAR && node_is_null(root))
            report_error(reader->report, (struct place){0}, "the file is empty");
        else if (root->kind != NODE_BROKEN)
            report_error(reader->report, root->place,
                "a DAG file is a mapping with \"tasks\", not %s", node_description(root));
        return;
    }
    const struct section section = {.scope = SCOPE_DAG, .read = read_dag_key};
    read_keys(reader, root, &section, dag);
    dag->files_given = find_key(root, "files") != NULL;
    const struct node *defaults = find_key(root, "default_args");
    if (defaults != NULL)
        read_default_args(reader, defaults);
    const struct node *tasks = find_key(root, "tasks");
    if (tasks != NULL)
        read_tasks(reader, tasks);
    else
        report_error(reader->report, root->place, "a DAG file needs \"tasks\"");
    check_schedule(reader, root);
}

void dag_model_fini(struct dag *dag)
{
    json_decref(dag->params);
    free(dag->tasks);
    free(dag->needs);
    *dag = (struct dag){0};
}
