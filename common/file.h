/*
 * file.h - files that must be there after a power cut, folders, and locks.
 */
#ifndef COMMON_FILE_H
#define COMMON_FILE_H

#include "common/buffer.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Makes the folder and its missing parents, all with exactly this mode; an existing one keeps its
 * own. */
int file_make_folder(const char *path, mode_t mode, struct error *error);

/* Writes all bytes to fd, going on after EINTR and short writes. ERR_NO_SPACE for ENOSPC and
 * EDQUOT, else ERR_IO. */
int file_write_all(int fd, const void *bytes, size_t length, struct error *error);

/* Appends the whole file, at most max_bytes (ERR_TOO_BIG). ERR_NOT_FOUND when it is not there. */
int file_read(const char *path, size_t max_bytes, struct buffer *out, struct error *error);
/* The same of a file of our own: ERR_CORRUPT for a link, a FIFO or whatever else lies in its place,
 * and no waiting on it. */
int file_read_own(const char *path, size_t max_bytes, struct buffer *out, struct error *error);
/* Opens such a file for reading; -1 and the error. */
int file_open_own(const char *path, struct error *error);
/* As file_read, of a secret: a file that its group or others may read or change is ERR_DENIED, by
 * name. No copy of it stays behind in memory; the caller's is for buffer_wipe. */
int file_read_private(const char *path, size_t max_bytes, struct buffer *out, struct error *error);

/* Names that file_replace and file_remove_tree use for a moment; after a crash, whoever finds one
 * may remove it. */
#define FILE_TEMPORARY_PREFIX ".tmp-"

/*
 * Replaces path by a new file of these bytes: temporary name beside it, write, fsync, rename, fsync
 * of the folder. After 0 it survives a power cut; after an error the old file is whole (or, when
 * only the folder's fsync failed, the new one). Safe from several threads, for the same path too.
 */
int file_replace(const char *path, struct slice bytes, mode_t mode, struct error *error);

/* fsync of a folder, so that names made in it last. */
int file_sync_folder(const char *path, struct error *error);
/* The same of the folder in which this path lies. */
int file_sync_folder_of(const char *path, struct error *error);

/*
 * Takes the lock file of a data directory (flock LOCK_EX|LOCK_NB on path, kept open, close-on-exec;
 * the file holds the owner's pid as text). ERR_REFUSED names the process that holds it.
 */
int file_lock(const char *path, int *ret_fd, struct error *error);

/* The name of a network file system (NFS, SMB, 9p, FUSE, ...) by its statfs magic; NULL for any
 * other. */
const char *file_network_name(uint32_t magic);
/* ERR_REFUSED when path lies on NFS, SMB, 9p, FUSE or another network file system, where locks and
 * fsync do not mean what we need. */
int file_check_local(const char *path, struct error *error);

/* ERR_USAGE when a socket of this name ("/control.sock") below the folder would have a path that
 * the kernel does not take (sun_path less its NUL). */
int file_check_socket_path(const char *folder, const char *name, struct error *error);

/* What tells a daemon's folder from others. The lists end with NULL. */
struct folder_owner {
    const char *name;          /* "worker" */
    const char *const *marks;  /* one of them is enough */
    const char *const *crumbs; /* a folder with nothing else is as good as empty */
};
/* A folder with other things in it is a mistake of the command line, not a daemon's to lock up:
 * ERR_REFUSED, and for what is no folder. A missing one is fine. */
int file_check_owner(const char *path, const struct folder_owner *owner, struct error *error);

/* Maps a whole file read-only; empty files are ERR_CORRUPT. munmap with file_unmap. */
int file_map(const char *path, struct slice *ret_bytes, struct error *error);
void file_unmap(struct slice bytes);

/*
 * Removes a folder (or file, or link) and all below it, however deep, never following links out of
 * it and never into a file system mounted in it (ERR_REFUSED). A missing one is fine.
 */
int file_remove_tree(const char *path, struct error *error);
/*
 * Gives a folder and all below it to a user, itself last, so that until then only its maker can
 * reach what is in it. Links are given, not followed. ERR_DENIED, ERR_IO.
 */
int file_give_tree(const char *path, uid_t uid, gid_t gid, struct error *error);

#endif
