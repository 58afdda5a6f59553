/*
 * admission.h - whose key may speak, and as what. Any thread may ask: the one that answers
 * handshakes, the bulk port's and the loop's; the loop's alone changes it, when what a change rests
 * on is on disk. A message is looked up each time it comes: a key that was removed is refused on a
 * live connection too.
 */
#ifndef MASTER_IO_ADMISSION_H
#define MASTER_IO_ADMISSION_H

#include "master/io/refusals.h"

struct admission;

/* What a key is worth. */
struct admitted {
    uint32_t role; /* enum role */
    char name[NAME_MAX_BYTES + 1];
};

/* A token's key may say `join` so long after its end, and is told by the core what is wrong with
 * it. */
enum { TOKEN_TOLD_DAYS = 7 };

/* Keys that are refused at the handshake are counted in `refusals`, which is borrowed. */
struct admission *admission_create(struct refusals *refusals);
void admission_destroy(struct admission *admission);

/* ROLE_NONE: nobody's any more. */
void admission_set(struct admission *admission, const struct access_effect *access);
/* False: it may nothing. */
bool admission_find(
    struct admission *admission, const unsigned char key[KEY_BYTES], struct admitted *ret_admitted);
/* A transport_admit_fn; `context` is the admission. */
bool admission_admit(void *context, const unsigned char key[KEY_BYTES], const char *address);

/* ---- a peer of a CURVE socket, at this moment ---- */

struct speaker {
    unsigned char key[KEY_BYTES];
    char address[TRANSPORT_ADDRESS_MAX];
    struct admitted admitted;
    struct actor actor; /* borrows what stands above */
};

/* Role ROLE_NONE: its key may nothing (any more). */
void admission_speaker(struct admission *admission, const struct transport *transport,
    transport_peer peer, struct speaker *ret_speaker);
/* A peer of a CURVE socket; others are on the master's own host. */
static inline bool peer_is_remote(transport_peer peer)
{
    return peer >> 63 != 0;
}

/* What may not be said. */
struct denial {
    uint64_t request; /* of the message, or 0 */
    struct error error;
};

/*
 * Whether this role may say all that the frame holds: 0, or the error of the first that it may not,
 * which is counted; nothing of such a frame is to be done. Messages that nobody knows are passed
 * over, as their readers do. The reader is where it was.
 */
int admission_check(struct refusals *refusals, const struct actor *actor,
    struct frame_reader reader, struct denial *ret_denial);

#endif
