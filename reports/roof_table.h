/* Roofs as a table: one line per roof, one column per number of threads. */
#ifndef FFL_REPORTS_ROOF_TABLE_H
#define FFL_REPORTS_ROOF_TABLE_H

#include "reports/roof.h"
#include "reports/rows.h"
#include <stdio.h>

/* For a terminal: the best of all rounds, and the median in brackets. */
void ffl_roof_table_print(const ffl_roof *roofs, size_t count, FILE *file);

/* The same as Markdown, of one machine's journal lines; nothing without any. */
void ffl_markdown_roofs(const ffl_rows *rows, const char *machine, FILE *file);

#endif
