#include "common/beside.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int path_beside(const char *name, char ret_path[PATH_MAX], struct error *error)
{
    char own[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    if (length <= 0)
        return error_set_errno(error, ERR_IO, errno, "cannot read /proc/self/exe");
    own[length] = '\0';
    /* After an upgrade the file's name ends with " (deleted)"; its folder is still the place. */
    const char *slash = strrchr(own, '/');
    size_t folder = slash != NULL ? (size_t)(slash + 1 - own) : 0;
    if (folder + strlen(name) >= PATH_MAX)
        return error_set(error, ERR_IO, "the path of this program is too long");
    memcpy(ret_path, own, folder);
    memcpy(ret_path + folder, name, strlen(name) + 1);
    return 0;
}
