#include "cli/find_master.h"

#include "common/buffer.h"
#include "common/slice.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char system_folder[] = "/var/lib/reeve/master";

int find_master_own_folder(char folder[PATH_MAX], struct error *error)
{
    const char *home = getenv("HOME");
    if (home == NULL || home[0] != '/')
        return error_set(error, ERR_USAGE, "$HOME is not set: name a folder with --data DIR");
    int length = snprintf(folder, PATH_MAX, "%s/.local/share/reeve/master", home);
    if (length >= PATH_MAX)
        return error_set(error, ERR_USAGE, "$HOME is too long: name a folder with --data DIR");
    return 0;
}

static enum place_state look(const char *folder)
{
    char socket[PATH_MAX + 16];
    (void)snprintf(socket, sizeof socket, "%s/control.sock", folder);
    if (access(socket, R_OK | W_OK) == 0)
        return PLACE_HAS_SOCKET;
    if (errno == EACCES)
        return PLACE_DENIED;
    return access(folder, F_OK) == 0 ? PLACE_NO_SOCKET : PLACE_NO_FOLDER;
}

static void add_place(struct master_search *search, const char *folder, const char *source)
{
    struct place *place = &search->places[search->count++];
    (void)snprintf(place->folder, sizeof place->folder, "%s", folder);
    place->source = source;
    place->state = look(place->folder);
}

static void choose(struct master_search *search, enum place_state state)
{
    for (int i = 0; i < search->count && search->chosen < 0; i++) {
        if (search->places[i].state == state)
            search->chosen = i;
    }
}

static const char *state_text(const struct master_search *search, int index)
{
    switch (search->places[index].state) {
    case PLACE_NO_FOLDER:
        return "no such folder";
    case PLACE_NO_SOCKET:
        return "no control.sock: no master runs there";
    case PLACE_DENIED:
        return "not allowed for this user";
    case PLACE_HAS_SOCKET:
        break;
    }
    return index == search->chosen ? "its control.sock does not answer" : "not asked";
}

static int explain(const struct master_search *search, int code, struct error *error)
{
    struct buffer text = {0};
    buffer_append_text(&text, "no master can be reached; tried");
    for (int i = 0; i < search->count; i++) {
        const struct place *place = &search->places[i];
        buffer_printf(&text, "\n    %s%s%s%s: %s", place->folder,
            place->source[0] != '\0' ? " (" : "", place->source,
            place->source[0] != '\0' ? ")" : "", state_text(search, i));
    }
    buffer_append_text(&text, "\nstart one with `reeve standalone`, or `reeve-master --data DIR`; "
                              "name another with --data DIR or $REEVE_DATA");
    (void)error_set(error, code, "%s", buffer_text(&text));
    buffer_fini(&text);
    return code;
}

int find_master(const char *data, struct master_search *ret_search, struct error *error)
{
    struct master_search search = {.chosen = -1};
    const char *wish = getenv("REEVE_DATA");
    char own[PATH_MAX];
    if (data != NULL && data[0] == '\0')
        return error_set(error, ERR_USAGE, "--data: a folder's name is empty");
    if (data != NULL) {
        add_place(&search, data, "--data");
    } else if (wish != NULL && wish[0] != '\0') {
        add_place(&search, wish, "$REEVE_DATA");
    } else {
        add_place(&search, system_folder, "");
        if (find_master_own_folder(own, NULL) == 0)
            add_place(&search, own, "");
    }
    choose(&search, PLACE_HAS_SOCKET);
    choose(&search, PLACE_NO_SOCKET);
    *ret_search = search;
    if (search.chosen >= 0)
        return 0;
    bool denied = false;
    for (int i = 0; i < search.count; i++)
        denied = denied || search.places[i].state == PLACE_DENIED;
    return explain(&search, denied ? ERR_DENIED : ERR_UNREACHABLE, error);
}

int find_master_silent(const struct master_search *search, struct error *error)
{
    return explain(search, ERR_UNREACHABLE, error);
}
