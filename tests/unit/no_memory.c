#include "tests/unit/no_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif

enum { STATUS_DONE = 40, STATUS_NOT_REACHED = 41, PLAY_MAX_S = 60, FOR_GOOD_EVERY = 16 };

/* ---- the allocator ---- */

#ifndef HAS_SANITIZER

static atomic_uint_fast64_t asked, fails_at; /* 0: none */
static atomic_bool fails_on;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static bool may_have(void)
{
    uint64_t at = atomic_load(&fails_at);
    uint64_t number = at != 0 ? atomic_fetch_add(&asked, 1) + 1 : 0;
    if (at == 0 || (number != at && (number < at || !atomic_load(&fails_on))))
        return true;
    errno = ENOMEM;
    return false;
}

void *malloc(size_t size)
{
    return may_have() ? __libc_malloc(size) : NULL;
}

void *calloc(size_t count, size_t size)
{
    return may_have() ? __libc_calloc(count, size) : NULL;
}

void *realloc(void *old, size_t size)
{
    return may_have() ? __libc_realloc(old, size) : NULL;
}

void *reallocarray(void *old, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(old, bytes);
}

void no_memory_or_skip(void)
{
}

static void arm(uint64_t n, bool for_good)
{
    atomic_store(&asked, 0);
    atomic_store(&fails_on, for_good);
    atomic_store(&fails_at, n);
}

/* Whether the allocation that was to fail was asked for. */
static bool disarm(void)
{
    return atomic_exchange(&fails_at, 0) <= atomic_load(&asked);
}

#else

void no_memory_or_skip(void)
{
    print_message("skipped: a sanitizer has its own malloc\n");
    skip();
}

static void arm(uint64_t n, bool for_good)
{
    (void)n;
    (void)for_good;
}

static bool disarm(void)
{
    return false;
}

#endif

/* ---- the child ---- */

static void play(scenario_fn scenario, void *context, uint64_t n, bool for_good)
{
    const struct rlimit none = {0};
    struct buffer out = {0};
    (void)setrlimit(RLIMIT_CORE, &none);
    /* An assertion of cmocka would go back into the parent's tests: here it ends the child. */
    (void)setenv("CMOCKA_TEST_ABORT", "1", 1);
    (void)alarm(PLAY_MAX_S);
    arm(n, for_good);
    scenario(context, &out);
    bool reached = disarm();
    for (size_t at = 0; at < out.length;) {
        ssize_t written = write(STDOUT_FILENO, out.data + at, out.length - at);
        if (written < 0)
            _exit(1);
        at += (size_t)written;
    }
    _exit(reached ? STATUS_DONE : STATUS_NOT_REACHED);
}

/* ---- the parent ---- */

static void read_all(FILE *file, struct buffer *out)
{
    size_t got;
    rewind(file);
    do {
        got = fread(buffer_reserve(out, 65536), 1, 65536, file);
        out->length += got;
    } while (got > 0);
}

static bool are_right_words(struct buffer *words)
{
    const char *text = buffer_text(words);
    return strncmp(text, "out of memory: ", 15) == 0 &&
           strchr(text, '\n') == text + words->length - 1;
}

void no_memory_play(
    scenario_fn scenario, void *context, uint64_t n, bool for_good, struct ending *ret_ending)
{
    struct ending ending = {0};
    FILE *out = tmpfile(), *words = tmpfile();
    assert_true(out != NULL && words != NULL);
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (dup2(fileno(out), STDOUT_FILENO) < 0 || dup2(fileno(words), STDERR_FILENO) < 0)
            _exit(1);
        play(scenario, context, n, for_good);
    }
    assert_int_equal(waitpid(child, &ending.status, 0), child);
    read_all(out, &ending.out);
    read_all(words, &ending.words);
    int status = WIFEXITED(ending.status) ? WEXITSTATUS(ending.status) : -1;
    ending.done = status == STATUS_DONE || status == STATUS_NOT_REACHED;
    ending.reached = status != STATUS_NOT_REACHED;
    ending.aborted = WIFSIGNALED(ending.status) && WTERMSIG(ending.status) == SIGABRT &&
                     are_right_words(&ending.words);
    (void)fclose(out);
    (void)fclose(words);
    *ret_ending = ending;
}

void ending_fini(struct ending *ending)
{
    buffer_fini(&ending->out);
    buffer_fini(&ending->words);
}

static void expect_clean(struct ending *ending, struct ending *whole, uint64_t n, bool for_good)
{
    bool same = ending->done && slice_equal(buffer_slice(&ending->out), buffer_slice(&whole->out));
    if (ending->aborted || same)
        return;
    fail_msg("allocation %llu failed%s: status 0x%x, last words \"%s\", made:\n%.2000s",
        (unsigned long long)n, for_good ? ", and all that followed" : "", (unsigned)ending->status,
        buffer_text(&ending->words), buffer_text(&ending->out));
}

void no_memory_expect_clean_ends(scenario_fn scenario, void *context)
{
    no_memory_or_skip();
    struct ending whole;
    no_memory_play(scenario, context, 0, false, &whole);
    assert_true(whole.done);
    bool reached = true;
    uint64_t n = 0;
    while (reached) {
        n++;
        for (int for_good = 0; for_good <= (n % FOR_GOOD_EVERY == 0); for_good++) {
            struct ending ending;
            no_memory_play(scenario, context, n, for_good, &ending);
            reached = ending.reached;
            expect_clean(&ending, &whole, n, for_good);
            ending_fini(&ending);
        }
    }
    print_message("%llu allocations failed, one after the other\n", (unsigned long long)n - 1);
    ending_fini(&whole);
}
