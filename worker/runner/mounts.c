#include "worker/runner/mounts.h"

#include "common/buffer.h"
#include "common/memory.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is not in this list counts as remote: that costs a fork where vfork would have done, nothing
 * else. */
static const char *const local_types[] = {"bcachefs", "binfmt_misc", "bpf", "btrfs", "cgroup",
    "cgroup2", "configfs", "cramfs", "debugfs", "devpts", "devtmpfs", "efivarfs", "erofs", "exfat",
    "ext2", "ext3", "ext4", "f2fs", "fusectl", "hugetlbfs", "iso9660", "jfs", "mqueue", "nilfs2",
    "nsfs", "ntfs3", "overlay", "proc", "pstore", "ramfs", "reiserfs", "rootfs", "rpc_pipefs",
    "securityfs", "selinuxfs", "squashfs", "sysfs", "tmpfs", "tracefs", "udf", "vfat", "xfs",
    "zfs"};

enum { LINKS_MAX = 40 };

static bool type_is_local(const char *type)
{
    for (size_t i = 0; i < sizeof local_types / sizeof *local_types; i++) {
        if (strcmp(type, local_types[i]) == 0)
            return true;
    }
    return false;
}

static void mounts_clear(struct mounts *mounts)
{
    for (size_t i = 0; i < mounts->count; i++)
        free(mounts->items[i].folder);
    mounts->count = 0;
    mounts->remote = 0;
}

void mounts_fini(struct mounts *mounts)
{
    mounts_clear(mounts);
    free(mounts->items);
    if (mounts->fd > 0)
        (void)close(mounts->fd);
    *mounts = (struct mounts){0};
}

/* The kernel writes blanks and backslashes in names as \ooo. */
static void unescape(char *text)
{
    char *out = text;
    for (const char *at = text; *at != '\0'; at++) {
        if (at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] != '\0' && at[3] != '\0') {
            *out++ = (char)((at[1] - '0') * 64 + (at[2] - '0') * 8 + (at[3] - '0'));
            at += 3;
        } else {
            *out++ = *at;
        }
    }
    *out = '\0';
}

/* "36 35 98:0 /root /folder options … - type source …" */
static void line_take(struct mounts *mounts, char *line)
{
    char folder[PATH_MAX];
    char type[64];
    const char *dash = strstr(line, " - ");
    if (dash == NULL || sscanf(line, "%*d %*d %*s %*s %4095s", folder) != 1 ||
        sscanf(dash + 3, "%63s", type) != 1)
        return;
    unescape(folder);
    vector_reserve(&mounts->items, mounts->count, &mounts->capacity);
    struct mount *mount = &mounts->items[mounts->count++];
    *mount = (struct mount){.folder = xstrdup(folder), .local = type_is_local(type)};
    mounts->remote += !mount->local;
}

static void table_read(struct mounts *mounts)
{
    struct buffer text = {0};
    mounts_clear(mounts);
    if (lseek(mounts->fd, 0, SEEK_SET) != 0)
        return;
    for (;;) {
        ssize_t got = read(mounts->fd, buffer_reserve(&text, 16 * 1024), 16 * 1024);
        if (got <= 0)
            break;
        text.length += (size_t)got;
    }
    mounts->readings++;
    (void)buffer_text(&text);
    char *rest = text.data;
    char *line;
    while (rest != NULL && (line = strsep(&rest, "\n")) != NULL)
        line_take(mounts, line);
    buffer_fini(&text);
}

void mounts_refresh(struct mounts *mounts)
{
    bool fresh = mounts->fd == 0;
    if (fresh)
        mounts->fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    if (mounts->fd < 0)
        return;
    struct pollfd poller = {.fd = mounts->fd, .events = POLLPRI};
    if (fresh || (poll(&poller, 1, 0) == 1 && (poller.revents & (POLLPRI | POLLERR)) != 0))
        table_read(mounts);
}

static bool is_below(const char *path, const char *folder)
{
    size_t length = strlen(folder);
    if (strcmp(folder, "/") == 0)
        return true;
    return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static bool place_is_local(const struct mounts *mounts, const char *path)
{
    size_t longest = 0;
    bool local = false;
    for (size_t i = 0; i < mounts->count; i++) {
        const struct mount *mount = &mounts->items[i];
        size_t length = strlen(mount->folder);
        if (length < longest || !is_below(path, mount->folder))
            continue;
        longest = length;
        local = mount->local;
    }
    return local;
}

/* Puts `target` in place of the last component of `done`, before `rest`: 0, or -1 when that is too
 * long. */
static int link_follow(
    char done[PATH_MAX], char rest[PATH_MAX], const char *target, const char *remaining)
{
    char joined[PATH_MAX];
    int length = snprintf(joined, sizeof joined, "%s/%s", target, remaining);
    if (length < 0 || length >= PATH_MAX)
        return -1;
    *strrchr(done, '/') = '\0';
    if (target[0] == '/')
        done[0] = '\0';
    memcpy(rest, joined, (size_t)length + 1);
    return 0;
}

/* Appends one component to `done`, which holds no link: 0, or -1 when that is too long. */
static int component_append(char done[PATH_MAX], const char *name, size_t length)
{
    size_t used = strlen(done);
    if (length == 0 || (length == 1 && name[0] == '.'))
        return 0;
    if (length == 2 && name[0] == '.' && name[1] == '.') {
        char *last = strrchr(done, '/');
        if (last != NULL)
            *last = '\0';
        return 0;
    }
    if (used + length + 2 > PATH_MAX)
        return -1;
    done[used] = '/';
    memcpy(done + used + 1, name, length);
    done[used + 1 + length] = '\0';
    return 0;
}

bool mounts_path_is_local(const struct mounts *mounts, const char *path)
{
    char done[PATH_MAX] = "";
    char rest[PATH_MAX];
    char target[PATH_MAX];
    int links = 0;
    if (mounts->remote == 0 && mounts->fd > 0)
        return true;
    if (snprintf(rest, sizeof rest, "%s", path) >= PATH_MAX)
        return false;
    while (rest[0] != '\0') {
        size_t length = strcspn(rest, "/");
        const char *remaining = rest + length + strspn(rest + length, "/");
        if (component_append(done, rest, length) != 0)
            return false;
        /* Asked before the path is touched. */
        if (!place_is_local(mounts, done[0] != '\0' ? done : "/"))
            return false;
        ssize_t got = done[0] != '\0' ? readlink(done, target, sizeof target - 1) : -1;
        if (got < 0) {
            memmove(rest, remaining, strlen(remaining) + 1);
            continue;
        }
        target[got] = '\0';
        if (++links > LINKS_MAX || link_follow(done, rest, target, remaining) != 0)
            return false;
    }
    return true;
}
