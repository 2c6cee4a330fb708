/*
 * The lines of a journal. Most of what a record of kind "check" or "bench" holds follows from the rest of it,
 * or is the same for all rows of a variant: its line (schema 2) leaves that out, and is a fifth as long. What
 * a variant is stands once per run, in a line of kind "variant" above its rows; what follows from what, in
 * line_rules.h. Other kinds, and all lines of schema 1, say everything themselves.
 *
 * A field is left out only where reading the line gives exactly what was there. Reals are kept to four
 * digits, whole numbers and medians exactly.
 */
#ifndef FFL_REPORTS_JOURNAL_LINE_H
#define FFL_REPORTS_JOURNAL_LINE_H

#include "reports/record.h"

/* What the lines above said: {run: {"date": …, "variants": {name: {field: text}}, "roofs": {key: line}}}. One
 * per file read, and one per run that writes. */
typedef struct ffl_told {
    json_t *runs;
} ffl_told;

ffl_status ffl_told_new(ffl_told *out);
void ffl_told_free(ffl_told *told);

/* The text of a record: a line or, where its variant is new, two, each with its newline; "" for a roof that
 * is what its run told already, as each step of a study would. To be freed. */
ffl_status ffl_line_write(ffl_told *told, const ffl_record *record, char **text);

/* Reads a line. FFL_BAD_INPUT says what is wrong with it: no JSON, a field (record.h), or a line above it
 * that it needs is missing. A line of kind "variant" gives a record of that kind, to be passed over. */
ffl_status ffl_line_read(ffl_told *told, const char *text, size_t length, ffl_record *record);

#endif
