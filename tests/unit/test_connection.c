#include "common/connection/connection.h"

#include "common/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

struct parsed {
    struct arena arena;
    struct connection connection;
    struct error error;
    int code;
};

static struct parsed parse_bytes(struct slice text)
{
    struct parsed parsed = {0};
    parsed.code = connection_parse(text, &parsed.arena, &parsed.connection, &parsed.error);
    return parsed;
}

static struct parsed parse(const char *text)
{
    return parse_bytes(slice_of(text));
}

static void expect(struct slice text, const char *wanted)
{
    if (!slice_is(text, wanted))
        fail_msg("\"%.*s\" is not \"%s\"", SLICE_PRINT(text), wanted);
}

static void refuses(const char *text, const char *why)
{
    struct parsed parsed = parse(text);
    if (parsed.code == 0 || strstr(parsed.error.text, why) == NULL)
        fail_msg("%s: %d \"%s\" does not say \"%s\"", text, parsed.code, parsed.error.text, why);
    arena_fini(&parsed.arena);
}

static void connection_uri_gives_its_decoded_parts(void **state)
{
    (void)state;
    struct parsed it = parse("postgresql://us%40er:p%3A%2F%3F%23%25+w@DB.example:6432/"
                             "sa%2Fles?sslmode=require&a=b+c%2B");
    assert_int_equal(it.code, 0);
    expect(it.connection.type, "postgres");
    expect(it.connection.login, "us@er");
    expect(it.connection.password, "p:/?#%+w");
    expect(it.connection.host, "db.example");
    assert_int_equal(it.connection.port, 6432);
    expect(it.connection.schema, "sa/les");
    expect(it.connection.extra, "{\"sslmode\":\"require\",\"a\":\"b c+\"}");
    arena_fini(&it.arena);
}

static void connection_uri_of_odd_hosts_is_read_as_airflow_does(void **state)
{
    (void)state;
    const struct {
        const char *uri, *type, *host, *schema;
        uint32_t port;
    } rows[] = {
        {"postgres://%2FVar%2Frun/db", "postgres", "/Var/run", "db", 0},
        {"http:"
         "//https://api.example.com:8443/https",
            "http", "https://api.example.com", "https", 8443},
        {"spark://spark-master:7077", "spark", "spark-master", "", 7077},
        {"spark://spark://spark-master:7077", "spark", "spark://spark-master", "", 7077},
        {"spark://k8s://host:443", "spark", "k8s://host", "", 443},
        {"spark://yarn", "spark", "yarn", "", 0},
        {"my-type://[::1]:99/x", "my_type", "::1", "x", 99},
        {"generic://", "generic", "", "", 0},
        {"generic://u:p@", "generic", "", "", 0},
        {"generic://a@b@h", "generic", "h", "", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct parsed it = parse(rows[i].uri);
        if (it.code != 0)
            fail_msg("%s: %s", rows[i].uri, it.error.text);
        expect(it.connection.type, rows[i].type);
        expect(it.connection.host, rows[i].host);
        expect(it.connection.schema, rows[i].schema);
        assert_int_equal(it.connection.port, rows[i].port);
        arena_fini(&it.arena);
    }
}

static void connection_extra_of_a_uri_may_be_json(void **state)
{
    (void)state;
    struct parsed it = parse(
        "generic://h/?__extra__=%7B%22a%22%3A%20%7B%22b%22%3A%201%7D%2C%20%22c%22%3A%20true%7D");
    assert_int_equal(it.code, 0);
    expect(it.connection.extra, "{\"a\":{\"b\":1},\"c\":true}");
    arena_fini(&it.arena);
    refuses("generic://h/?__extra__=%5B1%5D", "extra must be a JSON object");
}

static void connection_json_takes_airflows_keys(void **state)
{
    (void)state;
    struct parsed it =
        parse(" {\"conn_type\": \"Postgres\", \"description\": null, \"login\": \"u\", "
              "\"password\": \"a\\nb\\\"\", \"host\": \"H\", \"port\": \"5432\", "
              "\"schema\": \"\", \"extra\": \"{\\\"sslmode\\\": \\\"prefer\\\"}\"}\n");
    assert_int_equal(it.code, ERR_INVALID);
    assert_non_null(strstr(it.error.text, "its password holds a newline"));
    arena_fini(&it.arena);
    it = parse(
        "{\"conn_type\": \"generic\", \"password\": \"a\\nb\\\"\", \"port\": 12, \"host\": \"H\", "
        "\"extra\": {\"k\": [1]}}");
    assert_int_equal(it.code, 0);
    expect(it.connection.host, "H");
    expect(it.connection.password, "a\nb\"");
    expect(it.connection.extra, "{\"k\":[1]}");
    assert_int_equal(it.connection.port, 12);
    arena_fini(&it.arena);
}

/* No text shows what was read: a mistyped line is a secret, too. */
static void connection_mistakes_are_named_without_their_text(void **state)
{
    (void)state;
    refuses("", "it is no connection");
    refuses("hunter2", "it is no connection");
    refuses("://h", "it is no connection");
    refuses("postgres://u:p:a@h:x/db", "its port is none");
    refuses("postgres://h:70000", "its port is none");
    refuses("postgres://u:%zz@h", "its password has a \"%\"");
    refuses("postgres://u:%4@h", "its password has a \"%\"");
    refuses("postgres://u:a#b@h", "\"#\"");
    refuses("postgres://a://b://c", "more than one \"://\"");
    refuses("postgres://[::1/db", "without its \"]\"");
    refuses("generic://u:a%00b@h", "its password holds a NUL byte");
    refuses("generic://h?a=x%00", "its extra holds a NUL byte");
    refuses("generic://u:a%ffb@h", "its password is no UTF-8");
    refuses("generic://h%0aost", "its host holds a space or a control character");
    refuses(
        "{\"conn_type\": \"generic\", \"password\": \"a\\u0000b\"}", "its password holds a NUL");
    refuses("{\"conn_type\": \"generic\", \"pasword\": \"x\"}", "unknown key \"pasword\"");
    refuses("{\"conn_type\": 7}", "its conn_type must be a text");
    refuses("{\"host\": \"h\"}", "it has no conn_type");
    refuses("{\"conn_type\": \"a b\"}", "its type must be a word");
    refuses("{\"conn_type\": \"generic\", \"port\": true}", "its port must be a number");
    refuses("{\"conn_type\": \"generic\"", "it is no JSON object: line 1");
    struct parsed it = parse("postgres://u:hunter2@h:x");
    assert_null(strstr(it.error.text, "hunter2"));
    arena_fini(&it.arena);
}

static void connection_types_check_their_fields(void **state)
{
    (void)state;
    refuses("postgres://h/db?sslmode=maybe", "\"sslmode\" must be one of: disable, allow");
    refuses("spark://?deploy-mode=client", "it has no host");
    refuses("spark://h?deploy-mode=both", "\"deploy-mode\" must be one of: client, cluster");
    refuses("spark://h?spark-binary=/bin/sh", "\"spark-binary\" must be one of: spark-submit");
    refuses("http:"
            "//",
        "it has no host");
    refuses("http://localhost/ftp", "its schema must be http or https");
}

static void connection_written_is_read_again_as_it_was(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "postgres://us%40er:p%3A%2F%3F%23%25%20w@db:6432/sa%2Fles?sslmode=require",
        "http:"
        "//https://localhost:1/https",
        "generic://[::1]:5/x?a=%26",
        "postgres://%2Ftmp%2FX/db",
        "{\"conn_type\": \"generic\", \"password\": \"$(id)'\\\"\\n;\\\\\", \"extra\": {\"a\": "
        "\"é\"}}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct parsed first = parse(texts[i]);
        assert_int_equal(first.code, 0);
        for (int form = 0; form < 2; form++) {
            struct buffer text = {0};
            if (form == 0)
                connection_write_uri(&first.connection, &text);
            else
                connection_write_json(&first.connection, slice_of("x"), &text);
            struct parsed again = parse_bytes(buffer_slice(&text));
            if (again.code != 0)
                fail_msg("%s: %s", buffer_text(&text), again.error.text);
            assert_true(slice_equal(first.connection.type, again.connection.type));
            assert_true(slice_equal(first.connection.host, again.connection.host));
            assert_true(slice_equal(first.connection.schema, again.connection.schema));
            assert_true(slice_equal(first.connection.login, again.connection.login));
            assert_true(slice_equal(first.connection.password, again.connection.password));
            assert_true(slice_equal(first.connection.extra, again.connection.extra));
            assert_int_equal(first.connection.port, again.connection.port);
            arena_fini(&again.arena);
            buffer_fini(&text);
        }
        arena_fini(&first.arena);
    }
}

static void connection_names_are_checked(void **state)
{
    (void)state;
    struct error error;
    static const char *const good[] = {"my_postgres_conn", "a", "9", "a-b.c", "_x"};
    static const char *const bad[] = {"", "-a", ".a", "a b", "a/b", "../x", "a$b", "ä"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(connection_check_name(slice_of(good[i]), &error), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(connection_check_name(slice_of(bad[i]), &error), ERR_INVALID);
    struct arena arena = {0};
    expect(connection_variable(slice_of("my-pg.conn_1"), &arena), "MY_PG_CONN_1");
    arena_fini(&arena);
}

static void note_secret(void *context, struct slice secret)
{
    struct buffer *all = context;
    buffer_printf(all, "%.*s;", SLICE_PRINT(secret));
}

static void connection_secrets_are_the_password_and_what_extra_tells_of(void **state)
{
    (void)state;
    struct buffer all = {0};
    struct parsed it = parse(
        "{\"conn_type\": \"generic\", \"login\": \"l\", \"password\": \"p\", \"extra\": "
        "{\"plain\": \"no\", \"API_Key\": \"k\", \"deep\": {\"auth_token\": {\"x\": [\"t\"]}}}}");
    assert_int_equal(it.code, 0);
    connection_each_secret(&it.connection, note_secret, &all);
    assert_string_equal(buffer_text(&all), "p;k;t;");
    buffer_fini(&all);
    arena_fini(&it.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connection_uri_gives_its_decoded_parts),
        cmocka_unit_test(connection_uri_of_odd_hosts_is_read_as_airflow_does),
        cmocka_unit_test(connection_extra_of_a_uri_may_be_json),
        cmocka_unit_test(connection_json_takes_airflows_keys),
        cmocka_unit_test(connection_mistakes_are_named_without_their_text),
        cmocka_unit_test(connection_types_check_their_fields),
        cmocka_unit_test(connection_written_is_read_again_as_it_was),
        cmocka_unit_test(connection_names_are_checked),
        cmocka_unit_test(connection_secrets_are_the_password_and_what_extra_tells_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
