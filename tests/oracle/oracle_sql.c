/*
 * Splits SQL for tests/system/test_sql_oracle.py: each line of stdin is a JSON object with text,
 * names and escapes; each line of stdout is {"statements": […]}, where :name stands as <name>,
 * :'name' as <'name'> and :"name" as
 * <"name">, and with "error" where the text cannot be read further.
 */
#include "common/buffer.h"
#include "common/memory.h"
#include "common/sql.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

/* The parameters of one statement, marked. */
static json_t *marked(struct sql_scan scan, struct slice statement)
{
    struct buffer out = {0};
    struct sql_token token;
    scan.text = statement;
    scan.at = 0;
    while (sql_next(&scan, &token, NULL) == 0 && token.kind != SQL_END) {
        bool parameter = token.kind == SQL_VALUE || token.kind == SQL_NAME;
        if (parameter)
            buffer_printf(&out, "<%.*s>", (int)token.text.length - 1, token.text.ptr + 1);
        else
            buffer_append_slice(&out, token.text);
    }
    json_t *text = json_stringn(out.data, out.length);
    buffer_fini(&out);
    return text;
}

static json_t *split(const json_t *wish)
{
    const json_t *names = json_object_get(wish, "names");
    size_t count = json_array_size(names);
    struct slice *items = xcalloc(count + 1, sizeof *items);
    for (size_t i = 0; i < count; i++)
        items[i] = slice_of(json_string_value(json_array_get(names, i)));
    struct sql_scan scan = {.text = slice_of(json_string_value(json_object_get(wish, "text"))),
        .names = items,
        .name_count = count,
        .escapes = json_is_true(json_object_get(wish, "escapes"))};
    json_t *statements = json_array();
    json_t *answer = json_pack("{s:o}", "statements", statements);
    struct sql_statement statement;
    struct error error;
    int more;
    while ((more = sql_next_statement(&scan, &statement, &error)) == 1)
        (void)json_array_append_new(statements, marked(scan, statement.text));
    if (more < 0)
        (void)json_object_set_new(answer, "error", json_string(error.text));
    free(items);
    return answer;
}

int main(void)
{
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, stdin) > 0) {
        json_t *wish = json_loads(line, 0, NULL);
        json_t *answer = split(wish);
        (void)json_dumpf(answer, stdout, JSON_COMPACT);
        (void)putchar('\n');
        json_decref(answer);
        json_decref(wish);
    }
    free(line);
    return EXIT_SUCCESS;
}
