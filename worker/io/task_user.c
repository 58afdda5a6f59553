#include "worker/io/task_user.h"

#include "common/buffer.h"
#include "common/memory.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- who they are ---- */

static int read_groups(struct task_user *user, struct error *error)
{
    gid_t groups[TASK_GROUPS_MAX];
    int count = TASK_GROUPS_MAX;
    if (getgrouplist(user->name, user->gid, groups, &count) < 0)
        return error_set(error, ERR_USAGE,
            "--run-as: user \"%s\" is in %d groups, at most %d are "
            "supported",
            user->name, count, TASK_GROUPS_MAX);
    user->groups = xcalloc((size_t)count, sizeof *groups);
    memcpy(user->groups, groups, (size_t)count * sizeof *groups);
    user->group_count = count;
    return 0;
}

static int read_user(const char *name, struct task_user *ret_user, struct error *error)
{
    errno = 0;
    const struct passwd *entry = getpwnam(name);
    if (entry == NULL && errno != 0 && errno != ENOENT && errno != ESRCH)
        return error_set_errno(error, ERR_IO, errno, "--run-as: user \"%s\" cannot be read", name);
    if (entry == NULL)
        return error_set(error, ERR_USAGE, "--run-as: this host has no user \"%s\"", name);
    *ret_user = (struct task_user){
        .name = xstrdup(entry->pw_name),
        .home = xstrdup(entry->pw_dir),
        .shell = xstrdup(entry->pw_shell[0] != '\0' ? entry->pw_shell : "/bin/sh"),
        .uid = entry->pw_uid,
        .gid = entry->pw_gid,
    };
    return read_groups(ret_user, error);
}

/* ---- whether it can be done ---- */

enum { TRY_MAY_NOT = 1, TRY_NOT_REACHED = 2 };

/* In a child: the exit status is the answer. */
static int try_user(const struct task_user *user, const char *work)
{
    if (setgroups((size_t)user->group_count, user->groups) != 0 ||
        setresgid(user->gid, user->gid, user->gid) != 0 ||
        setresuid(user->uid, user->uid, user->uid) != 0)
        return TRY_MAY_NOT;
    return access(work, X_OK) == 0 ? 0 : TRY_NOT_REACHED;
}

static int check_user(const struct task_user *user, const char *work, struct error *error)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0)
        _exit(try_user(user, work));
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (pid < 0 || !WIFEXITED(status))
        return error_set(error, ERR_IO, "--run-as: user \"%s\" could not be tried", user->name);
    if (WEXITSTATUS(status) == TRY_MAY_NOT)
        return error_set(error, ERR_DENIED,
            "--run-as: this process may not become user \"%s\": run the worker as root, with the "
            "right to change user and group",
            user->name);
    if (WEXITSTATUS(status) == TRY_NOT_REACHED)
        return error_set(error, ERR_DENIED,
            "--run-as: user \"%s\" cannot reach %s: every folder above it must let others pass "
            "(chmod o+x)",
            user->name, work);
    return 0;
}

int task_users_read(char *const *names, size_t count, const char *work,
    struct task_users *ret_users, struct error *error)
{
    struct task_users users = {.items = xcalloc(count + 1, sizeof *users.items)};
    int rc = 0;
    if (count > 0 && geteuid() != 0)
        rc = error_set(
            error, ERR_DENIED, "--run-as needs the right to change user: run the worker as root");
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = read_user(names[i], &users.items[i], error);
        users.count++;
        if (rc == 0)
            rc = check_user(&users.items[i], work, error);
    }
    if (rc != 0)
        task_users_fini(&users);
    *ret_users = users;
    return rc;
}

void task_users_fini(struct task_users *users)
{
    for (size_t i = 0; i < users->count; i++) {
        free(users->items[i].name);
        free(users->items[i].home);
        free(users->items[i].shell);
        free(users->items[i].groups);
    }
    free(users->items);
    *users = (struct task_users){0};
}

/* ---- of one attempt ---- */

static int refuse(const struct task_users *users, struct slice wanted, struct error *error)
{
    struct buffer names = {0};
    for (size_t i = 0; i < users->count; i++)
        buffer_printf(&names, "%s%s", i > 0 ? ", " : "", users->items[i].name);
    int rc = users->count == 0
                 ? error_set(error, ERR_DENIED,
                       "run_as \"%.*s\": this worker runs tasks as its own user alone (start it "
                       "as root with --run-as)",
                       SLICE_PRINT(wanted))
                 : error_set(error, ERR_DENIED,
                       "run_as \"%.*s\": this worker runs tasks as %s and nobody else",
                       SLICE_PRINT(wanted), buffer_text(&names));
    buffer_fini(&names);
    return rc;
}

int task_users_choose(const struct task_users *users, struct slice wanted,
    const struct task_user **ret_user, struct error *error)
{
    *ret_user = NULL;
    if (wanted.length == 0 && users->count == 0)
        return 0;
    for (size_t i = 0; i < users->count; i++) {
        if (wanted.length == 0 || slice_is(wanted, users->items[i].name)) {
            *ret_user = &users->items[i];
            return 0;
        }
    }
    return refuse(users, wanted, error);
}

/* ---- in its guise ---- */

int task_guise_take(const char *folder, struct task_guise *ret_guise, struct error *error)
{
    struct stat status;
    *ret_guise = (struct task_guise){.taken = false};
    /* A folder in work/, which is the agent's: nobody else can put a link in its place. */
    if (lstat(folder, &status) != 0 && errno == ENOENT)
        return 0;
    if (lstat(folder, &status) != 0)
        return error_set_errno(error, ERR_IO, errno, "%s", folder);
    if (status.st_uid == geteuid())
        return 0;
    /* By the kernel's own call: the library's would change every thread. */
    if (syscall(SYS_setgroups, (size_t)0, NULL) != 0)
        return error_set_errno(error, ERR_IO, errno, "the agent's groups cannot be put aside");
    ret_guise->taken = true;
    (void)setfsgid(status.st_gid);
    (void)setfsuid(status.st_uid);
    /* They do not say whether they worked; asked with what is no id they say what is. */
    if ((uid_t)setfsuid((uid_t)-1) == status.st_uid && (gid_t)setfsgid((gid_t)-1) == status.st_gid)
        return 0;
    task_guise_drop(ret_guise);
    return error_set(error, ERR_IO, "%s: its owner's rights cannot be taken on", folder);
}

void task_guise_drop(struct task_guise *guise)
{
    if (!guise->taken)
        return;
    (void)setfsuid(geteuid());
    (void)setfsgid(getegid());
    /* The groups stay away: the thread of an agent that is root needs none. */
    guise->taken = false;
}
