/*
 * plan.c - opening a plan: every offset, count and cross reference is checked here, once, so that
 * all other readers may follow them blindly. The fixed sections stand in one order without gaps; so
 * the counts, which the checksum does not cover, are pinned by the offsets, which it does.
 */
#include "common/dag/plan.h"

#include "common/limits.h"
#include "common/memory.h"

#include <jansson.h>
#include <sodium.h>
#include <stddef.h>
#include <stdlib.h>

static const char magic[8] = {'R', 'E', 'E', 'V', 'P', 'L', 'A', 'N'};

static int damaged(struct error *error, const char *what)
{
    return error_set(error, ERR_CORRUPT, "the plan is damaged: %s", what);
}

static uint64_t round_up_8(uint64_t offset)
{
    return (offset + 7) & ~(uint64_t)7;
}

static int check_header(struct slice bytes, const struct plan_header *header, struct error *error)
{
    if (memcmp(header->magic, magic, sizeof magic) != 0)
        return error_set(error, ERR_CORRUPT, "this is not a plan");
    if (header->version > PLAN_VERSION)
        return error_set(error, ERR_VERSION, "the plan is of version %u, this reeve reads %d",
            header->version, PLAN_VERSION);
    if (header->version == 0 || header->size != bytes.length || header->size > UINT32_MAX)
        return damaged(error, "its size or version is wrong");
    unsigned char checksum[PLAN_HASH_BYTES];
    plan_checksum(bytes, header->version, checksum);
    if (memcmp(checksum, header->checksum, sizeof checksum) != 0)
        return damaged(error, "its checksum does not match");
    if (header->task_count > DAG_TASKS_MAX || header->edge_count > DAG_EDGES_MAX)
        return damaged(error, "it has too many tasks or edges");
    return 0;
}

/* Where the pool of strings, lists and bodies begins: after the sections, which must stand where
 * they belong. */
static int check_sections(const struct plan_header *header, uint32_t *ret_pool, struct error *error)
{
    const uint64_t tasks = header->task_count;
    const uint64_t edges = header->edge_count;
    const struct {
        uint32_t offset;
        uint64_t size;
    } sections[] = {
        {header->tasks, tasks * sizeof(struct plan_task)},
        {header->successor_starts, (tasks + 1) * sizeof(uint32_t)},
        {header->successors, edges * sizeof(uint32_t)},
        {header->predecessor_starts, (tasks + 1) * sizeof(uint32_t)},
        {header->predecessors, edges * sizeof(uint32_t)},
        {header->display, tasks * sizeof(uint32_t)},
    };
    uint64_t next = sizeof *header;
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        if (sections[i].offset != next)
            return damaged(error, "a section stands in the wrong place");
        next = round_up_8(next + sections[i].size);
    }
    if (next > header->size)
        return damaged(error, "it is cut short");
    *ret_pool = (uint32_t)next;
    return 0;
}

/* What the checks below share. `seen` has a bit for each 4 bytes: bodies that were checked already.
 */
struct check {
    const struct plan *plan;
    uint32_t pool;
    uint64_t size;
    unsigned char *seen;
};

static bool string_is_sound(const struct check *check, uint32_t offset)
{
    if (offset < check->pool || offset % 4 != 0 || offset + (uint64_t)5 > check->size)
        return false;
    uint32_t length;
    memcpy(&length, check->plan->bytes + offset, sizeof length);
    uint64_t end = offset + (uint64_t)4 + length;
    return end < check->size && check->plan->bytes[end] == '\0';
}

static bool is_absent_or_sound(const struct check *check, uint32_t offset)
{
    return offset == 0 || string_is_sound(check, offset);
}

static bool list_is_sound(const struct check *check, struct plan_list list)
{
    if (list.count == 0)
        return list.offset == 0;
    return list.offset >= check->pool && list.offset % 4 == 0 &&
           list.offset + (uint64_t)list.count * 4 <= check->size;
}

static bool strings_are_sound(const struct check *check, struct plan_list list)
{
    if (!list_is_sound(check, list))
        return false;
    const uint32_t *items = plan_items(check->plan, list);
    for (uint32_t i = 0; i < list.count; i++) {
        if (!string_is_sound(check, items[i]))
            return false;
    }
    return true;
}

static bool env_is_sound(const struct check *check, struct plan_list env)
{
    if (!list_is_sound(check, env) || env.count % 2 != 0)
        return false;
    const uint32_t *items = plan_items(check->plan, env);
    for (uint32_t i = 0; i < env.count; i += 2) {
        if (!string_is_sound(check, items[i]) || !is_absent_or_sound(check, items[i + 1]))
            return false;
    }
    return true;
}

static bool skip_codes_are_sound(const struct check *check, struct plan_list codes)
{
    if (!list_is_sound(check, codes))
        return false;
    const uint32_t *items = plan_items(check->plan, codes);
    for (uint32_t i = 0; i < codes.count; i++) {
        if (items[i] < 1 || items[i] > 255)
            return false;
    }
    return true;
}

static size_t body_size(const struct plan *plan)
{
    switch (plan->header->version) {
    case 1:
        return offsetof(struct plan_body, labels);
    case 2:
        return offsetof(struct plan_body, program);
    case 3:
        return offsetof(struct plan_body, memory_kib);
    default:
        return sizeof(struct plan_body);
    }
}

static bool body_is_sound(struct check *check, uint32_t offset)
{
    const struct plan *plan = check->plan;
    if (offset < check->pool || offset % 4 != 0 || offset + (uint64_t)body_size(plan) > check->size)
        return false;
    if ((check->seen[offset / 32] >> (offset / 4 % 8) & 1) != 0)
        return true;
    const struct plan_body *body = (const void *)(plan->bytes + offset);
    if (!is_absent_or_sound(check, body->text) || !is_absent_or_sound(check, body->file) ||
        !is_absent_or_sound(check, body->run_as) || body->strict > 1)
        return false;
    if (!strings_are_sound(check, body->arguments) || !env_is_sound(check, body->env) ||
        !strings_are_sound(check, body->artifacts) ||
        !skip_codes_are_sound(check, body->skip_codes) ||
        (plan->header->version > 1 && !strings_are_sound(check, body->labels)))
        return false;
    if (plan->header->version > 2 &&
        (!is_absent_or_sound(check, body->program) || !strings_are_sound(check, body->connections)))
        return false;
    check->seen[offset / 32] |= (unsigned char)(1 << (offset / 4 % 8));
    return true;
}

/* Each operator has what it needs to start. */
static bool operator_is_sound(const struct plan *plan, uint32_t task)
{
    const struct plan_body *body = plan_body(plan, task);
    switch (plan->tasks[task].kind) {
    case OPERATOR_NOOP:
        return body->text == 0 && body->file == 0 && body->arguments.count == 0;
    case OPERATOR_BASH:
        return (body->text == 0) != (body->file == 0);
    case OPERATOR_EXEC:
        return body->text == 0 && body->file == 0 && body->arguments.count > 0;
    case OPERATOR_PROGRAM:
        return body->text != 0 && body->file == 0 && body->arguments.count == 0 &&
               plan_program(plan, task).length > 0;
    default:
        return false;
    }
}

static int check_tasks(struct check *check, struct error *error)
{
    const struct plan *plan = check->plan;
    const uint8_t known_flags =
        PLAN_TASK_ALLOW_FAILURE | PLAN_TASK_EXPONENTIAL_BACKOFF | PLAN_TASK_IDEMPOTENT;
    for (uint32_t i = 0; i < plan_task_count(plan); i++) {
        const struct plan_task *task = &plan->tasks[i];
        if (!string_is_sound(check, task->name) || !string_is_sound(check, task->queue))
            return damaged(error, "a task's name or queue is out of bounds");
        size_t length = plan_string(plan, task->name).length;
        if (length == 0 || length > NAME_MAX_BYTES)
            return damaged(error, "a task's name is too short or too long");
        if (i > 0 &&
            slice_compare(plan_string(plan, task[-1].name), plan_string(plan, task->name)) >= 0)
            return damaged(error, "its tasks are not in the order of their names");
        if (task->trigger_rule >= TRIGGER_COUNT || task->on_lost > ON_LOST_HOLD ||
            task->max_losses > PLAN_MAX_LOSSES || (task->flags & ~known_flags) != 0)
            return damaged(error, "a task's rule or flag is unknown");
        if (!body_is_sound(check, task->body) || !operator_is_sound(plan, i))
            return damaged(error, "a task's body is out of bounds");
    }
    return 0;
}

static bool starts_are_sound(const struct plan *plan, const uint32_t *starts)
{
    uint32_t count = plan_task_count(plan);
    if (starts[0] != 0 || starts[count] != plan->header->edge_count)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (starts[i] > starts[i + 1])
            return false;
    }
    return true;
}

/* The predecessors must be the successors turned round, entry by entry: both ascend. */
static bool edges_agree(const struct plan *plan, uint32_t *next)
{
    uint32_t count = plan_task_count(plan);
    memcpy(next, plan->predecessor_starts, count * sizeof *next);
    for (uint32_t from = 0; from < count; from++) {
        for (uint32_t i = plan->successor_starts[from]; i < plan->successor_starts[from + 1]; i++) {
            uint32_t to = plan->successors[i];
            if (to >= count || to == from)
                return false;
            if (i > plan->successor_starts[from] && plan->successors[i - 1] >= to)
                return false;
            if (next[to] >= plan->predecessor_starts[to + 1] ||
                plan->predecessors[next[to]++] != from)
                return false;
        }
    }
    return true;
}

/* Takes tasks whose predecessors are all taken until none is left; a cycle never is. */
static bool is_acyclic(const struct plan *plan, uint32_t *waits, uint32_t *queue)
{
    uint32_t count = plan_task_count(plan);
    uint32_t queued = 0;
    for (uint32_t i = 0; i < count; i++) {
        waits[i] = plan->predecessor_starts[i + 1] - plan->predecessor_starts[i];
        if (waits[i] == 0)
            queue[queued++] = i;
    }
    for (uint32_t taken = 0; taken < queued; taken++) {
        uint32_t from = queue[taken];
        for (uint32_t i = plan->successor_starts[from]; i < plan->successor_starts[from + 1]; i++) {
            if (--waits[plan->successors[i]] == 0)
                queue[queued++] = plan->successors[i];
        }
    }
    return queued == count;
}

static bool display_is_permutation(const struct plan *plan, uint32_t *marks)
{
    uint32_t count = plan_task_count(plan);
    memset(marks, 0, count * sizeof *marks);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t task = plan->display[i];
        if (task >= count || marks[task]++ != 0)
            return false;
    }
    return true;
}

static int check_graph(const struct plan *plan, struct error *error)
{
    if (!starts_are_sound(plan, plan->successor_starts) ||
        !starts_are_sound(plan, plan->predecessor_starts))
        return damaged(error, "its edges do not add up");
    uint32_t *scratch = xcalloc((size_t)plan_task_count(plan) * 2 + 1, sizeof *scratch);
    int result = 0;
    if (!edges_agree(plan, scratch))
        result = damaged(error, "its edges contradict each other");
    else if (!is_acyclic(plan, scratch, scratch + plan_task_count(plan)))
        result = damaged(error, "its tasks wait for each other");
    else if (!display_is_permutation(plan, scratch))
        result = damaged(error, "its display order is wrong");
    free(scratch);
    return result;
}

static int check_params(const struct plan *plan, struct error *error)
{
    struct slice text = plan_string(plan, plan->header->params);
    json_t *params = json_loadb(text.ptr, text.length, JSON_REJECT_DUPLICATES, NULL);
    bool sound = json_is_object(params);
    json_decref(params);
    return sound ? 0 : damaged(error, "its params are no JSON object");
}

static int check_dag(const struct check *check, struct error *error)
{
    const struct plan_header *header = check->plan->header;
    if (!string_is_sound(check, header->name) || !string_is_sound(check, header->timezone) ||
        !string_is_sound(check, header->file) || !string_is_sound(check, header->params) ||
        !is_absent_or_sound(check, header->description) ||
        !is_absent_or_sound(check, header->owner) || !is_absent_or_sound(check, header->schedule) ||
        !is_absent_or_sound(check, header->start_date) ||
        !is_absent_or_sound(check, header->source))
        return damaged(error, "one of its texts is out of bounds");
    if (!strings_are_sound(check, header->tags) || !strings_are_sound(check, header->files))
        return damaged(error, "its tags or files are out of bounds");
    return check_params(check->plan, error);
}

int plan_open(struct slice bytes, struct plan *ret_plan, struct error *error)
{
    if (bytes.length < sizeof(struct plan_header) || (uintptr_t)bytes.ptr % 8 != 0)
        return damaged(error, "it is too short, or not aligned");
    const struct plan_header *header = (const void *)bytes.ptr;
    struct check check = {.size = bytes.length};
    int result = check_header(bytes, header, error);
    if (result == 0)
        result = check_sections(header, &check.pool, error);
    if (result != 0)
        return result;
    const unsigned char *base = (const unsigned char *)bytes.ptr;
    struct plan plan = {
        .bytes = base,
        .header = header,
        .tasks = (const void *)(base + header->tasks),
        .successor_starts = (const void *)(base + header->successor_starts),
        .successors = (const void *)(base + header->successors),
        .predecessor_starts = (const void *)(base + header->predecessor_starts),
        .predecessors = (const void *)(base + header->predecessors),
        .display = (const void *)(base + header->display),
    };
    check.plan = &plan;
    check.seen = xcalloc(bytes.length / 32 + 1, 1);
    result = check_dag(&check, error);
    if (result == 0)
        result = check_tasks(&check, error);
    if (result == 0)
        result = check_graph(&plan, error);
    free(check.seen);
    if (result == 0)
        *ret_plan = plan;
    return result;
}

void plan_checksum(struct slice bytes, uint32_t version, unsigned char ret_hash[PLAN_HASH_BYTES])
{
    const size_t covered = offsetof(struct plan_header, edge_count);
    unsigned char key[crypto_generichash_KEYBYTES] = {0};
    memcpy(key, &version, sizeof version);
    (void)crypto_generichash(ret_hash, PLAN_HASH_BYTES, (const unsigned char *)bytes.ptr + covered,
        bytes.length - covered, key, version > 2 ? sizeof key : 0);
}

void plan_hash(struct slice bytes, unsigned char ret_hash[PLAN_HASH_BYTES])
{
    (void)crypto_generichash(
        ret_hash, PLAN_HASH_BYTES, (const unsigned char *)bytes.ptr, bytes.length, NULL, 0);
}

struct slice plan_string(const struct plan *plan, uint32_t offset)
{
    if (offset == 0)
        return (struct slice){0};
    uint32_t length;
    memcpy(&length, plan->bytes + offset, sizeof length);
    return slice_make(plan->bytes + offset + sizeof length, length);
}

const uint32_t *plan_items(const struct plan *plan, struct plan_list list)
{
    return (const void *)(plan->bytes + list.offset);
}

const struct plan_body *plan_body(const struct plan *plan, uint32_t task)
{
    return (const void *)(plan->bytes + plan->tasks[task].body);
}

struct plan_list plan_labels(const struct plan *plan, uint32_t task)
{
    return plan->header->version > 1 ? plan_body(plan, task)->labels : (struct plan_list){0};
}

struct slice plan_program(const struct plan *plan, uint32_t task)
{
    if (plan->header->version < 3)
        return (struct slice){0};
    return plan_string(plan, plan_body(plan, task)->program);
}

struct plan_list plan_connections(const struct plan *plan, uint32_t task)
{
    return plan->header->version > 2 ? plan_body(plan, task)->connections : (struct plan_list){0};
}

struct plan_limits plan_limits(const struct plan *plan, uint32_t task)
{
    if (plan->header->version < 4)
        return (struct plan_limits){0};
    const struct plan_body *body = plan_body(plan, task);
    return (struct plan_limits){(uint64_t)body->memory_kib * 1024, body->cpu_permille};
}

int64_t plan_find_task(const struct plan *plan, struct slice name)
{
    uint32_t low = 0;
    uint32_t high = plan_task_count(plan);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = slice_compare(plan_string(plan, plan->tasks[middle].name), name);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

const char *trigger_rule_name(int rule)
{
    static const char *const names[] = {
        [TRIGGER_ALL_SUCCESS] = "all_success",
        [TRIGGER_ALL_FAILED] = "all_failed",
        [TRIGGER_ALL_DONE] = "all_done",
        [TRIGGER_ALL_DONE_MIN_ONE_SUCCESS] = "all_done_min_one_success",
        [TRIGGER_ALL_SKIPPED] = "all_skipped",
        [TRIGGER_ONE_FAILED] = "one_failed",
        [TRIGGER_ONE_SUCCESS] = "one_success",
        [TRIGGER_ONE_DONE] = "one_done",
        [TRIGGER_NONE_FAILED] = "none_failed",
        [TRIGGER_NONE_FAILED_MIN_ONE_SUCCESS] = "none_failed_min_one_success",
        [TRIGGER_NONE_SKIPPED] = "none_skipped",
        [TRIGGER_ALWAYS] = "always",
    };
    _Static_assert(sizeof names / sizeof names[0] == TRIGGER_COUNT, "a name for each rule");
    return rule >= 0 && rule < TRIGGER_COUNT ? names[rule] : "?";
}

const char *on_lost_name(int on_lost)
{
    static const char *const names[] = {"rerun", "fail", "hold"};
    return on_lost >= ON_LOST_RERUN && on_lost <= ON_LOST_HOLD ? names[on_lost] : "?";
}
