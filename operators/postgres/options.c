#include "operators/postgres/options.h"

#include "common/duration.h"
#include "common/file.h"
#include "common/memory.h"
#include "common/sql.h"
#include "operators/common/operator.h"

#include <stdlib.h>

enum { LOG_ROWS_DEFAULT = 20 };

static int read_duration(const json_t *with, const char *key, uint64_t *ret_ms, struct error *error)
{
    const char *text = NULL;
    int rc = option_text(with, key, &text, error);
    if (rc != 0 || text == NULL)
        return rc;
    rc = duration_parse(slice_of(text), ret_ms, error);
    if (rc != 0)
        (void)error_prefix(error, "\"%s\"", key);
    return rc;
}

static int read_retry(const json_t *with, enum retry_choice *ret_retry, struct error *error)
{
    static const char *const words[] = {"auto", "always", "never"};
    const char *text = words[RETRY_AUTO];
    int rc = option_text(with, "retry", &text, error);
    if (rc != 0)
        return rc;
    for (enum retry_choice i = RETRY_AUTO; i <= RETRY_NEVER; i++) {
        if (strcmp(text, words[i]) == 0) {
            *ret_retry = i;
            return 0;
        }
    }
    return error_set(error, ERR_INVALID, "\"retry\" must be auto, always or never");
}

static int read_parameters(const json_t *with, struct parameters *ret, struct error *error)
{
    const json_t *given = NULL;
    int rc = option_object(with, "parameters", &given, error);
    if (rc != 0 || given == NULL)
        return rc;
    size_t count = json_object_size(given);
    if (count > PARAMETERS_MAX)
        return error_set(error, ERR_TOO_BIG, "more than %d parameters", PARAMETERS_MAX);
    ret->names = xcalloc(count + 1, sizeof *ret->names);
    ret->values = xcalloc(count + 1, sizeof *ret->values);
    ret->used = xcalloc(count + 1, sizeof *ret->used);
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)given, name, value)
    {
        if (!sql_is_name(slice_of(name)))
            return error_set(error, ERR_INVALID,
                "\"%.100s\" cannot be a parameter's name: letters, digits and _, not a digit first",
                name);
        ret->names[ret->count] = slice_of(name);
        ret->values[ret->count++] = value;
    }
    return 0;
}

static int check_columns(const json_t *columns, const char *key, struct error *error)
{
    size_t index;
    json_t *column;
    json_array_foreach((json_t *)(uintptr_t)columns, index, column)
    {
        if (!json_is_string(column))
            return error_set(error, ERR_INVALID, "\"%s\": a column is its name, a text", key);
    }
    return 0;
}

static int check_copy(const char *key, const struct copy_options *copy, struct error *error)
{
    bool to = strcmp(key, "copy_to") == 0;
    if (copy->file == NULL || copy->file[0] == '\0')
        return error_set(error, ERR_INVALID, "\"%s\" needs file", key);
    if (to && (copy->table == NULL) == (copy->query == NULL))
        return error_set(error, ERR_INVALID, "\"%s\" needs table or query, one of them", key);
    if (!to && copy->table == NULL)
        return error_set(error, ERR_INVALID, "\"%s\" needs table", key);
    if (copy->query != NULL && copy->columns != NULL)
        return error_set(error, ERR_INVALID, "\"%s\": columns belong to a table, not a query", key);
    bool binary = strcmp(copy->format, "binary") == 0;
    if (!binary && strcmp(copy->format, "csv") != 0 && strcmp(copy->format, "text") != 0)
        return error_set(error, ERR_INVALID, "\"%s\": format must be csv, text or binary", key);
    if (binary && (copy->header || copy->null != NULL || copy->delimiter != NULL))
        return error_set(
            error, ERR_INVALID, "\"%s\": format binary has no header, null or delimiter", key);
    return check_columns(copy->columns, key, error);
}

static int read_copy_texts(const json_t *given, struct copy_options *copy, struct error *error)
{
    const struct {
        const char *key;
        const char **value;
    } texts[] = {
        {"file", &copy->file},
        {"table", &copy->table},
        {"query", &copy->query},
        {"format", &copy->format},
        {"null", &copy->null},
        {"delimiter", &copy->delimiter},
    };
    int rc = 0;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0] && rc == 0; i++)
        rc = option_text(given, texts[i].key, texts[i].value, error);
    if (rc == 0)
        rc = option_array(given, "columns", &copy->columns, error);
    copy->header = strcmp(copy->format, "csv") == 0;
    return rc == 0 ? option_bool(given, "header", &copy->header, error) : rc;
}

static int read_copy(
    const json_t *with, const char *key, struct copy_options *ret_copy, struct error *error)
{
    static const char *const from_keys[] = {
        "file", "table", "columns", "format", "header", "null", "delimiter", NULL};
    static const char *const to_keys[] = {
        "file", "table", "columns", "format", "header", "null", "delimiter", "query", NULL};
    const json_t *given = NULL;
    int rc = option_object(with, key, &given, error);
    if (rc != 0 || given == NULL)
        return rc;
    struct copy_options copy = {.format = "csv"};
    rc = option_check(given, strcmp(key, "copy_to") == 0 ? to_keys : from_keys, error);
    if (rc == 0)
        rc = read_copy_texts(given, &copy, error);
    if (rc != 0)
        return error_prefix(error, "\"%s\"", key);
    rc = check_copy(key, &copy, error);
    if (rc != 0)
        return rc;
    if (copy.null == NULL && strcmp(copy.format, "csv") == 0)
        copy.null = "";
    *ret_copy = copy;
    return 0;
}

static int read_sql(const json_t *with, struct postgres_options *options, struct error *error)
{
    const char *sql = NULL;
    const char *file = NULL;
    int rc = option_text(with, "sql", &sql, error);
    if (rc == 0)
        rc = option_text(with, "file", &file, error);
    if (rc != 0)
        return rc;
    if (sql != NULL && file != NULL)
        return error_set(error, ERR_INVALID, "sql and file: only one of them runs");
    options->sql_name = file != NULL ? file : "sql";
    options->sql = slice_of(sql);
    if (file == NULL)
        return 0;
    rc = file_read(file, SQL_MAX_BYTES, &options->sql_file, error);
    if (rc != 0)
        return error_prefix(error, "\"file\"");
    options->sql = buffer_slice(&options->sql_file);
    /* As psql does: a mark at a file's beginning is no SQL. */
    if (options->sql.length >= 3 && memcmp(options->sql.ptr, "\xEF\xBB\xBF", 3) == 0)
        options->sql = slice_make(options->sql.ptr + 3, options->sql.length - 3);
    if (options->sql.length > 0 && memchr(options->sql.ptr, '\0', options->sql.length) != NULL)
        return error_set(error, ERR_INVALID, "%s has a NUL in it: it is no SQL in UTF-8", file);
    return 0;
}

static int check_together(const struct postgres_options *options, struct error *error)
{
    if (options->sql.length == 0 && options->copy_from.file == NULL &&
        options->copy_to.file == NULL)
        return error_set(
            error, ERR_INVALID, "nothing to do: give it sql, file, copy_from or copy_to");
    if (options->once && options->autocommit)
        return error_set(
            error, ERR_INVALID, "once needs one transaction: it does not go with autocommit");
    if (options->once && options->copy_to.file != NULL)
        return error_set(error, ERR_INVALID,
            "once is for what is written into the database: copy_to writes a file, which an "
            "earlier attempt took with it");
    if (options->log_rows < 0 || options->log_rows > LOG_ROWS_MAX)
        return error_set(error, ERR_INVALID, "\"log_rows\" is from 0 to %d", LOG_ROWS_MAX);
    return 0;
}

static int read_all(const json_t *with, struct postgres_options *options, struct error *error)
{
    static const char *const keys[] = {"sql", "file", "parameters", "autocommit", "once",
        "statement_timeout", "lock_timeout", "log_rows", "retry", "copy_from", "copy_to", NULL};
    int rc = option_check(with, keys, error);
    if (rc == 0)
        rc = read_sql(with, options, error);
    if (rc == 0)
        rc = read_parameters(with, &options->parameters, error);
    if (rc == 0)
        rc = option_bool(with, "autocommit", &options->autocommit, error);
    if (rc == 0)
        rc = option_bool(with, "once", &options->once, error);
    if (rc == 0)
        rc = read_duration(with, "statement_timeout", &options->statement_timeout_ms, error);
    if (rc == 0)
        rc = read_duration(with, "lock_timeout", &options->lock_timeout_ms, error);
    if (rc == 0)
        rc = option_integer(with, "log_rows", &options->log_rows, error);
    if (rc == 0)
        rc = read_retry(with, &options->retry, error);
    if (rc == 0)
        rc = read_copy(with, "copy_from", &options->copy_from, error);
    if (rc == 0)
        rc = read_copy(with, "copy_to", &options->copy_to, error);
    return rc == 0 ? check_together(options, error) : rc;
}

/* Every statement of a text: what is wrong in it, and which parameters it uses. */
static int check_text(
    struct slice text, const char *name, struct postgres_options *options, struct failure *failure)
{
    const struct parameters *parameters = &options->parameters;
    struct sql_scan scan = {
        .text = text, .names = parameters->names, .name_count = parameters->count};
    int rc = sql_check(&scan, !options->autocommit, parameters->used, &failure->error);
    if (rc == 0)
        return 0;
    struct sql_place place = sql_place_of(text, scan.at);
    (void)error_prefix(&failure->error, "%s:%u:%u", name, place.line, place.column);
    failure_point(&failure->report, place.text, place.column);
    return rc;
}

static int check_used(const struct parameters *parameters, struct error *error)
{
    for (size_t i = 0; i < parameters->count; i++) {
        if (!parameters->used[i])
            return sql_report_unused(parameters->names[i], error);
    }
    return 0;
}

int options_read(const json_t *with, struct postgres_options *ret_options, struct failure *failure)
{
    *ret_options = (struct postgres_options){.log_rows = LOG_ROWS_DEFAULT};
    failure->retry = false;
    int rc = read_all(with, ret_options, &failure->error);
    if (rc == 0)
        rc = check_text(ret_options->sql, ret_options->sql_name, ret_options, failure);
    if (rc == 0)
        rc =
            check_text(slice_of(ret_options->copy_to.query), "copy_to.query", ret_options, failure);
    return rc == 0 ? check_used(&ret_options->parameters, &failure->error) : rc;
}

void options_fini(struct postgres_options *options)
{
    buffer_fini(&options->sql_file);
    free(options->parameters.names);
    free(options->parameters.values);
    free(options->parameters.used);
    *options = (struct postgres_options){0};
}
