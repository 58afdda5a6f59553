/*
 * task.h - what processes.c knows of one attempt, and who belongs to it. Inside of processes.c and
 * census.c.
 */
#ifndef WORKER_RUNNER_TASK_H
#define WORKER_RUNNER_TASK_H

#include "common/table.h"
#include "worker/runner/bounds.h"
#include "worker/runner/cgroup.h"
#include "worker/runner/mounts.h"
#include "worker/runner/order.h"
#include "worker/runner/processes.h"
#include "worker/runner/sweep.h"

/* What a task is made of, from KEEP to SPAWN. */
struct birth_order {
    struct arena arena; /* of the order */
    struct spawn_order order;
    struct spawn_failure failure; /* why it cannot be made; REASON_NONE: it can */
};

struct task {
    struct task *next, *previous;
    struct attempt_id id;
    uint64_t serial;
    char scope[SCOPE_TEXT_MAX];
    pid_t pid;     /* of the main process, until it is reaped; then 0 */
    pid_t session; /* the same number, as the session of its descendants, for good */
    int pipe;
    int output; /* the writing end, while anything of it may run; -1: it is in `birth`, or let go */
    int channel;               /* the agent's end of an operator's socket; -1: none */
    int failure_fd;            /* of a fork: why it did not become the program */
    struct cgroup *cgroup;     /* NULL: none */
    struct bound bound;        /* of its memory and cpus, while it is not over */
    char *secrets;             /* a folder on memory that goes with it, or NULL */
    struct birth_order *birth; /* NULL: it was made, or has failed to be */
    bool over;                 /* nothing of it runs: it was not made yet, or EMPTY was said */
    bool killed;               /* SIGKILL was sent by us */
    bool clearing;             /* KILL was asked */
    bool left;                 /* of the last look: something of it lives */
    uint32_t sweeps;
    uint64_t sweep_at; /* when to kill again; 0: at once */
    uint64_t cpu_us;   /* of descendants that were reaped since EXITED */
    uint64_t max_rss_kb;
};

/* Who is whose, as of one reading of /proc. */
struct census {
    struct process_list list;
    struct task **owners; /* beside list; NULL: nobody's, or no descendant of the runner */
    size_t capacity;
    struct buffer scratch;
};

struct processes {
    uint64_t instance;
    pid_t self;
    struct spawner spawner;
    struct mounts mounts;
    struct searches searches;
    struct cgroups cgroups;
    struct bounds bounds;
    int *ended; /* writing ends of what is over */
    size_t ended_count, ended_capacity;
    int children_fd; /* /proc/self/task/TID/children; -1: the kernel has none */
    int64_t oom_kills;
    struct task *tasks;
    struct names by_id;
    struct table by_session; /* -> struct task *, while it is not over */
    struct table by_serial;  /* -> struct task *, while it is not over */
    struct table
        orphans; /* pid of a child that is no main process -> its task's serial, once known */
    uint64_t last_serial;
    uint32_t live; /* tasks that are not over */
    uint32_t clearing;
    struct census census;
};

/* The task whose session this is, or NULL. */
struct task *task_of_session(const struct processes *processes, pid_t session);
/* The task whose orphan this child is, as far as is known, or NULL. */
struct task *task_of_orphan(const struct processes *processes, pid_t pid);

void census_fini(struct census *census);
/* Sets `left` of every task that is being cleared. */
void census_look(struct processes *processes);
/* Stops, then kills, every process of the tasks that are `left` and due for it. */
void census_kill(struct processes *processes, uint64_t now_ms);

#endif
