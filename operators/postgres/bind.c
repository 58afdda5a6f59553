#include "operators/postgres/bind.h"

#include "common/memory.h"

#include <stdlib.h>

/* From a byte of what is sent on, where it comes from; inside a replaced token always its
 * beginning. */
struct bind_step {
    size_t sent, source;
    bool replaced;
};

static void step(struct sent *sent, size_t source, bool replaced)
{
    vector_reserve(&sent->steps, sent->step_count, &sent->step_capacity);
    sent->steps[sent->step_count++] =
        (struct bind_step){.sent = sent->text.length, .source = source, .replaced = replaced};
}

size_t sent_source(const void *context, size_t at)
{
    const struct sent *sent = context;
    const struct bind_step *last = NULL;
    for (size_t i = 0; i < sent->step_count && sent->steps[i].sent <= at; i++)
        last = &sent->steps[i];
    if (last == NULL)
        return at;
    return last->replaced ? last->source : last->source + (at - last->sent);
}

void sent_fini(struct sent *sent)
{
    buffer_fini(&sent->text);
    free(sent->parameters);
    free(sent->steps);
    *sent = (struct sent){0};
}

static void append_quoted(struct buffer *out, const char *text)
{
    buffer_append_text(out, "\"");
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            buffer_append_text(out, "\\");
        buffer_append(out, text, 1);
    }
    buffer_append_text(out, "\"");
}

static void append_array(struct buffer *out, const json_t *list)
{
    size_t index;
    json_t *item;
    buffer_append_text(out, "{");
    json_array_foreach((json_t *)(uintptr_t)list, index, item)
    {
        if (index > 0)
            buffer_append_text(out, ",");
        if (json_is_array(item)) {
            append_array(out, item);
            continue;
        }
        char *text = bind_text(item, false);
        if (text == NULL)
            buffer_append_text(out, "NULL");
        else
            append_quoted(out, text);
        free(text);
    }
    buffer_append_text(out, "}");
}

bool bind_wants_json(Oid type)
{
    /* unspecified, text, json, unknown, bpchar, varchar, jsonb; their numbers are fixed in pg_type.
     */
    static const Oid types[] = {0, 25, 114, 705, 1042, 1043, 3802};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (types[i] == type)
            return true;
    }
    return false;
}

/* With the fewest digits that read back to the same numbers: 0.1, not 0.10000000000000001. */
static char *json_text(const json_t *value)
{
    for (size_t digits = 15;; digits++) {
        char *dumped =
            json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits));
        json_t *again = json_loads(dumped != NULL ? dumped : "", JSON_DECODE_ANY, NULL);
        bool same = json_equal(value, again);
        json_decref(again);
        if (same || digits == 17) {
            char *text = xstrdup(dumped != NULL ? dumped : "null");
            free(dumped);
            return text;
        }
        free(dumped);
    }
}

char *bind_text(const json_t *value, bool as_array)
{
    if (json_is_null(value))
        return NULL;
    if (json_is_string(value))
        return xstrdup(json_string_value(value));
    if (json_is_array(value) && as_array) {
        struct buffer out = {0};
        append_array(&out, value);
        char *text = xstrdup(buffer_text(&out));
        buffer_fini(&out);
        return text;
    }
    return json_text(value);
}

/* The same parameter is the same $n everywhere in a statement, so that its type can be found where
 * it is plain (:x IS NULL OR a = :x). */
static void append_bound(struct sent *sent, size_t parameter, bool is_list)
{
    int index = 0;
    while (index < sent->value_count && sent->parameters[index] != parameter)
        index++;
    if (index == sent->value_count) {
        sent->parameters =
            xreallocarray(sent->parameters, (size_t)index + 1, sizeof *sent->parameters);
        sent->parameters[sent->value_count++] = parameter;
        sent->has_list = sent->has_list || is_list;
    }
    buffer_printf(&sent->text, " $%d ", index + 1);
}

/* With spaces around it: a literal must not grow into a neighbour ('a':x, U&:"t"). */
static int append_literal(PGconn *conn, struct sent *sent, const json_t *value, struct error *error)
{
    char *text = bind_text(value, true);
    char *literal = text != NULL ? PQescapeLiteral(conn, text, strlen(text)) : NULL;
    if (text != NULL && literal == NULL)
        (void)error_set(error, ERR_INVALID, "%s", PQerrorMessage(conn));
    else
        buffer_printf(&sent->text, " %s ", text != NULL ? literal : "NULL");
    int rc = text != NULL && literal == NULL ? ERR_INVALID : 0;
    PQfreemem(literal);
    free(text);
    return rc;
}

static int append_identifier(
    PGconn *conn, struct sent *sent, const json_t *value, struct error *error)
{
    const char *text = json_string_value(value);
    if (text == NULL || text[0] == '\0')
        return error_set(error, ERR_INVALID, "an identifier must be text, and not empty");
    char *quoted = PQescapeIdentifier(conn, text, strlen(text));
    if (quoted == NULL)
        return error_set(error, ERR_INVALID, "%s", PQerrorMessage(conn));
    buffer_printf(&sent->text, " %s ", quoted);
    PQfreemem(quoted);
    return 0;
}

static int append_parameter(PGconn *conn, const struct sql_token *token, enum sql_way way,
    const json_t *value, struct sent *sent, struct error *error)
{
    if (token->kind == SQL_NAME)
        return append_identifier(conn, sent, value, error);
    if (way == SQL_LITERAL)
        return append_literal(conn, sent, value, error);
    append_bound(sent, token->parameter, json_is_array(value));
    return 0;
}

int bind_statement(PGconn *conn, struct slice source, const struct sql_statement *statement,
    const struct parameters *parameters, struct sent *ret_sent, struct error *error)
{
    const char *standard = PQparameterStatus(conn, "standard_conforming_strings");
    struct sql_scan scan = {.text = statement->text,
        .names = parameters->names,
        .name_count = parameters->count,
        .escapes = standard != NULL && strcmp(standard, "off") == 0};
    size_t begin = (size_t)(statement->text.ptr - source.ptr);
    struct sql_token token;
    *ret_sent = (struct sent){0};
    step(ret_sent, begin, false);
    while (sql_next(&scan, &token, NULL) == 0 && token.kind != SQL_END) {
        if (token.kind != SQL_VALUE && token.kind != SQL_NAME) {
            buffer_append_slice(&ret_sent->text, token.text);
            continue;
        }
        step(ret_sent, begin + (size_t)(token.text.ptr - statement->text.ptr), true);
        int rc = append_parameter(
            conn, &token, statement->way, parameters->values[token.parameter], ret_sent, error);
        if (rc != 0) {
            (void)error_prefix(
                error, "the parameter \"%.*s\"", SLICE_PRINT(parameters->names[token.parameter]));
            return rc;
        }
        step(ret_sent, begin + scan.at, false);
    }
    return 0;
}

/* One part of a table's name, from *at on: as PostgreSQL reads it, without its quotes. */
static bool take_part(const char **at, struct buffer *part)
{
    const char *c = *at;
    if (*c == '"') {
        for (c++; *c != '\0' && !(*c == '"' && c[1] != '"'); c++) {
            buffer_append(part, c, 1);
            c += *c == '"';
        }
        *at = c + 1;
        return *c == '"' && part->length > 0;
    }
    for (; *c != '\0' && *c != '.'; c++) {
        char lower = *c >= 'A' && *c <= 'Z' ? (char)(*c + 'a' - 'A') : *c;
        bool first = part->length == 0;
        bool letter = (lower >= 'a' && lower <= 'z') || lower == '_' || (unsigned char)lower >= 128;
        if (!letter && (first || !((lower >= '0' && lower <= '9') || lower == '$')))
            return false;
        buffer_append(part, &lower, 1);
    }
    *at = c;
    return part->length > 0;
}

int bind_table(PGconn *conn, const char *table, struct buffer *out, struct error *error)
{
    const char *at = table;
    for (int parts = 1;; parts++) {
        struct buffer part = {0};
        bool good = take_part(&at, &part);
        char *quoted = good ? PQescapeIdentifier(conn, buffer_text(&part), part.length) : NULL;
        if (quoted != NULL)
            buffer_append_text(out, quoted);
        PQfreemem(quoted);
        buffer_fini(&part);
        if (quoted != NULL && *at == '\0')
            return 0;
        if (quoted == NULL || *at != '.' || parts == 3)
            return error_set(error, ERR_INVALID,
                "\"%.200s\" is no name: write it as in SQL, as orders, stage.orders or "
                "\"Stage\".orders",
                table);
        at++;
        buffer_append_text(out, ".");
    }
}
