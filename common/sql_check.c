#include "common/sql.h"

static void mark_used(struct sql_scan scan, bool *used)
{
    struct sql_token token = {.kind = SQL_BLANK};
    while (token.kind != SQL_END && sql_next(&scan, &token, NULL) == 0) {
        if (token.kind == SQL_VALUE || token.kind == SQL_NAME)
            used[token.parameter] = true;
    }
}

int sql_check(struct sql_scan *scan, bool one_transaction, bool *used, struct error *error)
{
    mark_used(*scan, used);
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

int sql_report_unused(struct slice name, struct error *error)
{
    return error_set(error, ERR_INVALID,
        "the parameter \"%.*s\" is used nowhere: write :%.*s in the SQL, or take it away",
        SLICE_PRINT(name), SLICE_PRINT(name));
}
