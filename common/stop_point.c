#include "common/stop_point.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    unsigned point; /* 0: none */
    unsigned pass;
    int signal;
    atomic_uint passes;
} plan;

static void read_plan(void)
{
    const char *text = getenv("REEVE_STOP_AT");
    int end = 0;
    plan.pass = 1;
    plan.signal = SIGKILL;
    if (text == NULL || sscanf(text, "%u:%u%n", &plan.point, &plan.pass, &end) < 1)
        return;
    if (end > 0 && strcmp(text + end, ":pause") == 0)
        plan.signal = SIGSTOP;
}

void stop_here(enum stop_point point)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, read_plan);
    /* SIGKILL and SIGSTOP act before kill() returns to this thread. */
    if (plan.point == (unsigned)point && atomic_fetch_add(&plan.passes, 1) + 1 == plan.pass)
        (void)kill(getpid(), plan.signal);
}
