/* One line per case, one column per field of the record; for spreadsheets and data frames (RFC 4180). */
#ifndef FFL_REPORTS_CSV_H
#define FFL_REPORTS_CSV_H

#include "reports/rows.h"
#include <stdio.h>

/* Columns: file, line, machine, then the fields in the order of the journal line; empty = not measured. */
ffl_status ffl_csv_write(const ffl_rows *rows, FILE *file);

/* A cell, quoted where it must be. */
void ffl_csv_text(const char *text, FILE *file);

#endif
