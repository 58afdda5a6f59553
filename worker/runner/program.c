#include "worker/runner/program.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char default_path[] = "/usr/local/bin:/usr/bin:/bin";

const char *spawn_search_path(char *const *env)
{
    for (; *env != NULL; env++) {
        if (strncmp(*env, "PATH=", 5) == 0)
            return *env + 5;
    }
    return default_path;
}

static void fail(struct spawn_failure *failure, uint32_t reason, const char *name, const char *why)
{
    failure->reason = reason;
    (void)snprintf(failure->text, sizeof failure->text, "%.300s: %.300s", name, why);
}

void program_interpreter(const char *path, char interpreter[PATH_MAX])
{
    char line[256];
    interpreter[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t length = fd >= 0 ? read(fd, line, sizeof line - 1) : -1;
    if (fd >= 0)
        (void)close(fd);
    if (length < 2 || line[0] != '#' || line[1] != '!')
        return;
    line[length] = '\0';
    const char *name = line + 2 + strspn(line + 2, " \t");
    (void)snprintf(interpreter, PATH_MAX, "%.*s", (int)strcspn(name, " \t\r\n"), name);
}

/* The file is there, and yet exec says ENOENT: what it needs to run is not. */
static void fail_interpreter(struct spawn_failure *failure, const char *path)
{
    char interpreter[PATH_MAX];
    char text[400];
    program_interpreter(path, interpreter);
    if (interpreter[0] != '\0')
        (void)snprintf(text, sizeof text, "#! names %.200s, which was not found", interpreter);
    else
        (void)snprintf(text, sizeof text, "its dynamic loader was not found");
    fail(failure, REASON_NOT_FOUND, path, text);
}

static void fail_access(struct spawn_failure *failure, const char *path)
{
    struct stat about;
    char interpreter[PATH_MAX];
    char text[400];
    if (stat(path, &about) != 0) {
        fail(failure, REASON_NOT_EXECUTABLE, path, "permission denied");
        return;
    }
    if (S_ISDIR(about.st_mode)) {
        fail(failure, REASON_NOT_EXECUTABLE, path, "is a folder");
        return;
    }
    if ((about.st_mode & 0111) == 0) {
        fail(failure, REASON_NOT_EXECUTABLE, path, "not executable (chmod +x)");
        return;
    }
    program_interpreter(path, interpreter);
    if (interpreter[0] != '\0' && access(interpreter, X_OK) != 0)
        (void)snprintf(text, sizeof text, "#! names %.200s, which is not executable", interpreter);
    else
        (void)snprintf(text, sizeof text, "not executable: permission denied, or mounted noexec");
    fail(failure, REASON_NOT_EXECUTABLE, path, text);
}

static void fail_errno(struct spawn_failure *failure, const char *path, int number)
{
    switch (number) {
    case ENOENT:
    case ENOTDIR:
        if (access(path, F_OK) == 0)
            fail_interpreter(failure, path);
        else
            fail(failure, REASON_NOT_FOUND, path, "no such file");
        break;
    case EACCES:
        fail_access(failure, path);
        break;
    case ENOEXEC:
        fail(failure, REASON_NOT_EXECUTABLE, path,
            "no program for this machine, and no script that begins with #!");
        break;
    case EAGAIN:
        fail(failure, REASON_WORKER_ERROR, path,
            "its user has as many processes as it may have (RLIMIT_NPROC)");
        break;
    case E2BIG:
        fail(failure, REASON_TOO_BIG, path, "its arguments and environment are too long");
        break;
    default:
        fail(failure, REASON_NOT_EXECUTABLE, path, strerrordesc_np(number));
        break;
    }
}

/* Not there: the search goes on. */
static bool is_absence(int number)
{
    return number == ENOENT || number == ENOTDIR || number == ENAMETOOLONG || number == ELOOP;
}

/* Asked first, as an exec of what is not there costs the kernel many times this. */
static bool is_absent(const char *path)
{
    return access(path, F_OK) != 0 && is_absence(errno);
}

static void search(char *const *arguments, char *const *env, struct spawn_failure *failure)
{
    char candidate[PATH_MAX];
    char denied[PATH_MAX] = "";
    const char *folder = spawn_search_path(env);
    for (;;) {
        size_t length = strcspn(folder, ":");
        int size = snprintf(candidate, sizeof candidate, "%.*s%s%s", (int)length, folder,
            length > 0 ? "/" : "./", arguments[0]);
        if (size > 0 && size < PATH_MAX && !is_absent(candidate)) {
            (void)execve(candidate, arguments, env);
            int number = errno;
            if (number == EACCES && denied[0] == '\0')
                memcpy(denied, candidate, (size_t)size + 1);
            else if (number != EACCES && (!is_absence(number) || access(candidate, F_OK) == 0)) {
                fail_errno(failure, candidate, number);
                return;
            }
        }
        if (folder[length] == '\0')
            break;
        folder += length + 1;
    }
    if (denied[0] != '\0')
        fail_errno(failure, denied, EACCES);
    else
        fail(failure, REASON_NOT_FOUND, arguments[0], "command not found in PATH");
}

void program_become(char *const *arguments, char *const *env, struct spawn_failure *ret_failure)
{
    if (arguments[0] == NULL || arguments[0][0] == '\0') {
        fail(ret_failure, REASON_NOT_FOUND, "the command", "is empty");
    } else if (strchr(arguments[0], '/') != NULL) {
        (void)execve(arguments[0], arguments, env);
        fail_errno(ret_failure, arguments[0], errno);
    } else {
        search(arguments, env, ret_failure);
    }
}
