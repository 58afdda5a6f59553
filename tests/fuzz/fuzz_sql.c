/* Any bytes as SQL: tokens lie one against the other, statements begin where the one before ended,
 * and a statement read alone is that one statement. */
#include "common/sql.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct slice names[] = {{"a", 1}, {"day", 3}};

static struct sql_scan scan_of(struct slice text, bool escapes)
{
    return (struct sql_scan){.text = text, .names = names, .name_count = 2, .escapes = escapes};
}

static void walk_tokens(struct slice text, bool escapes)
{
    struct sql_scan scan = scan_of(text, escapes);
    struct sql_token token = {.kind = SQL_BLANK};
    struct error error = {0};
    while (token.kind != SQL_END) {
        size_t before = scan.at;
        if (sql_next(&scan, &token, &error) != 0) {
            if (scan.at != before || error.text[0] == '\0')
                abort();
            return;
        }
        if (token.kind != SQL_END &&
            (token.text.ptr != text.ptr + before || token.text.length == 0))
            abort();
        if (scan.at != before + token.text.length)
            abort();
        if ((token.kind == SQL_VALUE || token.kind == SQL_NAME) && token.parameter > 1)
            abort();
    }
}

static void walk_statements(struct slice text, bool escapes)
{
    struct sql_scan scan = scan_of(text, escapes);
    struct sql_statement statement;
    struct sql_statement again;
    struct error error = {0};
    const char *end = text.ptr;
    int more;
    while ((more = sql_next_statement(&scan, &statement, &error)) == 1) {
        if (statement.text.length == 0 || statement.text.ptr < end)
            abort();
        end = statement.text.ptr + statement.text.length;
        if (end > text.ptr + text.length)
            abort();
        struct sql_scan alone = scan_of(statement.text, escapes);
        if (sql_next_statement(&alone, &again, NULL) != 1 ||
            !slice_equal(again.text, statement.text) || again.way != statement.way)
            abort();
    }
    if (more < 0 && (error.text[0] == '\0' || scan.at > text.length))
        abort();
    struct sql_place place = sql_place_of(text, scan.at);
    if (place.line == 0 || place.column == 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_make(data, size);
    for (int escapes = 0; escapes < 2; escapes++) {
        walk_tokens(text, escapes == 1);
        walk_statements(text, escapes == 1);
        struct sql_scan scan = scan_of(text, escapes == 1);
        struct error error = {0};
        bool used[2] = {false};
        if (sql_check(&scan, true, used, &error) != 0 && error.text[0] == '\0')
            abort();
    }
    return 0;
}
