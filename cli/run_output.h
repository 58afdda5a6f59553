/*
 * run_output.h - what the tasks of a followed run write, on stdout as it comes, each line under its
 * task's name.
 */
#ifndef CLI_RUN_OUTPUT_H
#define CLI_RUN_OUTPUT_H

#include "cli/follow.h"

struct run_output;

/* Goes on with the follow, and ends it only when the logs are whole; destroy it first. Client,
 * follow and run are borrowed. */
struct run_output *run_output_create(struct client *client, struct follow *follow, const char *run);
void run_output_destroy(struct run_output *output);
/* How many lines it has written. */
uint64_t run_output_lines(const struct run_output *output);

#endif
