/*
 * standalone.h - a standalone cluster's drivers in cluster mode: asked of its REST server (port
 * 6066, off by default before Spark 4.1), else of the master's web page as JSON (8080); ended over
 * REST, else by Spark's own client.
 */
#ifndef OPERATORS_SPARK_STANDALONE_H
#define OPERATORS_SPARK_STANDALONE_H

#include "operators/spark/job.h"

enum driver_state {
    DRIVER_LIVE,     /* SUBMITTED, RUNNING, RELAUNCHING */
    DRIVER_FINISHED, /* the only success */
    DRIVER_DEAD,     /* KILLED, FAILED, ERROR */
    DRIVER_UNKNOWN,  /* the master does not know it, or is recovering */
};

struct driver_view {
    enum driver_state state;
    char word[40];     /* Spark's own */
    char message[600]; /* why it failed, or "" */
};

enum driver_state driver_state_of(const char *word);
/* ERR_UNREACHABLE: neither answers. */
int standalone_look(
    const struct job *job, const char *driver, struct driver_view *ret_view, struct error *error);
/* Asks for its end; whether it has ended is to be looked at. */
int standalone_kill(struct job *job, const char *driver, struct error *error);
/* The master's page: activeapps, activedrivers, …; to be freed. */
int standalone_page(const struct job *job, json_t **ret_page, struct error *error);
/* Ends applications whose name holds `tag_prefix`; *ret_count is how many there were. */
int standalone_end_tagged(
    const struct job *job, const char *tag_prefix, int *ret_count, struct error *error);

#endif
