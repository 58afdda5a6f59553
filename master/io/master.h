/*
 * master.h - reeve-master's loop: sockets -> core -> store -> sockets. One thread; the store, the
 * compiler and the bulk port have threads of their own.
 */
#ifndef MASTER_IO_MASTER_H
#define MASTER_IO_MASTER_H

#include "master/io/options.h"

/* Opens the data folder, leads, serves until SIGTERM or SIGINT. Errors that end it are in *error.
 */
int master_run(const struct options *options, struct error *error);

#endif
