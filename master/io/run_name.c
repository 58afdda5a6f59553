#include "master/io/run_name.h"

#include "common/limits.h"

static bool is_name(struct slice text)
{
    if (text.length == 0 || text.length > NAME_MAX_BYTES || text.ptr[0] == '-')
        return false;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '_' && c != '-')
            return false;
    }
    return true;
}

/* 0 for what is no number from 1, or too large. */
static uint32_t read_number(struct slice text)
{
    uint64_t number = 0;
    if (text.length == 0 || text.length > 10 || text.ptr[0] == '0')
        return 0;
    for (size_t i = 0; i < text.length; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return 0;
        number = number * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    return number <= UINT32_MAX ? (uint32_t)number : 0;
}

int run_name_parse(struct slice text, struct run_name *ret_name, struct error *error)
{
    const char *slash = text.length > 0 ? memchr(text.ptr, '/', text.length) : NULL;
    size_t length = slash != NULL ? (size_t)(slash - text.ptr) : text.length;
    struct run_name name = {.dag = slice_make(text.ptr, length)};
    if (slash == NULL && slice_is(text, "last")) {
        *ret_name = (struct run_name){0};
        return 0;
    }
    if (slash != NULL)
        name.number = read_number(slice_make(slash + 1, text.length - length - 1));
    if (!is_name(name.dag) || (slash != NULL && name.number == 0))
        return error_set(error, ERR_USAGE,
            "\"%.*s\" names no run; write salaries/17, salaries (its latest) or last",
            SLICE_PRINT(text));
    *ret_name = name;
    return 0;
}

struct slice run_name_text(struct arena *arena, struct slice dag, uint32_t number)
{
    return arena_printf(arena, "%.*s/%u", SLICE_PRINT(dag), number);
}
