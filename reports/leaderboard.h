/*
 * The leaderboard: the fastest FFF against the fastest dense layer for each class, cache state and batch of
 * the shape with the most timed cases, as one Markdown table for a README.
 */
#ifndef FFL_REPORTS_LEADERBOARD_H
#define FFL_REPORTS_LEADERBOARD_H

#include "reports/rows.h"
#include <stdio.h>

/* FFL_BAD_INPUT when no case has a speed-up; FFL_IO when it could not be written. */
ffl_status ffl_leaderboard_write(const ffl_rows *rows, FILE *file);

/*
 * `text` with what is between the line that starts with "<!-- leaderboard" and the line "<!-- end of
 * leaderboard -->" replaced by `table`; both lines stay. The caller frees *out. FFL_BAD_INPUT when a mark is
 * missing, doubled or before its time.
 */
ffl_status ffl_leaderboard_put(const char *text, const char *table, char **out);

#endif
