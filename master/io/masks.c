#include "master/io/masks.h"

#include "common/memory.h"
#include "common/table.h"

#include <pthread.h>
#include <stdlib.h>

/* Attempts that are told apart; at the bound all are forgotten, and masked by all there is. */
enum { HANDED_MAX = 262144 };

struct masks {
    pthread_mutex_t mutex;
    struct names by_name; /* variable -> struct mask *, which only grows */
    struct names sets;    /* variables, a line each -> struct mask *, as given out */
    struct names handed;  /* attempt -> struct mask *, or 0: nothing */
    struct mask *all;     /* as given out; NULL: to be made */
    struct mask **made;   /* all that was given out: somebody may still look at it */
    size_t made_count, made_capacity;
};

struct masks *masks_create(void)
{
    struct masks *masks = xcalloc(1, sizeof *masks);
    (void)pthread_mutex_init(&masks->mutex, NULL);
    return masks;
}

static void free_mask(void *context, struct slice key, uint64_t value)
{
    (void)context;
    (void)key;
    mask_destroy((struct mask *)(uintptr_t)value);
}

void masks_destroy(struct masks *masks)
{
    if (masks == NULL)
        return;
    for (size_t i = 0; i < masks->made_count; i++)
        mask_destroy(masks->made[i]);
    free(masks->made);
    names_each(&masks->by_name, free_mask, NULL);
    names_fini(&masks->by_name);
    names_fini(&masks->sets);
    names_fini(&masks->handed);
    (void)pthread_mutex_destroy(&masks->mutex);
    free(masks);
}

static struct mask *find(const struct names *names, struct slice key)
{
    uint64_t value = 0;
    return names_get(names, key, &value) ? (struct mask *)(uintptr_t)value : NULL;
}

/* One that is given out. */
static struct mask *make(struct masks *masks)
{
    struct mask *mask = mask_create();
    vector_reserve(&masks->made, masks->made_count, &masks->made_capacity);
    masks->made[masks->made_count++] = mask;
    return mask;
}

void masks_learn(struct masks *masks, struct slice name, struct slice document)
{
    struct arena arena = {0};
    struct connection connection;
    if (connection_parse(document, &arena, &connection, NULL) == 0) {
        struct slice variable = connection_variable(name, &arena);
        (void)pthread_mutex_lock(&masks->mutex);
        struct mask *mask = find(&masks->by_name, variable);
        if (mask == NULL) {
            mask = mask_create();
            names_set(&masks->by_name, variable, (uintptr_t)mask);
        }
        mask_add_connection(mask, &connection);
        names_fini(&masks->sets);
        masks->sets = (struct names){0};
        masks->all = NULL;
        (void)pthread_mutex_unlock(&masks->mutex);
    }
    arena_fini(&arena);
}

/* The secrets of a list of names; NULL: there are none. */
static struct mask *set_of(struct masks *masks, const struct texts *names)
{
    struct arena arena = {0};
    struct buffer key = {0};
    for (uint32_t i = 0; i < names->count; i++) {
        buffer_append_slice(&key, connection_variable(names->items[i], &arena));
        buffer_append_text(&key, "\n");
    }
    struct mask *set = find(&masks->sets, buffer_slice(&key));
    if (set == NULL) {
        set = make(masks);
        for (uint32_t i = 0; i < names->count; i++) {
            const struct mask *one =
                find(&masks->by_name, connection_variable(names->items[i], &arena));
            if (one != NULL)
                mask_add_all(set, one);
        }
        names_set(&masks->sets, buffer_slice(&key), (uintptr_t)set);
    }
    buffer_fini(&key);
    arena_fini(&arena);
    return mask_is_empty(set) ? NULL : set;
}

/* The bytes that stand for an attempt. */
struct attempt_bytes {
    uint64_t run;
    uint32_t task, map, attempt, zero;
};

void masks_hand(struct masks *masks, const struct attempt_id *id, const struct texts *names)
{
    struct attempt_bytes key = {id->run, id->task, id->map, id->attempt, 0};
    (void)pthread_mutex_lock(&masks->mutex);
    if (masks->handed.count >= HANDED_MAX) {
        names_fini(&masks->handed);
        masks->handed = (struct names){0};
    }
    const struct mask *set = names->count > 0 ? set_of(masks, names) : NULL;
    names_set(&masks->handed, slice_make(&key, sizeof key), (uintptr_t)set);
    (void)pthread_mutex_unlock(&masks->mutex);
}

static void add_to_all(void *context, struct slice key, uint64_t value)
{
    (void)key;
    mask_add_all(context, (const struct mask *)(uintptr_t)value);
}

static const struct mask *all_of(struct masks *masks)
{
    if (masks->all == NULL) {
        masks->all = make(masks);
        names_each(&masks->by_name, add_to_all, masks->all);
    }
    return mask_is_empty(masks->all) ? NULL : masks->all;
}

const struct mask *masks_of(struct masks *masks, const struct attempt_id *id)
{
    struct attempt_bytes key = {id->run, id->task, id->map, id->attempt, 0};
    uint64_t value = 0;
    const struct mask *mask = NULL;
    (void)pthread_mutex_lock(&masks->mutex);
    if (names_get(&masks->handed, slice_make(&key, sizeof key), &value))
        mask = (const struct mask *)(uintptr_t)value;
    else if (masks->by_name.count > 0)
        mask = all_of(masks);
    (void)pthread_mutex_unlock(&masks->mutex);
    return mask;
}
