/*
 * submission.h - asks a master for a run of a DAG file or of a DAG that it knows.
 */
#ifndef CLI_SUBMISSION_H
#define CLI_SUBMISSION_H

#include "cli/client.h"
#include "cli/params.h"
#include "cli/selector.h"

struct submission {
    const char *file; /* an absolute path, or NULL; with a bundle, the path in it */
    const char *dag;  /* else its name */
    const struct params *params;
    const char *date, *key; /* or NULL */
    bool again;
    struct slice bundle; /* hash of the manifest that the master was sent, or empty */
};

/*
 * 0 and the run's name, once it is durable; *ret_existing (may be NULL) when an earlier submit with
 * this key made it. The master's warnings are said, unless the file's were already.
 */
int submission_send(struct client *client, const struct submission *submission,
    char ret_run[SELECTOR_RUN_MAX], bool *ret_existing, struct error *error);

#endif
