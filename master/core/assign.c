/*
 * What a worker needs to run an attempt: its body with the templates rendered, its environment, the
 * artifacts of the tasks above. Values of people and tasks go into the environment and argv alone,
 * never into program text: the reader has seen to that.
 */
#include "common/dag/params.h"
#include "common/dag/template.h"
#include "common/limits.h"
#include "common/tag.h"
#include "master/core/state.h"

#include <stdio.h>
#include <stdlib.h>

/* As messages.def has it for assign. */
enum { ASSIGN_ITEMS_MAX = 65536, ASSIGN_ARTIFACTS_MAX = 4096 };

struct rendering {
    struct core *core;
    struct run *run;
    uint32_t task;
    uint32_t number; /* of the attempt */
    const struct template_scope *scope;
    struct buffer text; /* for one value */
    size_t total;       /* bytes of arguments and environment so far */
};

static const json_t *outputs_of(void *context, struct slice name)
{
    const struct rendering *rendering = context;
    int64_t index = plan_find_task(&rendering->run->plan, name);
    if (index < 0)
        return NULL;
    const struct leaving *leaving = run_leaving(rendering->run, (uint32_t)index, false);
    return leaving != NULL ? leaving->outputs : NULL;
}

static void artifacts_of(void *context, struct slice name, struct buffer *text)
{
    (void)context;
    buffer_append_text(text, ASSIGN_ARTIFACTS_MARK "/");
    buffer_append_slice(text, name);
}

/* Checks one argument or NAME=value and copies it. */
static int take(
    struct rendering *rendering, const char *what, struct slice *ret_text, struct error *error)
{
    const struct buffer *text = &rendering->text;
    if (memchr(text->data, '\0', text->length) != NULL)
        return error_set(
            error, ERR_INVALID, "%s holds a NUL byte, which no process can be given", what);
    if (text->length > ARGUMENT_MAX_BYTES)
        return error_set(error, ERR_TOO_BIG,
            "%s has %zu bytes; the kernel takes at most %d: hand it on as a file (artifacts)", what,
            text->length, ARGUMENT_MAX_BYTES);
    rendering->total += text->length + 1 + sizeof(char *);
    if (rendering->total > ARGUMENTS_MAX_BYTES)
        return error_set(error, ERR_TOO_BIG,
            "the environment and arguments have over %d bytes in all, at %s: hand large values on "
            "as files",
            ARGUMENTS_MAX_BYTES, what);
    *ret_text = arena_copy(&rendering->core->scratch, buffer_slice(text));
    return 0;
}

static void name_value(char *what, size_t size, const char *kind, struct slice name)
{
    (void)snprintf(what, size, "%s %.*s", kind, SLICE_PRINT(name));
}

static int render_argument(struct rendering *rendering, struct slice text, uint32_t position,
    struct slice *ret_text, struct error *error)
{
    char what[64];
    (void)snprintf(what, sizeof what, "argument %u", position + 1);
    buffer_clear(&rendering->text);
    (void)buffer_reserve(&rendering->text, 1);
    int code = template_render_text(text, rendering->scope, &rendering->text, error);
    return code != 0 ? code : take(rendering, what, ret_text, error);
}

static int render_arguments(struct rendering *rendering, struct plan_list list,
    struct texts *ret_texts, struct error *error)
{
    const uint32_t *items = plan_items(&rendering->run->plan, list);
    ret_texts->items =
        arena_alloc(&rendering->core->scratch, (list.count + 1) * sizeof *ret_texts->items);
    for (uint32_t i = 0; i < list.count; i++) {
        struct slice text = plan_string(&rendering->run->plan, items[i]);
        int code = render_argument(rendering, text, i, &ret_texts->items[i], error);
        if (code != 0)
            return code;
    }
    ret_texts->count = list.count;
    return 0;
}

/* NAME=value, or NAME alone when the file's value is null. */
static int add_user_variable(struct rendering *rendering, uint32_t name_at, uint32_t value_at,
    struct texts *env, struct error *error)
{
    struct slice name = plan_string(&rendering->run->plan, name_at);
    char what[NAME_MAX_BYTES + 32];
    name_value(what, sizeof what, "env", name);
    buffer_clear(&rendering->text);
    buffer_append_slice(&rendering->text, name);
    if (value_at != 0) {
        buffer_append_text(&rendering->text, "=");
        int code = template_render_text(plan_string(&rendering->run->plan, value_at),
            rendering->scope, &rendering->text, error);
        if (code != 0)
            return code;
    }
    int code = take(rendering, what, &env->items[env->count], error);
    env->count += code == 0;
    return code;
}

static int add_own_variable(struct rendering *rendering, const char *name, const char *value,
    struct texts *env, struct error *error)
{
    char what[NAME_MAX_BYTES + 32];
    (void)snprintf(what, sizeof what, "%.*s", NAME_MAX_BYTES, name);
    buffer_clear(&rendering->text);
    buffer_printf(&rendering->text, "%s=", name);
    buffer_append_text(&rendering->text, value);
    int code = take(rendering, what, &env->items[env->count], error);
    env->count += code == 0;
    return code;
}

static int add_params(
    struct rendering *rendering, json_t *params, struct texts *env, struct error *error)
{
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(params, name, value)
    {
        char variable[NAME_MAX_BYTES + 32];
        (void)snprintf(variable, sizeof variable, "REEVE_PARAM_%s", name);
        char *text = params_environment_text(value);
        if (text == NULL)
            continue;
        /* A string may hold NULs that its text would hide. */
        bool whole = !json_is_string(value) || strlen(text) == json_string_length(value);
        int code = whole ? add_own_variable(rendering, variable, text, env, error)
                         : error_set(error, ERR_INVALID,
                               "param %s holds a NUL byte, which no process can be given", name);
        free(text);
        if (code != 0)
            return code;
    }
    return 0;
}

static const char *value_text(const json_t *values, const char *name)
{
    const char *text = json_string_value(json_object_get(values, name));
    return text != NULL ? text : "";
}

/* What `env` cannot set. What only the worker knows, it adds itself. */
static int add_own_variables(
    struct rendering *rendering, json_t *values, struct texts *env, struct error *error)
{
    char attempt[16], epoch[24];
    (void)snprintf(attempt, sizeof attempt, "%u", rendering->number);
    (void)snprintf(epoch, sizeof epoch, "%llu", (unsigned long long)rendering->core->epoch);
    const struct {
        const char *name, *value;
    } own[] = {
        {"REEVE_RUN_ID", value_text(values, "run_id")},
        {"REEVE_DAG", value_text(values, "dag")},
        {"REEVE_TASK", value_text(values, "task")},
        {"REEVE_ATTEMPT", attempt},
        {"REEVE_EPOCH", epoch},
        {"REEVE_DS", value_text(values, "ds")},
        {"REEVE_LOGICAL_DATE", value_text(values, "logical_date")},
    };
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        int code = add_own_variable(rendering, own[i].name, own[i].value, env, error);
        if (code != 0)
            return code;
    }
    return 0;
}

enum { OWN_VARIABLES = 7 };

static int render_env(struct rendering *rendering, const struct plan_body *body, struct texts *env,
    struct error *error)
{
    json_t *values = json_object_get(rendering->run->context, "values");
    json_t *params = json_object_get(rendering->run->context, "params");
    const uint32_t *pairs = plan_items(&rendering->run->plan, body->env);
    size_t most = body->env.count / 2 + OWN_VARIABLES + json_object_size(params);
    env->items = arena_alloc(&rendering->core->scratch, (most + 1) * sizeof *env->items);
    for (uint32_t i = 0; i + 1 < body->env.count; i += 2) {
        int code = add_user_variable(rendering, pairs[i], pairs[i + 1], env, error);
        if (code != 0)
            return code;
    }
    int code = add_own_variables(rendering, values, env, error);
    return code != 0 ? code : add_params(rendering, params, env, error);
}

/* All tasks above that left artifacts, in breadth-first order. */
static void find_sources(struct rendering *rendering, struct msg_assign *assign)
{
    const struct plan *plan = &rendering->run->plan;
    struct arena *arena = &rendering->core->scratch;
    uint32_t wanted = run_plan_task(rendering->run, rendering->task)->artifact_needs;
    if (wanted == 0)
        return;
    uint32_t count = plan_task_count(plan), head = 0, tail = 0;
    uint32_t *line = arena_alloc(arena, count * sizeof *line);
    bool *seen = arena_alloc(arena, count * sizeof *seen);
    assign->sources.items = arena_alloc(arena, wanted * sizeof *assign->sources.items);
    line[tail++] = rendering->task;
    while (head < tail && assign->sources.count < wanted) {
        uint32_t at = line[head++];
        const struct leaving *leaving = run_leaving(rendering->run, at, false);
        if (leaving != NULL && leaving->has_manifest && at != rendering->task)
            assign->sources.items[assign->sources.count++] = (struct artifact_source){
                .task = plan_string(plan, plan->tasks[at].name),
                .manifest = slice_make(leaving->manifest, HASH_BYTES),
            };
        for (uint32_t i = plan->predecessor_starts[at]; i < plan->predecessor_starts[at + 1]; i++) {
            uint32_t above = plan->predecessors[i];
            if (!seen[above])
                line[tail++] = above;
            seen[above] = true;
        }
    }
}

static void take_plain_texts(
    const struct rendering *rendering, const struct plan_body *body, struct msg_assign *assign)
{
    const struct plan *plan = &rendering->run->plan;
    struct arena *arena = &rendering->core->scratch;
    const uint32_t *names = plan_items(plan, body->artifacts);
    assign->artifacts.items =
        arena_alloc(arena, (body->artifacts.count + 1) * sizeof(struct slice));
    assign->artifacts.count = body->artifacts.count;
    for (uint32_t i = 0; i < body->artifacts.count; i++)
        assign->artifacts.items[i] = plan_string(plan, names[i]);
    const uint32_t *codes = plan_items(plan, body->skip_codes);
    char *bytes = arena_alloc(arena, body->skip_codes.count + 1);
    for (uint32_t i = 0; i < body->skip_codes.count; i++)
        bytes[i] = (char)codes[i];
    assign->skip_codes = slice_make(bytes, body->skip_codes.count);
    assign->file = plan_string(plan, body->file);
    assign->run_as = plan_string(plan, body->run_as);
    assign->strict = body->strict != 0;
}

static int render_document(
    struct rendering *rendering, struct msg_assign *assign, struct error *error)
{
    struct run *run = rendering->run;
    const struct tag id = {.run = run->key, .task = rendering->task, .attempt = rendering->number};
    assign->operator= plan_program(&run->plan, rendering->task);
    return document_make(rendering->core, run, &id, rendering->scope, &assign->document, error);
}

static int render_body(struct rendering *rendering, struct msg_assign *assign, struct error *error)
{
    const struct plan *plan = &rendering->run->plan;
    const struct plan_body *body = plan_body(plan, rendering->task);
    take_plain_texts(rendering, body, assign);
    int code = render_arguments(rendering, body->arguments, &assign->arguments, error);
    if (code == 0)
        code = render_env(rendering, body, &assign->env, error);
    if (code == 0 && assign->kind == OPERATOR_PROGRAM)
        return render_document(rendering, assign, error);
    if (code == 0 && body->text != 0) {
        buffer_clear(&rendering->text);
        code = template_render_text(
            plan_string(plan, body->text), rendering->scope, &rendering->text, error);
        assign->text = arena_copy(&rendering->core->scratch, buffer_slice(&rendering->text));
    }
    return code;
}

/* The values that belong to the task and the attempt join those of the run. */
static void set_values(
    const struct rendering *rendering, json_t *values, const struct msg_assign *assign)
{
    (void)json_object_set_new(
        values, "run_id", json_stringn(assign->run_name.ptr, assign->run_name.length));
    struct slice dag = rendering->core->dags[rendering->run->dag].name;
    (void)json_object_set_new(values, "dag", json_stringn(dag.ptr, dag.length));
    (void)json_object_set_new(
        values, "task", json_stringn(assign->task_name.ptr, assign->task_name.length));
    (void)json_object_set_new(values, "attempt", json_integer(rendering->number));
}

/* What a frame can carry: a worker could never take a larger one, and nothing behind it. */
static int check_size(const struct msg_assign *assign, size_t total, struct error *error)
{
    size_t bytes = total + assign->text.length + assign->document.length;
    for (uint32_t i = 0; i < assign->sources.count; i++)
        bytes += assign->sources.items[i].task.length + 2 * HASH_BYTES;
    for (uint32_t i = 0; i < assign->connections.count; i++)
        bytes += assign->connections.items[i].document.length;
    for (uint32_t i = 0; i < assign->artifacts.count; i++)
        bytes += assign->artifacts.items[i].length;
    if (bytes > FRAME_MAX_BYTES / 2)
        return error_set(error, ERR_TOO_BIG,
            "what the task is given has %zu bytes in all, at most %d can be sent", bytes,
            FRAME_MAX_BYTES / 2);
    if (assign->arguments.count > ASSIGN_ITEMS_MAX || assign->env.count > ASSIGN_ITEMS_MAX ||
        assign->sources.count > ASSIGN_ITEMS_MAX || assign->artifacts.count > ASSIGN_ARTIFACTS_MAX)
        return error_set(error, ERR_TOO_BIG,
            "the task has more than %d arguments, variables or artifacts above it",
            ASSIGN_ITEMS_MAX);
    return 0;
}

int assign_render(struct core *core, struct run *run, uint32_t task, uint32_t number,
    struct msg_assign *assign, struct error *error)
{
    const struct plan_task *plan = run_plan_task(run, task);
    const struct plan_limits limits = plan_limits(&run->plan, task);
    *assign = (struct msg_assign){
        .kind = plan->kind,
        .lease_ms = plan->lease_ms,
        .kill_grace_ms = plan->kill_grace_ms,
        .timeout_ms = plan->execution_timeout_ms,
        .log_limit = plan->log_limit_bytes,
        .memory_bytes = limits.memory_bytes,
        .cpu_permille = limits.cpu_permille,
    };
    if (plan->kind == OPERATOR_NOOP)
        return 0;
    json_t *values = json_object_get(run->context, "values");
    struct template_scope scope = {
        .values = values,
        .params = json_object_get(run->context, "params"),
        .outputs = outputs_of,
        .artifacts = artifacts_of,
    };
    struct rendering rendering = {
        .core = core, .run = run, .task = task, .number = number, .scope = &scope};
    scope.context = &rendering;
    assign->run_name = arena_printf(
        &core->scratch, "%.*s/%u", SLICE_PRINT(core->dags[run->dag].name), run->number);
    assign->task_name = plan_string(&run->plan, plan->name);
    assign->bundle = run->bundle;
    set_values(&rendering, values, assign);
    int code = render_body(&rendering, assign, error);
    if (code == 0)
        code = connections_assign(core, &run->plan, task, assign, error);
    if (code == 0)
        find_sources(&rendering, assign);
    if (code == 0)
        code = check_size(assign, rendering.total, error);
    buffer_fini(&rendering.text);
    return code;
}
