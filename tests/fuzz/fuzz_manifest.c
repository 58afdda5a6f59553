/* A manifest of any bytes, as a client of another host may send one: read without harm; what was
 * taken is written the same again, and no path of it leaves the folder. */
#include "common/manifest.h"

#include <stdlib.h>

static void check_path(struct slice path)
{
    size_t begin = 0;
    if (path.length == 0 || path.ptr[0] == '/' || memchr(path.ptr, 0, path.length) != NULL)
        abort();
    for (size_t i = 0; i <= path.length; i++) {
        if (i < path.length && path.ptr[i] != '/')
            continue;
        struct slice part = slice_make(path.ptr + begin, i - begin);
        if (part.length == 0 || slice_is(part, ".") || slice_is(part, ".."))
            abort();
        begin = i + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = {0};
    struct buffer again = {0};
    struct manifest manifest;
    if (manifest_parse(slice_make(data, size), &arena, &manifest, NULL) == 0) {
        for (size_t i = 0; i < manifest.count; i++) {
            check_path(manifest.files[i].path);
            if (i > 0 && slice_compare(manifest.files[i - 1].path, manifest.files[i].path) >= 0)
                abort();
        }
        manifest_write(&manifest, &again);
        if (!slice_equal(buffer_slice(&again), slice_make(data, size)))
            abort();
    }
    buffer_fini(&again);
    arena_fini(&arena);
    return 0;
}
