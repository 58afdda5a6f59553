/*
 * reader.h - a tree of nodes -> struct dag. Internal to common/dag: reader.c reads the DAG's own
 * keys, task_reader.c tasks and default_args, fields.c the values that go into one field,
 * params_reader.c and schedule.c what they say.
 */
#ifndef COMMON_DAG_READER_H
#define COMMON_DAG_READER_H

#include "common/dag/keys.h"
#include "common/dag/model.h"
#include "common/dag/report.h"

struct reader {
    struct report *report;
    struct arena *arena;
    struct dag *dag;
    struct keys keys;
    bool dag_named; /* the file says a name, or tried to */
};

/* Where keys are being read: for messages, and for what is allowed. */
struct section {
    enum key_scope scope;
    struct slice task; /* SCOPE_TASK: its name */
    /* Reads a KEY_READER key into the target. */
    void (*read)(
        struct reader *reader, const struct key *key, const struct node *name, void *target);
};

/* Reads a whole file's tree into reader->dag; mistakes go to the report. */
void dag_read(struct reader *reader, const struct node *root);

/* Reads each key of a mapping: fields go to where they stand behind `target`, the others to
 * section->read. */
void read_keys(
    struct reader *reader, const struct node *mapping, const struct section *section, void *target);

/* fields.c: puts the value behind `name` into the field that `key` names. */
void field_read(
    struct reader *reader, const struct key *key, const struct node *name, void *target);
/* A text that is no list, no mapping and not nothing; false when it was reported. */
bool read_text(struct reader *reader, const struct node *name, struct slice *ret_text);
/* `NAME must be WANTED, not …`. Silent for what was reported already. */
void report_type(struct reader *reader, const struct node *name, const char *wanted);
/* [A-Za-z0-9_][A-Za-z0-9_-]*, at most NAME_MAX_BYTES; `what` is what has the name. */
int name_check(struct slice name, const char *what, struct error *error);
/* name_check, and reports. */
bool check_name(struct reader *reader, struct place place, struct slice name, const char *what);
/* A path below the DAG's folder: relative, no "..", no template; reports. */
bool check_path(struct reader *reader, const struct node *path, const char *what);

/* A list's items as an array of nodes; one text stands for a list of it, null for an empty one.
 * NULL when it was reported: it must be `wanted`. */
const struct node **field_items(
    struct reader *reader, const struct node *name, const char *wanted, uint32_t *ret_count);

/* placement.c: fields of labels, run_as and connections. */
void read_field_labels(
    struct reader *reader, const struct key *key, const struct node *name, void *field);
void read_field_user(
    struct reader *reader, const struct key *key, const struct node *name, void *field);
void read_field_connections(
    struct reader *reader, const struct key *key, const struct node *name, void *field);

/* task_reader.c */
void read_default_args(struct reader *reader, const struct node *name);
void read_tasks(struct reader *reader, const struct node *name);
void task_settings_init(struct task_settings *settings);
/* operators.c: the value of an operator's key, also of `operator`. */
void read_operator(struct reader *reader, const struct node *name, struct task *task);
/* program_reader.c: of a program of programs.def; of `operator`; of `with`; and when all of the
 * task's keys are read. */
void read_program(struct reader *reader, const struct node *name, struct task *task);
void read_operator_name(struct reader *reader, const struct node *name, struct task *task);
void read_with(struct reader *reader, const struct node *name, struct task *task);
void finish_operator(struct reader *reader, struct task *task);
/* sql_reader.c: the SQL in postgres's options, a text or a mapping; reports. */
void check_sql(struct reader *reader, const struct node *value);
/* params_reader.c */
void read_params(struct reader *reader, const struct node *name);
/* schedule.c */
void read_schedule(struct reader *reader, const struct node *name);
void read_start_date(struct reader *reader, const struct node *name);
void read_catchup(struct reader *reader, const struct node *name);
/* Rules between schedule, start_date, catchup and params, when all are read. */
void check_schedule(struct reader *reader, const struct node *root);

#endif
