/*
 * plan.h - a compiled DAG: one flat, immutable, checksummed file of offsets that is mapped
 * read-only and addressed by its hash. The compiler (compile.h) makes it, the master's core walks
 * it.
 *
 * Layout: struct plan_header, then sections at 8-byte aligned offsets. Numbers are little-endian
 * (only little-endian hosts are supported, by static_assert). Strings live in one pool: a string is
 * the offset of a u32 length followed by the bytes and a NUL; offset 0 is "absent". Lists are
 * (offset, count) of u32. plan_open checks every offset, count and cross reference once, so that
 * nothing after it needs to; a truncated, flipped or foreign file is ERR_CORRUPT, a later version
 * ERR_VERSION.
 *
 * Task indices follow the byte order of task names: the same set of names always has the same
 * indices. `display` keeps the file's order.
 */
#ifndef COMMON_DAG_PLAN_H
#define COMMON_DAG_PLAN_H

#include "common/error.h"
#include "common/slice.h"

#include <stdint.h>

/* Version 1 ends its bodies before `labels`, version 2 before `program`, version 3 before
 * `memory_kib`; they are read as having none. */
enum { PLAN_VERSION = 4 };

/* Ids are append-only: they stand in plan files and messages. */
enum operator_kind {
    OPERATOR_NOOP = 0,
    OPERATOR_BASH = 1,
    OPERATOR_EXEC = 2,
    OPERATOR_PROGRAM = 3, /* reeve-op-NAME: docs/operators.md */
    OPERATOR_COUNT
};

enum trigger_rule {
    TRIGGER_ALL_SUCCESS = 0,
    TRIGGER_ALL_FAILED = 1,
    TRIGGER_ALL_DONE = 2,
    TRIGGER_ALL_DONE_MIN_ONE_SUCCESS = 3,
    TRIGGER_ALL_SKIPPED = 4,
    TRIGGER_ONE_FAILED = 5,
    TRIGGER_ONE_SUCCESS = 6,
    TRIGGER_ONE_DONE = 7,
    TRIGGER_NONE_FAILED = 8,
    TRIGGER_NONE_FAILED_MIN_ONE_SUCCESS = 9,
    TRIGGER_NONE_SKIPPED = 10,
    TRIGGER_ALWAYS = 11,
    TRIGGER_COUNT
};

enum plan_task_flag {
    PLAN_TASK_ALLOW_FAILURE = 1 << 0,
    PLAN_TASK_EXPONENTIAL_BACKOFF = 1 << 1,
    PLAN_TASK_IDEMPOTENT = 1 << 2, /* a second attempt may run beside a silent one */
};

/* When its worker is lost: start it again, fail, or wait for a person. */
enum on_lost { ON_LOST_RERUN = 0, ON_LOST_FAIL = 1, ON_LOST_HOLD = 2 };

enum { PLAN_MAX_LOSSES = 255 };

struct plan_list {
    uint32_t offset; /* of `count` u32; 0 when count is 0 */
    uint32_t count;
};

/* What a task runs; interned: equal bodies are stored once. All texts may hold templates where
 * INTERFACE allows. */
struct plan_body {
    uint32_t text; /* string: bash's inline script, a program's options as JSON, or absent */
    uint32_t file; /* string: bash's `file:`, a path in the bundle, or absent */
    struct plan_list arguments; /* strings: exec's argv; bash's `args` */
    struct plan_list env; /* pairs (name, value): DAG's and task's env merged; value 0 unsets */
    struct plan_list artifacts;  /* strings: names and globs below the working directory */
    struct plan_list skip_codes; /* exit codes 1..255 that mean skipped */
    uint32_t strict;             /* bash: 1 runs as `bash -eo pipefail` */
    uint32_t run_as;             /* string: the user that it asks for, or absent */
    struct plan_list labels;     /* strings, sorted; from version 2: read it by plan_labels */
    uint32_t program; /* string: an operator program's name; from version 3: plan_program */
    struct plan_list
        connections;       /* strings: ids, in the file's order; likewise: plan_connections */
    uint32_t memory_kib;   /* its limit, 0: none; from version 4: plan_limits */
    uint32_t cpu_permille; /* likewise */
};

struct plan_task {
    uint32_t name;        /* string */
    uint32_t queue;       /* string */
    uint32_t body;        /* offset of a struct plan_body */
    uint8_t kind;         /* enum operator_kind */
    uint8_t trigger_rule; /* enum trigger_rule */
    uint8_t on_lost;      /* enum on_lost */
    uint8_t flags;        /* enum plan_task_flag */
    int32_t priority_weight;
    uint32_t retries;
    uint32_t max_losses;     /* 1..PLAN_MAX_LOSSES; 0: none */
    uint32_t artifact_needs; /* how many of its ancestors leave artifacts; 0: no view is made */
    uint64_t retry_delay_ms;
    uint64_t max_retry_delay_ms;
    uint64_t execution_timeout_ms; /* 0: none */
    uint64_t kill_grace_ms;
    uint64_t lease_ms; /* 0: none */
    uint64_t log_limit_bytes;
};

_Static_assert(sizeof(struct plan_task) == 80, "plan_task is on disk");
_Static_assert(sizeof(struct plan_body) == 76, "plan_body is on disk");

struct plan_header {
    char magic[8];    /* "REEVPLAN" */
    uint32_t version; /* PLAN_VERSION */
    uint32_t task_count;
    uint64_t size;        /* of the whole file */
    uint8_t checksum[32]; /* BLAKE2b-256 of all after this field: plan_checksum */
    uint32_t edge_count;
    uint32_t max_active_runs;  /* 0: no limit */
    uint32_t max_active_tasks; /* 0: no limit */
    uint32_t flags;            /* enum plan_flag */
    uint32_t name, description, owner, timezone,
        schedule;    /* strings; description, owner, schedule may be absent */
    uint32_t file;   /* string: the DAG file's name in its folder */
    uint32_t params; /* string: the declarations, a JSON object name -> schema; "{}" when none */
    uint32_t source; /* string: the DAG file's text, or absent when over 1 MiB */
    struct plan_list tags;
    uint32_t tasks;              /* offset: task_count struct plan_task */
    uint32_t successor_starts;   /* offset: task_count + 1 u32 */
    uint32_t successors;         /* offset: edge_count u32, ascending for each task */
    uint32_t predecessor_starts; /* likewise */
    uint32_t predecessors;
    uint32_t display; /* offset: task_count u32, task indices in the file's order */
    struct plan_list
        files; /* strings: `files`, what travels with a run; empty: see PLAN_FILES_IN_FOLDER */
    uint32_t start_date; /* string as written, or absent */
    uint32_t reserved;
};

_Static_assert(sizeof(struct plan_header) == 152, "plan_header is on disk");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a plan's numbers are little-endian");

enum plan_flag {
    /* The bundle may hold more than the YAML: attempts get a copy of it. Clear only for `files:
       []`: the compiler reads no folder, so the bundle's own count decides the rest. */
    PLAN_FILES_IN_FOLDER = 1 << 0,
    PLAN_MANUAL_DATES = 1 << 1, /* reserved */
    PLAN_CATCHUP = 1 << 2,      /* `catchup: true`; nothing acts on it in this version */
};

/* A validated view of plan bytes; borrows them. */
struct plan {
    const unsigned char *bytes;
    const struct plan_header *header;
    const struct plan_task *tasks;
    const uint32_t *successor_starts, *successors;
    const uint32_t *predecessor_starts, *predecessors;
    const uint32_t *display;
};

enum { PLAN_HASH_BYTES = 32 };

/* Checks all of `bytes` (8-byte aligned, alive as long as the plan) and fills *ret_plan. */
int plan_open(struct slice bytes, struct plan *ret_plan, struct error *error);

/* What the header's checksum is to be; from version 3 it covers the version too. */
void plan_checksum(struct slice bytes, uint32_t version, unsigned char ret_hash[PLAN_HASH_BYTES]);

/* BLAKE2b-256 of the whole file: its address. */
void plan_hash(struct slice bytes, unsigned char ret_hash[PLAN_HASH_BYTES]);

/* A string of the pool, NUL-terminated; the empty slice (ptr NULL) for 0. */
struct slice plan_string(const struct plan *plan, uint32_t offset);
/* The items of a list. */
const uint32_t *plan_items(const struct plan *plan, struct plan_list list);
const struct plan_body *plan_body(const struct plan *plan, uint32_t task);
/* What its worker must have: strings, in byte order, each once. */
struct plan_list plan_labels(const struct plan *plan, uint32_t task);
/* The operator program that it runs, or the empty slice. */
struct slice plan_program(const struct plan *plan, uint32_t task);
/* The connections that it is given: strings, each once. */
struct plan_list plan_connections(const struct plan *plan, uint32_t task);
/* What all of its processes together may use; 0: no limit. */
struct plan_limits {
    uint64_t memory_bytes;
    uint32_t cpu_permille;
};
struct plan_limits plan_limits(const struct plan *plan, uint32_t task);
/* The index of a task's name by binary search, or -1. */
int64_t plan_find_task(const struct plan *plan, struct slice name);

static inline uint32_t plan_task_count(const struct plan *plan)
{
    return plan->header->task_count;
}

/* The words of the DAG file: "all_success", "rerun". "?" for a number out of range. */
const char *trigger_rule_name(int rule);
const char *on_lost_name(int on_lost);

#endif
