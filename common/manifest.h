/*
 * manifest.h - a list of files by content: what a bundle and what a task's artifacts are. Text, one
 * file a line, sorted by path: "MODE SIZE HASH PATH\n", mode in octal (0644, 0755; a link: 0120000
 * with its target as content), hash in hex, path relative, '/'-separated, with no "." or ".." part,
 * percent-encoded for bytes below 0x21, 0x7f and '%'. First line: "reeve-manifest 1". A manifest's
 * hash stands for all of it.
 */
#ifndef COMMON_MANIFEST_H
#define COMMON_MANIFEST_H

#include "common/arena.h"
#include "common/buffer.h"
#include "common/error.h"
#include "common/hash.h"

#include <stdbool.h>
#include <stdint.h>

struct manifest_file {
    struct slice path; /* decoded */
    uint32_t mode;
    uint64_t size;
    struct hash hash;
};

struct manifest {
    struct manifest_file *files;
    size_t count, capacity; /* capacity is the writer's */
};

/* What a manifest's modes may be. */
enum { MANIFEST_MODE_FILE = 0644, MANIFEST_MODE_PROGRAM = 0755, MANIFEST_MODE_LINK = 0120000 };

/*
 * True when a link at `path` with this target stays in the folder: relative, ".." only at the
 * target's beginning and no more of them than path has folders. (A ".." after a name could leave by
 * way of another link.)
 */
bool manifest_link_stays(struct slice path, struct slice target);

/* Parses and checks: paths safe, sorted, unique; at most BUNDLE_FILES_MAX. ERR_CORRUPT. Files lie
 * in the arena. */
int manifest_parse(
    struct slice text, struct arena *arena, struct manifest *ret_manifest, struct error *error);
/* Sorts the files by path and writes the text. */
void manifest_write(struct manifest *manifest, struct buffer *out);

/*
 * Copies the files into `folder` (which exists and is empty), from `blob_root` ("BLOBS/ab/cdef…",
 * as master/store/blob lays them), by reflink or copy, never by a hard link. ERR_NOT_FOUND names a
 * file that is missing there.
 */
int manifest_materialize(const struct manifest *manifest, const char *blob_root, const char *folder,
    struct error *error);

#endif
