/*
 * Cuts a failing story down: faults, tasks, changes and messages' mishaps are items with numbers,
 * and whatever can be left out so that the story still fails is. Each try is a process of its own,
 * because a violation ends it.
 */
#include "common/memory.h"
#include "tests/sim/world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRY_SECONDS = 120, ITEMS_MAX = 1000000 };

struct shrink {
    uint64_t seed;
    const struct scale *scale;
    struct left_out left_out;
    uint32_t *items; /* shared with the processes that try */
    uint32_t tries;
};

bool left_out_read(struct left_out *left_out, const char *text)
{
    while (*text != '\0') {
        char *end = NULL;
        unsigned long first = strtoul(text, &end, 10), last = first;
        if (end != text && *end == '-')
            last = strtoul(end + 1, &end, 10);
        if (end == text || last < first || last >= ITEMS_MAX || (*end != '\0' && *end != ','))
            return false;
        if (last >= left_out->count) {
            left_out->items = xreallocarray(left_out->items, last + 1, sizeof *left_out->items);
            while (left_out->count <= last)
                left_out->items[left_out->count++] = false;
        }
        for (unsigned long i = first; i <= last; i++)
            left_out->items[i] = true;
        text = *end == ',' ? end + 1 : end;
    }
    return true;
}

static void print_left_out(const struct left_out *left_out)
{
    const char *separator = "";
    for (uint32_t i = 0; i < left_out->count; i++) {
        uint32_t last = i;
        if (!left_out->items[i])
            continue;
        while (last + 1 < left_out->count && left_out->items[last + 1])
            last++;
        (void)printf(last > i ? "%s%u-%u" : "%s%u", separator, i, last);
        separator = ",";
        i = last;
    }
}

static void play_and_leave(const struct shrink *shrink, bool story)
{
    static struct world world;
    (void)alarm(TRY_SECONDS);
    if (!story && (freopen("/dev/null", "w", stderr) == NULL))
        _exit(2);
    (void)play_seed(&world, &(struct play){.seed = shrink->seed,
                                .scale = shrink->scale,
                                .story = story,
                                .left_out = shrink->left_out.items,
                                .left_out_count = shrink->left_out.count,
                                .ret_items = shrink->items});
    (void)fflush(stdout);
    _exit(0);
}

/* Whether the story, without what is left out now, fails. */
static bool fails(struct shrink *shrink, bool story)
{
    int status = 0;
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        play_and_leave(shrink, story);
    shrink->tries++;
    bool ended = pid > 0 && waitpid(pid, &status, 0) == pid;
    return ended && !(WIFEXITED(status) && WEXITSTATUS(status) == 0) &&
           !(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM);
}

/* Tries to leave `size` neighbours out, everywhere; true when some are out now that were not. */
static bool leave_out(struct shrink *shrink, uint32_t size)
{
    struct left_out *left_out = &shrink->left_out;
    bool *before = xcalloc(left_out->count, sizeof *before), any = false;
    for (uint32_t first = 0; first < left_out->count; first += size) {
        uint32_t end = first + size < left_out->count ? first + size : left_out->count;
        bool fresh = false;
        memcpy(before, left_out->items, left_out->count * sizeof *before);
        for (uint32_t i = first; i < end; i++) {
            fresh = fresh || !left_out->items[i];
            left_out->items[i] = true;
        }
        if (fresh && fails(shrink, false))
            any = true;
        else
            memcpy(left_out->items, before, left_out->count * sizeof *before);
    }
    free(before);
    return any;
}

static void tell_rest(struct shrink *shrink)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < shrink->left_out.count; i++)
        left += !shrink->left_out.items[i];
    (void)fails(shrink, true);
    (void)printf("seed %llu fails with %u of its %u items (%u tries):\n  reeve_sim --first %llu "
                 "--seeds 1 --story --without ",
        (unsigned long long)shrink->seed, left, shrink->left_out.count, shrink->tries,
        (unsigned long long)shrink->seed);
    print_left_out(&shrink->left_out);
    (void)printf("\n");
}

int shrink_seed(uint64_t seed, const struct scale *scale)
{
    struct shrink shrink = {.seed = seed, .scale = scale};
    shrink.items =
        mmap(NULL, sizeof *shrink.items, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shrink.items == MAP_FAILED)
        return 2;
    if (!fails(&shrink, false)) {
        (void)printf("seed %llu does not fail\n", (unsigned long long)seed);
        return 0;
    }
    shrink.left_out.count = *shrink.items;
    shrink.left_out.items = xcalloc(shrink.left_out.count + 1, sizeof *shrink.left_out.items);
    for (uint32_t size = shrink.left_out.count / 2; size > 1; size /= 2)
        (void)leave_out(&shrink, size);
    while (leave_out(&shrink, 1))
        continue;
    tell_rest(&shrink);
    free(shrink.left_out.items);
    return 1;
}
