#include "common/loop.h"

#include "common/memory.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* Events taken from the kernel in one round; the rest comes in the next. */
enum { EVENTS_MAX = 256 };

/*
 * What is watched, by descriptor number. The generation is written into the event and grows with
 * each change, so that an event that was fetched before the change is told apart, even when the
 * number was closed and used again. Watching is level-triggered: an event dropped so comes again.
 */
struct watch {
    loop_fd_fn callback; /* NULL: not watched */
    void *context;
    uint32_t generation;
};

struct loop {
    int epoll_fd, timer_fd, wake_fd, signal_fd;
    struct watch *watches;
    size_t watch_capacity;
    const struct loop_source **sources; /* NULL where one was removed in this round */
    size_t source_count, source_capacity;
    bool (*on_round)(void *context);
    void *round_context;
    loop_fn on_timer;
    void *timer_context;
    uint64_t timer_due_ms; /* what the timer descriptor is set to */
    void (*on_signal)(void *context, int signal);
    void *signal_context;
    bool stopped;
};

static struct watch *watch_of(struct loop *loop, int fd)
{
    return fd >= 0 && (size_t)fd < loop->watch_capacity ? &loop->watches[fd] : NULL;
}

static void make_room(struct loop *loop, int fd)
{
    size_t wanted = loop->watch_capacity < 64 ? 64 : loop->watch_capacity;
    while (wanted <= (size_t)fd)
        wanted *= 2;
    if (wanted == loop->watch_capacity)
        return;
    loop->watches = xreallocarray(loop->watches, wanted, sizeof *loop->watches);
    for (size_t i = loop->watch_capacity; i < wanted; i++)
        loop->watches[i] = (struct watch){0};
    loop->watch_capacity = wanted;
}

static int control(struct loop *loop, int fd, uint32_t events, uint32_t generation, bool watched)
{
    struct epoll_event event = {.events = events};
    event.data.u64 = (uint64_t)generation << 32 | (uint32_t)fd;
    /* A descriptor that was closed without loop_forget has left epoll by itself. */
    if (watched && epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0)
        return 0;
    if (watched && errno != ENOENT)
        return -1;
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

int loop_watch(struct loop *loop, int fd, uint32_t events, loop_fd_fn callback, void *context,
    struct error *error)
{
    assert(callback != NULL && fd >= 0);
    make_room(loop, fd);
    struct watch *watch = &loop->watches[fd];
    uint32_t generation = watch->generation + 1;
    if (control(loop, fd, events, generation, watch->callback != NULL) != 0)
        return error_set_errno(error, ERR_IO, errno, "descriptor %d cannot be watched", fd);
    *watch = (struct watch){callback, context, generation};
    return 0;
}

void loop_forget(struct loop *loop, int fd)
{
    struct watch *watch = watch_of(loop, fd);
    if (watch == NULL || watch->callback == NULL)
        return;
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    *watch = (struct watch){NULL, NULL, watch->generation + 1};
}

void loop_add_source(struct loop *loop, const struct loop_source *source)
{
    vector_reserve(&loop->sources, loop->source_count, &loop->source_capacity);
    loop->sources[loop->source_count++] = source;
}

void loop_remove_source(struct loop *loop, const struct loop_source *source)
{
    for (size_t i = 0; i < loop->source_count; i++) {
        if (loop->sources[i] == source)
            loop->sources[i] = NULL;
    }
}

void loop_on_round(struct loop *loop, bool (*callback)(void *context), void *context)
{
    loop->on_round = callback;
    loop->round_context = context;
}

void loop_set_timer(struct loop *loop, uint64_t due_ms)
{
    if (due_ms == loop->timer_due_ms)
        return;
    loop->timer_due_ms = due_ms;
    struct itimerspec when = {0};
    if (due_ms != UINT64_MAX) {
        when.it_value.tv_sec = (time_t)(due_ms / 1000);
        when.it_value.tv_nsec = (long)(due_ms % 1000) * 1000000;
        /* All zero would disarm it; the past fires at once. */
        if (due_ms == 0)
            when.it_value.tv_nsec = 1;
    }
    int rc = timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
    assert(rc == 0);
    (void)rc;
}

void loop_on_timer(struct loop *loop, loop_fn callback, void *context)
{
    loop->on_timer = callback;
    loop->timer_context = context;
}

void loop_wake(struct loop *loop)
{
    int errno_before = errno;
    const uint64_t one = 1;
    /* EAGAIN means that the counter is full: it is awake enough. */
    while (write(loop->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
    errno = errno_before;
}

static void take_wake(void *context, int fd, uint32_t events)
{
    (void)context;
    (void)events;
    uint64_t count;
    (void)!read(fd, &count, sizeof count);
}

static void take_timer(void *context, int fd, uint32_t events)
{
    struct loop *loop = context;
    uint64_t count;
    (void)events;
    /* Nothing to read: it was set anew since it fired. */
    if (read(fd, &count, sizeof count) != (ssize_t)sizeof count)
        return;
    loop->timer_due_ms = UINT64_MAX;
    if (loop->on_timer != NULL)
        loop->on_timer(loop->timer_context);
}

static void take_signals(void *context, int fd, uint32_t events)
{
    struct loop *loop = context;
    struct signalfd_siginfo info;
    (void)events;
    while (read(fd, &info, sizeof info) == (ssize_t)sizeof info)
        loop->on_signal(loop->signal_context, (int)info.ssi_signo);
}

int loop_on_signals(struct loop *loop, const int *signals, int count,
    void (*callback)(void *context, int signal), void *context, struct error *error)
{
    assert(loop->signal_fd < 0 && callback != NULL);
    sigset_t set;
    (void)sigemptyset(&set);
    for (int i = 0; i < count; i++)
        (void)sigaddset(&set, signals[i]);
    int rc = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (rc != 0)
        return error_set_errno(error, ERR_IO, rc, "signals cannot be blocked");
    loop->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (loop->signal_fd < 0)
        return error_set_errno(error, ERR_IO, errno, "signals cannot be received");
    loop->on_signal = callback;
    loop->signal_context = context;
    return loop_watch(loop, loop->signal_fd, EPOLLIN, take_signals, loop, error);
}

int loop_create(struct loop **ret_loop, struct error *error)
{
    struct loop *loop = xcalloc(1, sizeof *loop);
    int rc;
    loop->signal_fd = -1;
    loop->timer_due_ms = UINT64_MAX;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->epoll_fd < 0 || loop->timer_fd < 0 || loop->wake_fd < 0) {
        rc = error_set_errno(error, ERR_IO, errno, "the event loop cannot be made");
        goto out;
    }
    rc = loop_watch(loop, loop->timer_fd, EPOLLIN, take_timer, loop, error);
    if (rc == 0)
        rc = loop_watch(loop, loop->wake_fd, EPOLLIN, take_wake, loop, error);
out:
    if (rc != 0)
        loop_destroy(loop);
    else
        *ret_loop = loop;
    return rc;
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}

void loop_destroy(struct loop *loop)
{
    if (loop == NULL)
        return;
    close_if_open(loop->signal_fd);
    close_if_open(loop->wake_fd);
    close_if_open(loop->timer_fd);
    close_if_open(loop->epoll_fd);
    free(loop->watches);
    free(loop->sources);
    free(loop);
}

static void dispatch(struct loop *loop, const struct epoll_event *event)
{
    int fd = (int)(uint32_t)event->data.u64;
    const struct watch *watch = watch_of(loop, fd);
    if (watch == NULL || watch->callback == NULL || watch->generation != event->data.u64 >> 32)
        return;
    watch->callback(watch->context, fd, event->events);
}

static bool source_is_ready(struct loop *loop)
{
    for (size_t i = 0; i < loop->source_count; i++) {
        const struct loop_source *source = loop->sources[i];
        if (source != NULL && source->ready(source->context))
            return true;
    }
    return false;
}

static void run_sources(struct loop *loop)
{
    for (size_t i = 0; i < loop->source_count; i++) {
        if (loop->sources[i] != NULL)
            loop->sources[i]->run(loop->sources[i]->context);
    }
    size_t kept = 0;
    for (size_t i = 0; i < loop->source_count; i++) {
        if (loop->sources[i] != NULL)
            loop->sources[kept++] = loop->sources[i];
    }
    loop->source_count = kept;
}

/* Returns whether the round callback has more to do at once. */
static bool run_round(struct loop *loop, bool sleep)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(loop->epoll_fd, events, EVENTS_MAX, sleep ? -1 : 0);
    assert(count >= 0 || errno == EINTR);
    for (int i = 0; i < count; i++)
        dispatch(loop, &events[i]);
    run_sources(loop);
    return loop->on_round != NULL && loop->on_round(loop->round_context);
}

void loop_run(struct loop *loop)
{
    bool busy = true;
    while (!loop->stopped)
        busy = run_round(loop, !busy && !source_is_ready(loop));
    loop->stopped = false;
}

void loop_stop(struct loop *loop)
{
    loop->stopped = true;
}
