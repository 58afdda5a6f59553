/*
 * spawn.h - makes the main process of an attempt: a session and process group of its own, /dev/null
 * as stdin, one pipe as stdout and stderr, an operator's socket as 3, nothing else open, signals as
 * if nobody had touched them, killed before the runner when memory is short.
 *
 * By vfork where that cannot hang, by fork elsewhere (`may_hang`): exec on a dead network mount
 * does not return, and vfork's parent waits for it. Another user's process is made by fork, too: it
 * is that user's before it is their program, who must not reach the runner's memory through it, nor
 * stop what the runner waits for. After a vfork it is known at once whether exec
 * worked; after a fork it is asked with spawn_failure_read when the process has ended.
 */
#ifndef WORKER_RUNNER_SPAWN_H
#define WORKER_RUNNER_SPAWN_H

#include "proto/proto.h"

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* Why a process did not become the program. */
struct spawn_failure {
    uint32_t reason; /* REASON_NONE: it did */
    char text[700];  /* one line */
};

/* As whom a process runs that does not run as the runner. */
struct spawn_user {
    uid_t uid;
    gid_t gid;
    const gid_t *groups; /* all of them */
    size_t group_count;
};

/* What it may use; 0: no limit. */
struct spawn_limits {
    uint64_t memory_bytes;
    uint32_t cpu_permille;
};

struct spawn_order {
    char *const *arguments; /* ends with NULL; argv[0] is looked up in the PATH of env */
    char *const *env;       /* ends with NULL */
    const char *folder;
    int output;    /* becomes stdout and stderr */
    int channel;   /* becomes descriptor 3; -1: it has none */
    int cgroup_fd; /* where it is born; -1: where the runner is */
    struct spawn_limits limits;
    /* How they are kept, by bounds.c. */
    int enter[2]; /* cgroup.procs that it writes itself into; owned by who made the order */
    uint32_t enter_count;
    uint64_t data_bytes;         /* RLIMIT_DATA; 0: as the runner's */
    const cpu_set_t *processors; /* NULL: as the runner's */
    bool may_hang;
    const struct spawn_user *user; /* NULL: as the runner */
};

/* Of the process that calls: what its children shall have back. Once, before spawn. */
struct spawner {
    struct rlimit files; /* RLIMIT_NOFILE as it was before the runner raised its own */
    struct rlimit pids;  /* RLIMIT_NPROC: less than the runner's own */
    char oom_score[8];   /* for /proc/self/oom_score_adj: above the runner's own */
    void *stack;         /* on which the child of a vfork runs */
};

void spawner_init(struct spawner *spawner);
void spawner_fini(struct spawner *spawner);
/* Whether processes can be born in this cgroup. */
bool spawner_can_enter(const struct spawner *spawner, int cgroup_fd);

/*
 * Returns the pid, or -1 and *ret_failure. After a fork *ret_failure_fd is the pipe for
 * spawn_failure_read (owned by the caller), else -1.
 */
pid_t spawn(const struct spawner *spawner, const struct spawn_order *order, int *ret_failure_fd,
    struct spawn_failure *ret_failure);

/* When the process of a fork has ended: whether it failed before it became the program. Closes the
 * pipe. */
bool spawn_failure_read(int failure_fd, struct spawn_failure *ret_failure);

/* The value of PATH in env, or the system's default. */
const char *spawn_search_path(char *const *env);

#endif
