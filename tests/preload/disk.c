/*
 * A disk that fails: the n-th write or sync of a file below RV_DISK_FOLDER gives an error. The plan
 * is the file that RV_DISK_PLAN names (struct plan, which the test writes at any time); it also
 * counts. Only the program RV_DISK_PROGRAM is meant: what it starts has a good disk.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { KIND_WRITE, KIND_SYNC, KIND_COUNT };

/* 32-bit words in this order; tests/system/faulty.py knows it too. */
struct plan {
    _Atomic int32_t error;            /* the errno; 0: all is well */
    _Atomic int32_t kind;             /* which kind fails */
    _Atomic int32_t countdown;        /* 1: the next one */
    _Atomic int32_t count;            /* how many fail, from that one on */
    _Atomic int32_t seen[KIND_COUNT]; /* of each kind, failed ones too */
    _Atomic int32_t failed;           /* that many did */
    _Atomic int32_t done[KIND_COUNT]; /* of each kind, those that came back */
};

static struct plan *plan;
static char folder[4096];

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("RV_DISK_PLAN"), *below = getenv("RV_DISK_FOLDER");
    const char *program = getenv("RV_DISK_PROGRAM");
    if (path == NULL || below == NULL || program == NULL ||
        strncmp(program_invocation_short_name, program, strlen(program)) != 0)
        return;
    (void)snprintf(folder, sizeof folder, "%s/", below);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *bytes =
        fd >= 0 ? mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (fd >= 0)
        (void)close(fd);
    if (bytes != MAP_FAILED)
        plan = bytes;
}

static int is_ours(int fd)
{
    char link[64], path[4096];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = '\0';
    return strncmp(path, folder, strlen(folder)) == 0 ||
           strncmp(path, folder, strlen(folder) - 1) == 0;
}

/* True with errno: this one fails. */
static int fails(int fd, int kind)
{
    if (plan == NULL || !is_ours(fd))
        return 0;
    (void)atomic_fetch_add(&plan->seen[kind], 1);
    int error = atomic_load(&plan->error);
    if (error == 0 || atomic_load(&plan->kind) != kind)
        return 0;
    int32_t left = atomic_fetch_sub(&plan->countdown, 1);
    if (left > 1 || left <= 1 - atomic_load(&plan->count))
        return 0;
    (void)atomic_fetch_add(&plan->failed, 1);
    errno = error;
    return 1;
}

static void note_done(int fd, int kind)
{
    int before = errno;
    if (plan != NULL && is_ours(fd))
        (void)atomic_fetch_add(&plan->done[kind], 1);
    errno = before;
}

/* The function of the C library in whose place this one stands. */
#define FAILING(type, name, kind, fd, parameters, arguments)                                       \
    type name parameters                                                                           \
    {                                                                                              \
        static __typeof__(name) *next;                                                             \
        if (next == NULL) {                                                                        \
            void *symbol = dlsym(RTLD_NEXT, #name);                                                \
            memcpy(&next, &symbol, sizeof next);                                                   \
        }                                                                                          \
        __typeof__(fd) ours = fd;                                                                  \
        if (fails(ours, kind))                                                                     \
            return -1;                                                                             \
        type result = next arguments;                                                              \
        note_done(ours, kind);                                                                     \
        return result;                                                                             \
    }

FAILING(ssize_t, write, KIND_WRITE, fd, (int fd, const void *from, size_t size), (fd, from, size))
FAILING(ssize_t, pwrite, KIND_WRITE, fd, (int fd, const void *from, size_t size, off_t at),
    (fd, from, size, at))
FAILING(ssize_t, pwrite64, KIND_WRITE, fd, (int fd, const void *from, size_t size, off64_t at),
    (fd, from, size, at))
FAILING(ssize_t, splice, KIND_WRITE, out,
    (int in, off64_t *in_at, int out, off64_t *out_at, size_t size, unsigned flags),
    (in, in_at, out, out_at, size, flags))
FAILING(int, ftruncate, KIND_WRITE, fd, (int fd, off_t size), (fd, size))
FAILING(int, ftruncate64, KIND_WRITE, fd, (int fd, off64_t size), (fd, size))
FAILING(int, fsync, KIND_SYNC, fd, (int fd), (fd))
FAILING(int, fdatasync, KIND_SYNC, fd, (int fd), (fd))
FAILING(int, syncfs, KIND_SYNC, fd, (int fd), (fd))
