/* What of the postgres operator needs no server. */
#include "common/memory.h"
#include "operators/postgres/bind.h"
#include "operators/postgres/rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void failure_class_says_whether_a_retry_could_help(void **state)
{
    (void)state;
    static const char *const yes[] = {"", "08006", "40001", "40P01", "53300", "55006", "55P03",
        "57014", "57P01", "57P03", "58030", "25006", "25P03"};
    static const char *const no[] = {"57P04", "22012", "23505", "28P01", "3D000", "42601", "42P01",
        "25001", "55000", "XX000", "P0001"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        assert_true(failure_may_pass(yes[i]));
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        assert_false(failure_may_pass(no[i]));
}

static void assert_point(const char *line, uint32_t column, const char *expected)
{
    struct buffer out = {0};
    failure_point(&out, slice_of(line), column);
    assert_string_equal(buffer_text(&out), expected);
    buffer_fini(&out);
}

static void failure_caret_stands_under_its_letter(void **state)
{
    (void)state;
    assert_point("SELEC 1", 1, "    SELEC 1\n    ^\n");
    assert_point("a b", 3, "    a b\n      ^\n");
    assert_point("\t\xc3\xa4 b", 4, "    \t\xc3\xa4 b\n    \t  ^\n");
    assert_point("a", 2, "    a\n     ^\n");
    assert_point("", 1, "    \n    ^\n");
}

static void failure_of_a_long_line_shows_what_is_around_it(void **state)
{
    (void)state;
    char line[1001];
    memset(line, 'x', 1000);
    line[1000] = '\0';
    line[600] = '!';
    struct buffer out = {0};
    failure_point(&out, slice_of(line), 601);
    const char *text = buffer_text(&out);
    const char *second = strchr(text, '\n') + 1;
    assert_true(strlen(text) < 300);
    /* The mark before the cut is one letter of three bytes. */
    assert_int_equal(strchr(text, '!') - text - 2, strchr(second, '^') - second);
    buffer_fini(&out);
}

static void failure_of_a_login_is_told_from_one_of_the_network(void **state)
{
    (void)state;
    struct failure failure = {0};
    int rc = failure_of_connection(&failure, "db1 port 5432",
        "connection to server at \"db1\" (192.0.2.1), port 5432 failed: "
        "FATAL:  28P01: password authentication failed for user \"etl\"\nLOCATION:  auth_failed\n");
    assert_int_equal(rc, ERR_DENIED);
    assert_string_equal(failure.error.text,
        "db1 port 5432: password authentication failed for user \"etl\" (SQLSTATE 28P01)");
    assert_false(failure.retry);
    rc = failure_of_connection(&failure, "db1 port 5432",
        "connection to server at \"db1\", port 5432 failed: SCHWERWIEGEND:  57P03: startet\n");
    assert_int_equal(rc, ERR_UNREACHABLE);
    assert_true(failure.retry);
    rc = failure_of_connection(&failure, "db1 port 1",
        "connection to server at \"db1\", port 1 failed: Connection refused\n\tIs it running?\n");
    assert_int_equal(rc, ERR_UNREACHABLE);
    assert_string_equal(failure.error.text, "db1 port 1 cannot be reached: Connection refused");
    assert_true(failure.retry);
    failure_fini(&failure);
}

static void assert_text(const char *json, bool as_array, const char *expected)
{
    json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
    assert_non_null(value);
    char *text = bind_text(value, as_array);
    if (expected == NULL)
        assert_null(text);
    else
        assert_string_equal(text, expected);
    free(text);
    json_decref(value);
}

static void bind_values_are_written_as_postgres_reads_them(void **state)
{
    (void)state;
    assert_text("null", false, NULL);
    assert_text("\"it's\"", false, "it's");
    assert_text("7", false, "7");
    assert_text("0.1", false, "0.1");
    assert_text("0.30000000000000004", false, "0.30000000000000004");
    assert_text("{\"a\": 0.1}", false, "{\"a\":0.1}");
    assert_text("true", false, "true");
    assert_text("{\"a\": [1]}", true, "{\"a\":[1]}");
    assert_text("[1, \"b\"]", false, "[1,\"b\"]");
    assert_text("[1, null, \"a\\\"b\\\\\", \"NULL\", \"\", \"c,{d}\"]", true,
        "{\"1\",NULL,\"a\\\"b\\\\\",\"NULL\",\"\",\"c,{d}\"}");
    assert_text("[[1, 2], [3, 4]]", true, "{{\"1\",\"2\"},{\"3\",\"4\"}}");
    assert_text("[]", true, "{}");
}

/* Escaping wants a connection, but none that works. */
static PGconn *dead_connection(void)
{
    PGconn *conn = PQconnectStart("host=/nowhere client_encoding=UTF8");
    assert_non_null(conn);
    return conn;
}

static void bind_table_is_read_as_sql_reads_it(void **state)
{
    (void)state;
    static const struct {
        const char *table, *quoted;
    } cases[] = {{"orders", "\"orders\""}, {"Stage.Orders", "\"stage\".\"orders\""},
        {"\"Stage\".\"a.b\"", "\"Stage\".\"a.b\""}, {"\"a\"\"b\"", "\"a\"\"b\""},
        {"a.b.c", "\"a\".\"b\".\"c\""}, {"x$1", "\"x$1\""}, {"", NULL}, {"a b", NULL},
        {"a; drop table b", NULL}, {"a.", NULL}, {".a", NULL}, {"1a", NULL}, {"\"a", NULL},
        {"\"\"", NULL}, {"a.b.c.d", NULL}, {"\"a\"b", NULL}, {"a--", NULL}};
    PGconn *conn = dead_connection();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buffer out = {0};
        struct error error;
        int rc = bind_table(conn, cases[i].table, &out, &error);
        assert_int_equal(rc, cases[i].quoted != NULL ? 0 : ERR_INVALID);
        if (rc == 0)
            assert_string_equal(buffer_text(&out), cases[i].quoted);
        buffer_fini(&out);
    }
    PQfinish(conn);
}

/* What is sent for a statement with the parameters v, n and t. */
static void assert_sent(const char *sql, const char *expected, int count)
{
    json_t *values = json_pack("[s, i, s]", "a'b\\", 7, "my \"t");
    struct slice names[] = {slice_of("v"), slice_of("n"), slice_of("t")};
    const json_t *items[] = {
        json_array_get(values, 0), json_array_get(values, 1), json_array_get(values, 2)};
    const struct parameters parameters = {.names = names, .values = items, .count = 3};
    struct sql_scan scan = {.text = slice_of(sql), .names = names, .name_count = 3};
    struct sql_statement statement;
    struct sent sent = {0};
    struct error error;
    PGconn *conn = dead_connection();
    assert_int_equal(sql_next_statement(&scan, &statement, NULL), 1);
    assert_int_equal(bind_statement(conn, scan.text, &statement, &parameters, &sent, &error), 0);
    assert_string_equal(buffer_text(&sent.text), expected);
    assert_int_equal(sent.value_count, count);
    /* The last byte of what is sent comes from the last of the statement. */
    size_t end = (size_t)(statement.text.ptr - sql) + statement.text.length;
    assert_int_equal(sent_source(&sent, sent.text.length), end);
    assert_int_equal(sent_source(&sent, 0), statement.text.ptr - sql);
    sent_fini(&sent);
    PQfinish(conn);
    json_decref(values);
}

static void bind_statement_never_mixes_values_into_text_that_can_bind(void **state)
{
    (void)state;
    assert_sent(
        "; SELECT :v, :n, :'v' FROM :\"t\"", "SELECT  $1 ,  $2 ,  $1  FROM  \"my \"\"t\" ", 2);
    assert_sent("SELECT ':v', $$:v$$, a::v, :x", "SELECT ':v', $$:v$$, a::v, :x", 0);
    assert_sent("SET x = :n;", "SET x =  '7' ", 0);
    assert_sent("COMMENT ON TABLE a IS :v", "COMMENT ON TABLE a IS   E'a''b\\\\' ", 0);
    assert_sent("ALTER TABLE a ADD b text DEFAULT 'x':v",
        "ALTER TABLE a ADD b text DEFAULT 'x'  E'a''b\\\\' ", 0);
}

static void assert_value(Oid type, const char *text, const char *expected)
{
    json_t *value = rows_value(type, text, strlen(text));
    char *dumped = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    assert_string_equal(dumped, expected);
    free(dumped);
    json_decref(value);
}

static void rows_value_keeps_what_json_can_say(void **state)
{
    (void)state;
    assert_value(23, "-7", "-7");
    assert_value(20, "9223372036854775807", "9223372036854775807");
    assert_value(16, "f", "false");
    assert_value(701, "0.5", "0.5");
    assert_value(701, "NaN", "\"NaN\"");
    assert_value(701, "-Infinity", "\"-Infinity\"");
    assert_value(1700, "0.10", "\"0.10\"");
    assert_value(3802, "{\"a\": [1, null]}", "{\"a\":[1,null]}");
    assert_value(25, "x\"y", "\"x\\\"y\"");
    assert_value(25, "\xff", "\"(not UTF-8)\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failure_class_says_whether_a_retry_could_help),
        cmocka_unit_test(failure_caret_stands_under_its_letter),
        cmocka_unit_test(failure_of_a_long_line_shows_what_is_around_it),
        cmocka_unit_test(failure_of_a_login_is_told_from_one_of_the_network),
        cmocka_unit_test(bind_values_are_written_as_postgres_reads_them),
        cmocka_unit_test(bind_table_is_read_as_sql_reads_it),
        cmocka_unit_test(bind_statement_never_mixes_values_into_text_that_can_bind),
        cmocka_unit_test(rows_value_keeps_what_json_can_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
