/*
 * A file of connections (JSON, YAML or lines): every entry that is read has a name and passes its
 * checks; what is refused is refused with a text.
 */
#include "common/dag/connection_file.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void demand(bool holds)
{
    if (!holds)
        abort();
}

static int take(
    void *context, struct slice name, const struct connection *connection, struct error *error)
{
    (void)context;
    demand(connection_check_name(name, error) == 0);
    demand(connection_check(connection, error) == 0);
    return 0;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct error error = {0};
    int code = connection_file_read(slice_make(data, size), "file", take, NULL, &error);
    demand(code == 0 || error.text[0] != '\0');
    return 0;
}
