/*
 * processes.h - the processes of the attempts: makes them, signals them, reaps all that dies, and
 * knows when nothing of an attempt is left. Carries out the core's effects and brings its events.
 * One thread; blocks only for a vfork.
 *
 * How a tree is killed. The runner is the subreaper of all that it started: a process whose parent
 * died becomes its child, whatever group or session it made. So once the main process is dead, a
 * tree is gone exactly when the runner has no child left that belongs to it. While the main process
 * is an unreaped zombie its process group gets SIGKILL: nothing can have taken its number yet.
 * Whatever else is there is found
 *   - with cgroup v2, by cgroup.kill, also while it forks;
 *   - else in rounds over /proc: all descendants of the runner whose topmost ancestor below it
 * belongs to the attempt (it is the main process, or in its session, or it or one below it carries
 * the attempt's scope in its environment) are stopped first, so that they fork no more, then
 * killed. Signals to other processes than children go by pidfd, checked against the start time.
 *
 * On the common path, a task that leaves nothing behind, this costs one kill() and one look: at
 * cgroup.events, else at /proc/self/task/TID/children, else (kernels without it) at /proc/PID/stat
 * of all processes.
 *
 * What escapes without cgroup v2: a process that cleared its environment, left its session and lost
 * its parents, all with no relative that kept the scope, while other attempts run; it is killed
 * when the last of them ends.
 */
#ifndef WORKER_RUNNER_PROCESSES_H
#define WORKER_RUNNER_PROCESSES_H

#include "worker/runner/core.h"
#include "worker/runner/spawn.h"

struct processes;

/* Brings EXITED, SPAWN_FAILED and EMPTY; now_ms is the receiver's to set. */
typedef void (*process_event_fn)(void *context, const struct runner_event *event);

/* Makes the caller a subreaper. With use_cgroups, attempts get cgroups where that is possible. */
struct processes *processes_create(uint64_t instance, bool use_cgroups);
/* Leaves what runs alone; removes the cgroup when it is empty. */
void processes_destroy(struct processes *processes);

/* By what tasks are bounded here; for the core. */
struct runner_limits processes_limits(const struct processes *processes);

/* What comes with an order; -1: it did not. */
struct order_fds {
    int pipe[2];    /* read end, write end */
    int channel[2]; /* of an operator's socket: the agent's end, the operator's */
};
/* KEEP. Copies what it needs and takes the descriptors; the agent's ends stay until
 * processes_forget. */
void processes_keep(
    struct processes *processes, const struct msg_runner_start *start, const struct order_fds *fds);
/* SPAWN of what was kept. Returns the pid, or -1 and *ret_failure. */
pid_t processes_spawn(
    struct processes *processes, struct attempt_id id, struct spawn_failure *ret_failure);
/* TERMINATE. SIGCONT follows, for a stopped process would not see it. */
void processes_terminate(struct processes *processes, struct attempt_id id);
/* KILL: kills now, and again at processes_next_ms until nothing is left. */
void processes_kill(struct processes *processes, struct attempt_id id);
/* FORGET. */
void processes_forget(struct processes *processes, struct attempt_id id);
/*
 * Lets go of the writing ends of what is over. Call when the ends have been told: an agent that
 * hears of the end first takes what is in the pipe and is not woken a second time, by a hang-up.
 */
void processes_end_pipes(struct processes *processes);
/* The read end of its pipe, still owned here; -1: there is none. */
int processes_pipe(const struct processes *processes, struct attempt_id id);
/* Likewise the agent's end of its socket. */
int processes_channel(const struct processes *processes, struct attempt_id id);

/* Reaps every child that died. Call at SIGCHLD. */
void processes_reap(struct processes *processes, process_event_fn callback, void *context);
/* Goes on with the killing that is under way. Call after the core's effects were carried out, and
   at processes_next_ms. */
void processes_clear(
    struct processes *processes, uint64_t now_ms, process_event_fn callback, void *context);
/* When processes_clear wants to be called; UINT64_MAX: not by the clock. */
uint64_t processes_next_ms(const struct processes *processes);

#endif
