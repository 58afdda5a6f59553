/*
 * bundle.h - a DAG's folder as a snapshot in the blob store. common/dag/bundle_make.h says what
 * goes in.
 */
#ifndef MASTER_STORE_BUNDLE_H
#define MASTER_STORE_BUNDLE_H

#include "common/dag/plan.h"
#include "master/store/blob.h"

/*
 * Snapshots the folder of the DAG file at `path` (absolute) into the store. *ret_manifest is its
 * hash; *ret_files how many files besides the DAG's own there are (0: attempts get an empty
 * folder). `only` are the `files:` of the DAG (empty: the whole folder). Fails as bundle_make does.
 * Files that are unchanged since an earlier snapshot are not read again.
 */
int bundle_snapshot(struct blob_store *store, const char *path, const struct texts *only,
    struct hash *ret_manifest, uint32_t *ret_files, struct error *error);

/* Checks that every `file:` of the plan is in the bundle: ERR_INVALID names the task and the file.
 */
int bundle_check(const struct blob_store *store, const struct plan *plan,
    const struct hash *manifest, struct error *error);

#endif
