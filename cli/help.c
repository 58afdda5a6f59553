#include "cli/help.h"

enum { NAME_COLUMN = 32 };

static void append_padded(struct buffer *out, size_t start, size_t width)
{
    size_t used = out->length - start;
    buffer_printf(out, "%*s", used < width ? (int)(width - used) : 2, "");
}

static void append_usage(const struct command *command, struct buffer *out)
{
    buffer_printf(
        out, "reeve %s%s%s", command->name, command->usage[0] != '\0' ? " " : "", command->usage);
}

static void append_unsupported(struct buffer *out)
{
    size_t count;
    const struct command *rows = commands(&count);
    const char *separator = " ";
    for (size_t i = 0; i < count; i++) {
        if (rows[i].run == NULL) {
            buffer_printf(out, "%s%s", separator, rows[i].name);
            separator = ", ";
        }
    }
}

void help_overview(struct buffer *out)
{
    size_t count;
    const struct command *rows = commands(&count);
    buffer_append_text(out, "reeve: run workflows of tasks on a fleet of workers\n\n");
    for (size_t i = 0; i < count; i++) {
        size_t start = out->length;
        if (rows[i].run == NULL)
            continue;
        buffer_printf(out, "  %s", rows[i].name);
        append_padded(out, start, 14);
        buffer_printf(out, "%s\n", rows[i].summary);
    }
    buffer_append_text(out, "\nNot in this version:");
    append_unsupported(out);
    buffer_append_text(out, "\n\nA run is salaries/17, a task salaries/17/load, an attempt "
                            "salaries/17/load@2.\n`reeve help COMMAND` says more.\n");
}

static void append_option(const struct option_row *row, struct buffer *out)
{
    size_t start = out->length;
    if (row->letter != 0)
        buffer_printf(out, "  -%c, ", row->letter);
    else
        buffer_append_text(out, "      ");
    buffer_printf(out, "--%s", row->name);
    if (row->value != NULL)
        buffer_printf(out, " %s", row->value);
    append_padded(out, start, NAME_COLUMN);
    buffer_printf(
        out, "%s%s\n", row->help, row->kind == OPTION_UNSUPPORTED ? " (not in this version)" : "");
}

void help_command(const struct command *command, struct buffer *out)
{
    buffer_append_text(out, "Usage: ");
    append_usage(command, out);
    buffer_printf(out, "\n\n%s.\n", command->summary);
    if (command->details != NULL)
        buffer_printf(out, "\n%s\n", command->details);
    if (command->run == NULL) {
        buffer_append_text(out, "\nNot supported in this version.\n");
        return;
    }
    buffer_append_text(out, "\nOptions:\n");
    for (const struct option_row *row = command->options; row->name != NULL; row++)
        append_option(row, out);
    static const struct option_row help = {"help", 'h', OPTION_FLAG, NULL, "this text"};
    append_option(&help, out);
}

void help_markdown(struct buffer *out)
{
    size_t count;
    const struct command *rows = commands(&count);
    for (size_t i = 0; i < count; i++) {
        if (rows[i].run == NULL)
            continue;
        buffer_printf(out, "### reeve %s\n\n```\n", rows[i].name);
        help_command(&rows[i], out);
        buffer_append_text(out, "```\n\n");
    }
    buffer_append_text(out, "Known, and refused in this version:");
    append_unsupported(out);
    buffer_append_text(out, ".\n");
}
