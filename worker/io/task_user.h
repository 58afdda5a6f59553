/*
 * task_user.h - as whom tasks run (`--run-as`): the users that are allowed, what a task of one of
 * them is given, and how what such a task left is read without lending it the agent's rights.
 */
#ifndef WORKER_IO_TASK_USER_H
#define WORKER_IO_TASK_USER_H

#include "common/error.h"
#include "common/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { TASK_USERS_MAX = 64, TASK_USER_NAME_MAX = 32, TASK_GROUPS_MAX = 256 };

struct task_user {
    char *name, *home, *shell;
    uid_t uid;
    gid_t gid;
    gid_t *groups; /* all of its groups, the first one too */
    int group_count;
};

/* None: tasks run as the agent. */
struct task_users {
    struct task_user *items; /* the first is the default */
    size_t count;
};

/*
 * Reads users by name, once at the start. ERR_USAGE for one that the host does not know; ERR_DENIED
 * when this process may not become them, or they could not reach `work`. Forks to try, so it comes
 * before any thread.
 */
int task_users_read(char *const *names, size_t count, const char *work,
    struct task_users *ret_users, struct error *error);
void task_users_fini(struct task_users *users);

/*
 * As whom an attempt runs that asks for `wanted`; empty: the default. NULL and 0: as the agent.
 * ERR_DENIED names those that are allowed.
 */
int task_users_choose(const struct task_users *users, struct slice wanted,
    const struct task_user **ret_user, struct error *error);

/*
 * Between the two the calling thread's file accesses are those of the folder's owner, if that is
 * another than the agent: whatever links a task laid there lead to nothing that it could not read
 * itself. Nothing else of the thread changes, and no other thread.
 */
struct task_guise {
    bool taken;
};
int task_guise_take(const char *folder, struct task_guise *ret_guise, struct error *error);
void task_guise_drop(struct task_guise *guise);

#endif
