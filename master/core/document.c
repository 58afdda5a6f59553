/*
 * What an operator program is told: the task line of docs/operators.md, but for what only its
 * worker knows. Templates in the options are rendered value by value, inside of JSON: none can
 * become anything but a value.
 */
#include "common/dag/civil.h"
#include "common/dag/json_text.h"
#include "common/dag/template.h"
#include "common/limits.h"
#include "common/probe.h"
#include "common/tag.h"
#include "master/core/state.h"

#include <stdio.h>

/* What is left for the worker's name and connections: the whole line has a bound. */
enum { DOCUMENT_MAX_BYTES = OPERATOR_TASK_LINE_MAX_BYTES * 3 / 4, CONTRACT_VERSION = 1 };

/* ---- options ---- */

/* The value rendered, a new reference; NULL and an error. Recursion is bounded by the depth of the
 * DAG file. */
static json_t *render(const json_t *value, const struct template_scope *scope, struct error *error)
{
    json_t *made = NULL;
    if (json_is_string(value)) {
        struct slice text = slice_make(json_string_value(value), json_string_length(value));
        return template_render(text, scope, &made, error) == 0 ? made : NULL;
    }
    if (json_is_array(value)) {
        made = json_array();
        for (size_t i = 0; i < json_array_size(value); i++) {
            json_t *item = render(json_array_get(value, i), scope, error);
            if (item == NULL || json_array_append_new(made, item) != 0) {
                json_decref(made);
                return NULL;
            }
        }
        return made;
    }
    if (!json_is_object(value))
        return json_deep_copy(value);
    const char *key = NULL;
    size_t length = 0;
    json_t *item = NULL;
    made = json_object();
    json_object_keylen_foreach((json_t *)(uintptr_t)value, key, length, item)
    {
        json_t *rendered = render(item, scope, error);
        if (rendered == NULL || json_object_setn_new(made, key, length, rendered) != 0) {
            json_decref(made);
            return NULL;
        }
    }
    return made;
}

static json_t *render_options(
    const struct run *run, uint32_t task, const struct template_scope *scope, struct error *error)
{
    struct slice text = plan_string(&run->plan, plan_body(&run->plan, task)->text);
    json_t *options = json_loadb(text.ptr, text.length, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(options)) {
        (void)error_set(error, ERR_INVALID, "its options in the plan are no JSON object");
        json_decref(options);
        return NULL;
    }
    json_t *rendered = render(options, scope, error);
    json_decref(options);
    return rendered;
}

/* ---- the rest ---- */

static void put_text(json_t *document, const char *key, struct slice text)
{
    (void)json_object_set_new(document, key, json_stringn(text.ptr, text.length));
}

static void put_number(json_t *document, const char *key, uint64_t number)
{
    (void)json_object_set_new(document, key, json_integer((json_int_t)number));
}

static void put_names(
    json_t *document, const struct core *core, const struct run *run, uint32_t task)
{
    const struct plan_task *plan = run_plan_task(run, task);
    struct slice dag = core->dags[run->dag].name;
    char name[2 * NAME_MAX_BYTES];
    (void)snprintf(name, sizeof name, "%.*s/%u", SLICE_PRINT(dag), run->number);
    (void)json_object_set_new(document, "type", json_string("task"));
    put_number(document, "reeve", CONTRACT_VERSION);
    put_text(document, "operator", plan_program(&run->plan, task));
    put_text(document, "run", slice_of(name));
    put_text(document, "dag", dag);
    put_text(document, "task", plan_string(&run->plan, plan->name));
    put_number(document, "epoch", core->epoch);
    put_number(document, "timeout_ms", plan->execution_timeout_ms);
    put_number(document, "kill_grace_ms", plan->kill_grace_ms);
}

static void put_identity(json_t *document, const struct tag *id)
{
    char text[TAG_MAX];
    (void)snprintf(text, sizeof text, "%016llx", (unsigned long long)id->run);
    put_text(document, "run_key", slice_of(text));
    put_number(document, "task_index", id->task);
    put_number(document, "map_index", id->map);
    put_number(document, "attempt", id->attempt);
    tag_format(id, text);
    put_text(document, "tag", slice_of(text));
    tag_format_prefix(id, text);
    put_text(document, "tag_prefix", slice_of(text));
}

static void put_context(json_t *document, const struct template_scope *scope)
{
    json_t *context = json_copy((json_t *)(uintptr_t)scope->values);
    json_t *params = scope->params != NULL ? json_copy((json_t *)(uintptr_t)scope->params) : NULL;
    (void)json_object_set_new(context, "params", params != NULL ? params : json_object());
    (void)json_object_set_new(document, "context", context);
}

static json_t *time_text(int64_t wall_ms)
{
    enum { DAY_MS = 24 * 60 * 60 * 1000 };
    struct civil_time time;
    char text[CIVIL_TEXT_MAX];
    int64_t day = wall_ms / DAY_MS - (wall_ms % DAY_MS < 0);
    int rest = (int)(wall_ms - day * DAY_MS);
    if (!civil_from_days(day, &time))
        return json_null();
    civil_format_date(&time, text);
    return json_sprintf("%sT%02d:%02d:%02d.%03dZ", text, rest / 3600000, rest / 60000 % 60,
        rest / 1000 % 60, rest % 1000);
}

/* What was noted, also in rounds before this one: what an attempt left elsewhere knows of none. */
static json_t *list_notes(const struct run *run, const struct tag *id)
{
    const struct task_notes *notes = run_notes(run, id->task);
    json_t *list = json_array();
    for (size_t i = 0; notes != NULL && i < notes->count; i++) {
        const struct task_note *note = &notes->items[i];
        if (MUTANT(NOTE_UNTOLD) && note->attempt > 1)
            continue;
        json_t *item = json_object();
        put_number(item, "attempt", note->attempt);
        put_number(item, "id", note->id);
        (void)json_object_set_new(item, "at", time_text(note->at));
        (void)json_object_set_new(
            item, "note", json_loadb(note->text.ptr, note->text.length, 0, NULL));
        (void)json_array_append_new(list, item);
    }
    return list;
}

int document_make(struct core *core, struct run *run, const struct tag *id,
    const struct template_scope *scope, struct slice *ret_document, struct error *error)
{
    json_t *options = render_options(run, id->task, scope, error);
    if (options == NULL)
        return error->code;
    json_t *document = json_object();
    put_names(document, core, run, id->task);
    put_identity(document, id);
    (void)json_object_set_new(document, "with", options);
    put_context(document, scope);
    (void)json_object_set_new(document, "notes", list_notes(run, id));
    struct buffer text = {0};
    json_append_compact(document, &text);
    json_decref(document);
    int code = 0;
    if (text.length > DOCUMENT_MAX_BYTES)
        code = error_set(error, ERR_TOO_BIG,
            "what its operator is told (options, params and notes) has %zu bytes, at most %d fit: "
            "hand large values on as files",
            text.length, DOCUMENT_MAX_BYTES);
    else
        *ret_document = arena_copy(&core->scratch, buffer_slice(&text));
    buffer_fini(&text);
    return code;
}
