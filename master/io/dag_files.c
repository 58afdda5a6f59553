#include "master/io/dag_files.h"

#include "common/dag/compile.h"
#include "common/dag/plan.h"
#include "common/file.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/suggest.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

/* What a list shows of a text; the whole is in the file. */
enum { SHOWN_TEXT_MAX = 300, SUGGEST_NAMES_MAX = 1000 };

struct dag_file {
    char *path;
    struct timespec changed_at;
    off_t size;
    ino_t inode;
    dev_t device;
    uint64_t scan; /* that saw it last */
    bool is_dag;
    struct arena arena; /* of the line */
    struct dag_line line;
};

void dag_files_init(struct dag_files *files, const char *const *folders, size_t folder_count)
{
    *files = (struct dag_files){.folders = folders, .folder_count = folder_count};
}

static void file_free(struct dag_file *file)
{
    arena_fini(&file->arena);
    free(file->path);
    free(file);
}

void dag_files_fini(struct dag_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        file_free(files->files[i]);
    free(files->files);
    names_fini(&files->by_path);
    *files = (struct dag_files){0};
}

static bool has_suffix(const char *name, const char *suffix)
{
    size_t length = strlen(name), end = strlen(suffix);
    return length > end && strcmp(name + length - end, suffix) == 0;
}

static bool is_yaml(const char *name)
{
    return name[0] != '.' && (has_suffix(name, ".yaml") || has_suffix(name, ".yml"));
}

/* At most so many bytes, not cutting a character of UTF-8. */
static struct slice shown(struct arena *arena, struct slice text)
{
    size_t length = text.length;
    if (length > SHOWN_TEXT_MAX) {
        length = SHOWN_TEXT_MAX;
        while (length > 0 && ((unsigned char)text.ptr[length] & 0xc0) == 0x80)
            length--;
    }
    return arena_copy(arena, slice_make(text.ptr, length));
}

/* The name that a DAG has when its file does not say one: the file's, without its ending. */
static struct slice default_name(const char *path)
{
    const char *name = strrchr(path, '/');
    name = name != NULL ? name + 1 : path;
    return slice_make(name, (size_t)(strrchr(name, '.') - name));
}

static void set_broken(struct dag_file *file, struct slice why)
{
    file->line.dag = arena_copy(&file->arena, default_name(file->path));
    file->line.error = shown(&file->arena, why);
}

static void set_mistake(struct dag_file *file, const struct diagnostics *diagnostics)
{
    for (size_t i = 0; i < diagnostics->count; i++) {
        const struct diagnostic *mistake = &diagnostics->items[i];
        if (mistake->severity != SEVERITY_ERROR)
            continue;
        struct slice text = arena_printf(&file->arena, "%s:%u:%u: %s", file->path, mistake->line,
            mistake->column, mistake->message);
        set_broken(file, text);
        return;
    }
    set_broken(file, slice_of("it has mistakes"));
}

static void set_from_plan(struct dag_file *file, struct slice bytes)
{
    struct plan plan;
    struct error error = {0};
    if (plan_open(bytes, &plan, &error) != 0) {
        set_broken(file, slice_of(error.text));
        return;
    }
    struct dag_line *line = &file->line;
    line->dag = arena_copy(&file->arena, plan_string(&plan, plan.header->name));
    line->description = shown(&file->arena, plan_string(&plan, plan.header->description));
    line->owner = shown(&file->arena, plan_string(&plan, plan.header->owner));
    line->schedule = shown(&file->arena, plan_string(&plan, plan.header->schedule));
    line->task_count = plan_task_count(&plan);
    const uint32_t *tags = plan_items(&plan, plan.header->tags);
    line->tags.count = plan.header->tags.count < 1000 ? plan.header->tags.count : 1000;
    line->tags.items = arena_alloc(&file->arena, line->tags.count * sizeof(struct slice) + 1);
    for (uint32_t i = 0; i < line->tags.count; i++)
        line->tags.items[i] = shown(&file->arena, plan_string(&plan, tags[i]));
}

static void read_dag(struct dag_file *file)
{
    struct buffer text = {0}, plan = {0};
    struct diagnostics diagnostics = {0};
    struct error error = {0};
    arena_reset(&file->arena);
    file->line = (struct dag_line){.file = slice_of(file->path)};
    file->is_dag = true;
    if (file_read(file->path, DAG_FILE_MAX_BYTES, &text, &error) != 0)
        set_broken(file, slice_of(error.text));
    else if (!dag_is_dag(buffer_slice(&text)))
        file->is_dag = false;
    else if (dag_compile(buffer_slice(&text), file->path, &plan, &diagnostics) != 0)
        set_mistake(file, &diagnostics);
    else
        set_from_plan(file, buffer_slice(&plan));
    diagnostics_fini(&diagnostics);
    buffer_fini(&plan);
    buffer_fini(&text);
}

static bool is_unchanged(const struct dag_file *file, const struct stat *status)
{
    return file->changed_at.tv_sec == status->st_mtim.tv_sec &&
           file->changed_at.tv_nsec == status->st_mtim.tv_nsec && file->size == status->st_size &&
           file->inode == status->st_ino && file->device == status->st_dev;
}

static void see_file(struct dag_files *files, const char *path, const struct stat *status)
{
    uint64_t index;
    struct dag_file *file;
    if (names_get(&files->by_path, slice_of(path), &index)) {
        file = files->files[index];
    } else if (files->count < DAG_FILES_MAX) {
        file = xcalloc(1, sizeof *file);
        file->path = xstrdup(path);
        file->size = -1;
        names_set(&files->by_path, slice_of(path), files->count);
        vector_reserve(&files->files, files->count, &files->capacity);
        files->files[files->count++] = file;
    } else {
        files->left_out++;
        return;
    }
    file->scan = files->scan;
    if (is_unchanged(file, status))
        return;
    file->changed_at = status->st_mtim;
    file->size = status->st_size;
    file->inode = status->st_ino;
    file->device = status->st_dev;
    read_dag(file);
}

static void scan_folder(struct dag_files *files, const char *folder, int depth)
{
    DIR *stream = opendir(folder);
    if (stream == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        struct stat status;
        if (entry->d_name[0] == '.' || fstatat(dirfd(stream), entry->d_name, &status, 0) != 0)
            continue;
        char *path = xasprintf("%s/%s", folder, entry->d_name);
        if (S_ISREG(status.st_mode) && is_yaml(entry->d_name))
            see_file(files, path, &status);
        else if (S_ISDIR(status.st_mode) && depth > 0)
            scan_folder(files, path, depth - 1);
        free(path);
    }
    (void)closedir(stream);
}

/* A folder that cannot be read is listed as a broken file of its name. */
static void check_folder(struct dag_files *files, const char *folder)
{
    DIR *stream = opendir(folder);
    if (stream != NULL) {
        (void)closedir(stream);
        return;
    }
    struct error error = {0};
    (void)error_set_errno(&error, ERR_IO, errno, "%s: cannot be read", folder);
    struct dag_file *file = xcalloc(1, sizeof *file);
    file->path = xstrdup(folder);
    file->scan = files->scan;
    file->is_dag = true;
    file->size = -1;
    const char *name = strrchr(folder, '/');
    file->line.file = slice_of(file->path);
    file->line.dag = arena_copy(&file->arena, slice_of(name != NULL ? name + 1 : folder));
    file->line.error = shown(&file->arena, slice_of(error.text));
    vector_reserve(&files->files, files->count, &files->capacity);
    files->files[files->count++] = file;
}

static void drop_unseen(struct dag_files *files)
{
    size_t kept = 0;
    for (size_t i = 0; i < files->count; i++) {
        if (files->files[i]->scan == files->scan)
            files->files[kept++] = files->files[i];
        else
            file_free(files->files[i]);
    }
    files->count = kept;
}

static int by_name(const void *a, const void *b)
{
    const struct dag_file *one = *(struct dag_file *const *)a;
    const struct dag_file *two = *(struct dag_file *const *)b;
    int order = slice_compare(one->line.dag, two->line.dag);
    return order != 0 ? order : strcmp(one->path, two->path);
}

void dag_files_scan(struct dag_files *files)
{
    files->scan++;
    files->left_out = 0;
    for (size_t i = 0; i < files->folder_count; i++)
        scan_folder(files, files->folders[i], 1);
    /* Folders that fail are listed anew each time. */
    drop_unseen(files);
    for (size_t i = 0; i < files->folder_count; i++)
        check_folder(files, files->folders[i]);
    if (files->count > 1)
        qsort(files->files, files->count, sizeof(struct dag_file *), by_name);
    names_fini(&files->by_path);
    files->by_path = (struct names){0};
    for (size_t i = 0; i < files->count; i++)
        names_set(&files->by_path, slice_of(files->files[i]->path), i);
    if (files->left_out > 0)
        log_warn("%zu DAG files are left out: at most %d are read", files->left_out, DAG_FILES_MAX);
}

static struct slice two_files_text(
    struct arena *arena, const struct dag_file *one, const struct dag_file *two)
{
    return arena_printf(arena, "two files have the DAG \"%.*s\": %s and %s; rename one of them",
        SLICE_PRINT(one->line.dag), one->path, two->path);
}

static struct dag_line copy_line(struct arena *arena, const struct dag_line *line)
{
    struct dag_line copy = {
        .dag = arena_copy(arena, line->dag),
        .file = arena_copy(arena, line->file),
        .description = arena_copy(arena, line->description),
        .owner = arena_copy(arena, line->owner),
        .schedule = arena_copy(arena, line->schedule),
        .error = arena_copy(arena, line->error),
        .task_count = line->task_count,
        .tags.count = line->tags.count,
    };
    copy.tags.items = arena_alloc(arena, line->tags.count * sizeof(struct slice) + 1);
    for (uint32_t i = 0; i < line->tags.count; i++)
        copy.tags.items[i] = arena_copy(arena, line->tags.items[i]);
    return copy;
}

void dag_files_list(const struct dag_files *files, struct arena *arena, struct dag_lines *ret_lines)
{
    struct dag_lines lines = {
        .items = arena_alloc(arena, files->count * sizeof(struct dag_line) + 1)};
    const struct dag_file *before = NULL;
    for (size_t i = 0; i < files->count; i++) {
        const struct dag_file *file = files->files[i];
        if (!file->is_dag)
            continue;
        if (before != NULL && slice_equal(before->line.dag, file->line.dag)) {
            lines.items[lines.count - 1].error = two_files_text(arena, before, file);
            continue;
        }
        lines.items[lines.count++] = copy_line(arena, &file->line);
        before = file;
    }
    *ret_lines = lines;
}

static int not_found(const struct dag_files *files, struct slice dag, struct error *error)
{
    const char *names[SUGGEST_NAMES_MAX + 1];
    size_t count = 0;
    for (size_t i = 0; i < files->count && count < SUGGEST_NAMES_MAX; i++) {
        if (files->files[i]->is_dag)
            names[count++] = files->files[i]->line.dag.ptr;
    }
    names[count] = NULL;
    const char *near = suggest(dag, names);
    if (near != NULL)
        return error_set(error, ERR_NOT_FOUND,
            "this master has no DAG \"%.*s\"; did you mean \"%s\"?", SLICE_PRINT(dag), near);
    if (files->folder_count == 0)
        return error_set(error, ERR_NOT_FOUND,
            "this master has no DAG \"%.*s\": it was started without --dags; submit a file, or "
            "start reeve-master with --dags DIR",
            SLICE_PRINT(dag));
    return error_set(error, ERR_NOT_FOUND,
        "this master has no DAG \"%.*s\"; `reeve dags` shows those it has", SLICE_PRINT(dag));
}

int dag_files_find(
    const struct dag_files *files, struct slice dag, const char **ret_path, struct error *error)
{
    const struct dag_file *found = NULL;
    for (size_t i = 0; i < files->count; i++) {
        const struct dag_file *file = files->files[i];
        if (!file->is_dag || !slice_equal(file->line.dag, dag))
            continue;
        if (found != NULL)
            return error_set(error, ERR_INVALID,
                "two files have the DAG \"%.*s\": %s and %s; rename one of them", SLICE_PRINT(dag),
                found->path, file->path);
        found = file;
    }
    if (found == NULL)
        return not_found(files, dag, error);
    *ret_path = found->path;
    return 0;
}
