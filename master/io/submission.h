/*
 * submission.h - a DAG file made ready for EVENT_SUBMIT: read, compiled, params and dates resolved,
 * its folder snapshot, its plan durable and mapped. Done on the compiler's thread: it reads disks
 * and takes as long as they do.
 */
#ifndef MASTER_IO_SUBMISSION_H
#define MASTER_IO_SUBMISSION_H

#include "master/io/plans.h"
#include "proto/proto.h"

/* Zero-initialised, with what is given filled in. */
struct submission {
    /* given, borrowed */
    struct slice path; /* absolute; or in the bundle */
    struct slice
        sent; /* hash of the manifest of a client's bundle, or empty: a file of this host */
    struct slice date; /* --date, or empty */
    const struct texts *params;
    int64_t now_wall;
    /* made; texts lie in the arena */
    struct arena arena;
    struct mapped_plan mapped;
    struct slice dag;
    struct slice bundle;
    struct slice context;
    struct texts warnings;
    int64_t logical_date;
    bool date_given;
    /* or why not: all mistakes, lines joined by \n */
    int code;
    struct buffer why;
};

/* Sets `code` and `why` when it fails. */
void submission_prepare(struct submission *submission, struct blob_store *blobs);
void submission_fini(struct submission *submission);

#endif
