/* Any bytes as a plan, its size and checksum put right: refused, or safe to walk. */
#include "common/dag/plan.h"
#include "common/memory.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void seal(unsigned char *bytes, size_t size)
{
    struct plan_header *header = (void *)bytes;
    memcpy(header->magic, "REEVPLAN", sizeof header->magic);
    header->version = PLAN_VERSION;
    header->size = size;
    plan_checksum(slice_make(bytes, size), header->version, header->checksum);
}

static size_t walk_strings(const struct plan *plan, struct plan_list list)
{
    size_t sum = 0;
    for (uint32_t i = 0; i < list.count; i++) {
        struct slice text = plan_string(plan, plan_items(plan, list)[i]);
        sum += text.ptr != NULL ? strlen(text.ptr) : 0;
    }
    return sum;
}

static size_t walk(const struct plan *plan)
{
    const struct plan_header *header = plan->header;
    size_t sum = walk_strings(plan, header->tags) + walk_strings(plan, header->files) +
                 strlen(plan_string(plan, header->name).ptr);
    for (uint32_t i = 0; i < header->task_count; i++) {
        const struct plan_body *body = plan_body(plan, i);
        sum += walk_strings(plan, body->arguments) + walk_strings(plan, body->env) +
               walk_strings(plan, body->artifacts) + plan_string(plan, body->text).length +
               walk_strings(plan, plan_labels(plan, i)) + plan_string(plan, body->run_as).length +
               (size_t)plan_limits(plan, i).memory_bytes;
        for (uint32_t j = plan->successor_starts[i]; j < plan->successor_starts[i + 1]; j++)
            sum += plan->tasks[plan->successors[j]].retries;
        for (uint32_t j = plan->predecessor_starts[i]; j < plan->predecessor_starts[i + 1]; j++)
            sum += plan->tasks[plan->predecessors[j]].retries;
        if (plan_find_task(plan, plan_string(plan, plan->tasks[plan->display[i]].name)) < 0)
            abort();
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < sizeof(struct plan_header))
        return 0;
    /* A copy that ends where the plan ends: the sanitizer sees any look behind it. */
    unsigned char *copy = xmalloc(size);
    memcpy(copy, data, size);
    seal(copy, size);
    struct plan plan;
    if (plan_open(slice_make(copy, size), &plan, NULL) == 0)
        (void)walk(&plan);
    free(copy);
    return 0;
}
