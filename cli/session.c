#include "cli/session.h"

#include "cli/command.h"
#include "cli/selector.h"
#include "cli/terminal.h"
#include "common/random.h"
#include "common/transport.h"

#include <stdio.h>

enum { PAGE_TASKS = 2000 };

static struct client *open_search(const struct master_search *search, struct error *error)
{
    struct client *client;
    transport_start();
    if (client_create(search, &client, error) == 0)
        return client;
    transport_stop();
    return NULL;
}

struct client *session_open(const struct arguments *arguments, struct error *error)
{
    struct master_search search;
    if (find_master(arguments_text(arguments, "data"), &search, error) != 0)
        return NULL;
    return open_search(&search, error);
}

struct client *session_open_folder(const char *folder, struct error *error)
{
    struct master_search search = {.count = 1};
    (void)snprintf(search.places[0].folder, sizeof search.places[0].folder, "%s", folder);
    search.places[0].source = "";
    search.places[0].state = PLACE_HAS_SOCKET;
    return open_search(&search, error);
}

void session_close(struct client *client)
{
    if (client == NULL)
        return;
    client_destroy(client);
    transport_stop();
}

int session_show(const struct arguments *arguments, enum message_id number, const void *ask,
    enum message_id answer, void (*print)(const struct arguments *arguments, const void *body))
{
    struct error error = {0};
    struct client *client = session_open(arguments, &error);
    if (client == NULL)
        return terminal_fail(&error);
    const void *body;
    int rc = client_ask(client, number, ask, answer, &body, &error);
    if (rc == 0)
        print(arguments, body);
    session_close(client);
    return rc == 0 ? STATUS_OK : terminal_fail(&error);
}

int session_read_run(struct client *client, const char *run, const char *task,
    session_page_fn visit, void *context, struct error *error)
{
    char name[SELECTOR_RUN_MAX];
    (void)snprintf(name, sizeof name, "%s", run);
    for (uint32_t before = 0;;) {
        const struct msg_get_run ask = {.request = random_id(),
            .run = slice_of(name),
            .task = slice_of(task),
            .after = before,
            .limit = PAGE_TASKS};
        const void *body;
        int rc = client_ask(client, MESSAGE_get_run, &ask, MESSAGE_run_info, &body, error);
        if (rc != 0)
            return rc;
        const struct msg_run_info *page = body;
        uint32_t count = page->tasks.count;
        bool more = page->more && count > 0;
        (void)snprintf(name, sizeof name, "%.*s", SLICE_PRINT(page->run));
        rc = visit(context, page, before, error);
        if (rc != 0 || !more)
            return rc;
        before += count;
    }
}

int session_read_head(struct client *client, const char *run, const struct msg_run_info **ret_info,
    struct error *error)
{
    const struct msg_get_run ask = {.request = random_id(), .run = slice_of(run)};
    const void *body;
    int rc = client_ask(client, MESSAGE_get_run, &ask, MESSAGE_run_info, &body, error);
    if (rc == 0)
        *ret_info = body;
    return rc;
}
