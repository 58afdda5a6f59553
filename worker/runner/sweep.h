/*
 * sweep.h - which processes belong to which attempt, as /proc tells. Every task carries in its
 * environment REEVE_SCOPE=INSTANCE:ATTEMPT, and its children inherit it: the mark by which they are
 * found whatever parents, groups and sessions they have now, even when the runner is dead.
 *
 * What escapes: a process that drops the mark from its environment and whose living ancestors all
 * did (env -i, then a double fork); the runner finds such a one still by descent (processes.c), a
 * dead runner's agent only in its cgroup.
 */
#ifndef WORKER_RUNNER_SWEEP_H
#define WORKER_RUNNER_SWEEP_H

#include "common/buffer.h"
#include "common/error.h"
#include "proto/proto.h"

#include <stdint.h>
#include <sys/types.h>

#define SCOPE_VARIABLE "REEVE_SCOPE"
enum { SCOPE_TEXT_MAX = 80 };

/* "INSTANCE:ATTEMPT" in hex. */
void scope_format(uint64_t instance, const struct attempt_id *id, char text[SCOPE_TEXT_MAX]);

struct process {
    pid_t pid;
    pid_t parent;
    pid_t session;
    char state;       /* as in /proc/PID/stat: Z is dead but for its parent, T is stopped */
    uint64_t started; /* clock ticks after boot: with the pid it names a process for good */
};

struct process_list {
    struct process *items; /* by pid, ascending */
    size_t count;
    size_t capacity;
};

/* Replaces the list by all processes there are now. */
void process_list_read(struct process_list *list);
void process_list_fini(struct process_list *list);
/* NULL when it is not there. */
const struct process *process_find(const struct process_list *list, pid_t pid);

/* The value of REEVE_SCOPE of a process, empty when it has none or may not be read; kept in
 * `scratch`. */
struct slice process_scope(pid_t pid, struct buffer *scratch);

/* Sends a signal to exactly this process, never to a later one with its pid. False: it is gone. */
bool process_signal(const struct process *process, int signal);

/*
 * Kills every process that carries the scope of this runner's instance, their descendants too, and
 * what its cgroup still holds, and returns when they are gone. For an instance that is dead.
 * ERR_TIMEOUT when some are still there after timeout_ms (stuck in the kernel). Blocks.
 */
int sweep_instance(uint64_t instance, uint64_t timeout_ms, struct error *error);

#endif
