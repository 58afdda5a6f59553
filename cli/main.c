/* reeve: the command line. Looks the command up, reads its arguments, runs it. */
#include "cli/command.h"
#include "cli/document.h"
#include "cli/help.h"
#include "cli/terminal.h"
#include "common/hash.h"
#include "common/json_memory.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static int usage(const struct command *command, struct error *error)
{
    (void)error_prefix(error, "%s", command->name);
    int status = terminal_fail(error);
    if (error->code == ERR_USAGE)
        terminal_say("see `reeve help %s`", command->name);
    return status;
}

static int check_count(
    const struct command *command, const struct arguments *arguments, struct error *error)
{
    if (arguments->count < command->least)
        return error_set(
            error, ERR_USAGE, "an argument is missing: reeve %s %s", command->name, command->usage);
    if (arguments->count > command->most)
        return error_set(error, ERR_USAGE, "\"%s\" is one argument too many: reeve %s%s%s",
            arguments->items[command->most], command->name, command->usage[0] != '\0' ? " " : "",
            command->usage);
    return 0;
}

static int show_help(const struct command *command)
{
    struct buffer text = {0};
    if (command != NULL)
        help_command(command, &text);
    else
        help_overview(&text);
    (void)fwrite(text.data, 1, text.length, stdout);
    buffer_fini(&text);
    return STATUS_OK;
}

static int run(const struct command *command, int count, char *const *argv)
{
    struct error error = {0};
    struct arguments arguments;
    int status;
    int rc = arguments_parse(&arguments, command->options, count, argv, &error);
    bool help = arguments.help;
    if (rc == 0 && !help)
        rc = check_count(command, &arguments, &error);
    if (rc == 0 && !help)
        rc = document_check(&arguments, &error);
    if (rc != 0)
        status = usage(command, &error);
    else
        status = help ? show_help(command) : command->run(&arguments);
    arguments_fini(&arguments);
    return status;
}

/* A command of a later version: whatever follows it, only its help is given. */
static int refuse(const struct command *command, int count, char *const *argv)
{
    struct error error;
    for (int i = 0; i < count; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return show_help(command);
    }
    (void)error_set(
        &error, ERR_REFUSED, "`reeve %s` is not supported in this version", command->name);
    return terminal_fail(&error);
}

static int dispatch(int argc, char *const *argv)
{
    struct error error = {0};
    const char *word = argc > 1 ? argv[1] : NULL;
    if (word == NULL) {
        struct buffer text = {0};
        help_overview(&text);
        (void)fwrite(text.data, 1, text.length, stderr);
        buffer_fini(&text);
        return error_exit_status(ERR_USAGE);
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return show_help(NULL);
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
        word = "version";
    const struct command *command = word[0] != '-' ? command_find(word) : NULL;
    if (command != NULL && command->run == NULL)
        return refuse(command, argc - 2, argv + 2);
    if (command != NULL)
        return run(command, argc - 2, argv + 2);
    if (word[0] == '-')
        (void)error_set(&error, ERR_USAGE, "%s: options come behind the command", word);
    else
        (void)command_unknown(word, &error);
    return terminal_fail(&error);
}

int main(int argc, char **argv)
{
    hash_start();
    json_memory_start();
    int status = dispatch(argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        terminal_say("stdout cannot be written: %s", strerror(errno));
        if (status == STATUS_OK)
            status = error_exit_status(ERR_IO);
    }
    return status;
}
