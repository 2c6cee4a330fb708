/* How numbers look in a report. Each function writes one Markdown table cell or phrase. */
#ifndef FFL_REPORTS_FORMAT_H
#define FFL_REPORTS_FORMAT_H

#include "reports/speedup.h"
#include <stdio.h>

enum { FFL_CELL = 192 };

/* "812 ns", "1.23 µs", "45.6 ms": three digits; "–" when not measured. */
void ffl_format_ns(double ns, char out[FFL_CELL]);

/* "12.6 MB" in powers of ten; "–" when not measured. */
void ffl_format_bytes(double bytes, char out[FFL_CELL]);

/* "18.3x", "0.45x", "341x". */
void ffl_format_ratio(double ratio, char out[FFL_CELL]);

/* "18.3x [17.9, 18.8]", with a * when a side ran a reduced batch; "–" without a comparison. */
void ffl_format_speedup(ffl_speedup speedup, char out[FFL_CELL]);

/* Time per token with its interval: "12.6 µs [12.5, 12.8]", with a * when the batch is reduced. */
void ffl_format_token(const ffl_row *row, char out[FFL_CELL]);

/* Where a row is written: "journal.jsonl:17", or "J2:17" when there are several journals. */
void ffl_format_source(const ffl_rows *rows, const ffl_row *row, char out[FFL_CELL]);

/* "1x11" or "4095". */
void ffl_format_shape(const ffl_row *row, char out[FFL_CELL]);

/* "openblas SkylakeX", "none". */
void ffl_format_provider(const ffl_row *row, char out[FFL_CELL]);

/* From here on a row's flags say what the hypervisor took: medians of what it left may still be good. */
#define FFL_STOLEN_MUCH 0.05

/* "WEAK HANDICAPPED", "STOLEN 12 %", "" without any. */
void ffl_format_flags(const ffl_row *row, char out[FFL_CELL]);

/* "73 % of `read_l2`"; "–" where the roofs were not measured, or there is no row. */
void ffl_format_roof(const ffl_row *row, char out[FFL_CELL]);

/* A report of a machine that was never calibrated has no column for it. */
bool ffl_any_roof(const ffl_row *rows, size_t count);

/* Where a table's rows are of several machines, each has a table of its own, with the machine said once above
 * it. True where a new one begins with this row; `before` is the row before it, or NULL. Rows of a machine
 * follow one another. */
bool ffl_print_machine(const ffl_rows *rows, const ffl_row *row, const ffl_row *before, FILE *file);

/* Text from outside inside a table cell: no bars, line ends, HTML or control characters. */
void ffl_print_text(FILE *file, const char *text);

/* ", on MACHINE" behind a setting, where there are several. */
void ffl_print_on(FILE *file, const ffl_rows *rows, const ffl_row *row);

/* The setting in words: "batch 128, hot, 1 thread, f32, width 768, gelu". */
void ffl_print_setting(FILE *file, const ffl_row *row);

#endif
