/*
 * transport_stage.h - a CURVE server and a client of it on one loop, and a list of admitted keys.
 */
#ifndef TESTS_UNIT_TRANSPORT_STAGE_H
#define TESTS_UNIT_TRANSPORT_STAGE_H

#include "common/transport/transport.h"

#include <pthread.h>

enum { STAGE_KEYS_MAX = 8, STAGE_PEERS_MAX = 64 };

struct stage {
    struct loop *loop;
    struct transport *server, *client;
    struct key_pair server_keys, client_keys;
    char endpoint[64]; /* of the server, once it is bound */
    bool late;         /* the loop ended for want of patience */
    bool echo;
    uint64_t server_frames, client_frames;
    uint64_t server_wanted, client_wanted; /* the loop stops when either is reached */
    uint64_t asked_wanted;                 /* or so many handshakes were asked about */
    const char *trouble_wanted;            /* or the client's trouble has this in it */
    bool up_wanted;                        /* or the client is connected */
    transport_peer last_peer;
    size_t last_length;
    char last_text[64];
    /* Under the mutex, as ZAP's thread asks: */
    pthread_mutex_t mutex;
    unsigned char keys[STAGE_KEYS_MAX][KEY_BYTES];
    int key_count;
    uint64_t asked, refused;
    unsigned char last_refused[KEY_BYTES];
};

/* cmocka's: *state becomes a stage whose client's key is admitted; the server is bound to a free
 * port of 127.0.0.1, the client is not connected. */
int stage_set_up(void **state);
int stage_tear_down(void **state);

/* Again, after transport_admit_stop: the judge and the server. */
int stage_start(struct stage *stage);

void stage_admit(struct stage *stage, const struct key_pair *keys);
void stage_bind(struct stage *stage, const char *endpoint);
/* Another client; its frames count as the client's. */
struct transport *stage_connect(struct stage *stage, const struct key_pair *keys);
/* Runs the loop until something wanted came; fails when it takes too long. */
void stage_run(struct stage *stage);
/* Handshakes that were asked about up to now, and waiting for as many in all. */
uint64_t stage_asked(struct stage *stage);
void stage_wait_asked(struct stage *stage, uint64_t count);
/* Waits until the client's trouble has these words, or it is connected. */
void stage_wait_trouble(struct stage *stage, const char *words);
void stage_wait_up(struct stage *stage);
/* Sends a text to the server, which echoes it, and waits for that. */
void stage_talk(struct stage *stage, struct transport *client, const char *text);

/* ---- ZeroMQ sockets by hand, for what our own side never does ---- */

/* A DEALER in the transport's context; linger 0. */
void *stage_dealer(void);
void stage_dealer_curve(void *dealer, const struct stage *stage, const struct key_pair *keys);
void stage_dealer_send(void *dealer, const char *text);

#endif
