/*
 * supervisor.h - a master and its workers as a process tree of their own, for `run` and
 * `standalone`.
 *
 * The supervisor is a process that is forked before there are threads. It leads a session of its
 * own, so that a terminal's Ctrl-C does not reach it, and is the subreaper of all that it starts:
 * whatever its programs leave behind becomes its child, and is ended with them. It lives as long as
 * its order pipe is open: when the command ends, in whatever way, kill -9 too, the supervisor ends
 * the workers with their tasks, then the master, then what is left, and removes the folder when
 * that was wished. A worker or a master that is killed meanwhile is started again.
 */
#ifndef CLI_SUPERVISOR_H
#define CLI_SUPERVISOR_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct supervisor_order {
    const char *master;  /* the master's folder */
    const char *workers; /* workers' folders are WORKERS/w1, … */
    const char
        *logs; /* what they print goes to LOGS/NAME.log; NULL: to stderr, a line under its name */
    const char *remove; /* a folder that goes at the end, or NULL */
    const char *listen; /* where the master listens for other hosts, or NULL */
    const char *const *dags;
    size_t dag_count;
    const char *const *queues; /* that the workers serve; none: their default */
    size_t queue_count;
    uint32_t worker_count;
    uint32_t slots;
};

struct supervisor {
    pid_t pid;
    int order_fd;  /* closing it ends all */
    int report_fd; /* one line when something could not be started or ended of itself */
};

/* Looks the programs up beside this one, else in $PATH, and starts the master. ERR_NOT_FOUND names
 * what is missing. */
int supervisor_start(
    const struct supervisor_order *order, struct supervisor *ret_supervisor, struct error *error);
/*
 * Until the master's control.sock is there: 0. What the supervisor reported, with its code, when
 * something ended; ERR_TIMEOUT after a minute. Call it before any signal is caught.
 */
int supervisor_wait_ready(
    const struct supervisor *supervisor, const char *master, struct error *error);
/* Once the master is ready. */
void supervisor_start_workers(const struct supervisor *supervisor);
/* What the supervisor reported, into text; empty when nothing. Does not wait. Returns the ERR_ code
 * of the exit status in it, ERR_IO when there is none. */
enum { SUPERVISOR_REPORT_MAX = 400 };
int supervisor_read_report(const struct supervisor *supervisor, char *text, size_t size);
/* Ends all and waits for it; SIGINT, SIGTERM or SIGHUP meanwhile ends all at once. `now`: at once.
 */
void supervisor_end(struct supervisor *supervisor, bool now);

#endif
