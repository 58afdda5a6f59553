/*
 * What a worker remembers of how it was started: private/join, lines of "WORD VALUE".
 */
#include "common/hex.h"
#include "common/memory.h"
#include "common/state_file.h"
#include "worker/io/options.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct state_file join_file(const char *path)
{
    return (struct state_file){.path = path,
        .head = "reeve-worker 2",
        .old_head = "reeve-worker 1\n",
        .remedy = "remove it and join again"};
}

static void write_joined(const struct joined *joined, struct buffer *out)
{
    char key[HEX_TEXT_SIZE(KEY_BYTES)];
    hex_encode(joined->server_key, KEY_BYTES, key);
    buffer_printf(out, "cluster %s\nserver %s\n", joined->cluster, key);
    for (uint32_t i = 0; i < joined->address_count; i++)
        buffer_printf(out, "address %s\n", joined->addresses[i]);
}

static int write_text(const struct options *options, struct buffer *out, struct error *error)
{
    if (options->master != NULL && strchr(options->master, '\n') != NULL)
        return error_set(error, ERR_USAGE, "the path of the master's folder holds a line's end");
    if (options->master != NULL)
        buffer_printf(out, "master %s\n", options->master);
    else
        write_joined(&options->joined, out);
    buffer_printf(out, "name %s\n", options->name);
    /* A host that got more CPUs, or a default that changed, is followed. */
    if (strcmp(options->slots_source, "default") != 0)
        buffer_printf(out, "slots %u\n", options->slots);
    for (size_t i = 0; i < options->queue_count; i++)
        buffer_printf(out, "queue %s\n", options->queues[i]);
    for (size_t i = 0; i < options->label_count; i++)
        buffer_printf(out, "label %s\n", options->labels[i]);
    for (size_t i = 0; i < options->user_count; i++)
        buffer_printf(out, "user %s\n", options->users[i]);
    return 0;
}

int options_remember(const struct options *options, const char *path, struct error *error)
{
    const struct state_file file = join_file(path);
    struct buffer text = {0};
    int rc = write_text(options, &text, error);
    if (rc == 0 && !state_file_holds(&file, buffer_slice(&text)))
        rc = state_file_save(&file, buffer_slice(&text), error);
    buffer_fini(&text);
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

/* What was said anew: the old ones do not count. */
struct anew {
    bool queues, labels, users;
};

/* False for a line of another kind. */
static bool take_joined(struct joined *joined, const char *word, const char *value)
{
    if (strcmp(word, "cluster") == 0)
        (void)snprintf(joined->cluster, sizeof joined->cluster, "%s", value);
    else if (strcmp(word, "address") == 0 && joined->address_count < TOKEN_ADDRESSES_MAX)
        (void)snprintf(
            joined->addresses[joined->address_count++], sizeof joined->addresses[0], "%s", value);
    else
        return false;
    return true;
}

static int take_line(
    struct options *options, char *line, const struct anew *anew, struct error *error)
{
    char *value = strchr(line, ' ');
    if (value == NULL)
        return ERR_CORRUPT;
    *value++ = '\0';
    if (strcmp(line, "server") == 0)
        return hex_decode(slice_of(value), options->joined.server_key, KEY_BYTES) ? 0 : ERR_CORRUPT;
    if (strcmp(line, "master") == 0)
        return take_master(options, value, error);
    if (take_joined(&options->joined, line, value))
        return 0;
    if (strcmp(line, "name") == 0 && options->name == NULL) {
        options->name = xstrdup(value);
        options->name_source = "its join";
    } else if (strcmp(line, "slots") == 0 && options->slots == 0) {
        unsigned long slots = strtoul(value, NULL, 10);
        options->slots = slots <= WORKER_SLOTS_MAX ? (uint32_t)slots : 0;
        options->slots_source = "its join";
    } else if (strcmp(line, "queue") == 0 && !anew->queues &&
               options->queue_count < WORKER_QUEUES_MAX) {
        options->queues[options->queue_count++] = xstrdup(value);
        options->queues_source = "its join";
    } else if (strcmp(line, "label") == 0 && !anew->labels && options->label_count < LABELS_MAX) {
        options->labels[options->label_count++] = xstrdup(value);
        options->labels_source = "its join";
    } else if (strcmp(line, "user") == 0 && !anew->users && options->user_count < TASK_USERS_MAX) {
        options->users[options->user_count++] = xstrdup(value);
        options->users_source = "its join";
    }
    return 0;
}

static int take_file(struct options *options, const char *path, struct error *error)
{
    struct buffer text = {0};
    const struct anew anew = {
        .queues = options->queue_count > 0,
        .labels = options->label_count > 0,
        .users = options->user_count > 0,
    };
    const struct state_file file = join_file(path);
    int rc = state_file_load(&file, &text, error);
    char *state = NULL;
    (void)buffer_text(&text);
    char *line = rc == 0 ? strtok_r(text.data, "\n", &state) : NULL;
    for (; rc == 0 && line != NULL; line = strtok_r(NULL, "\n", &state))
        rc = take_line(options, line, &anew, error);
    if (rc == ERR_CORRUPT)
        rc = state_file_damaged(&file, error);
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

/* A folder belongs to one cluster for good; another token of it changes nothing. */
static int check_join(struct options *options, struct error *error)
{
    const struct joined *joined = &options->joined;
    const struct token *token = options->token;
    if (joined->address_count > 0 && options->master != NULL)
        return error_set(error, ERR_REFUSED,
            "%s: this worker has joined cluster %s at %s, not the master in %s; give it a folder "
            "of its own",
            options->data, joined->cluster, joined->addresses[0], options->master);
    if (token == NULL)
        return 0;
    if (options->master != NULL)
        return error_set(error, ERR_REFUSED,
            "%s: this worker has joined the master in %s on this host, and needs no token; to join "
            "by one, give it a folder of its own",
            options->data, options->master);
    if (joined->address_count > 0 && strcmp(joined->cluster, token->cluster) != 0)
        return error_set(error, ERR_REFUSED,
            "%s: this worker has joined cluster %s, the token is of cluster %s; give it a folder "
            "of its own",
            options->data, joined->cluster, token->cluster);
    return 0;
}

int options_complete(struct options *options, const char *path, struct error *error)
{
    int rc = take_file(options, path, error);
    if (rc == 0)
        rc = check_join(options, error);
    if (rc != 0)
        return rc;
    if (options->master == NULL && options->joined.address_count == 0 && options->token == NULL &&
        !options->stop && !options->common.print_config)
        return error_set(error, ERR_USAGE,
            "%s has not joined a master yet: give --join TOKEN (of reeve token create), or --join "
            "DIR, the master's folder on this host",
            options->data);
    set_defaults(options);
    return 0;
}
