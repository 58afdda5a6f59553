/*
 * Memory that cannot be had: from the n-th allocation on a few give nothing. The plan is the file
 * that RV_MEMORY_PLAN names (struct plan, which the test writes before the program starts); it also
 * counts. Only the program RV_MEMORY_PROGRAM is meant: what it starts has memory. The GNU C
 * library's own names for its allocator are used, since a look for them would allocate.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* 32-bit words in this order; tests/system/faulty.py knows it too. */
struct plan {
    _Atomic uint32_t first; /* that one fails, by the count of `seen`; 0: none does */
    _Atomic uint32_t count; /* how many fail, from that one on */
    _Atomic uint32_t seen;  /* since the program began, failed ones too */
    _Atomic uint32_t failed;
    char who[48]; /* the file, program or library, that asked for the last of those */
};

extern char *program_invocation_short_name;
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static struct plan *plan;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("RV_MEMORY_PLAN"), *program = getenv("RV_MEMORY_PROGRAM");
    if (path == NULL || program == NULL || strcmp(program_invocation_short_name, program) != 0)
        return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *bytes =
        fd >= 0 ? mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (fd >= 0)
        (void)close(fd);
    if (bytes != MAP_FAILED)
        plan = bytes;
}

static void note(const void *caller)
{
    Dl_info info;
    if (dladdr(caller, &info) == 0 || info.dli_fname == NULL)
        return;
    const char *slash = strrchr(info.dli_fname, '/');
    strncpy(plan->who, slash != NULL ? slash + 1 : info.dli_fname, sizeof plan->who - 1);
}

/* True with errno: this one fails. */
static int fails(const void *caller)
{
    if (plan == NULL)
        return 0;
    uint32_t number = atomic_fetch_add(&plan->seen, 1) + 1, first = atomic_load(&plan->first);
    if (first == 0 || number < first || number - first >= atomic_load(&plan->count))
        return 0;
    (void)atomic_fetch_add(&plan->failed, 1);
    note(caller);
    errno = ENOMEM;
    return 1;
}

#define CALLER __builtin_return_address(0)

void *malloc(size_t size)
{
    return fails(CALLER) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails(CALLER) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return size > 0 && fails(CALLER) ? NULL : __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size)
{
    return fails(CALLER) ? NULL : __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return fails(CALLER) ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **ret_memory, size_t alignment, size_t size)
{
    void *memory = fails(CALLER) ? NULL : __libc_memalign(alignment, size);
    if (memory == NULL)
        return ENOMEM;
    *ret_memory = memory;
    return 0;
}
