/*
 * What a worker remembers of how it was started: private/join, lines of "WORD VALUE".
 */
#include "common/file.h"
#include "common/memory.h"
#include "worker/io/options.h"

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

static const char first_line[] = "reeve-worker 1\n";
enum { JOINED_MAX_BYTES = 64 * 1024 };

static int write_text(const struct options *options, struct buffer *out, struct error *error)
{
    if (strchr(options->master, '\n') != NULL)
        return error_set(error, ERR_USAGE, "the path of the master's folder holds a line's end");
    buffer_append_text(out, first_line);
    buffer_printf(out, "master %s\nname %s\n", options->master, options->name);
    /* A host that got more CPUs, or a default that changed, is followed. */
    if (strcmp(options->slots_source, "default") != 0)
        buffer_printf(out, "slots %u\n", options->slots);
    for (size_t i = 0; i < options->queue_count; i++)
        buffer_printf(out, "queue %s\n", options->queues[i]);
    return 0;
}

int options_remember(const struct options *options, const char *path, struct error *error)
{
    struct buffer text = {0}, before = {0};
    int rc = write_text(options, &text, error);
    bool same = rc == 0 && file_read(path, JOINED_MAX_BYTES, &before, NULL) == 0 &&
                slice_equal(buffer_slice(&text), buffer_slice(&before));
    if (rc == 0 && !same)
        rc = file_replace(path, buffer_slice(&text), 0600, error);
    buffer_fini(&text);
    buffer_fini(&before);
    return rc;
}

static int take_master(struct options *options, const char *value, struct error *error)
{
    if (options->master != NULL && strcmp(options->master, value) != 0)
        return error_set(error, ERR_REFUSED,
            "%s: this worker has joined the master in %s, not the one in %s; give it a folder of "
            "its own",
            options->data, value, options->master);
    if (options->master == NULL) {
        options->master = xstrdup(value);
        options->master_source = "its join";
    }
    return 0;
}

/* `had_queues`: they were said anew, the old ones do not count. */
static int take_line(struct options *options, char *line, bool had_queues, struct error *error)
{
    char *value = strchr(line, ' ');
    if (value == NULL)
        return error_set(error, ERR_CORRUPT, "\"%.80s\" is not understood", line);
    *value++ = '\0';
    if (strcmp(line, "master") == 0)
        return take_master(options, value, error);
    if (strcmp(line, "name") == 0 && options->name == NULL) {
        options->name = xstrdup(value);
        options->name_source = "its join";
    } else if (strcmp(line, "slots") == 0 && options->slots == 0) {
        unsigned long slots = strtoul(value, NULL, 10);
        options->slots = slots <= WORKER_SLOTS_MAX ? (uint32_t)slots : 0;
        options->slots_source = "its join";
    } else if (strcmp(line, "queue") == 0 && !had_queues &&
               options->queue_count < WORKER_QUEUES_MAX) {
        options->queues[options->queue_count++] = xstrdup(value);
        options->queues_source = "its join";
    }
    return 0;
}

static int take_file(struct options *options, const char *path, struct error *error)
{
    struct buffer text = {0};
    bool had_queues = options->queue_count > 0;
    int rc = file_read(path, JOINED_MAX_BYTES, &text, error);
    if (rc == 0 && strncmp(buffer_text(&text), first_line, sizeof first_line - 1) != 0)
        rc = error_set(error, ERR_VERSION, "not of this version");
    char *state = NULL;
    char *line = rc == 0 ? strtok_r(text.data + sizeof first_line - 1, "\n", &state) : NULL;
    for (; rc == 0 && line != NULL; line = strtok_r(NULL, "\n", &state))
        rc = take_line(options, line, had_queues, error);
    if (rc != 0 && rc != ERR_NOT_FOUND && rc != ERR_REFUSED)
        (void)error_prefix(error, "%s", path);
    buffer_fini(&text);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static uint32_t cpu_count(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
    return count > 0 ? (uint32_t)count : 1;
}

static void set_defaults(struct options *options)
{
    char host[256] = "";
    if (options->name == NULL) {
        (void)gethostname(host, sizeof host - 1);
        options->name = xstrdup(host[0] != '\0' ? host : "worker");
        options->name_source = "default";
    }
    if (options->slots == 0) {
        options->slots = cpu_count();
        options->slots_source = "default";
    }
    if (options->queue_count == 0) {
        options->queues[options->queue_count++] = xstrdup("default");
        options->queues_source = "default";
    }
}

int options_complete(struct options *options, const char *path, struct error *error)
{
    int rc = take_file(options, path, error);
    if (rc != 0)
        return rc;
    if (options->master == NULL && !options->stop)
        return error_set(error, ERR_USAGE,
            "%s has not joined a master yet: give --join DIR, the master's folder on this host",
            options->data);
    set_defaults(options);
    return 0;
}
