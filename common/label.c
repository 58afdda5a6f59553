#include "common/label.h"

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_word(const char *text, size_t length)
{
    if (length == 0 || !(is_letter_or_digit(text[0]) || text[0] == '_'))
        return false;
    for (size_t i = 1; i < length; i++) {
        if (!is_letter_or_digit(text[i]) && (text[i] == '\0' || strchr("_-./:", text[i]) == NULL))
            return false;
    }
    return true;
}

int label_check(struct slice label, struct error *error)
{
    if (label.length > LABEL_MAX_BYTES)
        return error_set(error, ERR_INVALID, "a label has at most %d bytes, this one %zu",
            LABEL_MAX_BYTES, label.length);
    const char *equals = label.length > 0 ? memchr(label.ptr, '=', label.length) : NULL;
    size_t name = equals != NULL ? (size_t)(equals - label.ptr) : label.length;
    if (is_word(label.ptr, name) &&
        (equals == NULL || is_word(equals + 1, label.length - name - 1)))
        return 0;
    return error_set(error, ERR_INVALID,
        "\"%.*s\" cannot be a label: write NAME or NAME=VALUE, of letters, digits and \"_-./:\", a "
        "letter, a digit or \"_\" first",
        SLICE_PRINT(label));
}

static bool is_lower(char c)
{
    return (c >= 'a' && c <= 'z') || c == '_';
}

int user_name_check(struct slice name, struct error *error)
{
    bool sound = name.length > 0 && name.length <= USER_NAME_MAX_BYTES && is_lower(name.ptr[0]);
    for (size_t i = 1; sound && i < name.length; i++) {
        char c = name.ptr[i];
        sound =
            is_lower(c) || (c >= '0' && c <= '9') || c == '-' || (c == '$' && i + 1 == name.length);
    }
    if (sound)
        return 0;
    return error_set(error, ERR_INVALID,
        "\"%.*s\" cannot be a user's name: lower-case letters, digits, \"_\" and \"-\", a letter "
        "or "
        "\"_\" first, at most %d bytes",
        SLICE_PRINT(name), USER_NAME_MAX_BYTES);
}
