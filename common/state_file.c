#include "common/state_file.h"

#include "common/file.h"
#include "common/table.h"

#include <inttypes.h>

/* "check ", 16 digits and a newline. */
enum { CHECK_BYTES = 23 };

static void append_check(struct buffer *text)
{
    buffer_printf(text, "check %016" PRIx64 "\n", hash_bytes(buffer_slice(text)));
}

static bool begins_with(struct slice text, const char *head)
{
    size_t length = strlen(head);
    return text.length >= length && memcmp(text.ptr, head, length) == 0;
}

static bool begins_with_line(struct slice text, const char *line)
{
    size_t length = strlen(line);
    return begins_with(text, line) && text.length > length && text.ptr[length] == '\n';
}

static bool is_whole(struct slice text)
{
    if (text.length < CHECK_BYTES)
        return false;
    struct buffer again = {0};
    buffer_append(&again, text.ptr, text.length - CHECK_BYTES);
    append_check(&again);
    bool whole = slice_equal(buffer_slice(&again), text);
    buffer_fini(&again);
    return whole;
}

int state_file_damaged(const struct state_file *file, struct error *error)
{
    return error_set(
        error, ERR_CORRUPT, "%s: damaged, or of a later version; %s", file->path, file->remedy);
}

static int take(
    const struct state_file *file, struct slice text, struct buffer *out, struct error *error)
{
    size_t head = strlen(file->head) + 1;
    if (begins_with_line(text, file->head) && is_whole(text)) {
        buffer_append(out, text.ptr + head, text.length - head - CHECK_BYTES);
        return 0;
    }
    /* One from before there were checksums ends at least where a line does. */
    bool old = begins_with(text, file->old_head) && !begins_with_line(text, file->head) &&
               text.length > 0 && text.ptr[text.length - 1] == '\n' &&
               memchr(text.ptr, '\0', text.length) == NULL;
    if (!old)
        return state_file_damaged(file, error);
    head = strlen(file->old_head);
    head = head > 0 && file->old_head[head - 1] == '\n' ? head : 0;
    buffer_append(out, text.ptr + head, text.length - head);
    return 0;
}

int state_file_load(const struct state_file *file, struct buffer *out, struct error *error)
{
    struct buffer text = {0};
    int rc = file_read(file->path, STATE_FILE_MAX_BYTES, &text, error);
    if (rc == 0)
        rc = take(file, buffer_slice(&text), out, error);
    else if (rc == ERR_TOO_BIG)
        rc = state_file_damaged(file, error);
    buffer_fini(&text);
    return rc;
}

int state_file_save(const struct state_file *file, struct slice lines, struct error *error)
{
    struct buffer text = {0};
    buffer_printf(&text, "%s\n", file->head);
    buffer_append_slice(&text, lines);
    append_check(&text);
    int rc = file_replace(file->path, buffer_slice(&text), 0600, error);
    buffer_fini(&text);
    return rc;
}

bool state_file_holds(const struct state_file *file, struct slice lines)
{
    struct buffer before = {0};
    bool holds =
        state_file_load(file, &before, NULL) == 0 && slice_equal(buffer_slice(&before), lines);
    buffer_fini(&before);
    return holds;
}
