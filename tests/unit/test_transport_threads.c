/* ZeroMQ's threads take no signal: they are made with all of them blocked. */
#include "common/transport/transport.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

/* A sanitizer has one of its own in this place. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

static atomic_int made, open_to_signals;

#ifndef SANITIZED
typedef int (*create_fn)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

/* In the place of the C library's, which it calls; the new thread has its maker's signals. */
int pthread_create(
    pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *context)
{
    static create_fn next;
    if (next == NULL) {
        void *symbol = dlsym(RTLD_NEXT, "pthread_create");
        memcpy(&next, &symbol, sizeof next);
    }
    sigset_t blocked;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    atomic_fetch_add(&made, 1);
    if (!sigismember(&blocked, SIGINT) || !sigismember(&blocked, SIGTERM))
        atomic_fetch_add(&open_to_signals, 1);
    return next(thread, attributes, run, context);
}
#endif

static void on_frame(void *context, transport_peer peer, struct slice frame)
{
    (void)context;
    (void)peer;
    (void)frame;
}

static void transport_that_is_opened_makes_no_thread_that_takes_a_signal(void **state)
{
    struct loop *loop;
    struct transport *transport;
    (void)state;
#ifdef SANITIZED
    skip(); /* its pthread_create is not ours to replace */
#endif
    transport_start();
    assert_int_equal(loop_create(&loop, NULL), 0);
    int rc = transport_connect(loop, "ipc:///nowhere/at/all", on_frame, NULL, &transport, NULL);
    assert_int_equal(rc, 0);
    assert_true(atomic_load(&made) >= 2); /* its reaper, and one for I/O */
    assert_int_equal(atomic_load(&open_to_signals), 0);
    transport_destroy(transport);
    loop_destroy(loop);
    transport_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transport_that_is_opened_makes_no_thread_that_takes_a_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
