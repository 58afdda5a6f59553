/*
 * fake_master.h - a master for tests of the command line: a thread that answers on the sockets of a
 * folder by a script, a function of the test. It may lose requests, be slow, or come back as
 * another leadership.
 */
#ifndef TESTS_UNIT_FAKE_MASTER_H
#define TESTS_UNIT_FAKE_MASTER_H

#include "cli/find_master.h"
#include "common/transport/transport.h"
#include "proto/proto.h"

struct fake_master;

/* Called on the fake's thread for each message that came. */
typedef void (*fake_master_fn)(
    struct fake_master *fake, void *context, const struct message *message);

/* Makes the folder; call transport_start before. */
struct fake_master *fake_master_start(fake_master_fn answer, void *context);
/*
 * One of another host: on 127.0.0.1 with CURVE, bulk on the next port. `admit` is asked about keys,
 * as transport_admit_start says.
 */
struct fake_master *fake_master_start_remote(
    fake_master_fn answer, void *context, transport_admit_fn admit);
/* Its address, and its key. */
const char *fake_master_address(const struct fake_master *fake);
const unsigned char *fake_master_key(const struct fake_master *fake);
/* Whose message is in hand. Only inside the script. */
void fake_master_peer_key(const struct fake_master *fake, unsigned char ret_key[KEY_BYTES]);
/* Ends the thread; the sockets are gone. The folder stays until fake_master_destroy. */
void fake_master_stop(struct fake_master *fake);
/* Another leadership on the same sockets. */
void fake_master_restart(struct fake_master *fake);
void fake_master_destroy(struct fake_master *fake);

/* To whoever asked last, on the socket that it asked on. Only inside the script. */
void fake_master_send(struct fake_master *fake, enum message_id number, const void *body);
/* How a client finds it. */
struct master_search fake_master_search(const struct fake_master *fake);

#endif
