#include "master/core/effects.h"

#include "common/memory.h"

#include <stdlib.h>

struct effects *effects_create(void)
{
    return xcalloc(1, sizeof(struct effects));
}

void effects_reset(struct effects *effects)
{
    arena_reset(&effects->arena);
    effects->fact_count = 0;
    effects->send_count = 0;
    effects->answer_count = 0;
    effects->change_count = 0;
    effects->access_count = 0;
    effects->handed_count = 0;
    effects->forgotten_count = 0;
    effects->next = NULL;
}

void effects_destroy(struct effects *effects)
{
    if (effects == NULL)
        return;
    arena_fini(&effects->arena);
    free(effects->facts);
    free(effects->sends);
    free(effects->answers);
    free(effects->changes);
    free(effects->accesses);
    free(effects->handed);
    free(effects->forgotten);
    free(effects);
}

bool effects_is_empty(const struct effects *effects)
{
    return effects->fact_count == 0 && effects->send_count == 0 && effects->answer_count == 0 &&
           effects->change_count == 0 && effects->access_count == 0 && effects->handed_count == 0 &&
           effects->forgotten_count == 0;
}

struct fact *effects_add_fact(struct effects *effects, enum fact_kind kind)
{
    vector_reserve(&effects->facts, effects->fact_count, &effects->fact_capacity);
    struct fact *fact = &effects->facts[effects->fact_count++];
    *fact = (struct fact){.kind = kind};
    return fact;
}

void effects_add_send(struct effects *effects, uint64_t peer, struct slice frame, bool at_once)
{
    vector_reserve(&effects->sends, effects->send_count, &effects->send_capacity);
    effects->sends[effects->send_count++] =
        (struct send_effect){peer, arena_copy(&effects->arena, frame), at_once};
}

void effects_add_answer(struct effects *effects, uint64_t ticket, struct slice message)
{
    vector_reserve(&effects->answers, effects->answer_count, &effects->answer_capacity);
    effects->answers[effects->answer_count++] =
        (struct answer_effect){ticket, arena_copy(&effects->arena, message)};
}

struct change_effect *effects_add_change(struct effects *effects)
{
    vector_reserve(&effects->changes, effects->change_count, &effects->change_capacity);
    struct change_effect *change = &effects->changes[effects->change_count++];
    *change = (struct change_effect){0};
    return change;
}

struct access_effect *effects_add_access(struct effects *effects)
{
    vector_reserve(&effects->accesses, effects->access_count, &effects->access_capacity);
    struct access_effect *access = &effects->accesses[effects->access_count++];
    *access = (struct access_effect){0};
    return access;
}

struct handed_effect *effects_add_handed(struct effects *effects)
{
    vector_reserve(&effects->handed, effects->handed_count, &effects->handed_capacity);
    struct handed_effect *handed = &effects->handed[effects->handed_count++];
    *handed = (struct handed_effect){0};
    return handed;
}

void effects_add_forgotten(struct effects *effects, uint64_t run)
{
    vector_reserve(&effects->forgotten, effects->forgotten_count, &effects->forgotten_capacity);
    effects->forgotten[effects->forgotten_count++] = run;
}
