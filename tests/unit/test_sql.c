#include "common/buffer.h"
#include "common/sql.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct slice NAMES[] = {{"day", 3}, {"rows", 4}, {"t", 1}};

static struct sql_scan scan_of(const char *text)
{
    return (struct sql_scan){.text = slice_of(text), .names = NAMES, .name_count = 3};
}

/* A letter for each token but blanks: W word, N number, S string, I identifier, V value, Q quoted
 * name, P position, ; and the symbols themselves. "!" at an error. */
static void assert_tokens_by(struct sql_scan scan, const char *expected)
{
    static const char letters[] = {[SQL_WORD] = 'W',
        [SQL_NUMBER] = 'N',
        [SQL_STRING] = 'S',
        [SQL_IDENTIFIER] = 'I',
        [SQL_VALUE] = 'V',
        [SQL_NAME] = 'Q',
        [SQL_POSITION] = 'P'};
    struct buffer found = {0};
    struct sql_token token = {.kind = SQL_BLANK};
    while (token.kind != SQL_END) {
        if (sql_next(&scan, &token, NULL) != 0) {
            buffer_append_text(&found, "!");
            break;
        }
        if (token.kind == SQL_SYMBOL || token.kind == SQL_SEMICOLON)
            buffer_append_slice(&found, token.text);
        else if (token.kind != SQL_BLANK && token.kind != SQL_END)
            buffer_append(&found, &letters[token.kind], 1);
    }
    assert_string_equal(buffer_text(&found), expected);
    buffer_fini(&found);
}

static void assert_tokens(const char *text, const char *expected)
{
    assert_tokens_by(scan_of(text), expected);
}

static void sql_parameters_are_found_as_psql_writes_them(void **state)
{
    (void)state;
    assert_tokens(":day :'day' :\"t\"", "VVQ");
    assert_tokens("a[:rows:3]", "W[V:N]");
    assert_tokens(":day::date", "V::W");
    assert_tokens("x:=:day", "W:=V");
    assert_tokens(":day:rows", "VV");
}

static void sql_what_is_no_parameter_is_left_alone(void **state)
{
    (void)state;
    assert_tokens("a::day", "W::W");
    assert_tokens("':day' \":day\" E':day' $$:day$$ $a$:day$a$", "SISSS");
    assert_tokens("-- :day\n/* :day /* :day */ :day */", "");
    assert_tokens(":days :\"days\" :'day", ":W:I:!");
    assert_tokens("a[1:n]", "W[N:W]");
    assert_tokens(": day", ":W");
}

static void sql_dollar_quotes_end_at_their_own_tag(void **state)
{
    (void)state;
    assert_tokens("$a$ $$ $b$ ; $a$ x", "SW");
    assert_tokens("$a$ $ab$a$x", "SW");
    assert_tokens("a$$ ; $1 $$ ; $$", "W;PS");
    assert_tokens("$1$$x$$", "PS");
    assert_tokens("$\xc3\xa4$ ' $\xc3\xa4$", "S");
    assert_tokens("$ a", "$W");
    assert_tokens("$a$ never", "!");
}

static void sql_backslashes_escape_where_postgres_says_so(void **state)
{
    (void)state;
    assert_tokens("'\\' ; E'\\' ; ' 'it''s'", "S;SS");
    assert_tokens("E'a\\\\' x", "SW");
    assert_tokens("E'a'\n'b\\'c' x", "SW");
    assert_tokens("E'a' -- c\n 'b\\'c' x", "SW");
    assert_tokens("E'a' 'b\\' x", "SSW");
    assert_tokens("U&'\\' b'\\' X'\\' N'\\'", "SSSWS");
    assert_tokens("me'\\'", "WS");
    struct sql_scan scan = scan_of("'\\';' B'\\'; E'\\''");
    scan.escapes = true;
    assert_tokens_by(scan, "SS;S");
}

static void sql_what_is_never_closed_is_told_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
        size_t at;
    } cases[] = {
        {"a 'b", "the string that begins here is never closed", 2},
        {"a \"b", "the quoted identifier that begins here is never closed", 2},
        {"a /* /* */", "the comment that begins here is never closed", 2},
        {"a $x$ $$", "the dollar quote that begins here is never closed", 2},
        {"e'\\", "the string that begins here is never closed", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sql_scan scan = scan_of(cases[i].text);
        struct sql_statement statement;
        struct error error;
        assert_int_equal(sql_next_statement(&scan, &statement, &error), ERR_INVALID);
        assert_string_equal(error.text, cases[i].why);
        assert_int_equal(scan.at, cases[i].at);
    }
}

/* The statements, each between brackets. */
static void assert_statements(const char *text, const char *expected)
{
    struct sql_scan scan = scan_of(text);
    struct sql_statement statement;
    struct buffer found = {0};
    struct error error;
    int more = 0;
    while ((more = sql_next_statement(&scan, &statement, &error)) == 1)
        buffer_printf(&found, "[%.*s]", SLICE_PRINT(statement.text));
    if (more != 0)
        buffer_append_text(&found, error.text);
    assert_string_equal(buffer_text(&found), expected);
    buffer_fini(&found);
}

static void sql_statements_end_where_psql_ends_them(void **state)
{
    (void)state;
    assert_statements("", "");
    assert_statements(" ; ;; -- x\n", "");
    assert_statements("a; b ;c", "[a][b][c]");
    assert_statements("select ';' ; -- ;\n b /* ; */ c", "[select ';'][b /* ; */ c]");
    assert_statements("create rule r as on delete to a do (b; c); d",
        "[create rule r as on delete to a do (b; c)][d]");
    assert_statements("do $$ begin; end; $$; x", "[do $$ begin; end; $$][x]");
    assert_statements("Create Or Replace Function f() returns int begin atomic select case when a "
                      "then 1 end; select 2; end; x",
        "[Create Or Replace Function f() returns int begin atomic select case when a then 1 end; "
        "select 2; end][x]");
    assert_statements("begin; select 1; end; x", "[begin][select 1][end][x]");
    assert_statements("a ) ; b", "[a )][b]");
}

static void sql_way_follows_what_postgres_can_bind(void **state)
{
    (void)state;
    static const char *const bound[] = {"SELECT :day", "(select 1) union select :day",
        "insert into a values (:day)", "With x as (select 1) update a set b = :day",
        "values (:day)", "call p(:day)", "merge into a using b on c when matched then delete",
        "create table a as select :day", "create unlogged table if not exists a (b) as (select 1)",
        "CREATE TEMP TABLE a AS WITH x AS (SELECT 1) SELECT :rows"};
    static const char *const literal[] = {"set x = :day", "create view a as select :day",
        "alter table a add b date default :day", "create table a (d date default :day)",
        "create table a (b int generated always as (:rows) stored)", "copy (select :day) to stdout",
        "explain select :day", "execute p(:day)",
        "create table a partition of b for values in (:day)", "create table a as execute p(:day)",
        "alter table a alter b set default date :day"};
    for (size_t i = 0; i < 21; i++) {
        const char *text = i < 10 ? bound[i] : literal[i - 10];
        struct sql_scan scan = scan_of(text);
        struct sql_statement statement;
        assert_int_equal(sql_next_statement(&scan, &statement, NULL), 1);
        if (statement.way != (i < 10 ? SQL_BOUND : SQL_LITERAL))
            fail_msg("the other way is right for: %s", text);
    }
}

static void sql_transaction_statements_are_told_from_others(void **state)
{
    (void)state;
    static const char *const yes[] = {"begin", "START TRANSACTION read only", "commit and chain",
        "end", "rollback", "abort work", "prepare transaction 'x'", "rollback prepared 'x'"};
    static const char *const no[] = {"savepoint a", "rollback to a", "rollback work to savepoint a",
        "release a", "select 1", "prepare x as select 1", "do $$ begin end $$"};
    for (size_t i = 0; i < 15; i++) {
        struct sql_scan scan = scan_of(i < 8 ? yes[i] : no[i - 8]);
        struct sql_statement statement;
        assert_int_equal(sql_next_statement(&scan, &statement, NULL), 1);
        assert_int_equal(statement.transaction, i < 8);
    }
}

static void sql_what_comes_from_elsewhere_shows_the_right_way(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
        size_t at;
    } cases[] = {
        {"select %(day)s", "%(day)s is not a parameter here: write :day", 7},
        {"select DATE :day", "DATE before a parameter is not SQL: write CAST(:day AS DATE)", 7},
        {"select 1, interval /* x */ :'rows'",
            "interval before a parameter is not SQL: write CAST(:rows AS interval)", 10},
        {"select :day, $1",
            "$1 and named parameters do not go together: give it a name and write :name", 13},
        {"a;\n\\copy t from x",
            "\\copy is a command of psql, not SQL; copy_from and copy_to stream a file", 3},
        {"\\d", "\\d is a command of psql, not SQL", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sql_scan scan = scan_of(cases[i].text);
        struct sql_statement statement;
        struct error error;
        int result = 1;
        while (result == 1)
            result = sql_next_statement(&scan, &statement, &error);
        assert_int_equal(result, ERR_INVALID);
        assert_string_equal(error.text, cases[i].why);
        assert_int_equal(scan.at, cases[i].at);
    }
    assert_statements("select 7 %(day)", "[select 7 %(day)]");
    assert_statements("select 7 %(day)since", "[select 7 %(day)since]");
    assert_statements("prepare a as select $1", "[prepare a as select $1]");
    assert_statements("select x at time zone :t", "[select x at time zone :t]");
}

static void sql_check_passes_what_one_reading_of_backslashes_allows(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool used;
        int code;
    } cases[] = {{"select 'a\\', :day", true, 0},
        {"set standard_conforming_strings = off; select 'a\\'b', :day", true, 0},
        {"select 'b", false, ERR_INVALID}, {"select ':day'", false, 0},
        {"select 1; commit", false, ERR_INVALID}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sql_scan scan = scan_of(cases[i].text);
        bool used[3] = {false};
        assert_int_equal(sql_check(&scan, true, used, NULL), cases[i].code);
        assert_int_equal(used[0], cases[i].used);
        assert_false(used[1]);
    }
}

static void sql_place_counts_characters(void **state)
{
    (void)state;
    struct slice text = slice_of("a\r\n\xc3\xa4\xc3\xb6 b\nc");
    struct sql_place place = sql_place_of(text, 8);
    assert_int_equal(place.line, 2);
    assert_int_equal(place.column, 4);
    assert_true(slice_is(place.text, "\xc3\xa4\xc3\xb6 b"));
    assert_true(slice_is(sql_place_of(text, 0).text, "a"));
    place = sql_place_of(text, 1000);
    assert_int_equal(place.line, 3);
    assert_int_equal(place.column, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sql_parameters_are_found_as_psql_writes_them),
        cmocka_unit_test(sql_what_is_no_parameter_is_left_alone),
        cmocka_unit_test(sql_dollar_quotes_end_at_their_own_tag),
        cmocka_unit_test(sql_backslashes_escape_where_postgres_says_so),
        cmocka_unit_test(sql_what_is_never_closed_is_told_with_its_place),
        cmocka_unit_test(sql_statements_end_where_psql_ends_them),
        cmocka_unit_test(sql_way_follows_what_postgres_can_bind),
        cmocka_unit_test(sql_transaction_statements_are_told_from_others),
        cmocka_unit_test(sql_what_comes_from_elsewhere_shows_the_right_way),
        cmocka_unit_test(sql_check_passes_what_one_reading_of_backslashes_allows),
        cmocka_unit_test(sql_place_counts_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
