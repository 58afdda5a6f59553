#include "common/sql.h"

static void mark_used(struct sql_scan scan, bool *used)
{
    struct sql_token token = {.kind = SQL_BLANK};
    while (token.kind != SQL_END && sql_next(&scan, &token, NULL) == 0) {
        if (token.kind == SQL_VALUE || token.kind == SQL_NAME)
            used[token.parameter] = true;
    }
}

static int check_statements(struct sql_scan *scan, bool one_transaction, struct error *error)
{
    for (;;) {
        struct sql_statement statement;
        int more = sql_next_statement(scan, &statement, error);
        if (more <= 0)
            return more;
        if (!statement.transaction || !one_transaction)
            continue;
        scan->at = (size_t)(statement.text.ptr - scan->text.ptr);
        return error_set(error, ERR_INVALID,
            "the task is one transaction already; with autocommit: true its SQL may begin and end "
            "its own");
    }
}

/* Whether \ escapes in plain strings is the server's to say, and the SQL's: what is right in one of
 * both readings passes. */
int sql_check(struct sql_scan *scan, bool one_transaction, bool *used, struct error *error)
{
    struct sql_scan other = *scan;
    other.escapes = !scan->escapes;
    mark_used(*scan, used);
    int rc = check_statements(scan, one_transaction, error);
    if (rc == 0 || check_statements(&other, one_transaction, NULL) != 0)
        return rc;
    other.at = 0;
    mark_used(other, used);
    *scan = other;
    return 0;
}

int sql_report_unused(struct slice name, struct error *error)
{
    return error_set(error, ERR_INVALID,
        "the parameter \"%.*s\" is used nowhere: write :%.*s in the SQL, or take it away",
        SLICE_PRINT(name), SLICE_PRINT(name));
}
