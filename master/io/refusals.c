#include "master/io/refusals.h"

#include "common/memory.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    /* Rows that may come at once, and how long each takes to come back: at most 17,280 a day. */
    ROWS_AT_ONCE = 100,
    ROW_EVERY_MS = 5000,
};

struct refusals {
    pthread_mutex_t mutex;
    struct refusal items[REFUSALS_MAX]; /* by age */
    uint32_t count;
    uint32_t others; /* for which there was no room */
    uint32_t rows;   /* that may come now */
    uint64_t filled_ms;
    void (*wake)(void *context);
    void *context;
};

struct refusals *refusals_create(void (*wake)(void *context), void *context)
{
    struct refusals *refusals = xcalloc(1, sizeof *refusals);
    (void)pthread_mutex_init(&refusals->mutex, NULL);
    refusals->rows = ROWS_AT_ONCE;
    refusals->wake = wake;
    refusals->context = context;
    return refusals;
}

void refusals_destroy(struct refusals *refusals)
{
    if (refusals == NULL)
        return;
    (void)pthread_mutex_destroy(&refusals->mutex);
    free(refusals);
}

static void put_text(char *to, size_t size, struct slice text)
{
    (void)snprintf(to, size, "%.*s", SLICE_PRINT(text));
}

static bool are_alike(const struct refusal *a, const struct refusal *b)
{
    return a->keyed == b->keyed && a->role == b->role && memcmp(a->key, b->key, KEY_BYTES) == 0 &&
           strcmp(a->name, b->name) == 0 && strcmp(a->address, b->address) == 0 &&
           strcmp(a->action, b->action) == 0 && strcmp(a->target, b->target) == 0;
}

static void count(struct refusals *refusals, const struct refusal *refusal)
{
    for (uint32_t i = 0; i < refusals->count; i++) {
        if (are_alike(&refusals->items[i], refusal)) {
            refusals->items[i].count += refusals->items[i].count < UINT32_MAX;
            return;
        }
    }
    if (refusals->count < REFUSALS_MAX)
        refusals->items[refusals->count++] = *refusal;
    else
        refusals->others += refusals->others < UINT32_MAX;
}

void refusals_add(struct refusals *refusals, const struct actor *actor, const char *action,
    struct slice target, const char *text)
{
    struct refusal refusal = {.role = actor->role, .count = 1};
    refusal.keyed = actor->key.length == KEY_BYTES;
    if (refusal.keyed)
        memcpy(refusal.key, actor->key.ptr, KEY_BYTES);
    put_text(refusal.name, sizeof refusal.name, actor->name);
    put_text(refusal.address, sizeof refusal.address, actor->address);
    put_text(refusal.action, sizeof refusal.action, slice_of(action));
    put_text(refusal.target, sizeof refusal.target, target);
    put_text(refusal.text, sizeof refusal.text, slice_of(text));
    (void)pthread_mutex_lock(&refusals->mutex);
    bool first = refusals->count == 0;
    count(refusals, &refusal);
    (void)pthread_mutex_unlock(&refusals->mutex);
    /* Once is enough: who takes asks refusals_next_ms until none is left. */
    if (first)
        refusals->wake(refusals->context);
}

static void fill(struct refusals *refusals, uint64_t now_ms)
{
    uint64_t more = (now_ms - refusals->filled_ms) / ROW_EVERY_MS;
    if (refusals->rows >= ROWS_AT_ONCE) {
        refusals->filled_ms = now_ms;
        return;
    }
    refusals->filled_ms += more * ROW_EVERY_MS;
    if (more > ROWS_AT_ONCE - refusals->rows)
        more = ROWS_AT_ONCE - refusals->rows;
    refusals->rows += (uint32_t)more;
}

static void take_others(struct refusals *refusals, struct refusal *ret_refusal)
{
    *ret_refusal = (struct refusal){.count = refusals->others,
        .action = "refusals",
        .text = "of too many kinds to be told one by one"};
    refusals->others = 0;
}

bool refusals_take(struct refusals *refusals, uint64_t now_ms, struct refusal *ret_refusal)
{
    (void)pthread_mutex_lock(&refusals->mutex);
    fill(refusals, now_ms);
    bool taken = refusals->rows > 0 && (refusals->count > 0 || refusals->others > 0);
    if (taken && refusals->count > 0) {
        *ret_refusal = refusals->items[0];
        refusals->count--;
        memmove(refusals->items, refusals->items + 1, refusals->count * sizeof *refusals->items);
    } else if (taken) {
        take_others(refusals, ret_refusal);
    }
    refusals->rows -= taken;
    (void)pthread_mutex_unlock(&refusals->mutex);
    return taken;
}

uint64_t refusals_next_ms(struct refusals *refusals)
{
    (void)pthread_mutex_lock(&refusals->mutex);
    uint64_t next_ms = UINT64_MAX;
    if (refusals->count > 0 || refusals->others > 0)
        next_ms = refusals->rows > 0 ? 0 : refusals->filled_ms + ROW_EVERY_MS;
    (void)pthread_mutex_unlock(&refusals->mutex);
    return next_ms;
}
