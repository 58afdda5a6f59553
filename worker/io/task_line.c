#include "worker/io/task_line.h"

#include <jansson.h>
#include <stdlib.h>

/* Puts the artifacts' folder in place of its mark, in every text of the value. Recursion is bounded
 * by jansson's own depth. */
static json_t *fill(json_t *value, const struct place *place, struct arena *arena)
{
    if (json_is_string(value)) {
        struct slice text = command_fill(
            slice_make(json_string_value(value), json_string_length(value)), place, arena);
        return json_stringn_nocheck(text.ptr, text.length);
    }
    if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++)
            (void)json_array_set_new(value, i, fill(json_array_get(value, i), place, arena));
    } else if (json_is_object(value)) {
        for (void *at = json_object_iter(value); at != NULL; at = json_object_iter_next(value, at))
            (void)json_object_iter_set_new(
                value, at, fill(json_object_iter_value(at), place, arena));
    }
    return json_incref(value);
}

/* By name, as the master sent them. */
static json_t *connections_of(const struct msg_assign *assign)
{
    json_t *all = json_object();
    for (uint32_t i = 0; i < assign->connections.count; i++) {
        const struct assigned_connection *item = &assign->connections.items[i];
        json_t *one = json_loadb(item->document.ptr, item->document.length, 0, NULL);
        if (one != NULL)
            (void)json_object_setn_new(all, item->name.ptr, item->name.length, one);
    }
    return all;
}

int task_line_make(const struct msg_assign *assign, const struct place *place, struct slice worker,
    struct buffer *line, struct error *error)
{
    struct arena arena = {0};
    json_t *task = json_loadb(assign->document.ptr, assign->document.length, JSON_ALLOW_NUL, NULL);
    json_t *with = json_object_get(task, "with");
    if (!json_is_object(with)) {
        json_decref(task);
        return error_set(error, ERR_MALFORMED, "what its operator is to be told is no document");
    }
    (void)json_object_set_new(task, "with", fill(with, place, &arena));
    (void)json_object_set_new(task, "worker", json_stringn(worker.ptr, worker.length));
    (void)json_object_set_new(task, "connections", connections_of(assign));
    char *text = json_dumps(task, JSON_COMPACT);
    buffer_append_text(line, text);
    buffer_append_text(line, "\n");
    explicit_bzero(text, strlen(text));
    free(text);
    json_decref(task);
    arena_fini(&arena);
    return 0;
}
