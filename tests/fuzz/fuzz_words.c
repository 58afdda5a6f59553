/*
 * What people and files write in one line, and small texts that are read whole: the first byte says
 * by which reader. What is taken is written the same again, or stays within its bounds; what is
 * refused has a text that says why.
 */
#include "cli/log_lines.h"
#include "cli/printable.h"
#include "cli/selector.h"
#include "common/dag/civil.h"
#include "common/dag/dates.h"
#include "common/dag/ignore.h"
#include "common/dag/json_text.h"
#include "common/dag/params.h"
#include "common/duration.h"
#include "common/endpoint.h"
#include "common/hex.h"
#include "common/label.h"
#include "common/memory.h"
#include "common/size.h"
#include "common/suggest.h"
#include "master/io/addresses.h"
#include "master/io/run_name.h"
#include "proto/json.h"
#include "worker/io/attempt_name.h"
#include "worker/io/outputs.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds)
{
    if (!holds)
        abort();
}

/* Refused means: by a code, and with a text. */
static bool is_taken(int rc, const struct error *error)
{
    demand(rc == 0 || (rc < 0 && error->text[0] != '\0'));
    return rc == 0;
}

static void read_labels(struct slice text, const char *line)
{
    struct error error = {0};
    (void)line;
    (void)is_taken(label_check(text, &error), &error);
    (void)is_taken(user_name_check(text, &error), &error);
}

static void read_endpoint(struct slice text, const char *line)
{
    struct error error = {0};
    struct endpoint endpoint, again;
    char written[ENDPOINT_TEXT_MAX];
    (void)text;
    if (is_taken(endpoint_parse(line, &endpoint, &error), &error)) {
        endpoint_text(&endpoint, written);
        demand(endpoint_parse(written, &again, NULL) == 0);
        demand(strcmp(endpoint.host, again.host) == 0 && endpoint.port == again.port);
    }
    if (is_taken(address_parse(line, &endpoint, &error), &error))
        demand(endpoint.port > 0 && endpoint.port < UINT16_MAX);
}

static void read_amounts(struct slice text, const char *line)
{
    struct error error = {0};
    uint64_t ms, again, bytes;
    char written[DURATION_TEXT_MAX];
    (void)line;
    if (is_taken(duration_parse(text, &ms, &error), &error)) {
        duration_format(ms, written);
        demand(duration_parse(slice_of(written), &again, NULL) == 0 && again == ms);
        duration_format_short(ms, written);
    }
    if (is_taken(size_parse(text, &bytes, &error), &error))
        demand(bytes <= 1000000000000u);
}

static void read_selector(struct slice text, const char *line)
{
    struct error error = {0};
    struct selector selector;
    unsigned uses = text.length > 0 ? (unsigned char)text.ptr[0] & 7u : 0;
    if (text.length == 0 || !is_taken(selector_parse(line + 1, uses, &selector, &error), &error))
        return;
    demand(selector.run[0] != '\0' && strcspn(selector.run, "/") <= NAME_MAX_BYTES);
    demand(selector.numbered || (uses & SELECTOR_CHANGES) == 0);
    demand(selector.task[0] == '\0' || (uses & SELECTOR_TASKS) != 0);
    demand((!selector.all && selector.attempt == 0) || (uses & SELECTOR_ATTEMPTS) != 0);
}

static void read_run_name(struct slice text, const char *line)
{
    struct error error = {0};
    struct run_name name, again;
    struct arena arena = {0};
    (void)line;
    if (is_taken(run_name_parse(text, &name, &error), &error) && name.number > 0) {
        struct slice written = run_name_text(&arena, name.dag, name.number);
        demand(run_name_parse(written, &again, NULL) == 0 && again.number == name.number);
        demand(slice_equal(again.dag, name.dag));
    }
    arena_fini(&arena);
}

static void read_attempt_name(struct slice text, const char *line)
{
    struct attempt_id id;
    char written[ATTEMPT_NAME_MAX];
    unsigned char bytes[32];
    char digits[HEX_TEXT_SIZE(sizeof bytes)];
    if (attempt_name_parse(line, &id)) {
        attempt_name(&id, written);
        demand(strcmp(written, line) == 0);
    }
    if (hex_decode(text, bytes, sizeof bytes)) {
        hex_encode(bytes, sizeof bytes, digits);
        demand(slice_is(text, digits));
    }
}

static void read_date(struct slice text, const char *line)
{
    static const char *const words[] = {"salaries", "salary", "last", "status", NULL};
    struct error error = {0};
    struct civil_time time;
    int64_t ms;
    (void)line;
    bool sound = civil_parse(text, &time);
    /* Zones are slow to open, and the fuzzer of DAG files tries their names. */
    if (sound && is_taken(dates_parse(text, "Asia/Seoul", &ms, &error), &error))
        json_decref(dates_of_run(ms, "Europe/Berlin"));
    (void)suggest(text, words);
}

/* Patterns, a NUL, a path. */
static void read_patterns(struct slice text, const char *line)
{
    struct ignore_list list = {0};
    size_t length = strlen(line);
    struct slice path = length < text.length
                            ? slice_make(text.ptr + length + 1, text.length - length - 1)
                            : slice_of("a/b.sql");
    ignore_list_add(&list, slice_make(text.ptr, length), 0);
    (void)ignore_list_matches(&list, path, false);
    (void)ignore_list_matches(&list, path, true);
    ignore_list_fini(&list);
}

static void append_pieces(struct slice text, size_t cut, struct buffer *out)
{
    struct printable printable = {0};
    printable_append(&printable, slice_make(text.ptr, cut), out);
    printable_append(&printable, slice_make(text.ptr + cut, text.length - cut), out);
    printable_end(&printable, out);
}

/* No control character but newline and tab reaches a terminal, and where a log was cut into chunks
 * does not show. */
static void read_log(struct slice text, const char *line)
{
    struct buffer whole = {0}, pieces = {0}, shown = {0};
    size_t cut = text.length > 0 ? (unsigned char)text.ptr[0] % text.length : 0;
    (void)line;
    append_pieces(text, 0, &whole);
    append_pieces(text, cut, &pieces);
    demand(slice_equal(buffer_slice(&whole), buffer_slice(&pieces)));
    for (size_t i = 0; i < whole.length; i++)
        demand((unsigned char)whole.data[i] >= ' ' || strchr("\n\t", whole.data[i]) != NULL);
    printable_line(text, &shown);
    demand(printable_cut(buffer_slice(&shown), cut).length <= shown.length);
    buffer_fini(&whole);
    buffer_fini(&pieces);
    buffer_fini(&shown);
}

static void read_log_lines(struct slice text, const char *line)
{
    static const struct log_name name = {"a/1", "t", "t  ", 1};
    unsigned bits = text.length > 0 ? (unsigned char)text.ptr[0] : 0;
    const struct log_style style = {
        .safe = bits & 1, .times = bits & 2, .json = bits & 4, .names = bits & 8};
    struct log_mark marks[] = {{.offset = bits, .at = 1000}, {.offset = bits + 7ul, .at = 2000}};
    struct msg_log_data data = {.data = text, .offset = bits >> 4};
    struct log_lines lines;
    struct buffer out = {0};
    (void)line;
    data.marks.items = marks;
    data.marks.count = 2;
    log_lines_init(&lines, &style, &name);
    log_lines_take(&lines, &data, &out);
    log_lines_end(&lines, &out);
    log_lines_fini(&lines);
    buffer_fini(&out);
}

static void read_outputs(struct slice text, const char *line)
{
    struct error error = {0};
    struct buffer json = {0}, again = {0};
    (void)line;
    if (is_taken(outputs_parse(text, &json, &error), &error) && json.length > 0) {
        demand(outputs_parse(buffer_slice(&json), &again, NULL) == 0);
        demand(slice_equal(buffer_slice(&json), buffer_slice(&again)));
    }
    buffer_fini(&json);
    buffer_fini(&again);
}

/* `-p NAME=TEXT` for a parameter of each type. */
static void read_params(struct slice text, const char *line)
{
    static const char *const types[] = {
        "string", "integer", "number", "boolean", "array", "object"};
    struct error error = {0};
    json_t *given = json_stringn(text.ptr, text.length);
    (void)line;
    for (size_t i = 0; given != NULL && i < sizeof types / sizeof types[0]; i++) {
        json_t *declared = json_pack("{s:{s:s}}", "p", "type", types[i]);
        json_t *values = json_pack("{s:O}", "p", given), *params = NULL;
        if (is_taken(params_resolve(declared, values, false, &params, &error), &error))
            free(params_environment_text(json_object_get(params, "p")));
        json_decref(params);
        json_decref(values);
        json_decref(declared);
    }
    json_decref(given);
}

/* A JSON text of a peer, as it is shown: what is written can be read. */
static void read_json(struct slice text, const char *line)
{
    struct buffer out = {0};
    json_t *json = json_loadb(text.ptr, text.length, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    (void)line;
    if (json != NULL) {
        json_append_compact(json, &out);
        json_t *again = json_loadb(out.data, out.length, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        demand(again != NULL);
        json_decref(again);
    }
    json_decref(json);
    json_decref(text_json(text));
    buffer_fini(&out);
}

static void (*const readers[])(struct slice text, const char *line) = {
    read_labels,
    read_endpoint,
    read_amounts,
    read_selector,
    read_run_name,
    read_attempt_name,
    read_date,
    read_patterns,
    read_log,
    read_log_lines,
    read_outputs,
    read_params,
    read_json,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    /* An allocation of its own: the sanitizer sees any look behind it. */
    char *line = xstrndup((const char *)data + 1, size - 1);
    char *bytes = xmalloc(size);
    memcpy(bytes, data + 1, size - 1);
    readers[data[0] % (sizeof readers / sizeof readers[0])](slice_make(bytes, size - 1), line);
    free(line);
    free(bytes);
    return 0;
}
