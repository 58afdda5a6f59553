/*
 * bundle.h - a DAG's folder as a snapshot: a manifest (path, mode, hash; sorted by path) over
 * content-addressed files. INTERFACE.md, Files, says what goes in. The manifest's own format is in
 * common/manifest.h, because workers read it and artifacts use it too.
 */
#ifndef MASTER_STORE_BUNDLE_H
#define MASTER_STORE_BUNDLE_H

#include "common/dag/plan.h"
#include "master/store/blob.h"

/*
 * Snapshots the folder of the DAG file at `path` (absolute) into the store. *ret_manifest is its
 * hash; *ret_files how many files besides the DAG's own there are (0: attempts get an empty
 * folder). `only` are the `files:` of the DAG (empty: the whole folder). Refused by name: `/`,
 * `$HOME`, `/tmp` as the folder; too many files or bytes; symlinks that leave the folder, FIFOs,
 * devices, sockets; unreadable files; a file that changed while it was read. Files of the same
 * (device, inode, mtime, size) as in an earlier snapshot are not read again.
 */
int bundle_snapshot(struct blob_store *store, const char *path, const struct texts *only,
    struct hash *ret_manifest, uint32_t *ret_files, struct error *error);

/* Checks that every `file:` of the plan is in the bundle: ERR_INVALID names the task and the file.
 */
int bundle_check(const struct blob_store *store, const struct plan *plan,
    const struct hash *manifest, struct error *error);

#endif
