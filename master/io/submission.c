#include "master/io/submission.h"

#include "common/dag/compile.h"
#include "common/dag/dates.h"
#include "common/file.h"
#include "common/limits.h"
#include "common/manifest.h"
#include "master/io/run_params.h"
#include "master/io/sent_bundle.h"
#include "master/store/bundle.h"

#include <malloc.h>
#include <stdlib.h>

enum { TRIM_BYTES = 4 * 1024 * 1024 };

static void fail(struct submission *submission, const struct error *error)
{
    submission->code = error->code;
    buffer_append_text(&submission->why, error->text);
}

static int fail_with_mistakes(
    struct submission *submission, const struct diagnostics *diagnostics, const char *path)
{
    submission->code = ERR_INVALID;
    diagnostics_print(diagnostics, path, &submission->why);
    while (submission->why.length > 0 && submission->why.data[submission->why.length - 1] == '\n')
        submission->why.length--;
    return ERR_INVALID;
}

static void keep_warnings(
    struct submission *submission, const struct diagnostics *diagnostics, const char *path)
{
    struct texts *warnings = &submission->warnings;
    warnings->items =
        arena_alloc(&submission->arena, diagnostics->count * sizeof(struct slice) + 1);
    for (size_t i = 0; i < diagnostics->count; i++) {
        const struct diagnostic *warning = &diagnostics->items[i];
        warnings->items[warnings->count++] = arena_printf(&submission->arena,
            "%s:%u:%u: warning: %s", path, warning->line, warning->column, warning->message);
    }
}

static int compile(
    struct submission *submission, struct slice text, struct buffer *plan, struct error *error)
{
    struct diagnostics diagnostics = {0};
    const char *path = submission->path.ptr;
    int rc = 0;
    if (text.length > DAG_FILE_MAX_BYTES)
        return error_set(error, ERR_TOO_BIG, "%s: has %zu bytes, at most %d are read", path,
            text.length, DAG_FILE_MAX_BYTES);
    if (dag_compile(text, path, plan, &diagnostics) != 0)
        rc = fail_with_mistakes(submission, &diagnostics, path);
    else
        keep_warnings(submission, &diagnostics, path);
    diagnostics_fini(&diagnostics);
    return rc;
}

/* The plan's dates and params, as the JSON that goes with the run. */
static int make_context(struct submission *submission, const struct plan *plan, struct error *error)
{
    struct slice zone = plan_string(plan, plan->header->timezone);
    const char *zone_name = zone.ptr != NULL ? zone.ptr : "UTC";
    submission->logical_date = submission->now_wall;
    submission->date_given = submission->date.length > 0;
    if (submission->date_given) {
        int rc = dates_parse(submission->date, zone_name, &submission->logical_date, error);
        if (rc != 0) {
            (void)error_prefix(error, "--date");
            return error->code = ERR_USAGE;
        }
    }
    json_t *params = NULL;
    int rc = run_params_resolve(plan, submission->params, NULL, &params, error);
    if (rc != 0)
        return rc;
    json_t *values = dates_of_run(submission->logical_date, zone_name);
    rc = run_context_write(values, params, &submission->arena, &submission->context, error);
    json_decref(values);
    json_decref(params);
    return rc;
}

/* `files: []`: nothing travels, whatever lies in the folder. */
static int put_empty_manifest(
    struct blob_store *blobs, struct hash *ret_manifest, struct error *error)
{
    struct manifest none = {0};
    struct buffer text = {0};
    manifest_write(&none, &text);
    int rc = blob_put(blobs, buffer_slice(&text), ret_manifest, error);
    buffer_fini(&text);
    return rc;
}

/* The plan's folder is what the client sent; what it says of `files` the client has done. */
static int take_sent(struct submission *submission, struct blob_store *blobs,
    const struct sent_bundle *sent, const struct plan *plan, struct error *error)
{
    struct hash none;
    bool travels = (plan->header->flags & PLAN_FILES_IN_FOLDER) != 0;
    int rc = travels ? 0 : put_empty_manifest(blobs, &none, error);
    if (rc == 0)
        rc = bundle_check(blobs, plan, travels ? &sent->hash : &none, error);
    if (rc == 0 && travels && sent->manifest.count > 1)
        submission->bundle =
            arena_copy(&submission->arena, slice_make(sent->hash.bytes, sizeof sent->hash.bytes));
    return rc;
}

static int snapshot(struct submission *submission, struct blob_store *blobs,
    const struct plan *plan, struct error *error)
{
    struct texts only = {.count = plan->header->files.count};
    const uint32_t *items = plan_items(plan, plan->header->files);
    struct hash manifest;
    uint32_t files = 0;
    int rc;
    only.items = arena_alloc(&submission->arena, only.count * sizeof(struct slice) + 1);
    for (uint32_t i = 0; i < only.count; i++)
        only.items[i] = plan_string(plan, items[i]);
    if ((plan->header->flags & PLAN_FILES_IN_FOLDER) != 0)
        rc = bundle_snapshot(blobs, submission->path.ptr, &only, &manifest, &files, error);
    else
        rc = put_empty_manifest(blobs, &manifest, error);
    if (rc == 0)
        rc = bundle_check(blobs, plan, &manifest, error);
    if (rc == 0 && files > 0)
        submission->bundle =
            arena_copy(&submission->arena, slice_make(manifest.bytes, sizeof manifest.bytes));
    return rc;
}

/* All that the plan decides; its blob comes last, when nothing can be refused any more. */
static int prepare_plan(struct submission *submission, struct blob_store *blobs,
    const struct sent_bundle *sent, const struct buffer *bytes, struct error *error)
{
    struct plan plan;
    struct hash hash;
    int rc = plan_open(buffer_slice(bytes), &plan, error);
    if (rc == 0) {
        submission->dag = arena_copy(&submission->arena, plan_string(&plan, plan.header->name));
        rc = make_context(submission, &plan, error);
    }
    if (rc == 0)
        rc = submission->sent.length > 0 ? take_sent(submission, blobs, sent, &plan, error)
                                         : snapshot(submission, blobs, &plan, error);
    if (rc == 0)
        rc = blob_put(blobs, buffer_slice(bytes), &hash, error);
    if (rc == 0)
        rc = mapped_plan_open(blobs, &hash, &submission->mapped, error);
    return rc;
}

static int read_file(struct submission *submission, struct blob_store *blobs,
    struct sent_bundle *sent, struct buffer *text, struct error *error)
{
    if (submission->sent.length == 0)
        return file_read(submission->path.ptr, DAG_FILE_MAX_BYTES, text, error);
    int rc = sent_bundle_open(blobs, submission->sent, &submission->arena, sent, error);
    return rc == 0 ? sent_bundle_read(blobs, sent, submission->path, text, error) : rc;
}

void submission_prepare(struct submission *submission, struct blob_store *blobs)
{
    struct sent_bundle sent = {0};
    struct buffer text = {0}, plan = {0};
    struct error error = {0};
    submission->path = arena_copy(&submission->arena, submission->path);
    int rc = read_file(submission, blobs, &sent, &text, &error);
    if (rc == 0)
        rc = compile(submission, buffer_slice(&text), &plan, &error);
    bool large = text.length > TRIM_BYTES;
    buffer_fini(&text);
    /* What a compilation needed is many times its file, and the allocator would keep it. */
    if (large)
        (void)malloc_trim(0);
    if (rc == 0)
        rc = prepare_plan(submission, blobs, &sent, &plan, &error);
    /* Mistakes of the file have their lines already. */
    if (rc != 0 && submission->code == 0)
        fail(submission, &error);
    sent_bundle_close(&sent);
    buffer_fini(&plan);
}

void submission_fini(struct submission *submission)
{
    mapped_plan_fini(&submission->mapped);
    arena_fini(&submission->arena);
    buffer_fini(&submission->why);
}
