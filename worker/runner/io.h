/*
 * io.h - the runner itself: its socket, its clock, its children, around the core. One thread, one
 * loop. After runner_open it touches no disk but to remove its socket, and no network.
 */
#ifndef WORKER_RUNNER_IO_H
#define WORKER_RUNNER_IO_H

#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

struct runner;

/* Listens on FOLDER/runner-INSTANCE.sock (0600), which appears only when it can be connected to. */
int runner_open(const char *folder, uint64_t instance, bool use_cgroups, struct runner **ret_runner,
    struct error *error);
/* Returns when the core says so. */
void runner_run(struct runner *runner);
void runner_close(struct runner *runner);

#endif
