/*
 * The part of file.h that deals with folders and with the file system below them.
 */
#include "common/file.h"

#include "common/memory.h"
#include "common/random.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

static int fail(const char *path, struct error *error)
{
    bool denied = errno == EACCES || errno == EPERM || errno == EROFS;
    int code = denied ? ERR_DENIED : error_write_code(errno);
    return error_set_errno(error, code, errno, "%s", path);
}

static bool is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* mkdir, then its exact mode: the umask must not close a folder that others have to pass. */
static int make_one(const char *path, mode_t mode, struct error *error)
{
    if (is_folder(path))
        return 0;
    if (mkdir(path, mode) != 0) {
        /* Another process may have made it in between. */
        if (errno == EEXIST && is_folder(path))
            return 0;
        return fail(path, error);
    }
    return chmod(path, mode) != 0 ? fail(path, error) : 0;
}

int file_make_folder(const char *path, mode_t mode, struct error *error)
{
    if (path[0] == '\0')
        return error_set(error, ERR_USAGE, "a folder's name is empty");
    char *part = xstrdup(path);
    int rc = 0;
    for (char *slash = strchr(part + 1, '/'); rc == 0 && slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        rc = make_one(part, mode, error);
        *slash = '/';
    }
    if (rc == 0)
        rc = make_one(path, mode, error);
    free(part);
    return rc;
}

/* File systems whose locks, fsync or mmap another host decides about. FUSE may be anything, so it
 * counts as one. */
static const struct {
    uint32_t magic;
    const char *name;
} network_file_systems[] = {
    {0x00006969, "NFS"},
    {0x0000517b, "SMB"},
    {0xfe534d42, "SMB"},
    {0xff534d42, "CIFS"},
    {0x01021997, "9p"},
    {0x65735546, "FUSE"},
    {0x00c36400, "Ceph"},
    {0x5346414f, "AFS"},
    {0x6b414653, "AFS"},
    {0x73757245, "Coda"},
    {0x0000564c, "NCP"},
    {0x0bd00bd0, "Lustre"},
    {0x01161970, "GFS2"},
    {0x7461636f, "OCFS2"},
    {0x47504653, "GPFS"},
    {0x19830326, "BeeGFS"},
    {0xaad7aaea, "PanFS"},
    {0x786f4256, "VirtualBox shared folder"},
};

const char *file_network_name(uint32_t magic)
{
    for (size_t i = 0; i < sizeof network_file_systems / sizeof network_file_systems[0]; i++) {
        if (network_file_systems[i].magic == magic)
            return network_file_systems[i].name;
    }
    return NULL;
}

int file_check_local(const char *path, struct error *error)
{
    struct statfs status;
    if (statfs(path, &status) != 0)
        return error_set_errno(error, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "%s", path);
    const char *name = file_network_name((uint32_t)status.f_type);
    if (name != NULL)
        return error_set(error, ERR_REFUSED,
            "%s: lies on a network file system (%s), where locks and fsync do not hold; "
            "choose a folder on a local disk",
            path, name);
    return 0;
}

int file_check_socket_path(const char *folder, const char *name, struct error *error)
{
    const size_t longest = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
    if (strlen(folder) + strlen(name) <= longest)
        return 0;
    return error_set(error, ERR_USAGE,
        "%s: the folder's path is too long for its sockets (%zu bytes, at most %zu); choose a "
        "shorter one",
        folder, strlen(folder), longest - strlen(name));
}

static bool is_among(const char *name, const char *const *names)
{
    while (*names != NULL && strcmp(*names, name) != 0)
        names++;
    return *names != NULL;
}

int file_check_owner(const char *path, const struct folder_owner *owner, struct error *error)
{
    DIR *stream = opendir(path);
    if (stream == NULL && errno == ENOENT)
        return 0;
    if (stream == NULL && errno == ENOTDIR)
        return error_set(error, ERR_REFUSED, "%s: is not a folder", path);
    if (stream == NULL)
        return error_set_errno(error, ERR_DENIED, errno, "%s: cannot be read", path);
    bool empty = true, ours = false;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        empty = empty && is_among(entry->d_name, owner->crumbs);
        ours = ours || is_among(entry->d_name, owner->marks);
    }
    (void)closedir(stream);
    if (empty || ours)
        return 0;
    return error_set(error, ERR_REFUSED,
        "%s: is not empty and no %s's folder; name one of the %s's own", path, owner->name,
        owner->name);
}

/*
 * A tree is removed without recursion: what a task left may be deeper than the stack or the
 * descriptors reach. Each subfolder is emptied of files, its own subfolders are moved up into the
 * top folder, and it goes; the top is read again until nothing is left.
 */
struct removal {
    int top;
    dev_t device;
    const char *path; /* for error texts */
    struct error *error;
    bool moved; /* the last pass moved something up: read again */
};

/*
 * Opens a folder to empty it, never through a link, and only on the tree's own file system. Its
 * mode may have closed it even to its owner.
 */
static int open_folder(struct removal *removal, int parent, const char *name, int *ret_fd)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(parent, name, flags);
    if (fd < 0 && errno == EACCES && fchmodat(parent, name, 0700, AT_SYMLINK_NOFOLLOW) == 0)
        fd = openat(parent, name, flags);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        int rc = fail(removal->path, removal->error);
        if (fd >= 0)
            (void)close(fd);
        return rc;
    }
    if (status.st_dev != removal->device) {
        (void)close(fd);
        return error_set(
            removal->error, ERR_REFUSED, "%s: a file system is mounted in it", removal->path);
    }
    (void)fchmod(fd, 0700);
    *ret_fd = fd;
    return 0;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* True when name is gone or was no folder and went; else errno is EISDIR or a failure. */
static bool unlink_file(int parent, const char *name)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return true;
    struct stat status;
    int errno_before = errno;
    if (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode))
        errno = EISDIR;
    else
        errno = errno_before;
    return false;
}

/* Moves a folder up into the top, under a name that nothing there has. */
static int move_up(struct removal *removal, int parent, const char *name)
{
    char fresh[40];
    (void)snprintf(fresh, sizeof fresh, FILE_TEMPORARY_PREFIX "%016" PRIx64, random_id());
    /* Opened for its mode alone: a folder that is not writable cannot be moved, since its ".."
     * would change. */
    int fd;
    int rc = open_folder(removal, parent, name, &fd);
    if (rc != 0)
        return rc;
    (void)close(fd);
    if (renameat(parent, name, removal->top, fresh) != 0)
        return fail(removal->path, removal->error);
    removal->moved = true;
    return 0;
}

/* Takes fd. */
static int empty_folder(struct removal *removal, int fd)
{
    DIR *folder = fdopendir(fd);
    if (folder == NULL) {
        int rc = fail(removal->path, removal->error);
        (void)close(fd);
        return rc;
    }
    int rc = 0;
    struct dirent *entry;
    while (rc == 0 && (entry = readdir(folder)) != NULL) {
        if (is_dots(entry->d_name) || unlink_file(fd, entry->d_name))
            continue;
        rc = errno == EISDIR ? move_up(removal, fd, entry->d_name)
                             : fail(removal->path, removal->error);
    }
    (void)closedir(folder);
    return rc;
}

static int remove_subfolder(struct removal *removal, const char *name)
{
    int fd;
    int rc = open_folder(removal, removal->top, name, &fd);
    if (rc == 0)
        rc = empty_folder(removal, fd);
    if (rc == 0 && unlinkat(removal->top, name, AT_REMOVEDIR) != 0)
        rc = fail(removal->path, removal->error);
    return rc;
}

/* Takes removal->top. */
static int empty_top(struct removal *removal)
{
    DIR *top = fdopendir(removal->top);
    if (top == NULL) {
        int rc = fail(removal->path, removal->error);
        (void)close(removal->top);
        return rc;
    }
    int rc = 0;
    do {
        removal->moved = false;
        rewinddir(top);
        struct dirent *entry;
        while (rc == 0 && (entry = readdir(top)) != NULL) {
            if (is_dots(entry->d_name) || unlink_file(removal->top, entry->d_name))
                continue;
            rc = errno == EISDIR ? remove_subfolder(removal, entry->d_name)
                                 : fail(removal->path, removal->error);
        }
    } while (rc == 0 && removal->moved);
    (void)closedir(top);
    return rc;
}

int file_remove_tree(const char *path, struct error *error)
{
    struct stat status;
    if (lstat(path, &status) != 0)
        return errno == ENOENT ? 0 : fail(path, error);
    if (!S_ISDIR(status.st_mode))
        return unlink(path) == 0 || errno == ENOENT ? 0 : fail(path, error);
    struct removal removal = {-1, status.st_dev, path, error, false};
    int rc = open_folder(&removal, AT_FDCWD, path, &removal.top);
    if (rc == 0)
        rc = empty_top(&removal);
    if (rc == 0 && rmdir(path) != 0)
        rc = fail(path, error);
    return rc;
}

int file_give_tree(const char *path, uid_t uid, gid_t gid, struct error *error)
{
    char *root = xstrdup(path);
    char *const roots[] = {root, NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
    int rc = walk == NULL ? fail(path, error) : 0;
    for (FTSENT *entry; rc == 0 && (entry = fts_read(walk)) != NULL;) {
        if (entry->fts_info == FTS_ERR || entry->fts_info == FTS_DNR || entry->fts_info == FTS_NS) {
            errno = entry->fts_errno;
            rc = fail(entry->fts_path, error);
        } else if (entry->fts_info != FTS_D && lchown(entry->fts_accpath, uid, gid) != 0) {
            rc = fail(entry->fts_path, error);
        }
    }
    if (walk != NULL)
        (void)fts_close(walk);
    free(root);
    return rc;
}
