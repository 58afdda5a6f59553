/*
 * ask.h - one question of a client, from its frame to its answer. Belongs to the loop's thread, but
 * that the compiler's thread may read what it was given.
 */
#ifndef MASTER_IO_ASK_H
#define MASTER_IO_ASK_H

#include "master/io/state.h"

/* A client's frame; its messages are decoded once and each becomes an ask. */
struct ask_frame {
    struct arena arena;
    struct actor actor; /* who sent it, as it was known then */
    uint32_t users;
};

struct ask {
    struct ask *next;
    struct ask_frame *frame;
    struct arena *arena; /* the frame's: for what the answer needs */
    transport_peer peer;
    const struct actor *actor; /* in the frame's arena */
    uint64_t ticket;           /* names it to the core */
    uint64_t request;
    uint32_t number;  /* enum message_id */
    const void *body; /* the struct msg_NAME */
    bool changing;    /* it is in asks->changing */
};

/* A new ask for one message of the frame. */
struct ask *ask_create(struct master *master, struct ask_frame *frame, transport_peer peer,
    const struct message *message);
/* It is over: answered, or not to be answered. */
void ask_end(struct master *master, struct ask *ask);
void asks_fini(struct master *master);

/* Answers with one message; the ask goes on. An answer that no frame can hold is refused instead.
 */
void ask_answer(
    struct master *master, const struct ask *ask, enum message_id number, const void *body);
/* The same, of a message that is encoded already. */
void ask_answer_encoded(struct master *master, const struct ask *ask, struct slice message);
void ask_refuse(struct master *master, const struct ask *ask, const struct error *error);
void ask_refuse_text(struct master *master, const struct ask *ask, int code, struct slice text);
/* Without an ask: what came could not be read. */
void client_refuse(struct master *master, transport_peer peer, const struct error *error);
void client_send_refused(
    struct master *master, transport_peer peer, const struct msg_refused *refused);
/* A frame to a client. */
void client_send(struct master *master, transport_peer peer, struct slice frame);

#endif
