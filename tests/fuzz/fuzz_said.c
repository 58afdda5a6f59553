/* Any bytes as a line of an operator: refused with a reason, or within the contract's bounds. */
#include "common/limits.h"
#include "worker/io/said.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds)
{
    if (!holds)
        abort();
}

static void check(const struct said *said)
{
    demand(said->text.length == 0 || memchr(said->text.ptr, '\n', said->text.length) == NULL);
    switch (said->kind) {
    case SAID_NOTE:
        demand(said->id > 0 && said->text.length <= NOTE_MAX_BYTES);
        break;
    case SAID_OUTPUT:
        demand(json_is_object(said->outputs));
        break;
    case SAID_PROGRESS:
        demand(said->done >= -1 && said->total >= -1);
        break;
    case SAID_ERROR:
        demand(said->text.length > 0 && said->text.length <= ATTEMPT_ERROR_MAX_BYTES);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = {0};
    struct error error = {0};
    struct said said = {0};
    int rc = said_parse(slice_make(data, size), &arena, &said, &error);
    demand(rc == 0 || rc == ERR_INVALID || rc == ERR_TOO_BIG);
    if (rc == 0)
        check(&said);
    else
        demand(error.text[0] != '\0');
    json_decref(said.outputs);
    arena_fini(&arena);
    return 0;
}
