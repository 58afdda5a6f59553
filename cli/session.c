#include "cli/session.h"

#include "cli/command.h"
#include "cli/selector.h"
#include "cli/terminal.h"
#include "common/clock.h"
#include "common/random.h"
#include "common/transport/transport.h"

#include <stdio.h>

enum { PAGE_TASKS = 2000 };

/* How far the master's clock is ahead of ours. A process speaks to one master. */
static int64_t ahead_ms;

static struct client *open_search(const struct master_search *search, struct error *error)
{
    struct client *client;
    transport_start();
    if (client_create(search, &client, error) == 0)
        return client;
    transport_stop();
    return NULL;
}

int64_t session_now(void)
{
    return clock_wall_ms() + ahead_ms;
}

/* The moment of the answer lies between the request and now: half of that is how wrong it can be.
 */
static int learn_time(struct client *client, struct error *error)
{
    const struct msg_ping ping = {.request = random_id()};
    const void *body;
    int64_t asked_at = clock_wall_ms();
    int rc = client_ask(client, MESSAGE_ping, &ping, MESSAGE_pong, &body, error);
    int64_t between = (asked_at + clock_wall_ms()) / 2;
    if (rc == 0 && ((const struct msg_pong *)body)->now != 0)
        ahead_ms = ((const struct msg_pong *)body)->now - between;
    return rc;
}

struct client *session_open(const struct arguments *arguments, struct error *error)
{
    struct master_search search;
    const struct master_wish wish = {
        arguments_text(arguments, "data"), arguments_text(arguments, "master")};
    if (find_master(&wish, &search, error) != 0)
        return NULL;
    struct client *client = open_search(&search, error);
    if (client == NULL || client_joined(client) == NULL || learn_time(client, error) == 0)
        return client;
    session_close(client);
    return NULL;
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

int session_show_on(
    struct client *client, const struct arguments *arguments, const struct session_request *request)
{
    struct error error = {0};
    const void *body;
    int rc = client_ask(client, request->number, request->ask, request->answer, &body, &error);
    if (rc == 0)
        request->print(arguments, body);
    session_close(client);
    return rc == 0 ? STATUS_OK : terminal_fail(&error);
}

int session_show(const struct arguments *arguments, const struct session_request *request)
{
    struct error error = {0};
    struct client *client = session_open(arguments, &error);
    if (client == NULL)
        return terminal_fail(&error);
    return session_show_on(client, arguments, request);
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
