#include "worker/io/command.h"

#include "common/dag/plan.h"
#include "common/limits.h"
#include "worker/io/attempt_name.h"
#include "worker/io/secrets.h"

#include <stdint.h>

enum { TASK_USER_ENTRIES = 4 };

static const struct slice mark = {ASSIGN_ARTIFACTS_MARK, sizeof ASSIGN_ARTIFACTS_MARK - 1};

void place_make(
    struct place *place, const char *work, const struct attempt_id *id, struct arena *arena)
{
    char name[ATTEMPT_NAME_MAX];
    attempt_name(id, name);
    place->folder = arena_printf(arena, "%s/%s", work, name);
    place->files = arena_printf(arena, "%s/files", place->folder.ptr);
    place->output = arena_printf(arena, "%s/out", place->folder.ptr);
    place->artifacts = arena_printf(arena, "%s/artifacts", place->folder.ptr);
    place->script = arena_printf(arena, "%s/script", place->folder.ptr);
}

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

void command_base_env(char *const *environment, struct arena *arena, struct texts *ret_env)
{
    static const char unbuffered[] = "PYTHONUNBUFFERED=1";
    size_t count = 0;
    while (environment[count] != NULL)
        count++;
    struct texts env = {.items = arena_alloc(arena, (count + 1) * sizeof *env.items)};
    for (size_t i = 0; i < count; i++) {
        if (!begins_with(environment[i], "REEVE_") && !begins_with(environment[i], "AIRFLOW_") &&
            !begins_with(environment[i], "PYTHONUNBUFFERED="))
            env.items[env.count++] = slice_of(environment[i]);
    }
    env.items[env.count++] = slice_of(unbuffered);
    *ret_env = env;
}

/* ---- texts ---- */

static const char *find_mark(struct slice text)
{
    if (text.length < mark.length)
        return NULL;
    return memmem(text.ptr, text.length, mark.ptr, mark.length);
}

struct slice command_fill(struct slice text, const struct place *place, struct arena *arena)
{
    size_t count = 0;
    struct slice rest = text;
    for (const char *at; (at = find_mark(rest)) != NULL; count++)
        rest = slice_make(at + mark.length, rest.length - (size_t)(at - rest.ptr) - mark.length);
    if (count == 0)
        return arena_copy(arena, text);
    size_t length = text.length - count * mark.length + count * place->artifacts.length;
    char *filled = arena_alloc(arena, length + 1), *end = filled;
    rest = text;
    for (const char *at; (at = find_mark(rest)) != NULL;) {
        size_t before = (size_t)(at - rest.ptr);
        memcpy(end, rest.ptr, before);
        memcpy(end + before, place->artifacts.ptr, place->artifacts.length);
        end += before + place->artifacts.length;
        rest = slice_make(at + mark.length, rest.length - before - mark.length);
    }
    memcpy(end, rest.ptr, rest.length);
    return slice_make(filled, length);
}

/* ---- argv ---- */

static void add(struct texts *list, struct slice text)
{
    list->items[list->count++] = text;
}

/* bash's own words, before the arguments. */
static void add_bash(struct command *command, const struct msg_assign *assign,
    const struct place *place, struct arena *arena)
{
    struct texts *list = &command->arguments;
    struct slice text = command_fill(assign->text, place, arena);
    add(list, slice_of("bash"));
    if (assign->strict) {
        add(list, slice_of("-eo"));
        add(list, slice_of("pipefail"));
    }
    if (assign->file.length > 0) {
        /* A name alone would be looked for in PATH, too, and one with a dash be an option. */
        add(list, arena_printf(arena, "./%.*s", SLICE_PRINT(assign->file)));
    } else if (text.length > ARGUMENT_MAX_BYTES) {
        command->script = text;
        add(list, place->script);
    } else {
        add(list, slice_of("-c"));
        add(list, text);
        add(list, slice_of("reeve-task"));
    }
}

static void make_arguments(struct command *command, const struct msg_assign *assign,
    const struct place *place, struct arena *arena)
{
    enum { BASH_WORDS = 6 };
    struct texts *list = &command->arguments;
    list->items = arena_alloc(arena, (assign->arguments.count + BASH_WORDS) * sizeof *list->items);
    if (assign->kind == OPERATOR_BASH)
        add_bash(command, assign, place, arena);
    for (uint32_t i = 0; i < assign->arguments.count; i++)
        add(list, command_fill(assign->arguments.items[i], place, arena));
}

/* ---- environment ---- */

static struct slice name_of(struct slice entry)
{
    const char *equals = entry.length > 0 ? memchr(entry.ptr, '=', entry.length) : NULL;
    return equals != NULL ? slice_make(entry.ptr, (size_t)(equals - entry.ptr)) : entry;
}

static bool is_named(const struct texts *list, struct slice name)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (slice_equal(name_of(list->items[i]), name))
            return true;
    }
    return false;
}

/* What a login would say of the user. */
static void add_user(
    struct texts *list, const struct task_user *user, const struct texts *own, struct arena *arena)
{
    const struct {
        const char *name, *value;
    } entries[TASK_USER_ENTRIES] = {{"HOME", user->home}, {"USER", user->name},
        {"LOGNAME", user->name}, {"SHELL", user->shell}};
    for (size_t i = 0; i < TASK_USER_ENTRIES; i++) {
        if (!is_named(own, slice_of(entries[i].name)))
            add(list, arena_printf(arena, "%s=%s", entries[i].name, entries[i].value));
    }
}

/* Another user's task has that user's, not the agent's. */
static bool is_users_own(struct slice name)
{
    return slice_is(name, "HOME") || slice_is(name, "USER") || slice_is(name, "LOGNAME") ||
           slice_is(name, "SHELL");
}

static void make_env(struct command *command, const struct msg_assign *assign,
    const struct place *place, const struct command_base *base, struct arena *arena)
{
    enum { OWN = 3 + SECRETS_VARIABLES };
    struct texts *list = &command->env;
    list->items =
        arena_alloc(arena, ((size_t)base->env.count + assign->env.count + TASK_USER_ENTRIES + OWN) *
                               sizeof *list->items);
    for (uint32_t i = 0; i < base->env.count; i++) {
        struct slice name = name_of(base->env.items[i]);
        if (!is_named(&assign->env, name) && (base->user == NULL || !is_users_own(name)))
            add(list, arena_copy(arena, base->env.items[i]));
    }
    if (base->user != NULL)
        add_user(list, base->user, &assign->env, arena);
    for (uint32_t i = 0; i < assign->env.count; i++) {
        struct slice entry = assign->env.items[i];
        /* A name alone: unset. */
        if (name_of(entry).length < entry.length)
            add(list, command_fill(entry, place, arena));
    }
    add(list, arena_printf(arena, "REEVE_WORKER=%.*s", SLICE_PRINT(base->worker)));
    add(list, arena_printf(arena, "REEVE_OUTPUT=%.*s", SLICE_PRINT(place->output)));
    add(list, arena_printf(arena, "REEVE_ARTIFACTS=%.*s", SLICE_PRINT(place->artifacts)));
}

void command_make(struct command *command, const struct msg_assign *assign,
    const struct place *place, const struct command_base *base, struct arena *arena)
{
    *command = (struct command){0};
    make_arguments(command, assign, place, arena);
    make_env(command, assign, place, base, arena);
}
