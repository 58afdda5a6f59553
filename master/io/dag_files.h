/*
 * dag_files.h - the DAG files of the folders that --dags names: a folder's own *.yaml and *.yml and
 * those one folder below (dags/packages/packages.yaml), hidden ones left out. A file is read again
 * when its time, size or inode changed. Belongs to one thread (the compiler's), because disks may
 * be slow.
 */
#ifndef MASTER_IO_DAG_FILES_H
#define MASTER_IO_DAG_FILES_H

#include "common/arena.h"
#include "common/error.h"
#include "common/table.h"
#include "proto/proto.h"

/* More files are left out, which the log says. */
enum { DAG_FILES_MAX = 10000 };

struct dag_file;

struct dag_files {
    const char *const *folders;
    size_t folder_count;
    struct dag_file **files; /* by DAG's name, then path */
    size_t count, capacity;
    struct names by_path; /* index + 1; made anew by each scan */
    uint64_t scan;
    size_t left_out; /* by the last scan */
};

/* `folders` are borrowed. */
void dag_files_init(struct dag_files *files, const char *const *folders, size_t folder_count);
void dag_files_fini(struct dag_files *files);

/* Looks at the folders and reads what is new. Files that cannot be read, or have mistakes, are
 * listed with them. */
void dag_files_scan(struct dag_files *files);

struct dag_lines {
    struct dag_line *items; /* by name; in the arena, texts too */
    uint32_t count;
};
/* A line a DAG, without last_run and last_state. Two files with one name are one line whose error
 * names both. */
void dag_files_list(
    const struct dag_files *files, struct arena *arena, struct dag_lines *ret_lines);

/*
 * The file of a DAG; borrowed until the next scan. ERR_NOT_FOUND (did you mean …), ERR_INVALID for
 * two files with one name.
 */
int dag_files_find(
    const struct dag_files *files, struct slice dag, const char **ret_path, struct error *error);

#endif
