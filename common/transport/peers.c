#include "common/limits.h"
#include "common/memory.h"
#include "common/transport/internal.h"

/*
 * A routing id is what ZeroMQ calls a connection. It gives each a number of its own, unless the
 * peer chose an id, which a key's owner is free to do: so an id proves nothing. On tcp a peer is
 * its key, which each frame carries as the handshake proved it (User-Id: ZAP's answer stands before
 * whatever the peer claims of itself). An id whose key changed is another connection, and the one
 * that had the number is gone. A frame without a key came while nobody answered handshakes (libzmq
 * then lets every key in), and is not heard either.
 *
 * What is left to an admitted key: ZeroMQ ends the process when it gives a number that a peer has
 * chosen as its id. transport_start makes the numbers impossible to foresee.
 */

enum {
    /* Connections known at a time; at more, the one that was idle longest is forgotten (it gets a
       new number when it speaks again). */
    PEERS_MAX = 65536,
    /* An id that ZeroMQ gave: a zero and a number. */
    AUTOMATIC_ID_BYTES = 5,
};

static void unlink_peer(struct transport *transport, struct peer *peer)
{
    *(peer->idler != NULL ? &peer->idler->livelier : &transport->idlest) = peer->livelier;
    *(peer->livelier != NULL ? &peer->livelier->idler : &transport->liveliest) = peer->idler;
}

static void link_peer(struct transport *transport, struct peer *peer)
{
    peer->idler = transport->liveliest;
    peer->livelier = NULL;
    *(peer->idler != NULL ? &peer->idler->livelier : &transport->idlest) = peer;
    transport->liveliest = peer;
}

struct peer *transport_peer_find(const struct transport *transport, transport_peer number)
{
    uint64_t address;
    return table_get(&transport->peers, number, &address) ? (struct peer *)(uintptr_t)address
                                                          : NULL;
}

void transport_peer_drop(struct transport *transport, struct peer *peer)
{
    unlink_peer(transport, peer);
    (void)names_remove(&transport->numbers, slice_make(peer->routing_id, peer->length));
    (void)table_remove(&transport->peers, peer->number);
    free(peer);
}

static struct peer *peer_add(struct transport *transport, struct slice routing_id)
{
    if (transport->peers.count >= PEERS_MAX)
        transport_peer_drop(transport, transport->idlest);
    struct peer *peer = xcalloc(1, sizeof *peer + routing_id.length);
    peer->number = ++transport->last_number;
    peer->length = routing_id.length;
    memcpy(peer->routing_id, routing_id.ptr, routing_id.length);
    names_set(&transport->numbers, routing_id, peer->number);
    table_set(&transport->peers, peer->number, (uintptr_t)peer);
    link_peer(transport, peer);
    return peer;
}

static struct peer *peer_known(struct transport *transport, struct slice routing_id)
{
    uint64_t number;
    if (!names_get(&transport->numbers, routing_id, &number))
        return NULL;
    struct peer *peer = transport_peer_find(transport, number);
    unlink_peer(transport, peer);
    link_peer(transport, peer);
    return peer;
}

/* A peer of a tcp socket: as transport_peer_heard. Ours choose no id; who does is not heard. */
static struct peer *peer_proven(
    struct transport *transport, struct slice routing_id, zmq_msg_t *frame)
{
    const char *user_id = zmq_msg_gets(frame, "User-Id");
    if (user_id == NULL || strlen(user_id) != HEX_TEXT_SIZE(KEY_BYTES) - 1 ||
        routing_id.length != AUTOMATIC_ID_BYTES || routing_id.ptr[0] != 0)
        return NULL;
    struct peer *peer = peer_known(transport, routing_id);
    if (peer != NULL && strcmp(peer->user_id, user_id) == 0)
        return peer;
    if (peer != NULL)
        transport_peer_drop(transport, peer);
    peer = peer_add(transport, routing_id);
    memcpy(peer->user_id, user_id, sizeof peer->user_id);
    const char *address = zmq_msg_gets(frame, "Peer-Address");
    (void)snprintf(peer->address, sizeof peer->address, "%s",
        address != NULL ? transport_plain_address(address) : "?");
    return peer;
}

transport_peer transport_peer_heard(struct transport *transport, zmq_msg_t *id, zmq_msg_t *frame)
{
    struct slice routing_id = slice_make(zmq_msg_data(id), zmq_msg_size(id));
    struct peer *peer;
    if (transport->curve)
        peer = peer_proven(transport, routing_id, frame);
    else if ((peer = peer_known(transport, routing_id)) == NULL)
        peer = peer_add(transport, routing_id);
    return peer != NULL ? peer->number : 0;
}

void transport_peers_fini(struct transport *transport)
{
    while (transport->idlest != NULL)
        transport_peer_drop(transport, transport->idlest);
    table_fini(&transport->peers);
    names_fini(&transport->numbers);
}

bool transport_peer_identity(const struct transport *transport, transport_peer number,
    unsigned char ret_key[KEY_BYTES], char ret_address[TRANSPORT_ADDRESS_MAX])
{
    const struct peer *peer = transport_peer_find(transport, number);
    if (peer == NULL || !hex_decode(slice_of(peer->user_id), ret_key, KEY_BYTES))
        return false;
    memcpy(ret_address, peer->address, sizeof peer->address);
    return true;
}

size_t transport_peer_count(const struct transport *transport)
{
    return transport->peers.count;
}
