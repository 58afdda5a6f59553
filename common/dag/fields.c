/*
 * fields.c - the values of keys that go into one field each: one function a type, found by the
 * key's type.
 */
#include "common/dag/reader.h"
#include "common/dag/scalar.h"
#include "common/dag/template.h"
#include "common/duration.h"
#include "common/limits.h"
#include "common/size.h"

#include <stdio.h>
#include <stdlib.h>

enum { LIST_MAX = 10000, ENV_MAX = 1000 };

void report_type(struct reader *reader, const struct node *name, const char *wanted)
{
    const struct node *value = name->next;
    if (value->kind == NODE_BROKEN)
        return;
    report_error(reader->report, value->place, "\"%.*s\" must be %s, not %s",
        SLICE_PRINT(name->text), wanted, node_description(value));
}

bool read_text(struct reader *reader, const struct node *name, struct slice *ret_text)
{
    const struct node *value = name->next;
    if (value->kind != NODE_SCALAR || node_is_null(value)) {
        report_type(reader, name, "text");
        return false;
    }
    *ret_text = value->text;
    return true;
}

static bool is_name_character(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (c == '-' && !first);
}

int name_check(struct slice name, const char *what, struct error *error)
{
    if (template_is_dynamic(name))
        return error_set(
            error, ERR_INVALID, "templates are not rendered in the name of a %s", what);
    if (name.length > NAME_MAX_BYTES)
        return error_set(error, ERR_INVALID, "the name of a %s has at most %d bytes, this one %zu",
            what, NAME_MAX_BYTES, name.length);
    bool sound = name.length > 0;
    for (size_t i = 0; sound && i < name.length; i++)
        sound = is_name_character(name.ptr[i], i == 0);
    if (sound)
        return 0;
    return error_set(error, ERR_INVALID,
        "\"%.*s\" cannot be the name of a %s: letters, digits, \"_\", and \"-\" after the first",
        SLICE_PRINT(name), what);
}

bool check_name(struct reader *reader, struct place place, struct slice name, const char *what)
{
    struct error error;
    if (name_check(name, what, &error) == 0)
        return true;
    report_error(reader->report, place, "%s", error.text);
    return false;
}

static bool climbs(struct slice path)
{
    size_t start = 0;
    for (size_t i = 0; i <= path.length; i++) {
        if (i < path.length && path.ptr[i] != '/')
            continue;
        if (i - start == 2 && memcmp(path.ptr + start, "..", 2) == 0)
            return true;
        start = i + 1;
    }
    return false;
}

bool check_path(struct reader *reader, const struct node *path, const char *what)
{
    const char *problem = NULL;
    if (path->kind == NODE_BROKEN)
        return false;
    if (path->kind != NODE_SCALAR || node_is_null(path))
        problem = "is text";
    else if (path->text.length == 0 || path->text.length > 4095)
        problem = "has 1 to 4095 bytes";
    else if (template_is_dynamic(path->text))
        problem = "is never rendered: no templates";
    else if (path->text.ptr[0] == '/')
        problem = "is relative, below the DAG's folder";
    else if (climbs(path->text))
        problem = "cannot lead out of the folder with \"..\"";
    if (problem != NULL)
        report_error(reader->report, path->place, "a path in \"%s\" %s", what, problem);
    return problem == NULL;
}

static void read_field_text(
    struct reader *reader, const struct key *key, const struct node *name, void *field)
{
    (void)key;
    (void)read_text(reader, name, field);
}

const struct node **field_items(
    struct reader *reader, const struct node *name, const char *wanted, uint32_t *ret_count)
{
    const struct node *value = name->next;
    bool single = value->kind == NODE_SCALAR && !node_is_null(value);
    if (!single && value->kind != NODE_SEQUENCE && !node_is_null(value)) {
        report_type(reader, name, wanted);
        return NULL;
    }
    uint32_t count = single ? 1 : value->kind == NODE_SEQUENCE ? value->count : 0;
    if (count > LIST_MAX) {
        report_error(reader->report, value->place, "\"%.*s\" has more than %d items",
            SLICE_PRINT(name->text), LIST_MAX);
        return NULL;
    }
    const struct node **items = arena_alloc(reader->arena, (count + 1) * sizeof *items);
    const struct node *item = single ? value : value->first;
    for (uint32_t i = 0; i < count; i++) {
        items[i] = item;
        item = item->next;
    }
    *ret_count = count;
    return items;
}

static void read_field_texts(
    struct reader *reader, const struct key *key, const struct node *name, void *field)
{
    uint32_t count;
    const struct node **items = field_items(reader, name, "a list of texts", &count);
    if (items == NULL)
        return;
    struct slice *texts = arena_alloc(reader->arena, (count + 1) * sizeof *texts);
    for (uint32_t i = 0; i < count; i++) {
        if (key->type == KEY_PATHS) {
            if (!check_path(reader, items[i], key->word))
                return;
        } else if (items[i]->kind != NODE_SCALAR || node_is_null(items[i])) {
            if (items[i]->kind != NODE_BROKEN)
                report_error(reader->report, items[i]->place, "\"%s\" holds texts, not %s",
                    key->word, node_description(items[i]));
            return;
        }
        texts[i] = items[i]->text;
    }
    *(struct texts *)field = (struct texts){texts, count};
}

static void read_field_name(
    struct reader *reader, const struct key *key, const struct node *name, void *field)
{
    struct slice text;
    if (read_text(reader, name, &text) && check_name(reader, name->next->place, text, key->word))
        *(struct slice *)field = text;
}

/* An integer in a range; reports and returns false otherwise. */
static bool read_integer(
    struct reader *reader, const struct node *name, int64_t low, int64_t high, int64_t *ret_number)
{
    const struct node *value = name->next;
    if (value->kind != NODE_SCALAR || scalar_type(value) != SCALAR_INTEGER) {
        report_type(reader, name,
            value->kind == NODE_SCALAR && !value->plain ? "an integer without quotes"
                                                        : "an integer");
        return false;
    }
    if (!scalar_integer(value, ret_number) || *ret_number < low || *ret_number > high) {
        report_error(reader->report, value->place,
            "\"%.*s\" must lie between %lld and %lld, and is %.*s", SLICE_PRINT(name->text),
            (long long)low, (long long)high, SLICE_PRINT(value->text));
        return false;
    }
    return true;
}

static bool is_none(const struct node *value)
{
    return value->kind == NODE_SCALAR && (slice_is(value->text, "none") || node_is_null(value));
}

static void read_field_count(
    struct reader *reader, const struct key *key, const struct node *name, void *field)
{
    int64_t number = 0;
    if ((key->type == KEY_COUNT_OR_NONE && is_none(name->next)) ||
        read_integer(reader, name, (int64_t)key->low, (int64_t)key->high, &number))
        *(uint32_t *)field = (uint32_t)number;
}

static void read_field_weight(
    struct reader *reader, const struct key *key, const struct node *name, void *field)
{
    (void)key;
    int64_t number;
    if (read_integer(reader, name, INT32_MIN, INT32_MAX, &number))
        *(int32_t *)field = (int32_t)number;
}

static void read_field_flag(
    struct reader *reader, const struct key *key, const struct node *name, void *field)
{
    (void)key;
    const struct node *value = name->next;
    if (value->kind == NODE_SCALAR && scalar_type(value) == SCALAR_BOOLEAN)
        *(bool *)field = scalar_is_true(value);
    else
        report_type(reader, name, "true or false");
}

static void read_field_rule(
    struct reader *reader, const struct key *key, const struct node *name, void *field)
{
    (void)key;
    struct slice text;
    if (!read_text(reader, name, &text))
        return;
    const char *rules[TRIGGER_COUNT + 1] = {0};
    for (uint32_t i = 0; i < TRIGGER_COUNT; i++) {
        rules[i] = trigger_rule_name((int)i);
        if (slice_is(text, rules[i])) {
            *(uint32_t *)field = i;
            return;
        }
    }
    char near[SUGGESTION_MAX];
    const char *more = report_suggestion(reader->report, text, rules, TRIGGER_COUNT, near);
    if (slice_is(text, "dummy"))
        more = "; it is called \"always\" here";
    else if (slice_is(text, "none_failed_or_skipped"))
        more = "; it is called \"none_failed_min_one_success\" here";
    report_error(reader->report, name->next->place, "unknown trigger rule \"%.*s\"%s",
        SLICE_PRINT(text), more);
}

static void read_field_on_lost(
    struct reader *reader, const struct key *key, const struct node *name, void *field)
{
    struct slice text;
    if (!read_text(reader, name, &text))
        return;
    for (uint32_t i = 0; i <= ON_LOST_HOLD; i++) {
        if (slice_is(text, on_lost_name((int)i))) {
            *(uint32_t *)field = i;
            return;
        }
    }
    report_error(reader->report, name->next->place, "\"%s\" is rerun, fail or hold, not \"%.*s\"",
        key->word, SLICE_PRINT(text));
}

static void read_field_duration(
    struct reader *reader, const struct key *key, const struct node *name, void *field)
{
    if (key->type == KEY_DURATION_OR_NONE && is_none(name->next)) {
        *(uint64_t *)field = 0;
        return;
    }
    uint64_t ms = 0;
    struct error error;
    if (name->next->kind != NODE_SCALAR || node_is_null(name->next)) {
        report_type(reader, name, "a duration like 5m");
        return;
    }
    if (duration_parse(name->next->text, &ms, &error) != 0)
        report_error(reader->report, name->next->place, "%s", error.text);
    else if (ms < key->low)
        report_error(reader->report, name->next->place,
            "\"%.*s\" must be longer than 0s; write none", SLICE_PRINT(name->text));
    else
        *(uint64_t *)field = ms;
}

static void read_field_size(
    struct reader *reader, const struct key *key, const struct node *name, void *field)
{
    struct error error;
    char least[SIZE_TEXT_MAX];
    uint64_t bytes = 0;
    size_format(key->low, least);
    if (key->type == KEY_SIZE_OR_NONE && is_none(name->next))
        *(uint64_t *)field = 0;
    else if (name->next->kind != NODE_SCALAR || node_is_null(name->next))
        report_type(reader, name, "a size like 256MiB");
    else if (!slice_is(name->next->text, "0") && size_parse(name->next->text, &bytes, &error) != 0)
        report_error(reader->report, name->next->place, "%s", error.text);
    else if (bytes < key->low)
        report_error(reader->report, name->next->place, "\"%.*s\" is at least %s, not %.*s",
            SLICE_PRINT(name->text), least, SLICE_PRINT(name->next->text));
    else
        *(uint64_t *)field = bytes;
}

/* A number of processors. What YAML writes as .inf and .nan is no number for strtod here. */
static void read_field_cpus(
    struct reader *reader, const struct key *key, const struct node *name, void *field)
{
    const struct node *value = name->next;
    if (is_none(value)) {
        *(uint32_t *)field = 0;
        return;
    }
    bool scalar = value->kind == NODE_SCALAR;
    enum scalar_type type = scalar ? scalar_type(value) : SCALAR_TEXT;
    if (type != SCALAR_INTEGER && type != SCALAR_REAL) {
        report_type(reader, name,
            scalar && !value->plain ? "a number of processors like 1.5, without quotes"
                                    : "a number of processors like 1.5");
        return;
    }
    double permille = strtod(value->text.ptr, NULL) * 1000;
    if (permille >= (double)key->low && permille <= (double)key->high)
        *(uint32_t *)field = (uint32_t)(permille + 0.5);
    else
        report_error(reader->report, value->place,
            "\"%.*s\" must lie between %g and %g, and is %.*s", SLICE_PRINT(name->text),
            (double)key->low / 1000, (double)key->high / 1000, SLICE_PRINT(value->text));
}

static void read_field_codes(
    struct reader *reader, const struct key *key, const struct node *name, void *field)
{
    uint32_t count;
    const struct node **items = field_items(reader, name, "an exit code or a list of them", &count);
    if (items == NULL)
        return;
    uint32_t *codes = arena_alloc(reader->arena, (count + 1) * sizeof *codes);
    for (uint32_t i = 0; i < count; i++) {
        int64_t number = 0;
        if (items[i]->kind == NODE_BROKEN)
            return;
        if (items[i]->kind != NODE_SCALAR || scalar_type(items[i]) != SCALAR_INTEGER ||
            !scalar_integer(items[i], &number) || number < (int64_t)key->low ||
            number > (int64_t)key->high) {
            report_error(reader->report, items[i]->place,
                "\"%s\" holds exit codes, integers between %d and %d", key->word, (int)key->low,
                (int)key->high);
            return;
        }
        codes[i] = (uint32_t)number;
    }
    *(struct codes *)field = (struct codes){codes, count};
}

static bool check_env_name(struct reader *reader, const struct node *name)
{
    struct slice text = name->text;
    bool sound = text.length > 0 && !(text.ptr[0] >= '0' && text.ptr[0] <= '9');
    for (size_t i = 0; sound && i < text.length; i++)
        sound = is_name_character(text.ptr[i], true);
    if (!sound)
        report_error(reader->report, name->place,
            "\"%.*s\" cannot be a variable's name: letters, digits and \"_\", no digit first",
            SLICE_PRINT(text));
    else if (text.length >= 6 && memcmp(text.ptr, "REEVE_", 6) == 0)
        report_error(reader->report, name->place, "\"%.*s\" is reeve's own, env cannot set it",
            SLICE_PRINT(text));
    else
        return true;
    return false;
}

static bool read_env_entry(struct reader *reader, const struct node *name, struct env_entry *entry)
{
    const struct node *value = name->next;
    if (!check_env_name(reader, name))
        return false;
    if (value->kind != NODE_SCALAR) {
        report_type(reader, name, "text, or null to unset it");
        return false;
    }
    if (name->text.length + value->text.length + 1 > ARGUMENT_MAX_BYTES) {
        report_error(reader->report, value->place,
            "\"%.*s\" and its value have more than %d bytes; put the text in a file",
            SLICE_PRINT(name->text), ARGUMENT_MAX_BYTES);
        return false;
    }
    *entry = (struct env_entry){name->text, node_is_null(value) ? NULL : value};
    return true;
}

static void read_field_env(
    struct reader *reader, const struct key *key, const struct node *name, void *field)
{
    (void)key;
    const struct node *value = name->next;
    if (node_is_null(value))
        return;
    if (value->kind != NODE_MAPPING) {
        report_type(reader, name, "a mapping of names to texts");
        return;
    }
    if (value->count > ENV_MAX) {
        report_error(reader->report, value->place, "env has more than %d names", ENV_MAX);
        return;
    }
    struct env_entry *entries = arena_alloc(reader->arena, (value->count + 1) * sizeof *entries);
    uint32_t count = 0;
    node_each_pair(value, entry) count += read_env_entry(reader, entry, &entries[count]);
    *(struct env_set *)field = (struct env_set){entries, count};
}

void field_read(struct reader *reader, const struct key *key, const struct node *name, void *target)
{
    typedef void (*field_fn)(struct reader *, const struct key *, const struct node *, void *);
    static const field_fn readers[KEY_TYPE_COUNT] = {
        [KEY_TEXT] = read_field_text,
        [KEY_TEXTS] = read_field_texts,
        [KEY_PATHS] = read_field_texts,
        [KEY_NAME] = read_field_name,
        [KEY_COUNT] = read_field_count,
        [KEY_COUNT_OR_NONE] = read_field_count,
        [KEY_WEIGHT] = read_field_weight,
        [KEY_FLAG] = read_field_flag,
        [KEY_RULE] = read_field_rule,
        [KEY_DURATION] = read_field_duration,
        [KEY_DURATION_OR_NONE] = read_field_duration,
        [KEY_SIZE] = read_field_size,
        [KEY_SIZE_OR_NONE] = read_field_size,
        [KEY_CPUS_OR_NONE] = read_field_cpus,
        [KEY_CODES] = read_field_codes,
        [KEY_ENV] = read_field_env,
        [KEY_LABELS] = read_field_labels,
        [KEY_USER] = read_field_user,
        [KEY_ON_LOST] = read_field_on_lost,
        [KEY_CONNECTIONS] = read_field_connections,
    };
    readers[key->type](reader, key, name, (char *)target + key->offset);
}
