/* reeve ping: whether a master answers, and which. */
#include "cli/command.h"
#include "cli/document.h"
#include "cli/printable.h"
#include "cli/session.h"
#include "cli/times.h"
#include "common/random.h"

static void print_pong(const struct arguments *arguments, const void *body)
{
    const struct msg_pong *pong = body;
    struct buffer line = {0};
    if (document_wanted(arguments)) {
        document_print_message(MESSAGE_pong, body);
        return;
    }
    buffer_append_text(&line, "reeve ");
    printable_line(pong->software, &line);
    buffer_append_text(&line, ", cluster ");
    printable_line(pong->cluster, &line);
    buffer_printf(&line, ", epoch %llu, up ", (unsigned long long)pong->epoch);
    times_append_between(pong->started_at, 0, session_now(), &line);
    buffer_printf(&line, ", %u worker%s up, %u run%s running", pong->workers_up,
        pong->workers_up == 1 ? "" : "s", pong->runs_running, pong->runs_running == 1 ? "" : "s");
    if (pong->role.length > 0) {
        buffer_append_text(&line, "\nyou are ");
        printable_line(pong->name.length > 0 ? pong->name : pong->role, &line);
        if (pong->name.length > 0) {
            buffer_append_text(&line, ", ");
            printable_line(pong->role, &line);
        }
    }
    (void)puts(buffer_text(&line));
    buffer_fini(&line);
}

int cmd_ping(const struct arguments *arguments)
{
    const struct msg_ping ping = {.request = random_id()};
    return session_show(
        arguments, &(struct session_request){MESSAGE_ping, &ping, MESSAGE_pong, print_pong});
}
