/*
 * cache.h - files by content that came from the master: private/cache/ab/cdef…, each 0400 and never
 * linked from anywhere. Kept within a size, what was used last stays. Nothing is synced: after a
 * reboot the cache is emptied, since what lies there may be torn. Its functions may be called on
 * the thread of jobs, but for cache_open.
 */
#ifndef WORKER_IO_CACHE_H
#define WORKER_IO_CACHE_H

#include "common/boot.h"
#include "common/error.h"
#include "common/hash.h"

#include <stdbool.h>
#include <stdint.h>

enum { CACHE_PATH_MAX = 4096 };

/* Empties it when it is of another boot, drops what a killed agent had half, and tells how many
 * bytes lie in it. */
int cache_open(const char *path, const unsigned char boot[BOOT_BYTES], uint64_t *ret_bytes,
    struct error *error);

/* Where a content lies below `root`, here as with the master's blobs. */
void cache_path(const char *root, const struct hash *hash, char ret_path[CACHE_PATH_MAX]);
/* Whether it is there; if so it was used at `now_ms` (boot time). */
bool cache_use(const char *root, const struct hash *hash, uint64_t now_ms);
/* Likewise, of an open file that is to become one of the cache. */
void cache_mark_used(int fd, uint64_t now_ms);
/* Makes the folder that a content lies in. */
int cache_make_room(const char *root, const struct hash *hash, struct error *error);

/*
 * Removes what was used longest ago until at most `max_bytes` are left; what was used at `keep_ms`
 * (boot time) or later stays in any case. Returns how many bytes are left.
 */
uint64_t cache_evict(const char *path, uint64_t max_bytes, uint64_t keep_ms);

#endif
