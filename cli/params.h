/*
 * params.h - `-p name=value` and `-p name=@FILE`: read here, so that a file is this user's and this
 * host's.
 */
#ifndef CLI_PARAMS_H
#define CLI_PARAMS_H

#include "cli/arguments.h"
#include "proto/proto.h"

/* Zero-initialised is empty; params_fini frees. */
struct params {
    struct texts texts; /* "name=value" */
    char **owned;
};

/* ERR_USAGE for what has no name or comes twice; a file's text loses one newline at its end. */
int params_read(const struct option_value *option, struct params *params, struct error *error);
void params_fini(struct params *params);

#endif
