/*
 * identity.h - what a worker's folder remembers of who it is: its key pair, the leadership that it
 * followed last, and a runner that was found dead and of which no master has heard yet.
 */
#ifndef WORKER_IO_IDENTITY_H
#define WORKER_IO_IDENTITY_H

#include "common/boot.h"
#include "common/error.h"
#include "common/key_pair.h"
#include "common/limits.h"
#include "common/slice.h"
#include "worker/io/folder.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { CLUSTER_MAX_BYTES = 128 };

struct identity {
    struct key_pair keys;
    uint64_t epoch, leader; /* 0: none yet */
    char cluster[CLUSTER_MAX_BYTES + 1];
    unsigned char boot[BOOT_BYTES];
    bool same_boot;    /* as when `instance` was written */
    uint64_t instance; /* of the runner that was used last; 0: none */
    /* Of this boot, found dead since a master was told last; the last one last. */
    uint64_t dead[DEAD_RUNNERS_MAX];
    uint32_t dead_count;
    /* Its process, and when that started in the kernel's own units; 0: not known. */
    pid_t runner_pid;
    uint64_t runner_start;
};

/* Reads all of it; makes the key pair at the first start. ERR_CORRUPT names the file. */
int identity_load(struct identity *identity, const struct folder *folder, struct error *error);
/* This runner is used from now on, in this boot; after another boot earlier dead ones are no longer
 * spoken for. */
int identity_save_runner(struct identity *identity, const struct folder *folder, uint64_t instance,
    pid_t pid, struct error *error);
/* Whether the process of the runner that was used last is alive on this host. */
bool identity_runner_lives(const struct identity *identity);
/*
 * Remembers that this instance is dead, beside earlier ones: a master may have registered it, and
 * given it attempts, even when the agent that asked died before it heard so. Of too many the
 * earliest is forgotten: what that one had goes on when its leases have run out.
 */
int identity_save_dead(
    struct identity *identity, const struct folder *folder, uint64_t instance, struct error *error);
/* A master knows that it is dead; 0: nothing is to be done. */
int identity_forget_dead(
    struct identity *identity, const struct folder *folder, uint64_t instance, struct error *error);
/* Writes epoch, leader and cluster, as the fields have them. */
int identity_save_leader(
    const struct identity *identity, const struct folder *folder, struct error *error);

#endif
