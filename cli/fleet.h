/*
 * fleet.h - `reeve status` without a run: the master, its workers, the runs that are not over and
 * what they wait for, on one screen.
 */
#ifndef CLI_FLEET_H
#define CLI_FLEET_H

#include "cli/arguments.h"
#include "cli/client.h"

/* Reads and prints it, as `-o` says. */
int fleet_show(struct client *client, const struct arguments *arguments, struct error *error);

#endif
