/*
 * find_master.h - which master a command speaks to: the folder whose control.sock it uses, or one
 * on another host that was joined.
 *
 * `--data`, `--master`, $REEVE_DATA, $REEVE_MASTER are wishes, in this order, and the only place
 * then. Else the first of /var/lib/reeve/master and ~/.local/share/reeve/master where a
 * control.sock is; else the one master that was joined; else a folder where a master may be about
 * to come back.
 */
#ifndef CLI_FIND_MASTER_H
#define CLI_FIND_MASTER_H

#include "cli/joined.h"

enum { FIND_MASTER_PLACES_MAX = 3 };

enum place_state {
    PLACE_NO_FOLDER,
    PLACE_NO_SOCKET,
    PLACE_DENIED,
    PLACE_HAS_SOCKET,
    PLACE_JOINED,
    PLACE_SEVERAL_JOINED,
};

struct place {
    char folder[PATH_MAX]; /* or the joined master's name, or the names of several */
    const char *source;    /* "--data", "$REEVE_DATA", …, or "" for a default */
    enum place_state state;
};

struct master_search {
    struct place places[FIND_MASTER_PLACES_MAX];
    int count;
    int chosen;           /* index, or -1 */
    struct joined joined; /* when the chosen place is PLACE_JOINED */
};

struct master_wish {
    const char *data, *master; /* --data and --master, or NULL */
};

/* Looks at all places. ERR_UNREACHABLE or ERR_DENIED names all that was tried; ERR_NOT_FOUND,
 * ERR_DENIED and ERR_CORRUPT of a joined master that was named. */
int find_master(
    const struct master_wish *wish, struct master_search *ret_search, struct error *error);
bool find_master_is_remote(const struct master_search *search);
/* The error for a master that was chosen and does not answer. `troubles`: of each address of a
 * joined one what the network said (the address first), or NULL. */
int find_master_silent(const struct master_search *search,
    const char *const troubles[TOKEN_ADDRESSES_MAX], struct error *error);
/* Where a master for this user alone lies: ~/.local/share/reeve/master. ERR_USAGE without $HOME. */
int find_master_own_folder(char folder[PATH_MAX], struct error *error);

#endif
