#include "worker/runner/order.h"

#include "common/table.h"
#include "worker/runner/program.h"
#include "worker/runner/sweep.h"

#include <stdio.h>
#include <unistd.h>

/* NUL-terminated copies, with one more place before the end for the scope; NULL when one holds a
 * NUL. */
static char **texts_copy(const struct texts *texts, struct arena *arena, uint32_t *ret_count)
{
    char **copies = arena_alloc(arena, (texts->count + 2) * sizeof *copies);
    for (uint32_t i = 0; i < texts->count; i++) {
        struct slice text = texts->items[i];
        if (text.length > 0 && memchr(text.ptr, '\0', text.length) != NULL)
            return NULL;
        /* The arena's memory is ours to write; slices are const for their readers. */
        copies[i] = (char *)(uintptr_t)arena_copy(arena, text).ptr;
    }
    *ret_count = texts->count;
    return copies;
}

static void scope_put(char **env, uint32_t count, const char *scope, struct arena *arena)
{
    static const char name[] = SCOPE_VARIABLE "=";
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (strncmp(env[i], name, sizeof name - 1) != 0)
            env[kept++] = env[i];
    }
    env[kept++] = (char *)(uintptr_t)arena_printf(arena, "%s%s", name, scope).ptr;
    env[kept] = NULL;
}

/* Whether the kernel would touch only local files to start this one: itself and what its first line
 * names. */
static bool file_is_local(const struct mounts *mounts, const char *path)
{
    char interpreter[PATH_MAX];
    if (!mounts_path_is_local(mounts, path))
        return false;
    program_interpreter(path, interpreter);
    return interpreter[0] != '/' || mounts_path_is_local(mounts, interpreter);
}

/* A path as the task sees it, seen from the root. */
static bool is_local_in(const struct mounts *mounts, const char *folder, const char *path)
{
    char joined[PATH_MAX];
    if (path[0] == '/')
        return file_is_local(mounts, path);
    int length = snprintf(joined, sizeof joined, "%s/%s", folder, path);
    return length > 0 && length < PATH_MAX && file_is_local(mounts, joined);
}

static bool search_is_local(const struct mounts *mounts, const struct spawn_order *order)
{
    char candidate[PATH_MAX];
    const char *path = spawn_search_path(order->env);
    for (;;) {
        size_t length = strcspn(path, ":");
        int size = snprintf(candidate, sizeof candidate, "%.*s%s%s", (int)length, path,
            length > 0 ? "/" : "./", order->arguments[0]);
        if (size < 0 || size >= PATH_MAX || !is_local_in(mounts, order->folder, candidate))
            return false;
        if (path[length] == '\0')
            return true;
        path += length + 1;
    }
}

/* 0 when the answer depends on the task's folder too: PATH has an entry that is not absolute. */
static uint64_t search_key(const struct spawn_order *order)
{
    const char *path = spawn_search_path(order->env);
    if (path[0] != '/')
        return 0;
    for (const char *colon = strchr(path, ':'); colon != NULL; colon = strchr(colon + 1, ':')) {
        if (colon[1] != '/')
            return 0;
    }
    return (hash_bytes(slice_of(path)) * 31) ^ hash_bytes(slice_of(order->arguments[0]));
}

static bool search_is_local_lately(const struct mounts *mounts, const struct spawn_order *order,
    struct searches *searches, uint64_t now_ms)
{
    uint64_t key = search_key(order);
    if (key == 0)
        return search_is_local(mounts, order);
    struct search *search = &searches->items[key % SEARCHES_KEPT];
    if (search->key != key || search->readings != mounts->readings || search->until_ms <= now_ms)
        *search = (struct search){.key = key,
            .readings = mounts->readings,
            .until_ms = now_ms + SEARCH_VALID_MS,
            .local = search_is_local(mounts, order)};
    return search->local;
}

bool order_may_hang(const struct spawn_order *order, const struct mounts *mounts,
    struct searches *searches, uint64_t now_ms)
{
    if (mounts->remote == 0 && mounts->fd > 0)
        return false;
    if (!mounts_path_is_local(mounts, order->folder))
        return true;
    if (order->arguments[0] == NULL)
        return false;
    if (strchr(order->arguments[0], '/') != NULL)
        return !is_local_in(mounts, order->folder, order->arguments[0]);
    return !search_is_local_lately(mounts, order, searches, now_ms);
}

/* False when the groups are no list. */
static bool user_make(const struct msg_runner_start *start, struct arena *arena,
    struct spawn_order *order, struct spawn_failure *failure)
{
    if (!start->other_user)
        return true;
    if (start->groups.length % sizeof(gid_t) != 0) {
        *failure = (struct spawn_failure){
            .reason = REASON_WORKER_ERROR, .text = "the groups of its user are malformed"};
        return false;
    }
    struct spawn_user *user = arena_alloc(arena, sizeof *user);
    gid_t *groups = arena_alloc(arena, start->groups.length + sizeof *groups);
    if (start->groups.length > 0)
        memcpy(groups, start->groups.ptr, start->groups.length);
    *user = (struct spawn_user){
        .uid = start->uid,
        .gid = start->gid,
        .groups = groups,
        .group_count = start->groups.length / sizeof *groups,
    };
    order->user = user;
    return true;
}

bool order_make(const struct msg_runner_start *start, const char *scope, struct arena *arena,
    struct spawn_order *ret_order, struct spawn_failure *ret_failure)
{
    uint32_t argument_count;
    uint32_t env_count;
    char **arguments = texts_copy(&start->arguments, arena, &argument_count);
    char **env = texts_copy(&start->env, arena, &env_count);
    if (arguments == NULL || env == NULL) {
        *ret_failure = (struct spawn_failure){.reason = REASON_WORKER_ERROR};
        (void)snprintf(ret_failure->text, sizeof ret_failure->text,
            "an argument or environment value holds a NUL byte");
        return false;
    }
    scope_put(env, env_count, scope, arena);
    ret_order->arguments = arguments;
    ret_order->env = env;
    ret_order->folder = arena_copy(arena, start->folder).ptr;
    return user_make(start, arena, ret_order, ret_failure);
}
