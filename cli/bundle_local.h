/*
 * bundle_local.h - a DAG's folder on this host as a bundle, and what of it would not travel.
 */
#ifndef CLI_BUNDLE_LOCAL_H
#define CLI_BUNDLE_LOCAL_H

#include "common/dag/bundle_make.h"

/* bundle_make for the DAG file at `path` (absolute), whose `files:` are the plan's. */
int bundle_local_make(const char *path, const struct plan *plan, const struct bundle_sink *sink,
    struct bundle *ret_bundle, struct error *error);

/* Whether `submit` would take the folder, with all that the plan's tasks name: bundle_make's and
 * bundle_check_files' refusals. Opens the files and reads none of them. */
int bundle_local_check(const char *path, const struct plan *plan, struct error *error);

#endif
