/*
 * All samples of a row as short text, for journal lines: the unit in nanoseconds, a colon, then each distinct
 * duration in ascending order as its step from the one before it (the first from 0) in units, and how often
 * it occurred: one letter, a = once … z = 26 times, or the number in parentheses. A step of 1 is left out.
 *
 *   [[1230, 1], [1250, 2], [1260, 40]]  =  "10:123a2b(40)"
 */
#ifndef FFL_REPORTS_SAMPLES_TEXT_H
#define FFL_REPORTS_SAMPLES_TEXT_H

#include "kernels/status.h"
#include <jansson.h>

/* `pairs`: ascending [nanoseconds, how often], whole numbers. To be freed; NULL without memory. */
char *ffl_samples_pack(const json_t *pairs);

/* New reference. FFL_BAD_INPUT names the character that cannot be read. */
ffl_status ffl_samples_unpack(const char *text, json_t **pairs);

#endif
