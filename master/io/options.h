/*
 * options.h - what the command line and the environment of reeve-master say: flags first, then
 * REEVE_*. Made once at the start; the texts live as long as the process.
 */
#ifndef MASTER_IO_OPTIONS_H
#define MASTER_IO_OPTIONS_H

#include "common/buffer.h"
#include "common/error.h"
#include "common/flags.h"
#include "master/io/addresses.h"

#include <stdbool.h>

enum { DAG_FOLDERS_MAX = 64 };

struct options {
    char *data; /* absolute */
    const char *data_source;
    char *dags[DAG_FOLDERS_MAX]; /* absolute */
    size_t dag_count;
    const char *dags_source;
    bool listens; /* on TCP, at: */
    struct endpoint listen;
    const char *listen_source;
    struct endpoint advertise[ADDRESSES_MAX]; /* the best first; none: by `listen` */
    size_t advertise_count;
    const char *advertise_source;
    uint64_t keep_logs_ms; /* 0: for ever */
    const char *keep_logs_source;
    uint64_t logs_max_bytes; /* 0: no matter how much */
    const char *logs_max_source;
    char *connections; /* absolute; NULL: none */
    const char *connections_source;
    bool accept_restore; /* its store is an older one, brought back by a person */
    bool trace;          /* frames are printed to the log */
    struct flags_common common;
};

/* ERR_USAGE, ERR_UNSUPPORTED for what a later version will know. Folders are not looked at. */
int options_parse(struct options *options, int argc, char **argv, struct error *error);
void options_fini(struct options *options);

/* `--help`, and `--print-config`: a line each, "data = DIR  (from --data)". */
void options_usage(struct buffer *out);
void options_print(const struct options *options, struct buffer *out);

#endif
