#include "common/dag/compile.h"

#include "common/dag/checks.h"
#include "common/dag/plan_write.h"
#include "common/dag/reader.h"
#include "common/limits.h"

/* The file without a byte order mark, which editors leave and libyaml does not count in its
 * columns. */
static struct slice without_mark(struct slice text)
{
    if (text.length >= 3 && memcmp(text.ptr, "\xef\xbb\xbf", 3) == 0)
        return slice_make(text.ptr + 3, text.length - 3);
    return text;
}

static bool check_bytes(struct report *report, struct slice text)
{
    if (text.length > DAG_FILE_MAX_BYTES) {
        report_error(report, (struct place){0}, "the file is too big: it has more than %d MiB",
            DAG_FILE_MAX_BYTES / (1024 * 1024));
        return false;
    }
    report->text = text;
    size_t bad = utf8_check(text);
    if (bad < text.length)
        report_error(report, report_place(report, bad), "byte 0x%02x is not UTF-8",
            (unsigned)(unsigned char)text.ptr[bad]);
    return bad == text.length;
}

/* The DAG's default name: the file's, less its ending. */
static void name_by_file(struct reader *reader, const char *file_name)
{
    const char *slash = strrchr(file_name, '/');
    struct slice name = slice_of(slash != NULL ? slash + 1 : file_name);
    reader->dag->file = name;
    if (reader->dag_named)
        return;
    static const char *const endings[] = {".yaml", ".yml"};
    for (size_t i = 0; i < 2; i++) {
        size_t length = strlen(endings[i]);
        if (name.length > length &&
            memcmp(name.ptr + name.length - length, endings[i], length) == 0) {
            name.length -= length;
            break;
        }
    }
    struct error error;
    if (name_check(name, "DAG", &error) != 0)
        report_error(reader->report, (struct place){0},
            "the file's name is not fit for a DAG (%s); write \"dag: NAME\" in it", error.text);
    reader->dag->name = name;
}

/* Reads and checks; true when *dag and *graph can be written as a plan. */
static bool compile_tree(
    struct reader *reader, struct graph *graph, const struct node *root, const char *file_name)
{
    struct dag *dag = reader->dag;
    dag_read(reader, root);
    if (root->kind == NODE_MAPPING)
        name_by_file(reader, file_name);
    if (dag->task_count == 0)
        return false;
    graph_build(graph, dag, reader->report);
    check_templates(dag, graph, reader->report);
    return reader->report->diagnostics->errors == 0;
}

static int compile_text(struct report *report, const char *file_name, struct buffer *plan_bytes)
{
    struct arena arena = {0};
    struct dag dag = {0};
    struct graph graph = {0};
    struct node *root = NULL;
    struct reader reader = {.report = report, .arena = &arena, .dag = &dag};
    keys_init(&reader.keys);
    int result = yaml_read(report, &arena, &root);
    if (result == 0 && !compile_tree(&reader, &graph, root, file_name))
        result = ERR_INVALID;
    if (result == 0 && plan_write(&dag, &graph, report->text, plan_bytes) != 0) {
        report_error(report, (struct place){0}, "the DAG is too big: its plan has more than %u MiB",
            PLAN_MAX_BYTES / (1024 * 1024));
        result = ERR_INVALID;
    }
    graph_fini(&graph);
    dag_model_fini(&dag);
    keys_fini(&reader.keys);
    arena_fini(&arena);
    return result;
}

int dag_compile(struct slice text, const char *file_name, struct buffer *plan_bytes,
    struct diagnostics *diagnostics)
{
    struct report report = {.diagnostics = diagnostics};
    int result = ERR_INVALID;
    if (check_bytes(&report, without_mark(text)))
        result = compile_text(&report, file_name, plan_bytes);
    report_finish(&report);
    report_fini(&report);
    return result;
}

bool dag_is_dag(struct slice text)
{
    return yaml_has_top_key(without_mark(text), "tasks");
}
