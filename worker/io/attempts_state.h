/*
 * attempts_state.h - what attempts.c, prepare.c and collect.c share. Internal.
 */
#ifndef WORKER_IO_ATTEMPTS_STATE_H
#define WORKER_IO_ATTEMPTS_STATE_H

#include "common/table.h"
#include "worker/io/attempts.h"
#include "worker/io/secrets.h"
#include "worker/io/talk.h"

#include <time.h>

/* What waits between PREPARE and START. */
struct order {
    struct arena arena;
    struct place place;
    struct command command;
    struct slice secrets;         /* its folder on memory, or empty */
    struct slice file;            /* of bash: to be there before it starts */
    const struct task_user *user; /* as whom it runs; NULL: as the agent */
    struct error given;           /* of the thread that gives its folder to the user */
    int pipe[2];
    int channel[2]; /* of an operator's socket: the runner's copy of this end, the operator's */
    struct buffer task_line; /* of an operator: with its secrets */
    bool operator;
};

/* An attempt's folder and its files', by which is seen whether anything was put there. */
struct place_stamp {
    struct timespec folder, files; /* mtime */
    struct timespec files_changed; /* ctime */
};

/* A folder that waits for another attempt. */
struct spare {
    char *path;
    struct place_stamp stamp;
    bool stamped;
};

struct collection;

struct work {
    struct attempts *attempts;
    struct work *next, *previous; /* all */
    struct attempt_id id;
    uint64_t log_limit; /* 0: not known */
    int pipe;           /* the read end; -1: none, or it is at its end */
    bool watched;
    bool blocked; /* the disk is full: what the pipe holds waits there */
    bool begun;   /* an earlier agent had it */
    bool plain;   /* nothing was copied into its folder */
    bool mute;    /* it is no operator's, and never was: nothing that it said is kept */
    bool stamped; /* `stamp` is its folder's as it began, and any change would show */
    struct place_stamp stamp;
    struct stream *stream; /* NULL while it has written nothing */
    uint64_t log_bytes;
    struct order *order;
    struct tree_job *trees; /* being laid out */
    bool giving;            /* its folder is being given to its user, on a thread */
    bool unwanted;          /* it was discarded meanwhile */
    struct collection *collection;
    struct talk *talk; /* with its operator, NULL: it has none */
    uint64_t kill_grace_ms;
};

enum { WORK_SPARES_MAX = 64 };

struct attempts {
    struct attempts_config config;
    struct secrets secrets;
    struct spare spares[WORK_SPARES_MAX];
    size_t spare_count;
    struct names table;
    struct work *first;
    bool full;
    bool no_room;         /* the last one could not be prepared for want of space */
    uint64_t room_wanted; /* bytes, before another is tried */
    struct talk_config talk;
};

struct work *work_find(const struct attempts *attempts, const struct attempt_id *id);
struct work *work_create(struct attempts *attempts, const struct attempt_id *id);
/* Frees what it is known by, and its folder goes. */
void work_abandon(struct work *work);

/* Moves all that the pipe holds and closes it; false: it waits for disk space. */
bool work_drain(struct work *work);

/* An attempt could not be prepared for want of space: nothing more is taken until there is more. */
void attempts_lack_room(struct attempts *attempts, const struct error *error);

/* ---- work_folder.c ---- */

/* The attempt's folder and its files/, empty. */
int work_folder_make(struct work *work, const struct place *place, struct error *error);
/* False when nothing was put beside its files since the attempt began. */
bool work_folder_may_hold(const struct work *work, const struct place *place);
void work_folder_remove(struct work *work);
void work_folder_remove_later(struct attempts *attempts, const char *name);
/* Whether the disk takes so many bytes more, as far as can be known. */
bool work_folder_has_room(const struct attempts *attempts, uint64_t bytes);
void work_folders_fini(struct attempts *attempts);

/* ---- collect.c ---- */

/* Goes on with a collection that waited for disk space. */
void collection_retry(struct work *work);
/* At the end of the process. */
void collection_free(struct work *work);

#endif
