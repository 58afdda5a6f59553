/*
 * plans.h - the compiled DAGs that runs in memory rest on: each plan mapped once, read-only, for as
 * long as a run needs it. Belongs to the loop's thread.
 */
#ifndef MASTER_IO_PLANS_H
#define MASTER_IO_PLANS_H

#include "common/dag/plan.h"
#include "common/hash.h"
#include "common/table.h"
#include "master/store/blob.h"

struct plans {
    struct blob_store *blobs;
    struct table by_run; /* run key -> struct plan_map */
    struct names by_hash;
};

/* A plan's bytes as blob_map gave them, and the view of them. */
struct mapped_plan {
    struct hash hash;
    struct slice bytes;
    struct plan plan;
};

/* Maps and checks a plan, on any thread. Give it to plans_adopt, or back with mapped_plan_fini. */
int mapped_plan_open(const struct blob_store *blobs, const struct hash *hash,
    struct mapped_plan *ret_mapped, struct error *error);
void mapped_plan_fini(struct mapped_plan *mapped);

void plans_fini(struct plans *plans);
/* Takes the mapping for this run; where one of the same hash is there, that one is used and the new
 * one given up. */
const struct plan *plans_adopt(struct plans *plans, uint64_t run, struct mapped_plan *mapped);
/* The plan of this hash for this run, mapped when it is not yet. */
int plans_hold(struct plans *plans, uint64_t run, const struct hash *hash, struct plan *ret_plan,
    struct error *error);
/* The run is no more in memory. Harmless for a run that is not known. */
void plans_forget(struct plans *plans, uint64_t run);

#endif
