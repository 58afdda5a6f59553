#include "operators/spark/stop.h"

#include <signal.h>
#include <stddef.h>
#include <sys/time.h>

enum { AGAIN_US = 200000 };

static volatile sig_atomic_t wanted;

static void on_stop(int number)
{
    (void)number;
    struct itimerval every = {
        .it_interval = {.tv_usec = AGAIN_US}, .it_value = {.tv_usec = AGAIN_US}};
    wanted = 1;
    (void)setitimer(ITIMER_REAL, &every, NULL);
}

static void on_alarm(int number)
{
    (void)number;
}

void stop_init(void)
{
    /* Without SA_RESTART. */
    struct sigaction stop = {.sa_handler = on_stop}, alarm = {.sa_handler = on_alarm};
    (void)sigaction(SIGALRM, &alarm, NULL);
    (void)sigaction(SIGTERM, &stop, NULL);
    (void)sigaction(SIGINT, &stop, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

bool stop_wanted(void)
{
    return wanted != 0;
}
