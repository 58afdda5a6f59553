#include "worker/io/said.h"

#include "common/limits.h"
#include "common/memory.h"

#include <stdlib.h>

enum { PROGRESS_TEXT_MAX_BYTES = 256 };

static int breach(struct error *error, const char *what)
{
    return error_set(error, ERR_INVALID, "%s", what);
}

/* One line, cut between letters. */
static struct slice one_line(const json_t *text, size_t most, struct arena *arena)
{
    const char *bytes = json_string_value(text);
    size_t length = json_string_length(text);
    if (length > most) {
        length = most;
        while (length > 0 && ((unsigned char)bytes[length] & 0xc0) == 0x80)
            length--;
    }
    char *copy = arena_alloc(arena, length + 1);
    for (size_t i = 0; i < length; i++)
        copy[i] = bytes[i] == '\n' || bytes[i] == '\r' || bytes[i] == '\0' ? ' ' : bytes[i];
    copy[length] = '\0';
    return slice_make(copy, length);
}

static int read_note(
    const json_t *line, struct arena *arena, struct said *said, struct error *error)
{
    const json_t *id = json_object_get(line, "id"), *note = json_object_get(line, "note");
    if (!json_is_integer(id) || json_integer_value(id) < 1 || json_integer_value(id) > UINT32_MAX)
        return breach(error, "a note's id is an integer, 1 or more");
    if (!json_is_object(note))
        return breach(error, "a note is an object");
    char *text = json_dumps(note, JSON_COMPACT);
    said->id = (uint32_t)json_integer_value(id);
    said->text = arena_copy(arena, slice_of(text));
    free(text);
    if (said->text.length > NOTE_MAX_BYTES)
        return error_set(error, ERR_TOO_BIG, "a note has at most %d bytes", NOTE_MAX_BYTES);
    return 0;
}

static bool take_count(const json_t *value, int64_t *ret_count)
{
    *ret_count = json_is_integer(value) ? json_integer_value(value) : -1;
    return value == NULL || *ret_count >= 0;
}

static int read_progress(
    const json_t *line, struct arena *arena, struct said *said, struct error *error)
{
    const json_t *text = json_object_get(line, "text");
    if (text != NULL && !json_is_string(text))
        return breach(error, "the text of a progress is a string");
    if (!take_count(json_object_get(line, "done"), &said->done) ||
        !take_count(json_object_get(line, "total"), &said->total))
        return breach(error, "done and total of a progress are integers, 0 or more");
    if (text != NULL)
        said->text = one_line(text, PROGRESS_TEXT_MAX_BYTES, arena);
    return 0;
}

static int read_error(
    const json_t *line, struct arena *arena, struct said *said, struct error *error)
{
    const json_t *text = json_object_get(line, "error"), *retry = json_object_get(line, "retry");
    if (!json_is_string(text) || json_string_length(text) == 0)
        return breach(error, "an error has its text as \"error\"");
    if (retry != NULL && !json_is_boolean(retry))
        return breach(error, "\"retry\" is true or false");
    said->text = one_line(text, ATTEMPT_ERROR_MAX_BYTES, arena);
    said->no_retry = json_is_false(retry);
    return 0;
}

static int read_outputs(const json_t *line, struct said *said, struct error *error)
{
    json_t *outputs = json_object_get(line, "outputs");
    if (!json_is_object(outputs))
        return breach(error, "outputs are an object");
    said->outputs = json_incref(outputs);
    return 0;
}

static int read_type(
    const json_t *line, struct arena *arena, struct said *said, struct error *error)
{
    const char *type = json_string_value(json_object_get(line, "type"));
    if (type == NULL)
        return breach(error, "it has no \"type\"");
    if (strcmp(type, "note") == 0) {
        said->kind = SAID_NOTE;
        return read_note(line, arena, said, error);
    }
    if (strcmp(type, "output") == 0) {
        said->kind = SAID_OUTPUT;
        return read_outputs(line, said, error);
    }
    if (strcmp(type, "progress") == 0) {
        said->kind = SAID_PROGRESS;
        return read_progress(line, arena, said, error);
    }
    if (strcmp(type, "error") == 0) {
        said->kind = SAID_ERROR;
        return read_error(line, arena, said, error);
    }
    return error_set(error, ERR_INVALID, "\"%.40s\" is no type that an operator can say", type);
}

int said_parse(struct slice line, struct arena *arena, struct said *ret_said, struct error *error)
{
    json_error_t where;
    struct said said = {.done = -1, .total = -1};
    json_t *object = json_loadb(line.ptr, line.length, JSON_REJECT_DUPLICATES, &where);
    int rc = json_is_object(object)
                 ? read_type(object, arena, &said, error)
                 : error_set(error, ERR_INVALID, "no JSON object%s%.200s",
                       object == NULL ? ": " : "", object == NULL ? where.text : "");
    json_decref(object);
    if (rc == 0 || rc == ERR_TOO_BIG)
        *ret_said = said;
    return rc;
}
