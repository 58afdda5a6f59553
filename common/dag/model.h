/*
 * model.h - a DAG file as it was read: what the reader fills, the checks walk and plan_write.c
 * writes. Internal to common/dag. All of it, and what it points to, lives in the reader's arena
 * (vectors apart, see dag_model_fini).
 */
#ifndef COMMON_DAG_MODEL_H
#define COMMON_DAG_MODEL_H

#include "common/dag/plan.h"
#include "common/dag/yaml.h"

#include <jansson.h>

struct texts {
    const struct slice *items;
    uint32_t count;
};

struct codes {
    const uint32_t *items;
    uint32_t count;
};

struct env_entry {
    struct slice name;
    const struct node *value; /* NULL unsets */
};

struct env_set {
    const struct env_entry *entries;
    uint32_t count;
};

/* What default_args can give. */
struct task_settings {
    struct env_set
        env; /* the task's own: DAG's and default_args' are merged in when the plan is written */
    struct slice queue;
    struct texts labels; /* sorted, each once */
    struct slice run_as; /* or empty: as the worker sees fit */
    struct texts connections;
    uint64_t retry_delay_ms;
    uint64_t max_retry_delay_ms;
    uint64_t execution_timeout_ms; /* 0: none */
    uint64_t kill_grace_ms;
    uint64_t lease_ms; /* 0: none */
    uint64_t log_limit_bytes;
    uint64_t memory_bytes; /* 0: no limit */
    uint32_t cpu_permille; /* 0: no limit; 1500: one and a half processors */
    struct texts artifacts;
    struct codes skip_codes;
    uint32_t retries;
    int32_t priority_weight;
    uint32_t trigger_rule;
    uint32_t on_lost;
    uint32_t max_losses; /* 0: none */
    bool idempotent;
    bool exponential_backoff;
    bool allow_failure;
    /* Where lease and kill_grace were said, for the rule that binds them; 0:0 by default. */
    struct place lease_place, kill_grace_place;
};

/* One name under `needs`. */
struct need {
    const struct node *node;
    uint32_t task; /* index in the file's order; NEED_BROKEN when there is none */
};

#define NEED_BROKEN UINT32_MAX

struct task {
    struct task_settings settings; /* first: FIELDs count from here */
    struct slice name;
    const struct node *key;          /* the name's node */
    const struct node *operator_key; /* the operator's key, NULL until there is one */
    const struct node *text;         /* bash: inline script */
    const struct node *file;         /* bash: `file:` */
    const struct node *arguments;    /* exec's argv, bash's args: a list, or NULL */
    struct slice program;            /* OPERATOR_PROGRAM: its name */
    struct slice document;           /* likewise: its options as JSON */
    const struct node *options;      /* likewise: where they stand, a mapping or text; or NULL */
    const struct node *with_key;     /* `with`, or NULL */
    enum operator_kind kind;
    bool strict;
    bool operator_named;             /* a mistake that was reported stands for the operator */
    uint32_t first_need, need_count; /* in dag->needs */
    uint32_t rank;                   /* its index in the plan */
};

_Static_assert(offsetof(struct task, settings) == 0, "FIELDs count from the task's start");

struct dag {
    struct slice name, description, owner, timezone, schedule, start_date, file;
    struct texts tags, files;
    bool files_given;
    bool catchup;
    bool scheduled;
    uint32_t max_active_runs;  /* 0: none */
    uint32_t max_active_tasks; /* 0: none */
    struct env_set env;
    struct task_settings defaults;
    json_t *params;                 /* owned: name -> schema */
    const struct node *params_node; /* the mapping, or NULL */
    struct task *tasks;             /* owned; in the file's order */
    uint32_t task_count;
    struct need *needs; /* owned */
    size_t need_count, need_capacity;
};

void dag_model_fini(struct dag *dag);

#endif
