/*
 * rows.h - the store of the simulated world, a model: the rows that the master's facts make.
 */
#ifndef SIM_ROWS_H
#define SIM_ROWS_H

#include "common/table.h"
#include "master/core/core.h"

struct rows {
    struct dag_row *dags;
    size_t dag_count, dag_capacity;
    struct worker_row *workers;
    size_t worker_count, worker_capacity;
    struct session_row *sessions;
    size_t session_count, session_capacity;
    struct run_row *runs;
    size_t run_count, run_capacity;
    struct attempt_row *attempts;
    size_t attempt_count, attempt_capacity;
    struct span_row *spans;
    size_t span_count, span_capacity;
    struct note_row *notes;
    size_t note_count, note_capacity;
    struct request_row *requests;
    size_t request_count, request_capacity;
    struct peer_row *peers;
    size_t peer_count, peer_capacity;
    struct token_row *tokens;
    size_t token_count, token_capacity;
    struct audit_row *audits; /* by number */
    size_t audit_count, audit_capacity;
    struct arena arena;      /* their texts */
    struct names attempt_at; /* an attempt's id -> its place */
    uint64_t epoch, leader;
    /* Of a restored store that was accepted: see core_config. */
    uint64_t restored_order;
    uint32_t attempts_from;
    bool restoring;
};
/* The texts stay with `from`, which must live as long. */
void rows_copy(struct rows *to, const struct rows *from);
void rows_apply(struct rows *rows, const struct fact *fact);
uint64_t rows_last_audit(const struct rows *rows);
uint64_t rows_last_order(const struct rows *rows);
void rows_fini(struct rows *rows);

#endif
