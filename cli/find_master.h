/*
 * find_master.h - which master a command speaks to: the folder whose control.sock it uses.
 *
 * `--data`, else $REEVE_DATA, is a wish and the only place; else the first of /var/lib/reeve/master
 * and
 * ~/.local/share/reeve/master where a control.sock is, or, when none is anywhere, a folder where a
 * master may be about to come back.
 */
#ifndef CLI_FIND_MASTER_H
#define CLI_FIND_MASTER_H

#include "common/error.h"

#include <limits.h>

enum { FIND_MASTER_PLACES_MAX = 2 };

enum place_state {
    PLACE_NO_FOLDER,
    PLACE_NO_SOCKET,
    PLACE_DENIED,
    PLACE_HAS_SOCKET,
};

struct place {
    char folder[PATH_MAX];
    const char *source; /* "--data", "$REEVE_DATA", or "" for a default */
    enum place_state state;
};

struct master_search {
    struct place places[FIND_MASTER_PLACES_MAX];
    int count;
    int chosen; /* index, or -1 */
};

/* Looks at all places. `data` is the value of --data, or NULL. ERR_UNREACHABLE or ERR_DENIED names
 * all that was tried. */
int find_master(const char *data, struct master_search *ret_search, struct error *error);
/* The error for a master that was chosen and does not answer. */
int find_master_silent(const struct master_search *search, struct error *error);
/* Where a master for this user alone lies: ~/.local/share/reeve/master. ERR_USAGE without $HOME. */
int find_master_own_folder(char folder[PATH_MAX], struct error *error);

#endif
