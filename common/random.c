#include "common/random.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

void random_bytes(void *bytes, size_t length)
{
    char *at = bytes;
    while (length > 0) {
        ssize_t got = getrandom(at, length, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            perror("getrandom");
            abort();
        }
        at += got;
        length -= (size_t)got;
    }
}

uint64_t random_id(void)
{
    uint64_t id = 0;
    while (id == 0)
        random_bytes(&id, sizeof id);
    return id;
}
