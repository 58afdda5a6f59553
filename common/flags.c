#include "common/flags.h"

#include "common/memory.h"
#include "common/suggest.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const level_words[] = {"error", "warn", "info", "debug", NULL};

static int refuse_unknown(const struct flags *flags, const char *text, struct error *error)
{
    const char *names[FLAGS_MAX + 2] = {NULL};
    size_t count = 0;
    if (flags->verb != NULL)
        names[count++] = flags->verb;
    for (const struct flag *flag = flags->rows; flag->name != NULL; flag++)
        names[count++] = flag->name;
    const char *near = suggest(slice_make(text, strcspn(text, "=")), names);
    if (near != NULL)
        return error_set(error, ERR_USAGE, "unknown argument \"%.*s\"; did you mean \"%s\"?",
            flags->shown_max, text, near);
    return error_set(error, ERR_USAGE, "unknown argument \"%.*s\"; see %s --help", flags->shown_max,
        text, flags->program);
}

static const struct flag *find(const struct flags *flags, const char *text, size_t length)
{
    for (const struct flag *flag = flags->rows; flag->name != NULL; flag++) {
        if (strlen(flag->name) == length && strncmp(flag->name, text, length) == 0)
            return flag;
    }
    return NULL;
}

/* Takes the flag at *at with its value, which may be the next word; moves *at behind both. */
static int take(const struct flag *flag, char *const **at, void *options, struct error *error)
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
        const struct flag *flag = find(flags, text, strcspn(text, "="));
        if (flag == NULL)
            return refuse_unknown(flags, text, error);
        int rc = take(flag, &words, options, error);
        if (rc != 0)
            return rc;
        *ret_given |= UINT32_C(1) << (flag - flags->rows);
    }
    return 0;
}

static int complete(const struct flag *flag, void *options, struct error *error)
{
    const char *value = flag->variable != NULL ? getenv(flag->variable + 1) : NULL;
    if (value != NULL && (value[0] != '\0' || flag->empty_counts)) {
        struct flag_word word = {value, flag->variable};
        return flag->take_variable != NULL ? flag->take_variable(options, word, error)
                                           : flag->take(options, word, error);
    }
    return flag->take_default != NULL ? flag->take_default(options, error) : 0;
}

int flags_complete(const struct flags *flags, uint32_t given, void *options, struct error *error)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && flags->rows[i].name != NULL; i++) {
        if ((given >> i & 1) == 0)
            rc = complete(&flags->rows[i], options, error);
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
    for (const struct flag *flag = flags->rows; flag->name != NULL; flag++) {
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

int flag_take_level(
    struct flag_word word, int shown_max, enum log_level *ret_level, struct error *error)
{
    for (int i = 0; level_words[i] != NULL; i++) {
        if (strcmp(word.value, level_words[i]) == 0) {
            *ret_level = (enum log_level)i;
            return 0;
        }
    }
    return error_set(error, ERR_USAGE,
        "%s: unknown level \"%.*s\"; write error, warn, info or debug", word.source, shown_max,
        word.value);
}

const char *flag_level_word(enum log_level level)
{
    return level_words[level];
}

void flag_print(struct buffer *out, const char *name, struct flag_word word)
{
    buffer_printf(out, "%s = %s  (from %s)\n", name, word.value, word.source);
}
