#include "common/environment.h"

#include <sys/prctl.h>
#include <unistd.h>

void environment_take(const char *prefix,
    void (*visit)(void *context, struct slice rest, struct slice value), void *context)
{
    size_t length = strlen(prefix), kept = 0;
    for (size_t i = 0; environ != NULL && environ[i] != NULL; i++) {
        char *entry = environ[i];
        char *equals = strchr(entry, '=');
        if (equals == NULL || strncmp(entry, prefix, length) != 0) {
            environ[kept++] = entry;
            continue;
        }
        char *rest = entry + length;
        if (visit != NULL && equals > rest)
            visit(context, slice_make(rest, (size_t)(equals - rest)), slice_of(equals + 1));
        explicit_bzero(entry, strlen(entry));
    }
    if (environ != NULL)
        environ[kept] = NULL;
}

void environment_guard_memory(void)
{
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
