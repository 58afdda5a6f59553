/* reeve help, reeve version. All help comes from the table of commands. */
#include "cli/help.h"
#include "cli/command.h"
#include "cli/terminal.h"

#include <string.h>

int cmd_help(const struct arguments *arguments)
{
    struct error error = {0};
    const char *name = arguments_item(arguments, 0);
    struct buffer text = {0};
    if (arguments_flag(arguments, "markdown")) {
        help_markdown(&text);
    } else if (name == NULL) {
        help_overview(&text);
    } else {
        const struct command *command = command_find(name);
        if (command == NULL) {
            (void)command_unknown(name, &error);
            return terminal_fail(&error);
        }
        help_command(command, &text);
    }
    (void)fwrite(text.data, 1, text.length, stdout);
    buffer_fini(&text);
    return STATUS_OK;
}

int cmd_version(const struct arguments *arguments)
{
    (void)arguments;
    (void)puts("reeve " REEVE_VERSION);
    return STATUS_OK;
}
