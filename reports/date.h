/* Points of time as journals and the lab's other files have them: UTC, "2026-11-22T22:10:31Z". They sort as
 * text. */
#ifndef FFL_REPORTS_DATE_H
#define FFL_REPORTS_DATE_H

#include <stdbool.h>
#include <time.h>

enum { FFL_DATE_SIZE = 32 };

/* "" where the year has no place in it. */
void ffl_date_write(time_t when, char out[FFL_DATE_SIZE]);

/* False unless the text is such a date and nothing else. */
bool ffl_date_read(const char *text, time_t *out);

#endif
