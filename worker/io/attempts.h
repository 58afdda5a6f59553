/*
 * attempts.h - what an attempt has on this host: its folder, its pipe, its spool, and what is done
 * before it starts and after it ended. The agent's core decides, this carries out. One thread.
 */
#ifndef WORKER_IO_ATTEMPTS_H
#define WORKER_IO_ATTEMPTS_H

#include "common/loop.h"
#include "worker/io/blob_client.h"
#include "worker/io/command.h"
#include "worker/io/folder.h"
#include "worker/io/operators.h"
#include "worker/io/ship.h"
#include "worker/io/trees.h"

struct attempts;

struct collected {
    struct attempt_id id;
    struct slice outputs;   /* a JSON object, or empty */
    struct slice artifacts; /* hash of the manifest, or empty */
    uint64_t log_bytes;
    enum reason reason;
    struct slice error;
    bool no_retry;
};

/* Called while attempts_prepare and attempts_collect go on, or later from the loop. */
struct attempts_events {
    void (*prepared)(
        void *context, const struct attempt_id *id, enum reason reason, struct slice error);
    void (*collected)(void *context, const struct collected *collected);
    /* The disk of the spools became full, or has room again. */
    void (*disk)(void *context, bool full);
    /* Of operators: talk.h. */
    void (*note)(void *context, const struct msg_note *note);
    void (*progress)(void *context, const struct msg_progress *progress);
    void (*breach)(void *context, const struct attempt_id *id);
    void *context;
};

/* All are borrowed and outlive it. */
struct attempts_config {
    struct loop *loop;
    struct jobs *jobs;
    const struct folder *folder;
    struct ship *ship;
    struct blob_client *blobs;
    struct trees *trees;
    const struct task_users *users;
    const struct operators *operators;
    struct command_base base;
    unsigned char key[32]; /* the worker's public one */
    struct attempts_events events;
};

struct attempts *attempts_create(const struct attempts_config *config);
/* Files, spools and pipes stay as they are. */
void attempts_destroy(struct attempts *attempts);

/* AGENT_PREPARE; answered by `prepared`, at once when nothing has to be copied. */
void attempts_prepare(struct attempts *attempts, const struct msg_assign *assign);
/*
 * Completes the message for the runner with what was prepared, and gives the descriptors that go
 * with it, which are the caller's now: how many, 0: it was not prepared. Call attempts_started when
 * it was sent: the texts live until then.
 */
enum { START_FDS_MAX = 4 };
uint32_t attempts_start(
    struct attempts *attempts, struct msg_runner_start *start, int ret_fds[START_FDS_MAX]);
void attempts_started(struct attempts *attempts, const struct attempt_id *id);
/* The runner holds it: takes the pipe's read end and the end of an operator's socket (-1: there is
 * none). One that is known keeps what it has. */
void attempts_adopt(struct attempts *attempts, const struct attempt_id *id, int pipe, int channel);
/* What was said at adoption is handed on; call when the core has heard of it. */
void attempts_listen(struct attempts *attempts, const struct attempt_id *id);
/* What became of an operator's note. */
void attempts_noted(struct attempts *attempts, const struct msg_noted *noted);
/* When the first operator must have ended that has said its error (boot time), and then. */
uint64_t attempts_due_ms(const struct attempts *attempts);
void attempts_expire(struct attempts *attempts, uint64_t now_ms);
/* AGENT_COLLECT. */
void attempts_collect(struct attempts *attempts, const struct attempt_id *id,
    const struct msg_assign *assign, bool success);
/* AGENT_DISCARD: its log goes too. */
void attempts_discard(struct attempts *attempts, const struct attempt_id *id);
/* AGENT_DROP: its log stays until it is kept. */
void attempts_drop(struct attempts *attempts, const struct attempt_id *id);

/* Once the runner's first list is complete: folders of unknown attempts go, their logs are shipped.
 */
void attempts_clean(struct attempts *attempts);
/* Tries again what waits for disk space; call each second while attempts_is_full. */
void attempts_retry(struct attempts *attempts);
bool attempts_is_full(const struct attempts *attempts);

#endif
