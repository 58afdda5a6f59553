#include "master/io/plans.h"

#include "common/file.h"
#include "common/memory.h"

#include <assert.h>
#include <stdlib.h>

struct plan_map {
    struct mapped_plan mapped;
    uint32_t runs;
};

static struct slice hash_key(const struct hash *hash)
{
    return slice_make(hash->bytes, sizeof hash->bytes);
}

int mapped_plan_open(const struct blob_store *blobs, const struct hash *hash,
    struct mapped_plan *ret_mapped, struct error *error)
{
    struct mapped_plan mapped = {.hash = *hash};
    int rc = blob_map(blobs, hash, &mapped.bytes, error);
    if (rc != 0)
        return rc;
    rc = plan_open(mapped.bytes, &mapped.plan, error);
    if (rc != 0) {
        file_unmap(mapped.bytes);
        return rc;
    }
    *ret_mapped = mapped;
    return 0;
}

void mapped_plan_fini(struct mapped_plan *mapped)
{
    if (mapped->bytes.ptr != NULL)
        file_unmap(mapped->bytes);
    *mapped = (struct mapped_plan){0};
}

static struct plan_map *find_map(const struct plans *plans, const struct hash *hash)
{
    uint64_t address;
    bool found = names_get(&plans->by_hash, hash_key(hash), &address);
    return found ? (struct plan_map *)(uintptr_t)address : NULL;
}

static const struct plan *hold(struct plans *plans, uint64_t run, struct plan_map *map)
{
    plans_forget(plans, run);
    map->runs++;
    table_set(&plans->by_run, run, (uintptr_t)map);
    return &map->mapped.plan;
}

const struct plan *plans_adopt(struct plans *plans, uint64_t run, struct mapped_plan *mapped)
{
    struct plan_map *map = find_map(plans, &mapped->hash);
    if (map != NULL) {
        map->runs++; /* the run may be the only one that holds it, and is held anew */
        mapped_plan_fini(mapped);
        const struct plan *plan = hold(plans, run, map);
        map->runs--;
        return plan;
    }
    map = xcalloc(1, sizeof *map);
    map->mapped = *mapped;
    *mapped = (struct mapped_plan){0};
    names_set(&plans->by_hash, hash_key(&map->mapped.hash), (uintptr_t)map);
    return hold(plans, run, map);
}

int plans_hold(struct plans *plans, uint64_t run, const struct hash *hash, struct plan *ret_plan,
    struct error *error)
{
    struct plan_map *map = find_map(plans, hash);
    struct mapped_plan mapped = {.hash = *hash};
    int rc = map == NULL ? mapped_plan_open(plans->blobs, hash, &mapped, error) : 0;
    if (rc == 0)
        *ret_plan = *plans_adopt(plans, run, &mapped);
    return rc;
}

static void free_map(struct plans *plans, struct plan_map *map)
{
    (void)names_remove(&plans->by_hash, hash_key(&map->mapped.hash));
    mapped_plan_fini(&map->mapped);
    free(map);
}

void plans_forget(struct plans *plans, uint64_t run)
{
    uint64_t address;
    if (!table_get(&plans->by_run, run, &address))
        return;
    struct plan_map *map = (struct plan_map *)(uintptr_t)address;
    (void)table_remove(&plans->by_run, run);
    assert(map->runs > 0);
    if (--map->runs == 0)
        free_map(plans, map);
}

static void unmap_one(void *context, struct slice key, uint64_t value)
{
    (void)context;
    (void)key;
    struct plan_map *map = (struct plan_map *)(uintptr_t)value;
    mapped_plan_fini(&map->mapped);
    free(map);
}

void plans_fini(struct plans *plans)
{
    names_each(&plans->by_hash, unmap_one, NULL);
    names_fini(&plans->by_hash);
    table_fini(&plans->by_run);
}
