/* The report of finished runs: read journals, write the page, the Markdown and the tables. */
#ifndef FFL_HARNESS_REPORT_H
#define FFL_HARNESS_REPORT_H

#include "kernels/status.h"
#include <stddef.h>

/*
 * `runs` are journals or folders. Writes into `dir` (made when absent; each file appears whole or not at
 * all) and prints the headline and where the report is on standard output.
 */
ffl_status ffl_report_make(const char *const *runs, size_t count, const char *dir);

#endif
