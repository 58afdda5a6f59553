/*
 * bundle_make.h - a DAG's folder as a bundle: a manifest (path, mode, hash; sorted by path) over
 * content-addressed files, which go wherever the caller keeps content: the master into its blob
 * store, a client to a master. docs/dag-file.md says what travels.
 */
#ifndef COMMON_DAG_BUNDLE_MAKE_H
#define COMMON_DAG_BUNDLE_MAKE_H

#include "common/dag/bundle_seen.h"
#include "common/dag/plan.h"
#include "common/manifest.h"

struct bundle_wish {
    const char *path;         /* of the DAG's file, absolute */
    const struct slice *only; /* `files:` of the DAG */
    uint32_t only_count;      /* 0: the whole folder */
};

/* Where content goes. */
struct bundle_sink {
    void *context;
    /* Whether this content is there already: then its file is not read again. */
    bool (*has)(void *context, const struct hash *hash, uint64_t *ret_bytes);
    /* All of fd, a regular file that may change meanwhile; more than max_bytes are ERR_TOO_BIG.
     * Sets the hash and size of `file`, whose path is set. */
    int (*take_file)(
        void *context, int fd, uint64_t max_bytes, struct manifest_file *file, struct error *error);
    /* A link's target, or the manifest, which comes last. */
    int (*take_bytes)(
        void *context, struct slice bytes, struct hash *ret_hash, struct error *error);
};

struct bundle {
    struct hash manifest;
    uint32_t files; /* besides the DAG's own (0: attempts get an empty folder) */
};

/*
 * Refused by name: `/`, `$HOME`, `/tmp` as the folder; too many files or bytes; symlinks that leave
 * the folder, FIFOs, devices, sockets; unreadable files; a file that changed while it was read
 * (ERR_AGAIN). Files that `seen` knows unchanged and the sink has are not read again.
 */
int bundle_make(const struct bundle_wish *wish, struct seen_files *seen,
    const struct bundle_sink *sink, struct bundle *ret_bundle, struct error *error);

/* Checks that every `file:` of the plan is in the manifest of this text: ERR_INVALID names the
 * tasks and the files that are not. */
int bundle_check_files(const struct plan *plan, struct slice manifest, struct error *error);

#endif
