#include "operators/postgres/bind.h"
#include "operators/postgres/work.h"

static int append_columns(
    PGconn *conn, const json_t *columns, struct buffer *out, struct error *error)
{
    size_t index;
    json_t *column;
    json_array_foreach((json_t *)(uintptr_t)columns, index, column)
    {
        const char *name = json_string_value(column);
        char *quoted = PQescapeIdentifier(conn, name, strlen(name));
        if (quoted == NULL)
            return error_set(error, ERR_INVALID, "a column's name: %s", PQerrorMessage(conn));
        buffer_printf(out, "%s%s", index == 0 ? " (" : ", ", quoted);
        PQfreemem(quoted);
    }
    if (json_array_size(columns) > 0)
        buffer_append_text(out, ")");
    return 0;
}

static int append_option(
    PGconn *conn, const char *name, const char *value, struct buffer *out, struct error *error)
{
    if (value == NULL)
        return 0;
    char *literal = PQescapeLiteral(conn, value, strlen(value));
    if (literal == NULL)
        return error_set(error, ERR_INVALID, "%s: %s", name, PQerrorMessage(conn));
    buffer_printf(out, ", %s %s", name, literal);
    PQfreemem(literal);
    return 0;
}

int copy_statement(PGconn *conn, const struct copy_options *copy, const char *direction,
    struct buffer *out, struct error *error)
{
    int rc = 0;
    if (copy->table == NULL)
        buffer_append_text(out, "\n)");
    else if ((rc = bind_table(conn, copy->table, out, error)) != 0 ||
             (rc = append_columns(conn, copy->columns, out, error)) != 0)
        return rc;
    buffer_printf(out, " %s WITH (FORMAT %s", direction, copy->format);
    if (copy->header)
        buffer_append_text(out, ", HEADER true");
    rc = append_option(conn, "NULL", copy->null, out, error);
    if (rc == 0)
        rc = append_option(conn, "DELIMITER", copy->delimiter, out, error);
    buffer_append_text(out, ")");
    return rc;
}
