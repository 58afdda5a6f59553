/*
 * Any bytes as what spark-submit prints, cut anywhere, and as a driver's list of stages: every text
 * ends within its bound, is printable in one line, and the cut changes nothing that was found.
 */
#include "operators/spark/progress.h"
#include "operators/spark/scan.h"

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds)
{
    if (!holds)
        abort();
}

static void check_line(const char *text, size_t bytes)
{
    demand(memchr(text, '\0', bytes) != NULL && strchr(text, '\n') == NULL);
}

static void check(const struct scan *scan)
{
    check_line(scan->application, sizeof scan->application);
    check_line(scan->driver, sizeof scan->driver);
    check_line(scan->pod, sizeof scan->pod);
    check_line(scan->ui, sizeof scan->ui);
    check_line(scan->error, sizeof scan->error);
    check_line(scan->last, sizeof scan->last);
    check_line(scan_reason(scan), sizeof scan->error);
}

static void scan_output(struct slice bytes)
{
    struct scan *whole = calloc(1, sizeof *whole), *cut = calloc(1, sizeof *cut);
    demand(whole != NULL && cut != NULL);
    (void)scan_take(whole, bytes);
    check(whole);
    for (size_t from = 0, step = 1; from < bytes.length; from += step, step = step * 3 % 61 + 1) {
        size_t left = bytes.length - from;
        (void)scan_take(cut, slice_make(bytes.ptr + from, left < step ? left : step));
    }
    check(cut);
    demand(strcmp(whole->application, cut->application) == 0);
    demand(strcmp(whole->driver, cut->driver) == 0 && strcmp(whole->pod, cut->pod) == 0);
    demand(strcmp(whole->ui, cut->ui) == 0 && strcmp(whole->error, cut->error) == 0);
    demand(whole->refused == cut->refused && whole->starved == cut->starved);
    free(whole);
    free(cut);
}

static void read_stages(struct slice bytes)
{
    json_t *stages = json_loadb(bytes.ptr, bytes.length, JSON_DECODE_ANY, NULL);
    struct progress progress = progress_of(stages);
    char text[PROGRESS_TEXT_BYTES];
    demand(progress.stages >= 0 && progress.stages_done >= 0 &&
           progress.stages_done <= progress.stages);
    demand(progress.tasks >= 0 && progress.tasks_done >= 0);
    progress_text(&progress, "http://spark.example.com:4040", text);
    check_line(text, sizeof text);
    json_decref(stages);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    scan_output(slice_make(data, size));
    read_stages(slice_make(data, size));
    return 0;
}
