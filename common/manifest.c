#include "common/manifest.h"

#include "common/limits.h"
#include "common/memory.h"

#include <inttypes.h>
#include <stdlib.h>

static const char first_line[] = "reeve-manifest 1\n";

enum { PATH_BYTES_MAX = 4095, NAME_BYTES_MAX = 255 };

/* The part of the text before the separator; *rest is what follows it. False when there is none. */
static bool take_until(struct slice *rest, char separator, struct slice *ret_part)
{
    const char *end = rest->length > 0 ? memchr(rest->ptr, separator, rest->length) : NULL;
    if (end == NULL)
        return false;
    *ret_part = slice_make(rest->ptr, (size_t)(end - rest->ptr));
    *rest = slice_make(end + 1, rest->length - ret_part->length - 1);
    return true;
}

/* The first component of a path; *rest is what follows its '/', with ptr NULL when it was the last
 * one. */
static struct slice take_component(struct slice *rest)
{
    struct slice component;
    if (take_until(rest, '/', &component))
        return component;
    component = *rest;
    *rest = (struct slice){NULL, 0};
    return component;
}

static bool is_safe_path(struct slice path)
{
    if (path.length == 0 || path.length > PATH_BYTES_MAX ||
        memchr(path.ptr, 0, path.length) != NULL)
        return false;
    struct slice rest = path;
    do {
        struct slice name = take_component(&rest);
        if (name.length == 0 || name.length > NAME_BYTES_MAX || slice_is(name, ".") ||
            slice_is(name, ".."))
            return false;
    } while (rest.ptr != NULL);
    return true;
}

bool manifest_link_stays(struct slice path, struct slice target)
{
    if (target.length == 0 || target.length > PATH_BYTES_MAX || target.ptr[0] == '/' ||
        memchr(target.ptr, 0, target.length) != NULL)
        return false;
    size_t depth = 0;
    for (size_t i = 0; i < path.length; i++)
        depth += path.ptr[i] == '/';
    bool names = false;
    struct slice rest = target;
    do {
        struct slice part = take_component(&rest);
        bool up = slice_is(part, "..");
        if (up && (names || depth == 0))
            return false;
        if (up)
            depth--;
        else
            names = names || (part.length > 0 && !slice_is(part, "."));
    } while (rest.ptr != NULL);
    return true;
}

static bool must_encode(unsigned char byte)
{
    return byte < 0x21 || byte == 0x7f || byte == '%';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The one writing of each path is taken, so that a path has one manifest. False for any other. */
static bool decode_path(struct slice text, struct arena *arena, struct slice *ret_path)
{
    char *path = arena_alloc(arena, text.length + 1);
    size_t length = 0;
    for (size_t i = 0; i < text.length; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];
        if (byte == '%') {
            bool whole = text.length - i > 2;
            int high = whole ? hex_value(text.ptr[i + 1]) : -1;
            int low = whole ? hex_value(text.ptr[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            byte = (unsigned char)(high << 4 | low);
            if (!must_encode(byte))
                return false;
            i += 2;
        } else if (must_encode(byte)) {
            return false;
        }
        path[length++] = (char)byte;
    }
    *ret_path = slice_make(path, length);
    return true;
}

static bool parse_size(struct slice text, uint64_t *ret_size)
{
    uint64_t size = 0;
    if (text.length == 0 || text.length > 18 || (text.length > 1 && text.ptr[0] == '0'))
        return false;
    for (size_t i = 0; i < text.length; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        size = size * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    *ret_size = size;
    return true;
}

static bool parse_mode(struct slice text, uint32_t *ret_mode)
{
    static const struct {
        const char *text;
        uint32_t mode;
    } modes[] = {{"0644", MANIFEST_MODE_FILE}, {"0755", MANIFEST_MODE_PROGRAM},
        {"0120000", MANIFEST_MODE_LINK}};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (slice_is(text, modes[i].text)) {
            *ret_mode = modes[i].mode;
            return true;
        }
    }
    return false;
}

static bool parse_line(struct slice line, struct arena *arena, struct manifest_file *ret_file)
{
    struct slice mode, size, hash;
    return take_until(&line, ' ', &mode) && take_until(&line, ' ', &size) &&
           take_until(&line, ' ', &hash) && parse_mode(mode, &ret_file->mode) &&
           parse_size(size, &ret_file->size) && hash_parse(hash, &ret_file->hash) &&
           decode_path(line, arena, &ret_file->path) && is_safe_path(ret_file->path);
}

static int damaged(size_t line, const char *what, struct error *error)
{
    return error_set(error, ERR_CORRUPT, "the manifest is damaged in line %zu: %s", line, what);
}

int manifest_parse(
    struct slice text, struct arena *arena, struct manifest *ret_manifest, struct error *error)
{
    const size_t head = sizeof first_line - 1;
    if (text.length < head || memcmp(text.ptr, first_line, head) != 0)
        return damaged(1, "it does not begin as a manifest of this version", error);
    struct slice rest = slice_make(text.ptr + head, text.length - head), line;
    size_t lines = 0;
    for (size_t i = 0; i < rest.length; i++)
        lines += rest.ptr[i] == '\n';
    if (lines > BUNDLE_FILES_MAX)
        return error_set(error, ERR_CORRUPT, "the manifest is damaged: it names %zu files", lines);
    struct manifest manifest = {arena_alloc(arena, lines * sizeof(struct manifest_file)), 0, lines};
    while (take_until(&rest, '\n', &line)) {
        struct manifest_file *file = &manifest.files[manifest.count];
        if (!parse_line(line, arena, file))
            return damaged(manifest.count + 2, "it names no file that may be", error);
        if (manifest.count > 0 && slice_compare(file[-1].path, file->path) >= 0)
            return damaged(manifest.count + 2, "its paths are not sorted", error);
        manifest.count++;
    }
    if (rest.length > 0)
        return damaged(manifest.count + 2, "it is cut off", error);
    *ret_manifest = manifest;
    return 0;
}

static int compare_files(const void *left, const void *right)
{
    const struct manifest_file *a = left, *b = right;
    return slice_compare(a->path, b->path);
}

static void write_path(struct slice path, struct buffer *out)
{
    for (size_t i = 0; i < path.length; i++) {
        unsigned char byte = (unsigned char)path.ptr[i];
        if (must_encode(byte))
            buffer_printf(out, "%%%02x", byte);
        else
            buffer_append(out, &path.ptr[i], 1);
    }
}

void manifest_write(struct manifest *manifest, struct buffer *out)
{
    if (manifest->count > 1)
        qsort(manifest->files, manifest->count, sizeof *manifest->files, compare_files);
    buffer_append_text(out, first_line);
    for (size_t i = 0; i < manifest->count; i++) {
        const struct manifest_file *file = &manifest->files[i];
        char hex[HASH_HEX_MAX];
        hash_hex(&file->hash, hex);
        buffer_printf(out, "0%o %" PRIu64 " %s ", file->mode, file->size, hex);
        write_path(file->path, out);
        buffer_append_text(out, "\n");
    }
}
