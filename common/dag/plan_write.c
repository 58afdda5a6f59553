/*
 * plan_write.c - the layout of plan.h. The pool behind the fixed sections is filled while the tasks
 * are written: equal strings, lists and bodies are stored once.
 */
#include "common/dag/plan_write.h"

#include "common/dag/json_text.h"
#include "common/dag/scalar.h"
#include "common/memory.h"

#include <stdlib.h>

enum { SOURCE_MAX_BYTES = 1024 * 1024 };

struct writer {
    const struct dag *dag;
    const struct graph *graph;
    struct buffer *out;           /* the fixed sections, then the pool */
    struct names strings;         /* bytes -> offset */
    struct names blocks;          /* lists and bodies, by their bytes -> offset */
    struct buffer list;           /* the list that is being made */
    struct env_set shared_env;    /* the DAG's and default_args' */
    struct names shared_names;    /* name -> index in shared_env */
    struct plan_list shared_list; /* shared_env as written; made once */
    uint32_t *artifact_needs;     /* by rank */
};

static bool too_big(const struct writer *writer)
{
    return writer->out->length > PLAN_MAX_BYTES;
}

static void pad(struct buffer *out, size_t to)
{
    static const char zeros[8] = {0};
    buffer_append(out, zeros, (to - out->length % to) % to);
}

static uint32_t put_string(struct writer *writer, struct slice text)
{
    uint64_t offset;
    if (text.ptr == NULL || too_big(writer))
        return 0;
    if (names_get(&writer->strings, text, &offset))
        return (uint32_t)offset;
    pad(writer->out, 4);
    offset = writer->out->length;
    uint32_t length = (uint32_t)text.length;
    buffer_append(writer->out, &length, sizeof length);
    buffer_append_slice(writer->out, text);
    buffer_append(writer->out, "", 1);
    names_set(&writer->strings, text, offset);
    return (uint32_t)offset;
}

/* Bytes of u32s, once. */
static uint32_t put_block(struct writer *writer, const void *bytes, size_t length)
{
    uint64_t offset;
    struct slice block = slice_make(bytes, length);
    if (too_big(writer))
        return 0;
    if (names_get(&writer->blocks, block, &offset))
        return (uint32_t)offset;
    pad(writer->out, 4);
    offset = writer->out->length;
    buffer_append_slice(writer->out, block);
    names_set(&writer->blocks, block, offset);
    return (uint32_t)offset;
}

static void list_add(struct writer *writer, uint32_t number)
{
    buffer_append(&writer->list, &number, sizeof number);
}

static struct plan_list list_end(struct writer *writer)
{
    struct plan_list list = {0};
    list.count = (uint32_t)(writer->list.length / sizeof(uint32_t));
    if (list.count > 0)
        list.offset = put_block(writer, writer->list.data, writer->list.length);
    buffer_clear(&writer->list);
    return list;
}

static struct plan_list put_texts(struct writer *writer, struct texts texts)
{
    for (uint32_t i = 0; i < texts.count; i++)
        list_add(writer, put_string(writer, texts.items[i]));
    return list_end(writer);
}

static struct plan_list put_codes(struct writer *writer, struct codes codes)
{
    for (uint32_t i = 0; i < codes.count; i++)
        list_add(writer, codes.items[i]);
    return list_end(writer);
}

static struct plan_list put_arguments(struct writer *writer, const struct node *arguments)
{
    if (arguments == NULL)
        return (struct plan_list){0};
    node_each_item(arguments, item) list_add(writer, put_string(writer, item->text));
    return list_end(writer);
}

static void add_env_entry(struct writer *writer, const struct env_entry *entry)
{
    list_add(writer, put_string(writer, entry->name));
    list_add(writer, entry->value != NULL ? put_string(writer, entry->value->text) : 0);
}

/* The DAG's env, default_args' over it. */
static void merge_shared_env(struct writer *writer)
{
    const struct env_set *sets[] = {&writer->dag->env, &writer->dag->defaults.env};
    struct env_entry *entries = xcalloc((size_t)sets[0]->count + sets[1]->count, sizeof *entries);
    uint32_t count = 0;
    for (size_t i = 0; i < 2; i++) {
        for (uint32_t j = 0; j < sets[i]->count; j++) {
            const struct env_entry *entry = &sets[i]->entries[j];
            uint64_t at = count;
            if (!names_get(&writer->shared_names, entry->name, &at)) {
                names_set(&writer->shared_names, entry->name, count);
                count++;
            }
            entries[at] = *entry;
        }
    }
    writer->shared_env = (struct env_set){entries, count};
    for (uint32_t i = 0; i < count; i++)
        add_env_entry(writer, &entries[i]);
    writer->shared_list = list_end(writer);
}

/* The shared env with the task's own over it. */
static struct plan_list put_env(struct writer *writer, const struct env_set *own)
{
    const struct env_set *shared = &writer->shared_env;
    if (own->count == 0)
        return writer->shared_list;
    const struct env_entry **over = xcalloc(shared->count, sizeof(const struct env_entry *));
    uint64_t at;
    for (uint32_t i = 0; i < own->count; i++) {
        if (names_get(&writer->shared_names, own->entries[i].name, &at))
            over[at] = &own->entries[i];
    }
    for (uint32_t i = 0; i < shared->count; i++)
        add_env_entry(writer, over[i] != NULL ? over[i] : &shared->entries[i]);
    for (uint32_t i = 0; i < own->count; i++) {
        if (!names_get(&writer->shared_names, own->entries[i].name, NULL))
            add_env_entry(writer, &own->entries[i]);
    }
    free(over);
    return list_end(writer);
}

static uint32_t put_body(struct writer *writer, const struct task *task)
{
    const struct task_settings *settings = &task->settings;
    struct plan_body body = {
        .text = put_string(writer, task->text != NULL ? task->text->text : task->document),
        .file = task->file != NULL ? put_string(writer, task->file->text) : 0,
        .arguments = put_arguments(writer, task->arguments),
        .env = put_env(writer, &settings->env),
        .artifacts = put_texts(writer, settings->artifacts),
        .skip_codes = put_codes(writer, settings->skip_codes),
        .strict = task->kind == OPERATOR_BASH && task->strict,
        .run_as = put_string(writer, settings->run_as),
        .labels = put_texts(writer, settings->labels),
        .program = put_string(writer, task->program),
        .connections = put_texts(writer, settings->connections),
        .memory_kib = (uint32_t)(settings->memory_bytes / 1024),
        .cpu_permille = settings->cpu_permille,
    };
    return put_block(writer, &body, sizeof body);
}

static struct plan_task make_task(struct writer *writer, const struct task *task)
{
    const struct task_settings *settings = &task->settings;
    uint8_t flags = 0;
    if (settings->allow_failure)
        flags |= PLAN_TASK_ALLOW_FAILURE;
    if (settings->exponential_backoff)
        flags |= PLAN_TASK_EXPONENTIAL_BACKOFF;
    if (settings->idempotent)
        flags |= PLAN_TASK_IDEMPOTENT;
    return (struct plan_task){
        .name = put_string(writer, task->name),
        .queue = put_string(writer, settings->queue),
        .body = put_body(writer, task),
        .kind = (uint8_t)task->kind,
        .trigger_rule = (uint8_t)settings->trigger_rule,
        .on_lost = (uint8_t)settings->on_lost,
        .flags = flags,
        .priority_weight = settings->priority_weight,
        .retries = settings->retries,
        .max_losses = settings->max_losses,
        .artifact_needs = writer->artifact_needs[task->rank],
        .retry_delay_ms = settings->retry_delay_ms,
        .max_retry_delay_ms = settings->max_retry_delay_ms,
        .execution_timeout_ms = settings->execution_timeout_ms,
        .kill_grace_ms = settings->kill_grace_ms,
        .lease_ms = settings->lease_ms,
        .log_limit_bytes = settings->log_limit_bytes,
    };
}

static void add_artifact_needs(void *context, uint32_t first, const uint64_t *masks)
{
    (void)first;
    struct writer *writer = context;
    for (uint32_t i = 0; i < writer->graph->task_count; i++)
        writer->artifact_needs[i] += (uint32_t)__builtin_popcountll(masks[i]);
}

/* How many tasks above each task leave artifacts. */
static void count_artifact_needs(struct writer *writer)
{
    const struct dag *dag = writer->dag;
    writer->artifact_needs = xcalloc(dag->task_count, sizeof *writer->artifact_needs);
    uint32_t *sources = xcalloc(dag->task_count, sizeof *sources);
    uint32_t count = 0;
    for (uint32_t rank = 0; rank < dag->task_count; rank++) {
        if (dag->tasks[writer->graph->by_rank[rank]].settings.artifacts.count > 0)
            sources[count++] = rank;
    }
    graph_reach(writer->graph, sources, count, add_artifact_needs, writer);
    free(sources);
}

/* Appends a section of zeros or of `numbers`; returns where it begins. */
static uint32_t put_section(struct buffer *out, const void *bytes, size_t length)
{
    uint32_t offset = (uint32_t)out->length;
    if (bytes != NULL)
        buffer_append(out, bytes, length);
    else if (length > 0) {
        memset(buffer_reserve(out, length), 0, length);
        out->length += length;
    }
    pad(out, 8);
    return offset;
}

/* The fixed sections in plan.c's order; tasks are still empty. */
static void put_sections(struct writer *writer, struct plan_header *header)
{
    const struct graph *graph = writer->graph;
    const size_t count = graph->task_count;
    const size_t starts = (count + 1) * sizeof(uint32_t);
    const size_t edges = (size_t)graph->edge_count * sizeof(uint32_t);
    struct buffer *out = writer->out;
    uint32_t *display = xcalloc(count, sizeof *display);
    for (size_t i = 0; i < count; i++)
        display[i] = writer->dag->tasks[i].rank;
    (void)put_section(out, NULL, sizeof *header);
    header->tasks = put_section(out, NULL, count * sizeof(struct plan_task));
    header->successor_starts = put_section(out, graph->successor_starts, starts);
    header->successors = put_section(out, graph->successors, edges);
    header->predecessor_starts = put_section(out, graph->predecessor_starts, starts);
    header->predecessors = put_section(out, graph->predecessors, edges);
    header->display = put_section(out, display, count * sizeof *display);
    free(display);
}

static void put_tasks(struct writer *writer, uint32_t offset)
{
    for (uint32_t rank = 0; rank < writer->graph->task_count && !too_big(writer); rank++) {
        const struct task *task = &writer->dag->tasks[writer->graph->by_rank[rank]];
        struct plan_task made = make_task(writer, task);
        memcpy(writer->out->data + offset + (size_t)rank * sizeof made, &made, sizeof made);
    }
}

static void put_dag(struct writer *writer, struct plan_header *header, struct slice source)
{
    const struct dag *dag = writer->dag;
    struct buffer params = {0};
    json_append_compact(dag->params, &params);
    header->max_active_runs = dag->max_active_runs;
    header->max_active_tasks = dag->max_active_tasks;
    header->flags = dag->catchup ? PLAN_CATCHUP : 0;
    if (!dag->files_given || dag->files.count > 0)
        header->flags |= PLAN_FILES_IN_FOLDER;
    header->name = put_string(writer, dag->name);
    header->description = put_string(writer, dag->description);
    header->owner = put_string(writer, dag->owner);
    header->timezone = put_string(writer, dag->timezone);
    header->schedule = put_string(writer, dag->schedule);
    header->start_date = put_string(writer, dag->start_date);
    header->file = put_string(writer, dag->file);
    header->params = put_string(writer, buffer_slice(&params));
    header->tags = put_texts(writer, dag->tags);
    header->files = put_texts(writer, dag->files);
    if (source.length <= SOURCE_MAX_BYTES)
        header->source = put_string(writer, source);
    buffer_fini(&params);
}

static void seal(struct writer *writer, struct plan_header *header)
{
    struct buffer *out = writer->out;
    pad(out, 8);
    memcpy(header->magic, "REEVPLAN", sizeof header->magic);
    header->version = PLAN_VERSION;
    header->size = out->length;
    memcpy(out->data, header, sizeof *header);
    plan_checksum(buffer_slice(out), header->version, header->checksum);
    memcpy(out->data, header, sizeof *header);
}

int plan_write(
    const struct dag *dag, const struct graph *graph, struct slice source, struct buffer *out)
{
    struct plan_header header = {.task_count = graph->task_count, .edge_count = graph->edge_count};
    struct writer writer = {.dag = dag, .graph = graph, .out = out};
    count_artifact_needs(&writer);
    put_sections(&writer, &header);
    merge_shared_env(&writer);
    put_tasks(&writer, header.tasks);
    put_dag(&writer, &header, source);
    int result = too_big(&writer) ? ERR_TOO_BIG : 0;
    if (result == 0)
        seal(&writer, &header);
    else
        buffer_clear(out);
    free((void *)(uintptr_t)writer.shared_env.entries);
    free(writer.artifact_needs);
    buffer_fini(&writer.list);
    names_fini(&writer.strings);
    names_fini(&writer.blocks);
    names_fini(&writer.shared_names);
    return result;
}
