#include "worker/io/operators.h"

#include "common/beside.h"
#include "common/clock.h"
#include "common/limits.h"
#include "common/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char prefix[] = "reeve-op-";

enum {
    DESCRIBE_MS = 5000,
    DESCRIPTION_MAX_BYTES = 4096,
    VERSION_MAX_BYTES = 64,
    PROBLEM_MAX_BYTES = 200,
    CONTRACT_VERSION = 1,
};

/* One that is being asked. */
struct inquiry {
    struct operator_program *program;
    pid_t pid;
    int fd; /* -1: it has answered */
    char text[DESCRIPTION_MAX_BYTES + 1];
    size_t length;
};

static void set_problem(struct operator_program *program, const char *format, const char *what)
{
    free(program->problem);
    char text[PROBLEM_MAX_BYTES];
    (void)snprintf(text, sizeof text, format, what);
    program->problem = xstrdup(text);
}

/* ---- finding ---- */

static bool is_name(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length <= OPERATOR_NAME_MAX_BYTES && name[0] >= 'a' && name[0] <= 'z' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == length &&
           strcmp(name, "bash") != 0 && strcmp(name, "exec") != 0 && strcmp(name, "noop") != 0;
}

static struct operator_program *find(const struct operators *operators, const char *name)
{
    for (size_t i = 0; i < operators->count; i++) {
        if (strcmp(operators->items[i].name, name) == 0)
            return &operators->items[i];
    }
    return NULL;
}

/* What may be changed by anybody would be run as us. */
static void add(struct operators *operators, const char *folder, const char *file)
{
    struct stat status;
    const char *name = file + sizeof prefix - 1;
    if (strncmp(file, prefix, sizeof prefix - 1) != 0 || !is_name(name) ||
        find(operators, name) != NULL || operators->count == OPERATORS_MAX)
        return;
    char *path = xasprintf("%s/%s", folder, file);
    if (stat(path, &status) != 0 || !S_ISREG(status.st_mode) || (status.st_mode & 0111) == 0) {
        free(path);
        return;
    }
    vector_reserve(&operators->items, operators->count, &operators->capacity);
    struct operator_program *program = &operators->items[operators->count++];
    *program = (struct operator_program){
        .name = xstrdup(name), .path = path, .version = xstrdup(""), .problem = xstrdup("")};
    if ((status.st_mode & S_IWOTH) != 0)
        set_problem(program, "%s may be changed by every user (chmod o-w)", path);
}

static int by_name(const void *a, const void *b)
{
    const struct operator_program *one = a, *two = b;
    return strcmp(one->name, two->name);
}

static void find_in(struct operators *operators, const char *folder)
{
    DIR *stream = opendir(folder);
    if (stream == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;)
        add(operators, folder, entry->d_name);
    (void)closedir(stream);
}

static void find_all(struct operators *operators, const char *path)
{
    while (*path != '\0') {
        size_t length = strcspn(path, ":");
        char *folder = xstrndup(path, length);
        char *absolute = length > 0 ? realpath(folder, NULL) : NULL;
        if (absolute != NULL)
            find_in(operators, absolute);
        free(absolute);
        free(folder);
        path += length + (path[length] == ':');
    }
}

/* ---- asking ---- */

static bool ask(struct inquiry *inquiry)
{
    int ends[2];
    char describe[] = "--describe";
    char *arguments[] = {inquiry->program->path, describe, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    inquiry->fd = -1;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    (void)posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    (void)posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawnattr_setpgroup(&attributes, 0);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    int rc = posix_spawn(
        &inquiry->pid, inquiry->program->path, &actions, &attributes, arguments, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    (void)close(ends[1]);
    if (rc != 0) {
        set_problem(inquiry->program, "it cannot be started: %s", strerrordesc_np(rc));
        (void)close(ends[0]);
        return false;
    }
    inquiry->fd = ends[0];
    return true;
}

static json_t *text_member(const json_t *object, const char *key, size_t most)
{
    json_t *value = json_object_get(object, key);
    return json_is_string(value) && json_string_length(value) <= most ? value : NULL;
}

static void understand(struct inquiry *inquiry)
{
    struct operator_program *program = inquiry->program;
    json_t *object = json_loadb(inquiry->text, inquiry->length, 0, NULL);
    const json_t *version = text_member(object, "version", VERSION_MAX_BYTES);
    const json_t *problem = text_member(object, "problem", PROBLEM_MAX_BYTES - 1);
    const json_t *contract = json_object_get(object, "reeve");
    if (version == NULL || !json_is_integer(contract)) {
        set_problem(program, "it does not describe itself%s: see docs/operators.md", "");
    } else {
        free(program->version);
        program->version = xstrdup(json_string_value(version));
        if (json_integer_value(contract) != CONTRACT_VERSION)
            set_problem(program, "it speaks another version of the operator contract%s", "");
        else if (problem != NULL)
            set_problem(program, "%s", json_string_value(problem));
    }
    json_decref(object);
}

static void end(struct inquiry *inquiry, bool in_time)
{
    int status = 0;
    (void)close(inquiry->fd);
    inquiry->fd = -1;
    (void)kill(-inquiry->pid, SIGKILL);
    (void)waitpid(inquiry->pid, &status, 0);
    if (!in_time)
        set_problem(inquiry->program, "it did not describe itself within 5 s%s", "");
    else
        understand(inquiry);
}

/* What it prints, until it closes its end. */
static void hear(struct inquiry *inquiry)
{
    ssize_t got =
        read(inquiry->fd, inquiry->text + inquiry->length, DESCRIPTION_MAX_BYTES - inquiry->length);
    if (got > 0)
        inquiry->length += (size_t)got;
    if (got <= 0 || inquiry->length == DESCRIPTION_MAX_BYTES)
        end(inquiry, true);
}

static void hear_all(struct inquiry *inquiries, size_t count)
{
    struct pollfd *polls = xcalloc(count, sizeof *polls);
    uint64_t until = clock_boot_ms() + DESCRIBE_MS;
    for (size_t open = 1; open > 0;) {
        uint64_t now = clock_boot_ms();
        open = 0;
        for (size_t i = 0; i < count; i++) {
            polls[i] = (struct pollfd){.fd = inquiries[i].fd, .events = POLLIN};
            open += inquiries[i].fd >= 0;
        }
        int ready = open > 0 && now < until ? poll(polls, count, (int)(until - now)) : 0;
        for (size_t i = 0; i < count; i++) {
            if (inquiries[i].fd >= 0 && ready > 0 && polls[i].revents != 0)
                hear(&inquiries[i]);
            else if (inquiries[i].fd >= 0 && now >= until)
                end(&inquiries[i], false);
        }
    }
    free(polls);
}

void operators_find(const char *path, struct operators *ret_operators)
{
    struct operators found = {0};
    find_all(&found, path);
    if (found.count > 0)
        qsort(found.items, found.count, sizeof *found.items, by_name);
    struct inquiry *inquiries = xcalloc(found.count, sizeof *inquiries);
    size_t count = 0;
    for (size_t i = 0; i < found.count; i++) {
        inquiries[count].program = &found.items[i];
        if (found.items[i].problem[0] == '\0' && ask(&inquiries[count]))
            count++;
    }
    hear_all(inquiries, count);
    free(inquiries);
    *ret_operators = found;
}

void operators_fini(struct operators *operators)
{
    for (size_t i = 0; i < operators->count; i++) {
        free(operators->items[i].name);
        free(operators->items[i].path);
        free(operators->items[i].version);
        free(operators->items[i].problem);
    }
    free(operators->items);
    *operators = (struct operators){0};
}

const char *operators_path(const struct operators *operators, struct slice name)
{
    for (size_t i = 0; i < operators->count; i++) {
        if (slice_is(name, operators->items[i].name))
            return operators->items[i].problem[0] == '\0' ? operators->items[i].path : NULL;
    }
    return NULL;
}

uint32_t operators_lines(
    const struct operators *operators, struct operator_line lines[OPERATORS_MAX])
{
    for (size_t i = 0; i < operators->count; i++)
        lines[i] = (struct operator_line){.name = slice_of(operators->items[i].name),
            .version = slice_of(operators->items[i].version),
            .problem = slice_of(operators->items[i].problem)};
    return (uint32_t)operators->count;
}

char *operators_default_path(void)
{
    static const char system_folders[] = "/usr/local/lib/reeve/operators:/usr/lib/reeve/operators";
    char built[PATH_MAX], installed[PATH_MAX];
    if (path_beside("", built, NULL) != 0 ||
        path_beside("../lib/reeve/operators", installed, NULL) != 0)
        return xstrdup(system_folders);
    return xasprintf("%s:%s:%s", built, installed, system_folders);
}
