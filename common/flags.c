#include "common/flags.h"

#include "common/memory.h"
#include "common/suggest.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const level_words[] = {"error", "warn", "info", "debug", NULL};

static int take_level(void *of, struct flag_word word, struct error *error)
{
    struct flags_common *common = of;
    for (int i = 0; level_words[i] != NULL; i++) {
        if (strcmp(word.value, level_words[i]) == 0) {
            common->log_level = (enum log_level)i;
            common->log_level_source = word.source;
            return 0;
        }
    }
    return error_set(error, ERR_USAGE,
        "%s: unknown level \"%.40s\"; write error, warn, info or debug", word.source, word.value);
}

static const struct flag common_rows[] = {
    {.name = "--log-level",
        .variable = "$REEVE_LOG_LEVEL",
        .value = "L",
        .help = "error, warn, info (default) or debug ($REEVE_LOG_LEVEL)",
        .take = take_level},
    {.name = "--config", .take = flag_refuse},
    {.name = "--print-config",
        .help = "show what was resolved, and from where",
        .sets = offsetof(struct flags_common, print_config)},
    {.name = "--version",
        .help = "show the version",
        .sets = offsetof(struct flags_common, version)},
    {.name = "--help", .help = "show this", .sets = offsetof(struct flags_common, help)},
};
enum { COMMON_COUNT = sizeof common_rows / sizeof common_rows[0] };

/* The flag at this index, the daemon's own first; NULL behind the last. */
static const struct flag *flag_at(const struct flags *flags, size_t index)
{
    size_t own = 0;
    while (own < index && flags->rows[own].name != NULL)
        own++;
    if (flags->rows[own].name != NULL)
        return &flags->rows[own];
    return index - own < COMMON_COUNT ? &common_rows[index - own] : NULL;
}

/* What the flag changes. */
static void *target_of(const struct flags *flags, const struct flag *flag, void *options)
{
    bool is_common = flag >= common_rows && flag < common_rows + COMMON_COUNT;
    return is_common ? (char *)options + flags->common : options;
}

static int refuse_unknown(const struct flags *flags, const char *text, struct error *error)
{
    const char *names[FLAGS_MAX + 2] = {NULL};
    size_t count = 0;
    if (flags->verb != NULL)
        names[count++] = flags->verb;
    for (size_t i = 0; flag_at(flags, i) != NULL; i++)
        names[count++] = flag_at(flags, i)->name;
    const char *near = suggest(slice_make(text, strcspn(text, "=")), names);
    if (near != NULL)
        return error_set(error, ERR_USAGE, "unknown argument \"%.*s\"; did you mean \"%s\"?",
            flags->shown_max, text, near);
    return error_set(error, ERR_USAGE, "unknown argument \"%.*s\"; see %s --help", flags->shown_max,
        text, flags->program);
}

/* The index of the flag of that name, or -1. */
static int find(const struct flags *flags, const char *text, size_t length)
{
    const struct flag *flag;
    for (size_t i = 0; (flag = flag_at(flags, i)) != NULL; i++) {
        if (strlen(flag->name) == length && strncmp(flag->name, text, length) == 0)
            return (int)i;
    }
    return -1;
}

/* Takes the flag at *at with its value, which may be the next word; moves *at behind both. */
static int take_word(const struct flag *flag, char *const **at, void *options, struct error *error)
{
    const char *equals = strchr(*(*at)++, '=');
    if (flag->take == NULL) {
        if (equals != NULL)
            return error_set(error, ERR_USAGE, "%s takes no value", flag->name);
        *(bool *)((char *)options + flag->sets) = true;
        return 0;
    }
    if (equals == NULL && **at == NULL)
        return error_set(error, ERR_USAGE, "%s needs a value", flag->name);
    const char *value = equals != NULL ? equals + 1 : *(*at)++;
    return flag->take(options, (struct flag_word){value, flag->name}, error);
}

int flags_parse(const struct flags *flags, char *const *words, void *options, uint32_t *ret_given,
    struct error *error)
{
    *ret_given = 0;
    while (*words != NULL) {
        const char *text = strcmp(*words, "-h") == 0 ? "--help" : *words;
        int index = find(flags, text, strcspn(text, "="));
        if (index < 0)
            return refuse_unknown(flags, text, error);
        const struct flag *flag = flag_at(flags, (size_t)index);
        int rc = take_word(flag, &words, target_of(flags, flag, options), error);
        if (rc != 0)
            return rc;
        *ret_given |= UINT32_C(1) << index;
    }
    return 0;
}

static int complete(const struct flag *flag, void *options, struct error *error)
{
    const char *value = flag->variable != NULL ? getenv(flag->variable + 1) : NULL;
    if (value != NULL && (value[0] != '\0' || flag->empty_counts)) {
        struct flag_word word = {value, flag->variable};
        return flag->separator != '\0'
                   ? flag_take_each(options, word, flag->separator, flag->take, error)
                   : flag->take(options, word, error);
    }
    return flag->take_default != NULL ? flag->take_default(options, error) : 0;
}

int flags_complete(const struct flags *flags, uint32_t given, void *options, struct error *error)
{
    int rc = 0;
    const struct flag *flag;
    for (size_t i = 0; rc == 0 && (flag = flag_at(flags, i)) != NULL; i++) {
        if ((given >> i & 1) == 0)
            rc = complete(flag, target_of(flags, flag, options), error);
    }
    return rc;
}

static void help_row(const struct flag *flag, struct buffer *out)
{
    char *left =
        flag->value != NULL ? xasprintf("%s %s", flag->name, flag->value) : xstrdup(flag->name);
    const char *line = flag->help;
    size_t length = strcspn(line, "\n");
    buffer_printf(out, "  %-17s %.*s\n", left, (int)length, line);
    while (line[length] != '\0') {
        line += length + 1;
        length = strcspn(line, "\n");
        buffer_printf(out, "%20s%.*s\n", "", (int)length, line);
    }
    free(left);
}

void flags_help(const struct flags *flags, struct buffer *out)
{
    const struct flag *flag;
    for (size_t i = 0; (flag = flag_at(flags, i)) != NULL; i++) {
        if (flag->help != NULL)
            help_row(flag, out);
    }
}

int flag_refuse(void *options, struct flag_word word, struct error *error)
{
    (void)options;
    return error_set(error, ERR_UNSUPPORTED, "%s is not supported in this version", word.source);
}

static char *absolute(const char *path)
{
    char here[4096];
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    if (path[0] == '/' || getcwd(here, sizeof here) == NULL)
        return xstrndup(path, length);
    return xasprintf("%s/%.*s", strcmp(here, "/") == 0 ? "" : here, (int)length, path);
}

int flag_take_folder(struct flag_word word, const char *what, char **folder, struct error *error)
{
    if (word.value[0] == '\0')
        return error_set(error, ERR_USAGE, "%s is empty; it names %s", word.source, what);
    free(*folder);
    *folder = absolute(word.value);
    return 0;
}

int flag_take_each(
    void *options, struct flag_word word, char separator, flag_take_fn take, struct error *error)
{
    int rc = 0;
    const char *at = word.value;
    while (rc == 0 && *at != '\0') {
        size_t length = (size_t)(strchrnul(at, separator) - at);
        char *part = xstrndup(at, length);
        if (length > 0 || separator != ':')
            rc = take(options, (struct flag_word){part, word.source}, error);
        free(part);
        at += length + (at[length] == separator);
    }
    return rc;
}

int flag_wrong(struct flag_word word, struct error *error)
{
    (void)error_prefix(error, "%s", word.source);
    if (error != NULL)
        error->code = ERR_USAGE;
    return ERR_USAGE;
}

void flag_print(struct buffer *out, const char *name, struct flag_word word)
{
    buffer_printf(out, "%s = %s  (from %s)\n", name, word.value, word.source);
}

void flags_print_common(struct buffer *out, const struct flags_common *common)
{
    flag_print(out, "log-level",
        (struct flag_word){level_words[common->log_level], common->log_level_source});
}
