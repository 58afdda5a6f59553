/*
 * schedule.c - `schedule`, `start_date` and `catchup`: checked and kept as text; nothing is started
 * by them in this version, and a warning says so.
 */
#include "common/dag/civil.h"
#include "common/dag/reader.h"
#include "common/dag/scalar.h"
#include "common/duration.h"

#include <stdio.h>
#include <strings.h>

struct cron_field {
    const char *name;
    int low, high;
    const char *const *names; /* of low, low + 1, …; ends with NULL */
};

static const char *const months[] = {
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const weekdays[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};

static const struct cron_field cron_fields[] = {
    {"minute", 0, 59, NULL},
    {"hour", 0, 23, NULL},
    {"day of month", 1, 31, NULL},
    {"month", 1, 12, months},
    {"day of week", 0, 7, weekdays},
};

enum { CRON_FIELDS = sizeof cron_fields / sizeof cron_fields[0] };

static const char *const presets[] = {
    "@once", "@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly", NULL};

/* Takes the part up to `end` from the front of *rest; all of it when `end` is not there. */
static struct slice take_until(struct slice *rest, char end)
{
    const char *at = rest->length > 0 ? memchr(rest->ptr, end, rest->length) : NULL;
    size_t length = at != NULL ? (size_t)(at - rest->ptr) : rest->length;
    struct slice part = slice_make(rest->ptr, length);
    size_t used = at != NULL ? length + 1 : length;
    *rest = slice_make(rest->ptr + used, rest->length - used);
    return part;
}

static bool cron_number(const struct cron_field *field, struct slice text, int *ret_number)
{
    int number = 0;
    if (field->names != NULL && text.length == 3) {
        for (int i = 0; field->names[i] != NULL; i++) {
            if (strncasecmp(text.ptr, field->names[i], 3) == 0) {
                *ret_number = field->low + i;
                return true;
            }
        }
    }
    if (text.length == 0 || text.length > 2)
        return false;
    for (size_t i = 0; i < text.length; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        number = number * 10 + (text.ptr[i] - '0');
    }
    *ret_number = number;
    return number >= field->low && number <= field->high;
}

/* One item of a field's list: `*`, `N`, `N-M`, each with an optional `/STEP` (for `N` alone, up to
 * the end). */
static bool cron_item(const struct cron_field *field, struct slice item)
{
    static const struct cron_field step_field = {"step", 1, 99, NULL};
    struct slice rest = item;
    struct slice range = take_until(&rest, '/');
    int number = 0;
    bool has_step = range.length < item.length;
    if (has_step && !cron_number(&step_field, rest, &number))
        return false;
    if (slice_is(range, "*"))
        return true;
    struct slice last = range;
    struct slice first = take_until(&last, '-');
    int low = 0;
    int high = field->high;
    if (!cron_number(field, first, &low))
        return false;
    return first.length == range.length || (cron_number(field, last, &high) && low <= high);
}

static bool cron_field_is_sound(const struct cron_field *field, struct slice text)
{
    struct slice rest = text;
    do {
        bool last = rest.length == 0 || memchr(rest.ptr, ',', rest.length) == NULL;
        if (!cron_item(field, take_until(&rest, ',')))
            return false;
        if (last)
            return true;
    } while (true);
}

static void check_cron(struct reader *reader, const struct node *value)
{
    struct slice rest = value->text;
    struct slice fields[CRON_FIELDS] = {0};
    size_t count = 0;
    while (rest.length > 0) {
        size_t spaces = strspn(rest.ptr, " \t");
        rest = slice_make(rest.ptr + spaces, rest.length - spaces);
        size_t length = strcspn(rest.ptr, " \t");
        if (length == 0)
            break;
        if (count < CRON_FIELDS)
            fields[count] = slice_make(rest.ptr, length);
        count++;
        rest = slice_make(rest.ptr + length, rest.length - length);
    }
    if (count != CRON_FIELDS) {
        report_error(reader->report, value->place,
            "\"%.*s\" is no schedule: cron has 5 fields (minute hour day month weekday), else "
            "@daily and the like, or {every: 15m}",
            SLICE_PRINT(value->text));
        return;
    }
    for (size_t i = 0; i < CRON_FIELDS; i++) {
        if (!cron_field_is_sound(&cron_fields[i], fields[i]))
            report_error(reader->report, value->place,
                "\"%.*s\" is no %s of a cron schedule (%d-%d)", SLICE_PRINT(fields[i]),
                cron_fields[i].name, cron_fields[i].low, cron_fields[i].high);
    }
}

static void check_preset(struct reader *reader, const struct node *value)
{
    for (size_t i = 0; presets[i] != NULL; i++) {
        if (slice_is(value->text, presets[i]))
            return;
    }
    char near[SUGGESTION_MAX];
    report_error(reader->report, value->place, "unknown schedule \"%.*s\"%s",
        SLICE_PRINT(value->text), report_suggestion(reader->report, value->text, presets, 7, near));
}

/* {every: 15m} is kept as "every 15m". */
static void read_every(struct reader *reader, const struct node *name)
{
    const struct node *value = name->next;
    const struct node *every = node_first_key(value);
    uint64_t ms = 0;
    struct error error;
    if (value->count != 1 || every == NULL || !slice_is(every->text, "every")) {
        report_type(reader, name, "cron of 5 fields, @daily and the like, or {every: 15m}");
        return;
    }
    if (every->next->kind != NODE_SCALAR || node_is_null(every->next)) {
        report_type(reader, every, "a duration like 15m");
        return;
    }
    if (duration_parse(every->next->text, &ms, &error) != 0)
        report_error(reader->report, every->next->place, "%s", error.text);
    else if (ms < 1000)
        report_error(reader->report, every->next->place, "\"every\" is at least 1s");
    else
        reader->dag->schedule =
            arena_printf(reader->arena, "every %.*s", SLICE_PRINT(every->next->text));
}

static void warn_unused(struct reader *reader, const struct node *name)
{
    report_warning(reader->report, name->place,
        "\"%.*s\" is kept, but runs are not started by the clock in this version",
        SLICE_PRINT(name->text));
}

void read_schedule(struct reader *reader, const struct node *name)
{
    const struct node *value = name->next;
    if (value->kind == NODE_BROKEN || node_is_null(value) ||
        (value->kind == NODE_SCALAR && slice_is(value->text, "none")))
        return;
    reader->dag->scheduled = true;
    if (value->kind == NODE_MAPPING) {
        read_every(reader, name);
    } else if (value->kind != NODE_SCALAR) {
        report_type(reader, name, "cron of 5 fields, @daily and the like, or {every: 15m}");
        return;
    } else {
        if (value->text.length > 0 && value->text.ptr[0] == '@')
            check_preset(reader, value);
        else
            check_cron(reader, value);
        reader->dag->schedule = value->text;
    }
    warn_unused(reader, name);
}

void read_start_date(struct reader *reader, const struct node *name)
{
    struct slice text;
    struct civil_time time;
    if (!read_text(reader, name, &text))
        return;
    if (!civil_parse(text, &time)) {
        report_error(reader->report, name->next->place,
            "\"%.*s\" is no date: write it as 2026-11-21 or 2026-11-21T03:00", SLICE_PRINT(text));
        return;
    }
    reader->dag->start_date = text;
    warn_unused(reader, name);
}

void read_catchup(struct reader *reader, const struct node *name)
{
    const struct node *value = name->next;
    if (value->kind != NODE_SCALAR || scalar_type(value) != SCALAR_BOOLEAN) {
        report_type(reader, name, "true or false");
        return;
    }
    reader->dag->catchup = scalar_is_true(value);
    if (reader->dag->catchup)
        warn_unused(reader, name);
}

void check_schedule(struct reader *reader, const struct node *root)
{
    const struct dag *dag = reader->dag;
    node_each_pair(root, name)
    {
        if (dag->catchup && dag->start_date.ptr == NULL && slice_is(name->text, "catchup"))
            report_error(reader->report, name->next->place, "\"catchup: true\" needs start_date");
    }
    if (!dag->scheduled || dag->params_node == NULL)
        return;
    node_each_pair(dag->params_node, param)
    {
        const json_t *schema = json_object_getn(dag->params, param->text.ptr, param->text.length);
        if (json_object_size(schema) > 0 && json_object_get(schema, "default") == NULL)
            report_error(reader->report, param->place,
                "a DAG with a schedule needs a default for each parameter; \"%.*s\" has none",
                SLICE_PRINT(param->text));
    }
}
