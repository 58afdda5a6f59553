/*
 * loop.h - one thread's event loop over epoll: descriptors, one timer, and wake-ups from other
 * threads. No polling: it sleeps until something happens.
 */
#ifndef COMMON_LOOP_H
#define COMMON_LOOP_H

#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;

/* `events` is what epoll reported (EPOLLIN, EPOLLOUT, EPOLLHUP, …). */
typedef void (*loop_fd_fn)(void *context, int fd, uint32_t events);
typedef void (*loop_fn)(void *context);

int loop_create(struct loop **ret_loop, struct error *error);
void loop_destroy(struct loop *loop);

/* Watches fd (level-triggered) until loop_forget. A second call for the same fd replaces events and
 * callback. */
int loop_watch(struct loop *loop, int fd, uint32_t events, loop_fd_fn callback, void *context,
    struct error *error);
/* Safe inside callbacks, also for another fd that is ready in the same round. The fd is not closed.
 */
void loop_forget(struct loop *loop, int fd);

/*
 * Work that no descriptor shows truly (ZeroMQ's is edge-triggered). `ready` is asked before each
 * sleep: when it says true the loop does not sleep. `run` is called in every round, after the
 * descriptors and before the round callback. The struct is borrowed until loop_remove_source, which
 * is safe inside callbacks.
 */
struct loop_source {
    bool (*ready)(void *context);
    void (*run)(void *context);
    void *context;
};
void loop_add_source(struct loop *loop, const struct loop_source *source);
void loop_remove_source(struct loop *loop, const struct loop_source *source);

/*
 * Called after each round of callbacks, and once when loop_run begins: where batches are stepped
 * and flushed. Returns true when there is more work to do at once (the next round then does not
 * sleep). At most one.
 */
void loop_on_round(struct loop *loop, bool (*callback)(void *context), void *context);

/* The one timer: fires at or after boot time due_ms (UINT64_MAX: never). */
void loop_set_timer(struct loop *loop, uint64_t due_ms);
void loop_on_timer(struct loop *loop, loop_fn callback, void *context);

/* Wakes the loop from another thread; the round callback runs. Async-signal-safe. */
void loop_wake(struct loop *loop);

/*
 * Delivers these signals as callbacks. Once a loop. They are blocked by this call in the calling
 * thread and stay so: call before threads start, and unblock them in children.
 */
int loop_on_signals(struct loop *loop, const int *signals, int count,
    void (*callback)(void *context, int signal), void *context, struct error *error);

/* Runs until loop_stop, which ends the round it was called in, and may be called before. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

#endif
