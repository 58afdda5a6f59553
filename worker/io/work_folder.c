/*
 * An attempt's folder. Making and removing directories costs a file system more than all else that
 * a short task needs, so that a folder that its task left as it found it serves another attempt,
 * under that one's name. That it did is read from the folder, or seen by its times: a change gives
 * it a later one, if that which it has is old enough.
 */
#include "worker/io/attempts_state.h"

#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "common/memory.h"
#include "worker/io/attempt_name.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    PROBE_BYTES = 256 * 1024,
    /* No file system's clock is coarser than this. */
    SETTLED_MS = 3000,
};

static void remove_tree(void *context)
{
    struct error error = {0};
    if (file_remove_tree(context, &error) != 0)
        log_warn("%s", error.text);
}

void work_folder_remove_later(struct attempts *attempts, const char *name)
{
    char *path = xasprintf("%s/%s", attempts->config.folder->work, name);
    jobs_run(attempts->config.jobs, remove_tree, NULL, path);
}

/* True when the folder is ours alone, 0700, and holds nothing, or nothing but `only`. */
static bool is_untouched(const char *path, const char *only)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return false;
    DIR *stream = fdopendir(fd);
    bool untouched = stream != NULL && fstat(fd, &status) == 0 && status.st_uid == geteuid() &&
                     (status.st_mode & 07777) == 0700;
    for (struct dirent *entry; untouched && (entry = readdir(stream)) != NULL;) {
        struct slice name = slice_of(entry->d_name);
        untouched =
            slice_is(name, ".") || slice_is(name, "..") || (only != NULL && slice_is(name, only));
    }
    if (stream != NULL)
        (void)closedir(stream);
    else
        (void)close(fd);
    return untouched;
}

static bool is_own_folder(const char *path, struct stat *ret_status)
{
    return lstat(path, ret_status) == 0 && S_ISDIR(ret_status->st_mode) &&
           ret_status->st_uid == geteuid() && (ret_status->st_mode & 07777) == 0700;
}

static bool look(const struct place *place, struct place_stamp *ret_stamp)
{
    struct stat folder;
    struct stat files;
    if (!is_own_folder(place->folder.ptr, &folder) || !is_own_folder(place->files.ptr, &files))
        return false;
    *ret_stamp = (struct place_stamp){
        .folder = folder.st_mtim, .files = files.st_mtim, .files_changed = files.st_ctim};
    return true;
}

static bool is_same(struct timespec one, struct timespec other)
{
    return one.tv_sec == other.tv_sec && one.tv_nsec == other.tv_nsec;
}

static bool is_same_stamp(const struct place_stamp *one, const struct place_stamp *other)
{
    return is_same(one->folder, other->folder) && is_same(one->files, other->files) &&
           is_same(one->files_changed, other->files_changed);
}

static bool is_old(struct timespec time, uint64_t now_ms)
{
    return time.tv_sec > 0 && (uint64_t)time.tv_sec * 1000 + 1000 + SETTLED_MS <= now_ms;
}

static bool is_settled(const struct place_stamp *stamp)
{
    uint64_t now_ms = clock_wall_ms();
    return is_old(stamp->folder, now_ms) && is_old(stamp->files, now_ms) &&
           is_old(stamp->files_changed, now_ms);
}

static bool keep_as_spare(struct work *work, const struct place *place)
{
    struct attempts *attempts = work->attempts;
    struct place_stamp stamp;
    if (attempts->spare_count == WORK_SPARES_MAX || !look(place, &stamp))
        return false;
    bool unchanged = work->stamped && is_same_stamp(&work->stamp, &stamp);
    if (!unchanged &&
        (!is_untouched(place->files.ptr, NULL) || !is_untouched(place->folder.ptr, "files")))
        return false;
    attempts->spares[attempts->spare_count++] = (struct spare){
        .path = xstrdup(place->folder.ptr), .stamp = stamp, .stamped = is_settled(&stamp)};
    return true;
}

bool work_folder_may_hold(const struct work *work, const struct place *place)
{
    struct stat status;
    return !work->stamped || lstat(place->folder.ptr, &status) != 0 ||
           !is_same(status.st_mtim, work->stamp.folder);
}

void work_folder_remove(struct work *work)
{
    struct arena arena = {0};
    struct place place;
    char name[ATTEMPT_NAME_MAX];
    place_make(&place, work->attempts->config.folder->work, &work->id, &arena);
    attempt_name(&work->id, name);
    if (!work->plain || !keep_as_spare(work, &place))
        work_folder_remove_later(work->attempts, name);
    arena_fini(&arena);
}

static bool take_spare(struct work *work, const struct place *place)
{
    struct attempts *attempts = work->attempts;
    if (attempts->spare_count == 0)
        return false;
    struct spare *spare = &attempts->spares[--attempts->spare_count];
    bool taken = rename(spare->path, place->folder.ptr) == 0;
    free(spare->path);
    work->stamp = spare->stamp;
    work->stamped = taken && spare->stamped;
    return taken;
}

static int make_folder(const char *path, struct error *error)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return 0;
    return error_set_errno(error, error_write_code(errno), errno, "%s", path);
}

int work_folder_make(struct work *work, const struct place *place, struct error *error)
{
    if (take_spare(work, place))
        return 0;
    int rc = make_folder(place->folder.ptr, error);
    return rc == 0 ? make_folder(place->files.ptr, error) : rc;
}

bool work_folder_has_room(const struct attempts *attempts, uint64_t bytes)
{
    struct statvfs disk;
    const char *folder = attempts->config.folder->work;
    if (statvfs(folder, &disk) == 0 && (uint64_t)disk.f_bavail * disk.f_frsize < bytes)
        return false;
    /* A quota shows itself only when something is written. */
    int fd = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    int rc = fd < 0 ? -1 : fallocate(fd, 0, 0, PROBE_BYTES);
    bool full = rc != 0 && error_write_code(errno) == ERR_NO_SPACE;
    if (fd >= 0)
        (void)close(fd);
    return !full;
}

void work_folders_fini(struct attempts *attempts)
{
    while (attempts->spare_count > 0)
        free(attempts->spares[--attempts->spare_count].path);
}
