/*
 * load.h - how busy the host is, as heartbeats say it: read from /proc, from the cgroup where that
 * bounds us (a container), and from the worker's file system. Nothing is read in between.
 */
#ifndef WORKER_IO_LOAD_H
#define WORKER_IO_LOAD_H

#include "worker/core/agent.h"

/* Owned by whoever reads; zero-initialised but for the paths, which are borrowed. */
struct load_meter {
    const char *proc;        /* "/proc" */
    const char *cgroup;      /* "/sys/fs/cgroup": a cgroup v2 tree, or something else */
    const char *folder;      /* the worker's */
    uint64_t busy, total;    /* of /proc/stat, at the last reading */
    uint64_t used_us, at_us; /* of the cgroup likewise */
};

/* What cannot be had stays 0: not known. The first reading knows no cpu_permille. */
void load_read(struct load_meter *meter, struct agent_load *ret_load);

#endif
