/*
 * sql_reader.c - SQL that stands in a DAG file: what the operator would refuse is told here, before
 * anything runs. What lies in files is the operator's to read.
 */
#include "common/dag/reader.h"
#include "common/dag/scalar.h"
#include "common/sql.h"

struct sql_options {
    const struct node *sql, *file, *query, *parameters;
    bool autocommit;
    struct slice *names;
    bool *used;
    size_t count;
};

static const struct node *value_of(const struct node *mapping, const char *word)
{
    if (mapping == NULL || mapping->kind != NODE_MAPPING)
        return NULL;
    node_each_pair(mapping, name)
    {
        if (slice_is(name->text, word))
            return name->next;
    }
    return NULL;
}

static void take_names(struct reader *reader, struct sql_options *options)
{
    const struct node *given = options->parameters;
    if (given == NULL || given->kind != NODE_MAPPING)
        return;
    size_t count = 0;
    node_each_pair(given, each)
    {
        (void)each;
        count++;
    }
    options->names = arena_alloc(reader->arena, (count + 1) * sizeof *options->names);
    options->used = arena_alloc(reader->arena, (count + 1) * sizeof *options->used);
    node_each_pair(given, name)
    {
        options->names[options->count++] = name->text;
        if (!sql_is_name(name->text))
            report_error(reader->report, name->place,
                "\"%.*s\" cannot be a parameter's name: letters, digits and _, not a digit first",
                SLICE_PRINT(name->text));
    }
}

static void check_one(
    struct reader *reader, const struct sql_options *options, const struct node *text)
{
    struct error error;
    if (text == NULL || text->kind != NODE_SCALAR)
        return;
    struct sql_scan scan = {
        .text = text->text, .names = options->names, .name_count = options->count};
    if (sql_check(&scan, !options->autocommit, options->used, &error) == 0)
        return;
    struct sql_place place = sql_place_of(text->text, scan.at);
    report_error(reader->report, text->place, "line %u of the SQL, column %u: %s", place.line,
        place.column, error.text);
}

static void check_used(struct reader *reader, const struct sql_options *options)
{
    struct error error;
    size_t index = 0;
    if (options->count == 0)
        return;
    node_each_pair(options->parameters, name)
    {
        if (!options->used[index++] && sql_is_name(name->text)) {
            (void)sql_report_unused(name->text, &error);
            report_error(reader->report, name->place, "%s", error.text);
        }
    }
}

void check_sql(struct reader *reader, const struct node *value)
{
    struct sql_options options = {.sql = value};
    if (value->kind == NODE_MAPPING) {
        const struct node *autocommit = value_of(value, "autocommit");
        options.sql = value_of(value, "sql");
        options.file = value_of(value, "file");
        options.query = value_of(value_of(value, "copy_to"), "query");
        options.parameters = value_of(value, "parameters");
        options.autocommit = autocommit != NULL && autocommit->kind == NODE_SCALAR &&
                             scalar_type(autocommit) == SCALAR_BOOLEAN &&
                             scalar_is_true(autocommit);
    }
    take_names(reader, &options);
    check_one(reader, &options, options.sql);
    check_one(reader, &options, options.query);
    if (options.file == NULL)
        check_used(reader, &options);
}
