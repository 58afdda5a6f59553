/*
 * options.h - what the command line, the environment and the folder of reeve-worker say: flags
 * first, then REEVE_*, then what an earlier start remembered in private/join. Made once at the
 * start. A token's text is wiped from the command line and the environment as soon as it was read:
 * /proc shows both to others.
 */
#ifndef WORKER_IO_OPTIONS_H
#define WORKER_IO_OPTIONS_H

#include "common/buffer.h"
#include "common/error.h"
#include "common/flags.h"
#include "common/label.h"
#include "common/token.h"
#include "worker/io/task_user.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    WORKER_QUEUES_MAX = 64, /* as many as `register` holds */
    WORKER_SLOTS_MAX = 100000,
};

/* The cluster that it joined by a token. */
struct joined {
    char cluster[TOKEN_CLUSTER_MAX + 1];
    unsigned char server_key[KEY_BYTES];
    char addresses[TOKEN_ADDRESSES_MAX][TOKEN_ADDRESS_MAX_BYTES + 1];
    uint32_t address_count; /* 0: none */
};

struct options {
    char *data; /* absolute, as master */
    const char *data_source;
    char *master; /* the master's folder, on this host; NULL: it did not join that way */
    const char *master_source;
    struct joined joined;
    struct token *token; /* that was given, until it was used or found to be of no use */
    char *name;
    const char *name_source;
    uint32_t slots; /* 0: not given */
    const char *slots_source;
    char *queues[WORKER_QUEUES_MAX];
    size_t queue_count;
    const char *queues_source;
    char *labels[LABELS_MAX];
    size_t label_count;
    const char *labels_source;
    uint64_t cache_max, spool_max; /* bytes */
    const char *cache_max_source, *spool_max_source;
    char *users[TASK_USERS_MAX]; /* --run-as: the first is the default; none: tasks run as we do */
    size_t user_count;
    const char *users_source;
    char *operator_path; /* folders, separated by ':' */
    const char *operator_path_source;
    bool stop; /* the verb */
    bool now;
    uint64_t within_ms; /* 0: not given */
    bool has_within;
    struct flags_common common;
};

/* ERR_USAGE, ERR_UNSUPPORTED for what a later version will know. Folders are not looked at. */
int options_parse(struct options *options, char **argv, struct error *error);
void options_fini(struct options *options);

/* Another name, of the master's choice. */
void options_set_name(struct options *options, struct slice name);
/* Of no use any more: wipes it. */
void options_drop_token(struct options *options);

/*
 * Takes from the file that an earlier start wrote what neither flags nor environment said, and the
 * rest from the host (name, slots, queue "default"). ERR_REFUSED when it had joined another master,
 * ERR_USAGE when it never joined and no --join was given. `path` need not be there.
 */
int options_complete(struct options *options, const char *path, struct error *error);
/* Remembers what must be the same at the next start; writes only what changed. */
int options_remember(const struct options *options, const char *path, struct error *error);

/* `--help`, and `--print-config`: a line each, "slots = 4  (from --slots)". */
void options_usage(struct buffer *out);
void options_print(const struct options *options, struct buffer *out);

#endif
