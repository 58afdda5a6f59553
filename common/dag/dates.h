/*
 * dates.h - a run's dates in its DAG's zone. Zones come from ICU, never from TZ. Not used by the
 * cores: the texts made here go with the run.
 */
#ifndef COMMON_DAG_DATES_H
#define COMMON_DAG_DATES_H

#include "common/error.h"
#include "common/slice.h"

#include <jansson.h>
#include <stdint.h>

/* ERR_INVALID for a name that is not an IANA zone, with did-you-mean. */
int dates_check_zone(struct slice zone, struct error *error);

/* `2026-11-21`, `2026-11-21T03:00[:00]`, with an optional Z or ±hh:mm; else in `zone`. Milliseconds
 * since 1970 UTC. */
int dates_parse(struct slice text, const char *zone, int64_t *ret_ms, struct error *error);

/*
 * The template values of a run that has no schedule (data_interval_start = data_interval_end =
 * logical_date): a new object with ds, ds_nodash, ts, ts_nodash, logical_date, data_interval_start,
 * data_interval_end, all strings.
 */
json_t *dates_of_run(int64_t logical_date_ms, const char *zone);

#endif
