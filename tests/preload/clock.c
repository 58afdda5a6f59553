/*
 * A wall clock that a test steps: CLOCK_REALTIME and what stands on it are off by the milliseconds
 * in the first 8 bytes of the file that RV_CLOCK names, at any time, and CLOCK_BOOTTIME by those in
 * the next 8: what a process sees whose machine was away so long. All other clocks are true.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef int (*clock_fn)(clockid_t clock, struct timespec *now);

static const volatile int64_t *step_ms;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("RV_CLOCK");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *bytes = mmap(NULL, 2 * sizeof *step_ms, PROT_READ, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (bytes != MAP_FAILED)
        step_ms = bytes;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static clock_fn true_clock;
    /* Other libraries ask for the time before this one has begun. */
    if (true_clock == NULL) {
        void *symbol = dlsym(RTLD_NEXT, "clock_gettime");
        memcpy(&true_clock, &symbol, sizeof true_clock);
    }
    int rc = true_clock(clock, now);
    bool wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
    if (rc == 0 && step_ms != NULL && (wall || clock == CLOCK_BOOTTIME)) {
        int64_t ms = step_ms[wall ? 0 : 1];
        now->tv_sec += (time_t)(ms / 1000);
        now->tv_nsec += (long)(ms % 1000) * 1000000;
        now->tv_sec += (now->tv_nsec >= 1000000000) - (now->tv_nsec < 0);
        now->tv_nsec = (now->tv_nsec + 1000000000) % 1000000000;
    }
    return rc;
}

time_t time(time_t *ret_now)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (ret_now != NULL)
        *ret_now = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict ret_now, void *restrict zone)
{
    struct timespec now = {0};
    (void)zone;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    ret_now->tv_sec = now.tv_sec;
    ret_now->tv_usec = (suseconds_t)(now.tv_nsec / 1000);
    return 0;
}
