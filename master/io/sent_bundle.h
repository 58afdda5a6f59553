/*
 * sent_bundle.h - a DAG's folder as a client of another host sent it: a manifest and its files,
 * which lie in the blob store already. What the manifest says is checked, since anybody may have
 * written it. Reads disks: on the compiler's thread.
 */
#ifndef MASTER_IO_SENT_BUNDLE_H
#define MASTER_IO_SENT_BUNDLE_H

#include "common/dag/plan.h"
#include "common/manifest.h"
#include "master/store/blob.h"

struct sent_bundle {
    struct hash hash; /* of the manifest */
    struct slice text;
    struct manifest manifest; /* in the arena */
};

/*
 * Maps and checks the manifest: everything in it is there and of its size; no more files and bytes
 * than docs/dag-file.md allows; links stay in the folder; nothing lies below a file or link.
 * ERR_NOT_FOUND asks for the files, ERR_INVALID, ERR_TOO_BIG.
 */
int sent_bundle_open(const struct blob_store *blobs, struct slice hash, struct arena *arena,
    struct sent_bundle *ret_bundle, struct error *error);
/* Appends the text of a file of it. ERR_NOT_FOUND. */
int sent_bundle_read(const struct blob_store *blobs, const struct sent_bundle *bundle,
    struct slice path, struct buffer *out, struct error *error);
/* After a failed open too. */
void sent_bundle_close(struct sent_bundle *bundle);

#endif
