#include "common/dag/connection_file.h"

#include "common/dag/scalar.h"
#include "common/dag/yaml.h"

struct reading {
    const char *file;
    connection_file_fn visit;
    void *context;
    struct error *error;
};

static int name_entry(const struct reading *reading, struct slice name)
{
    return error_prefix(reading->error, "%s: connection \"%.*s\"", reading->file,
        (int)(name.length < 128 ? name.length : 128), name.ptr != NULL ? name.ptr : "");
}

static int take(
    const struct reading *reading, struct slice name, const struct connection *connection)
{
    int code = connection_check_name(name, reading->error);
    if (code == 0)
        code = connection_check(connection, reading->error);
    return code != 0 ? name_entry(reading, name)
                     : reading->visit(reading->context, name, connection, reading->error);
}

static int take_text(const struct reading *reading, struct slice name, struct slice text)
{
    struct arena arena = {0};
    struct connection connection;
    int code = connection_parse(text, &arena, &connection, reading->error);
    code = code != 0 ? name_entry(reading, name) : take(reading, name, &connection);
    arena_fini(&arena);
    return code;
}

static int take_json(const struct reading *reading, struct slice name, const json_t *value)
{
    struct arena arena = {0};
    struct connection connection;
    if (json_is_string(value))
        return take_text(
            reading, name, slice_make(json_string_value(value), json_string_length(value)));
    int code = connection_from_json(value, &arena, &connection, reading->error);
    code = code != 0 ? name_entry(reading, name) : take(reading, name, &connection);
    arena_fini(&arena);
    return code;
}

/* ---- JSON ---- */

static int read_json(const struct reading *reading, struct slice text)
{
    json_error_t problem;
    const char *name;
    json_t *value;
    int code = 0;
    json_t *root =
        json_loadb(text.ptr, text.length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &problem);
    if (root == NULL)
        return error_set(reading->error, ERR_INVALID, "%s:%d:%d: this is no JSON", reading->file,
            problem.line, problem.column);
    json_object_foreach(root, name, value)
    {
        if (code == 0)
            code = take_json(reading, slice_of(name), value);
    }
    json_decref(root);
    return code;
}

/* ---- YAML ---- */

static int take_node(const struct reading *reading, const struct node *name)
{
    const struct node *value = name->next;
    if (value->kind == NODE_SCALAR)
        return take_text(reading, name->text, value->text);
    json_t *json = value->kind == NODE_MAPPING ? node_to_json(value, NULL, NULL) : NULL;
    int code = json != NULL ? take_json(reading, name->text, json)
                            : error_set(reading->error, ERR_INVALID,
                                  "%s:%u: connection \"%.*s\" must be a mapping, or a URI",
                                  reading->file, name->place.line, SLICE_PRINT(name->text));
    json_decref(json);
    return code;
}

static int read_nodes(const struct reading *reading, const struct node *root)
{
    if (root->kind != NODE_MAPPING)
        return error_set(reading->error, ERR_INVALID,
            "%s: no connections in it: a mapping of names to them, or lines of NAME=URI",
            reading->file);
    node_each_pair(root, name)
    {
        int code = take_node(reading, name);
        if (code != 0)
            return code;
    }
    return 0;
}

static int read_yaml(const struct reading *reading, struct slice text)
{
    struct arena arena = {0};
    struct diagnostics diagnostics = {0};
    struct report report = {.diagnostics = &diagnostics, .text = text};
    struct node *root = NULL;
    int code = yaml_read(&report, &arena, &root);
    report_finish(&report);
    /* What is wrong may quote a secret: the place alone is told. */
    if (code != 0 || diagnostics.errors > 0)
        code = error_set(reading->error, ERR_INVALID, "%s:%u: this is no YAML that can be read",
            reading->file, diagnostics.count > 0 ? diagnostics.items[0].line : 1);
    else
        code = read_nodes(reading, root);
    report_fini(&report);
    diagnostics_fini(&diagnostics);
    arena_fini(&arena);
    return code;
}

/* ---- lines ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct slice trim(struct slice text)
{
    while (text.length > 0 && is_blank(text.ptr[0]))
        text = slice_make(text.ptr + 1, text.length - 1);
    while (text.length > 0 && is_blank(text.ptr[text.length - 1]))
        text.length--;
    return text;
}

static struct slice next_line(struct slice *rest)
{
    const char *end = rest->length > 0 ? memchr(rest->ptr, '\n', rest->length) : NULL;
    size_t length = end != NULL ? (size_t)(end - rest->ptr) : rest->length;
    struct slice line = slice_make(rest->ptr, length);
    size_t used = end != NULL ? length + 1 : length;
    *rest = slice_make(rest->ptr + used, rest->length - used);
    return trim(line);
}

/* The first line that says something has NAME= in front: no YAML mapping begins so. */
static bool has_lines(struct slice text)
{
    while (text.length > 0) {
        struct slice line = next_line(&text);
        if (line.length == 0 || line.ptr[0] == '#')
            continue;
        const char *equals = memchr(line.ptr, '=', line.length);
        const char *colon = memchr(line.ptr, ':', line.length);
        return equals != NULL && (colon == NULL || equals < colon);
    }
    return false;
}

/* A variable's name is its connection's, without the prefix and in lower case. */
static struct slice name_of(struct slice name, struct arena *arena)
{
    static const char *const prefixes[] = {"export ", "REEVE_CONN_", "AIRFLOW_CONN_"};
    bool variable = false;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        size_t length = strlen(prefixes[i]);
        if (name.length <= length || memcmp(name.ptr, prefixes[i], length) != 0)
            continue;
        name = slice_make(name.ptr + length, name.length - length);
        variable = variable || i > 0;
    }
    struct slice copy = arena_copy(arena, name);
    char *text = (char *)(uintptr_t)copy.ptr;
    for (size_t i = 0; variable && i < copy.length; i++)
        text[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] - 'A' + 'a') : text[i];
    return copy;
}

/* 'a b' and "a b" as a shell reads them, where nothing inside is escaped. */
static struct slice unquote(struct slice value)
{
    bool quoted = value.length >= 2 && (value.ptr[0] == '\'' || value.ptr[0] == '"') &&
                  value.ptr[value.length - 1] == value.ptr[0];
    return quoted ? slice_make(value.ptr + 1, value.length - 2) : value;
}

static int read_lines(const struct reading *reading, struct slice text)
{
    int code = 0;
    for (unsigned number = 1; code == 0 && text.length > 0; number++) {
        struct arena arena = {0};
        struct slice line = next_line(&text);
        const char *equals = line.length > 0 ? memchr(line.ptr, '=', line.length) : NULL;
        if (line.length == 0 || line.ptr[0] == '#')
            continue;
        if (equals == NULL)
            return error_set(
                reading->error, ERR_INVALID, "%s:%u: no NAME=URI", reading->file, number);
        size_t length = (size_t)(equals - line.ptr);
        struct slice name = name_of(trim(slice_make(line.ptr, length)), &arena);
        struct slice value = trim(slice_make(equals + 1, line.length - length - 1));
        code = take_text(reading, name, unquote(value));
        arena_fini(&arena);
    }
    return code;
}

int connection_file_read(struct slice text, const char *file, connection_file_fn visit,
    void *context, struct error *error)
{
    struct error own;
    const struct reading reading = {file, visit, context, error != NULL ? error : &own};
    struct slice first = trim(text);
    if (first.length == 0)
        return 0;
    if (first.ptr[0] == '{')
        return read_json(&reading, text);
    size_t sound = utf8_check(text);
    if (sound < text.length || memchr(text.ptr, '\0', text.length) != NULL)
        return error_set(error, ERR_INVALID, "%s: this is no text", file);
    return has_lines(text) ? read_lines(&reading, text) : read_yaml(&reading, text);
}
