/*
 * stop_point.h - where a program that is being tested ends or stops: stop_points.def.
 *
 * Only a build with REEVE_STOP_POINTS has them; in all others a call is nothing, and the variable
 * is not read. REEVE_STOP_AT=NUMBER[:PASS[:pause]] names the point, which pass through it (from 1,
 * the default), and `pause`: SIGSTOP in the place of SIGKILL. Any thread may call it; between vfork
 * and exec nobody does.
 */
#ifndef COMMON_STOP_POINT_H
#define COMMON_STOP_POINT_H

enum stop_point {
#define STOP_POINT(number, name, program, text) STOP_##name = number,
#include "common/stop_points.def"
#undef STOP_POINT
};

#ifdef REEVE_STOP_POINTS
void stop_here(enum stop_point point);
#else
static inline void stop_here(enum stop_point point)
{
    (void)point;
}
#endif

#endif
