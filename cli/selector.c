#include "cli/selector.h"

#include "common/slice.h"

#include <stdio.h>
#include <string.h>

static bool is_name(struct slice text)
{
    if (text.length == 0 || text.length > NAME_MAX_BYTES || text.ptr[0] == '-')
        return false;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.ptr[i];
        bool word = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '-';
        if (!word)
            return false;
    }
    return true;
}

static bool is_number(struct slice text)
{
    if (text.length == 0 || text.length > 18)
        return false;
    for (size_t i = 0; i < text.length; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
    }
    return true;
}

/* Cuts `text` at the first `separator`; false when there is none (then *ret_rest is empty). */
static bool cut(struct slice *text, char separator, struct slice *ret_rest)
{
    const char *at = text->length > 0 ? memchr(text->ptr, separator, text->length) : NULL;
    *ret_rest = slice_make(NULL, 0);
    if (at == NULL)
        return false;
    size_t before = (size_t)(at - text->ptr);
    *ret_rest = slice_make(at + 1, text->length - before - 1);
    text->length = before;
    return true;
}

static int wrong(const char *text, const char *what, struct error *error)
{
    return error_set(error, ERR_USAGE,
        "\"%s\": %s; a run is salaries/17, a task salaries/17/load, an attempt salaries/17/load@2",
        text, what);
}

static int read_attempt(const char *text, struct slice attempt, unsigned uses,
    struct selector *selector, struct error *error)
{
    if ((uses & SELECTOR_ATTEMPTS) == 0)
        return wrong(text, "no attempt can be named here", error);
    if (slice_is(attempt, "all")) {
        selector->all = true;
        return 0;
    }
    if (!is_number(attempt) || attempt.length > 9)
        return wrong(text, "after @ comes an attempt's number or `all`", error);
    for (size_t i = 0; i < attempt.length; i++)
        selector->attempt = selector->attempt * 10 + (uint32_t)(attempt.ptr[i] - '0');
    if (selector->attempt == 0)
        return wrong(text, "attempts count from 1", error);
    return 0;
}

static int read_task(const char *text, struct slice task, unsigned uses, struct selector *selector,
    struct error *error)
{
    struct slice rest;
    if ((uses & SELECTOR_TASKS) == 0)
        return wrong(text, "no task can be named here", error);
    bool has_attempt = cut(&task, '@', &rest);
    if (has_attempt) {
        int rc = read_attempt(text, rest, uses, selector, error);
        if (rc != 0)
            return rc;
    }
    if (cut(&task, ':', &rest))
        return error_set(
            error, ERR_REFUSED, "\"%s\": mapped tasks are not supported in this version", text);
    if (!is_name(task))
        return wrong(text, "the task is not a name", error);
    memcpy(selector->task, task.ptr, task.length);
    return 0;
}

int selector_parse(
    const char *text, unsigned uses, struct selector *ret_selector, struct error *error)
{
    struct selector selector = {0};
    struct slice dag = slice_of(text), rest, number = {0};
    bool more = cut(&dag, '/', &rest);
    if (!more && memchr(text, '@', dag.length) != NULL)
        return wrong(text, "only a task has attempts", error);
    if (!is_name(dag))
        return wrong(text, "this is no run", error);
    struct slice after = {0};
    struct slice head = rest;
    bool tail = cut(&head, '/', &after);
    if (more && is_number(head)) {
        selector.numbered = true;
        number = head;
        more = tail;
        rest = after;
    }
    if (more) {
        int rc = read_task(text, rest, uses, &selector, error);
        if (rc != 0)
            return rc;
    }
    if (!selector.numbered && (uses & SELECTOR_CHANGES) != 0)
        return error_set(error, ERR_USAGE,
            "\"%s\": what changes something needs the run's number, as in %.*s/17 (`reeve runs` "
            "lists them)",
            text, SLICE_PRINT(slice_is(dag, "last") ? slice_of("DAG") : dag));
    (void)snprintf(selector.run, sizeof selector.run, "%.*s%s%.*s", SLICE_PRINT(dag),
        selector.numbered ? "/" : "", SLICE_PRINT(number));
    *ret_selector = selector;
    return 0;
}
