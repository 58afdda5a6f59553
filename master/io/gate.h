/*
 * gate.h - the control port over TCP: who speaks is looked up by the connection's key, frame by
 * frame; what its role may not say is refused and counted; the rest goes where the same words of
 * this host go, to the worker port or to the requests. Belongs to the loop's thread.
 */
#ifndef MASTER_IO_GATE_H
#define MASTER_IO_GATE_H

#include "master/io/ask.h"

/* Reads the server's keys (made at the first start), fills the table of keys from the core, and
 * opens the TCP port if the options name one. Before bulk_start. */
int gate_open(struct master *master, struct error *error);
/* A line of the log: the ports, and by what to know the key. */
void gate_log(const struct master *master);
void gate_close(struct master *master);

/* Whether this peer may (still) say this, or be told what follows from it. */
bool gate_may(struct master *master, transport_peer peer, uint32_t message);
/* Tells the bulk port whose attempts are whose. */
void gate_answer(struct master *master);
/* Makes audit rows of what was refused. While the pipeline is open. */
void gate_step(struct master *master);

#endif
