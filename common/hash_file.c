#include "common/hash_file.h"

#include "common/memory.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

enum { PIECE_BYTES = 256 * 1024 };

int hash_descriptor(
    int fd, uint64_t max_bytes, struct hash *ret_hash, uint64_t *ret_bytes, struct error *error)
{
    crypto_generichash_state state;
    unsigned char *piece = xmalloc(PIECE_BYTES);
    uint64_t sum = 0;
    int rc = 0;
    (void)crypto_generichash_init(&state, NULL, 0, HASH_BYTES);
    for (;;) {
        ssize_t got = pread(fd, piece, PIECE_BYTES, (off_t)sum);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            rc = error_set_errno(error, ERR_IO, errno, "read failed");
        if (got <= 0)
            break;
        sum += (uint64_t)got;
        if (sum > max_bytes) {
            rc = error_set(
                error, ERR_TOO_BIG, "larger than %llu bytes", (unsigned long long)max_bytes);
            break;
        }
        (void)crypto_generichash_update(&state, piece, (unsigned long long)got);
    }
    free(piece);
    if (rc != 0)
        return rc;
    (void)crypto_generichash_final(&state, ret_hash->bytes, HASH_BYTES);
    *ret_bytes = sum;
    return 0;
}
