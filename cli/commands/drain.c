/* reeve drain, undrain: whether a worker gets tasks. */
#include "cli/command.h"
#include "cli/done.h"
#include "cli/session.h"
#include "common/random.h"

static void print_drained(const struct arguments *arguments, const void *body)
{
    done_print(arguments, body, arguments_item(arguments, 0), " takes no more tasks");
}

static void print_undrained(const struct arguments *arguments, const void *body)
{
    done_print(arguments, body, arguments_item(arguments, 0), " takes tasks again");
}

int cmd_drain(const struct arguments *arguments)
{
    const struct msg_drain ask = {
        .request = random_id(), .worker = slice_of(arguments_item(arguments, 0))};
    return session_show(
        arguments, &(struct session_request){MESSAGE_drain, &ask, MESSAGE_done, print_drained});
}

int cmd_undrain(const struct arguments *arguments)
{
    const struct msg_drain ask = {
        .request = random_id(), .worker = slice_of(arguments_item(arguments, 0)), .undo = true};
    return session_show(
        arguments, &(struct session_request){MESSAGE_drain, &ask, MESSAGE_done, print_undrained});
}
