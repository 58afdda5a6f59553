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
    case PLACE_SEVERAL_JOINED:
        return "all were joined: choose one with --master NAME or $REEVE_MASTER";
    case PLACE_HAS_SOCKET:
    case PLACE_JOINED:
        break;
    }
    return index == search->chosen ? "its control.sock does not answer" : "not asked";
}

static void explain_addresses(
    const struct joined *joined, const char *const *troubles, struct buffer *text)
{
    for (uint32_t i = 0; i < joined->address_count; i++) {
        if (troubles != NULL && troubles[i] != NULL)
            buffer_printf(text, "\n        %s", troubles[i]);
        else
            buffer_printf(text, "\n        %s: does not answer", joined->addresses[i]);
    }
}

static int explain(
    const struct master_search *search, const char *const *troubles, int code, struct error *error)
{
    struct buffer text = {0};
    bool joined = false;
    buffer_append_text(&text, "no master can be reached; tried");
    for (int i = 0; i < search->count; i++) {
        const struct place *place = &search->places[i];
        bool is_joined = place->state == PLACE_JOINED && i == search->chosen;
        buffer_printf(&text, "\n    %s%s%s%s", place->folder, place->source[0] != '\0' ? " (" : "",
            place->source, place->source[0] != '\0' ? ")" : "");
        joined = joined || place->state >= PLACE_JOINED;
        if (is_joined)
            explain_addresses(&search->joined, troubles, &text);
        else
            buffer_printf(&text, ": %s", state_text(search, i));
    }
    if (code == ERR_DENIED)
        buffer_append_text(&text, "\nits folder is another user's: run this as that user, or let "
                                  "them make you a token (`reeve token create --role operator`) "
                                  "for `reeve join`");
    else if (joined)
        buffer_append_text(&text, "\n`reeve masters` lists what was joined from here");
    else
        buffer_append_text(&text, "\nstart one with `reeve standalone`, or `reeve-master --data "
                                  "DIR`; name another with --data DIR or $REEVE_DATA");
    (void)error_set(error, code, "%s", buffer_text(&text));
    buffer_fini(&text);
    return code;
}

/* The one that was joined, or how many they are. */
static void add_joined(struct master_search *search)
{
    struct joined_names names = {0};
    struct buffer text = {0};
    (void)joined_list(&names, NULL);
    joined_names_print(&names, &text);
    if (names.count > 0) {
        struct place *place = &search->places[search->count++];
        (void)snprintf(place->folder, sizeof place->folder, "%s", buffer_text(&text));
        place->source = names.count == 1 ? "joined" : "";
        place->state = names.count == 1 ? PLACE_JOINED : PLACE_SEVERAL_JOINED;
    }
    joined_names_fini(&names);
    buffer_fini(&text);
}

static void add_defaults(struct master_search *search)
{
    char own[PATH_MAX];
    add_place(search, system_folder, "");
    if (find_master_own_folder(own, NULL) == 0)
        add_place(search, own, "");
    choose(search, PLACE_HAS_SOCKET);
    if (search->chosen < 0)
        add_joined(search);
}

static int check_joined(const struct joined *joined, struct error *error)
{
    if (joined->role != 0)
        return 0;
    return error_set(error, ERR_NOT_FOUND,
        "joining \"%s\" was not answered: `reeve join TOKEN --name %s` again, with the same token",
        joined->name, joined->name);
}

static int use_joined(
    struct master_search *search, const char *name, const char *source, struct error *error)
{
    struct place *place = &search->places[search->count++];
    int rc = joined_read(name, &search->joined, error);
    if (rc == 0)
        rc = check_joined(&search->joined, error);
    if (rc != 0) {
        (void)error_prefix(error, "%s", source);
        return rc;
    }
    (void)snprintf(place->folder, sizeof place->folder, "%s", name);
    place->source = source;
    place->state = PLACE_JOINED;
    return 0;
}

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static int add_places(
    struct master_search *search, const struct master_wish *wish, struct error *error)
{
    const char *data = environment("REEVE_DATA"), *master = environment("REEVE_MASTER");
    if (wish->data != NULL && wish->master != NULL)
        return error_set(error, ERR_USAGE, "--data and --master name two masters: take one");
    if (wish->data != NULL && wish->data[0] == '\0')
        return error_set(error, ERR_USAGE, "--data: a folder's name is empty");
    bool named = wish->data != NULL || wish->master != NULL;
    if (!named && data != NULL && master != NULL)
        return error_set(error, ERR_USAGE,
            "$REEVE_DATA and $REEVE_MASTER name two masters: unset one, or give --data or "
            "--master");
    if (wish->data != NULL)
        add_place(search, wish->data, "--data");
    else if (wish->master != NULL)
        return use_joined(search, wish->master, "--master", error);
    else if (data != NULL)
        add_place(search, data, "$REEVE_DATA");
    else if (master != NULL)
        return use_joined(search, master, "$REEVE_MASTER", error);
    else
        add_defaults(search);
    return 0;
}

int find_master(
    const struct master_wish *wish, struct master_search *ret_search, struct error *error)
{
    struct master_search search = {.chosen = -1};
    int rc = add_places(&search, wish, error);
    if (rc != 0)
        return rc;
    choose(&search, PLACE_HAS_SOCKET);
    choose(&search, PLACE_JOINED);
    choose(&search, PLACE_NO_SOCKET);
    if (find_master_is_remote(&search) && search.joined.address_count == 0)
        rc = joined_read(search.places[search.chosen].folder, &search.joined, error);
    *ret_search = search;
    if (rc != 0 || search.chosen >= 0)
        return rc;
    bool denied = false;
    for (int i = 0; i < search.count; i++)
        denied = denied || search.places[i].state == PLACE_DENIED;
    return explain(&search, NULL, denied ? ERR_DENIED : ERR_UNREACHABLE, error);
}

bool find_master_is_remote(const struct master_search *search)
{
    return search->chosen >= 0 && search->places[search->chosen].state == PLACE_JOINED;
}

int find_master_silent(const struct master_search *search,
    const char *const troubles[TOKEN_ADDRESSES_MAX], struct error *error)
{
    return explain(search, troubles, ERR_UNREACHABLE, error);
}
