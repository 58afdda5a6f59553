#include "cli/params.h"

#include "common/file.h"
#include "common/memory.h"

#include <stdlib.h>

enum { PARAM_FILE_MAX_BYTES = 4 * 1024 * 1024 };

static int read_value(
    const char *word, size_t name_length, char **ret_owned, size_t *ret_length, struct error *error)
{
    struct buffer text = {0};
    buffer_append(&text, word, name_length + 1);
    const char *path = word + name_length + 2;
    int rc = file_read(path, PARAM_FILE_MAX_BYTES, &text, error);
    if (rc != 0) {
        buffer_fini(&text);
        (void)error_prefix(error, "-p %.*s", (int)name_length, word);
        return rc;
    }
    if (text.length > name_length + 1 && text.data[text.length - 1] == '\n')
        text.length--;
    *ret_owned = text.data;
    *ret_length = text.length;
    return 0;
}

static bool is_repeated(const struct params *params, const char *word, size_t name_length)
{
    for (uint32_t i = 0; i < params->texts.count; i++) {
        struct slice other = params->texts.items[i];
        if (other.length > name_length && memcmp(other.ptr, word, name_length + 1) == 0)
            return true;
    }
    return false;
}

int params_read(const struct option_value *option, struct params *params, struct error *error)
{
    params->texts.items = xcalloc(option->count + 1, sizeof *params->texts.items);
    params->owned = xcalloc(option->count + 1, sizeof *params->owned);
    for (size_t i = 0; i < option->count; i++) {
        const char *word = option->texts[i];
        size_t name_length = strcspn(word, "=");
        if (name_length == 0 || word[name_length] == '\0')
            return error_set(error, ERR_USAGE, "-p %s: write -p name=value or -p name=@FILE", word);
        if (is_repeated(params, word, name_length))
            return error_set(error, ERR_USAGE, "-p %s: this param is given twice", word);
        struct slice text = slice_of(word);
        if (word[name_length + 1] == '@') {
            int rc = read_value(word, name_length, &params->owned[i], &text.length, error);
            if (rc != 0)
                return rc;
            text.ptr = params->owned[i];
        }
        params->texts.items[params->texts.count++] = text;
    }
    return 0;
}

void params_fini(struct params *params)
{
    for (uint32_t i = 0; params->owned != NULL && i < params->texts.count; i++)
        free(params->owned[i]);
    free(params->owned);
    free(params->texts.items);
    *params = (struct params){0};
}
