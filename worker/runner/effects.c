#include "worker/runner/attempt.h"

#include "common/memory.h"

#include <stdlib.h>

void runner_effects_reset(struct runner_effects *effects)
{
    effects->count = 0;
    arena_reset(&effects->arena);
}

void runner_effects_fini(struct runner_effects *effects)
{
    free(effects->items);
    arena_fini(&effects->arena);
    *effects = (struct runner_effects){0};
}

struct runner_effect *effect_add(
    struct runner_effects *effects, enum runner_effect_kind kind, struct attempt_id id)
{
    vector_reserve(&effects->items, effects->count, &effects->capacity);
    struct runner_effect *effect = &effects->items[effects->count++];
    *effect = (struct runner_effect){.kind = kind, .id = id};
    return effect;
}

struct runner_effect *effect_send(struct runner_core *core, struct runner_effects *effects,
    enum message_id number, const void *body, size_t size)
{
    if (!core->connected)
        return NULL;
    struct runner_effect *effect = effect_add(effects, RUNNER_EFFECT_SEND, (struct attempt_id){0});
    void *copy = arena_alloc(&effects->arena, size);
    memcpy(copy, body, size);
    effect->number = number;
    effect->body = copy;
    return effect;
}
