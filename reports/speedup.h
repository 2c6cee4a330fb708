/*
 * What may be compared with what, and the two speed-ups (reports/README.md, "Rules").
 *
 * A setting is everything two rows must share before their times say anything about each other: machine,
 * place, threads, class, widths, activation, batch, cache state. Within a setting a problem is a size: an
 * FFF shape together with the dense layers of as many neurons.
 */
#ifndef FFL_REPORTS_SPEEDUP_H
#define FFL_REPORTS_SPEEDUP_H

#include "reports/rows.h"

/* Of neither kind are leaf trees and mixtures of experts: no race has them, section_peers.c does. */
bool ffl_row_is_fff(const ffl_row *row);
bool ffl_row_is_dense(const ffl_row *row);

/* Timed with fewer tokens than its batch asks for, because a full call would take too long. */
bool ffl_row_is_reduced(const ffl_row *row);

/* A timed case that was possible here: not UNSUPPORTED, no device rows without a device or on an emulated
 * one. */
bool ffl_row_ran(const ffl_row *row);

/* Timed, and its timed calls PASSED: has a number at all. */
bool ffl_row_has_time(const ffl_row *row);

/* May be ranked and be the fastest: has a time, full batch, not HANDICAPPED, not IMPLAUSIBLE. */
bool ffl_row_ranks(const ffl_row *row);

/* Nanoseconds per token: median and the ends of its 95 % interval. */
double ffl_row_token_ns(const ffl_row *row);
void ffl_row_token_interval(const ffl_row *row, double *low, double *high);

/* Routed as the ranking wants it: uniformly, or as drawn where leaves cannot be imposed. */
bool ffl_row_is_uniform(const ffl_row *row);

bool ffl_same_setting(const ffl_row *a, const ffl_row *b);

/* A total order of settings for printing: machine, place, threads, class, size, cache (hot first), batch. */
int ffl_compare_settings(const ffl_row *a, const ffl_row *b);

/*
 * A race is a setting together with a size and a routing: rows that are ranked against one another. It is
 * named by one of its rows: an FFF row, or a dense one where no FFF shape has as many neurons. The routing
 * is the uniform one where it was timed. *out (freed by the caller) is in printing order.
 */
ffl_status ffl_races(const ffl_rows *rows, const ffl_row ***out, size_t *count);
bool ffl_in_race(const ffl_rows *rows, const ffl_row *row, const ffl_row *race);

/*
 * Dense work does not depend on the routing, so a dense row timed in another group serves as well; but where
 * the same variant was timed in the group of `row` too, that one is the better neighbour, and `candidate`
 * only a stand-in.
 */
bool ffl_is_stand_in(const ffl_rows *rows, const ffl_row *candidate, const ffl_row *row);

/* Numbers of neurons of dense rows that were timed beside the race of `row`, other than its own, ascending: how
 * many. */
enum { FFL_SIZES_MAX = 16 };
size_t ffl_other_sizes(const ffl_rows *rows, const ffl_row *row, int64_t out[FFL_SIZES_MAX]);

/* The fastest ranking row of `operation` ("ff", "fff") in the setting and with the neurons of `row`, other
 * than a dispatcher (family "auto"). FFF rows must also have its shape and routing when it is one; dense rows
 * do not depend on routing. NULL if none. */
const ffl_row *ffl_fastest(const ffl_rows *rows, const ffl_row *row, const char *operation, int64_t neurons);

/*
 * The fastest of those that ran a reduced batch, for a marked comparison where no full row exists: on a slow
 * machine no dense layer manages batch 16384 in time. Never HANDICAPPED or IMPLAUSIBLE. NULL if none.
 */
const ffl_row *ffl_fastest_reduced(const ffl_rows *rows, const ffl_row *row, const char *operation,
                                   int64_t neurons);

/*
 * The dense row of the same level: same family and library, as many neurons. A full one when there is one,
 * otherwise one with a reduced batch; never a HANDICAPPED or IMPLAUSIBLE one. NULL if none.
 */
const ffl_row *ffl_same_level(const ffl_rows *rows, const ffl_row *row, int64_t neurons);

typedef struct ffl_speedup {
    double ratio;     /* NaN when there is nothing to compare with */
    double low, high; /* from the far ends of both 95 % intervals: wider than 95 % */
    bool reduced;     /* either side ran a reduced batch */
} ffl_speedup;

/* How many times faster than `dense` (may be NULL) `row` is, per token. */
ffl_speedup ffl_speedup_of(const ffl_row *row, const ffl_row *dense);

#endif
