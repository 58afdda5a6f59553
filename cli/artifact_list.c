#include "cli/artifact_list.h"

#include "cli/session.h"
#include "common/file.h"
#include "common/memory.h"
#include "common/random.h"

#include <stdio.h>
#include <stdlib.h>

enum { BLOB_READ_BYTES = 256 * 1024, MANIFEST_MAX_BYTES = 64 * 1024 * 1024 };

/* A task whose attempt left artifacts. */
struct source {
    char *task;
    struct hash manifest;
};

struct sources {
    struct source *items;
    size_t count, capacity;
    struct artifact_list *list;
};

static int collect_page(
    void *context, const struct msg_run_info *page, uint32_t before, struct error *error)
{
    struct sources *sources = context;
    (void)before;
    (void)error;
    (void)snprintf(sources->list->run, sizeof sources->list->run, "%.*s", SLICE_PRINT(page->run));
    for (uint32_t i = 0; i < page->tasks.count; i++) {
        const struct task_info *task = &page->tasks.items[i];
        const struct attempt_info *last = NULL;
        for (uint32_t j = 0; j < task->attempts.count; j++) {
            if (task->attempts.items[j].artifacts.length == HASH_BYTES)
                last = &task->attempts.items[j];
        }
        if (last == NULL)
            continue;
        vector_reserve(&sources->items, sources->count, &sources->capacity);
        struct source *source = &sources->items[sources->count++];
        source->task = xstrndup(task->task.ptr, task->task.length);
        memcpy(source->manifest.bytes, last->artifacts.ptr, HASH_BYTES);
    }
    return 0;
}

int artifact_fetch(struct client *client, const struct hash *hash, int fd, struct buffer *out,
    uint64_t max_bytes, struct error *error)
{
    for (uint64_t offset = 0;;) {
        const struct msg_blob_read ask = {.request = random_id(),
            .hash = slice_make(hash->bytes, HASH_BYTES),
            .offset = offset,
            .limit = BLOB_READ_BYTES};
        const void *body;
        int rc = client_ask(client, MESSAGE_blob_read, &ask, MESSAGE_blob_data, &body, error);
        if (rc != 0)
            return rc;
        const struct msg_blob_data *data = body;
        if (out != NULL && data->bytes > max_bytes)
            return error_set(error, ERR_TOO_BIG, "a list of artifacts has %llu bytes",
                (unsigned long long)data->bytes);
        if (out != NULL)
            buffer_append_slice(out, data->data);
        else
            rc = file_write_all(fd, data->data.ptr, data->data.length, error);
        if (rc != 0)
            return rc;
        offset += data->data.length;
        if (offset >= data->bytes)
            return 0;
        if (data->data.length == 0)
            return error_set(error, ERR_CORRUPT, "the master's copy ends at byte %llu of %llu",
                (unsigned long long)offset, (unsigned long long)data->bytes);
    }
}

static int read_manifest(struct client *client, const struct source *source,
    struct artifact_list *list, struct error *error)
{
    struct buffer text = {0};
    struct arena arena = {0};
    struct manifest manifest = {0};
    int rc = artifact_fetch(client, &source->manifest, -1, &text, MANIFEST_MAX_BYTES, error);
    if (rc == 0)
        rc = manifest_parse(buffer_slice(&text), &arena, &manifest, error);
    for (size_t i = 0; rc == 0 && i < manifest.count; i++) {
        const struct manifest_file *file = &manifest.files[i];
        vector_reserve(&list->items, list->count, &list->capacity);
        list->items[list->count++] = (struct artifact){xstrdup(source->task),
            xstrndup(file->path.ptr, file->path.length), file->size, file->mode, file->hash};
    }
    arena_fini(&arena);
    buffer_fini(&text);
    return rc;
}

int artifact_list_read(struct client *client, const struct selector *selector,
    struct artifact_list *list, struct error *error)
{
    struct sources sources = {.list = list};
    int rc = session_read_run(client, selector->run, selector->task, collect_page, &sources, error);
    for (size_t i = 0; i < sources.count; i++) {
        if (rc == 0)
            rc = read_manifest(client, &sources.items[i], list, error);
        free(sources.items[i].task);
    }
    free(sources.items);
    return rc;
}

static bool has_name(const struct artifact *artifact, const char *name)
{
    size_t length = strlen(artifact->task);
    if (strcmp(artifact->path, name) == 0)
        return true;
    return strncmp(artifact->task, name, length) == 0 && name[length] == '/' &&
           strcmp(artifact->path, name + length + 1) == 0;
}

int artifact_list_find(const struct artifact_list *list, const char *name,
    const struct artifact **ret_artifact, struct error *error)
{
    const struct artifact *found = NULL;
    for (size_t i = 0; i < list->count; i++) {
        const struct artifact *artifact = &list->items[i];
        if (!has_name(artifact, name))
            continue;
        if (found != NULL)
            return error_set(error, ERR_USAGE,
                "\"%s\" was left by several tasks: write %s/%s or %s/%s", name, found->task,
                found->path, artifact->task, artifact->path);
        found = artifact;
    }
    if (found == NULL)
        return error_set(error, ERR_NOT_FOUND,
            "%s has no artifact \"%s\"; `reeve artifacts %s` lists them", list->run, name,
            list->run);
    *ret_artifact = found;
    return 0;
}

void artifact_list_fini(struct artifact_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].task);
        free(list->items[i].path);
    }
    free(list->items);
    *list = (struct artifact_list){0};
}
