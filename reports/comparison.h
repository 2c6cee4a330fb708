/*
 * The rows of a comparison, and what it looks like: as text, Markdown and JSON. Where the rows come from is
 * the business of others: two journals (below), or two programs that took turns (harness/compare).
 */
#ifndef FFL_REPORTS_COMPARISON_H
#define FFL_REPORTS_COMPARISON_H

#include "reports/change.h"
#include "reports/rows.h"

typedef struct ffl_compared {
    ffl_record row; /* what was timed: variant and case; of NEW */
    ffl_effect effect;
    ffl_change change;
    double base_ns, new_ns; /* per token, medians */
    size_t samples;         /* pairs; of journals, calls of NEW */
    char reason[256];       /* why it is AMBIGUOUS, where that is not the width of its interval */
} ffl_compared;

typedef struct ffl_comparison {
    char base[256], now[256]; /* what was compared, in words */
    bool paired;
    double margin;
    double confidence, confidence_of_row; /* paired: of all intervals together, and of each */
    ffl_compared *value;
    size_t count;
    char **differences; /* in the circumstances: "commit: a1b2 -> c3d4" */
    size_t difference_count;
    char **left_out; /* rows that cannot be compared, and why, one line each */
    size_t left_out_count;
} ffl_comparison;

/* Adds a row without a verdict; the record's contents are taken over, and `record` is left empty. */
ffl_status ffl_comparison_add(ffl_comparison *c, ffl_record *record, ffl_compared **out);
ffl_status ffl_comparison_note(char ***list, size_t *count, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Verdicts from the effects, and the order in which rows are shown: SLOWER first, the largest change first.
 */
void ffl_comparison_judge(ffl_comparison *c);
size_t ffl_comparison_tally(const ffl_comparison *c, ffl_change change);

/* Rows that are slower by more than `share`, their whole interval. */
size_t ffl_comparison_slower(const ffl_comparison *c, double share);

void ffl_comparison_print(const ffl_comparison *c, FILE *file);
/* For a comment on a pull request: what changed in a table, the rest folded away. */
void ffl_comparison_print_markdown(const ffl_comparison *c, FILE *file);
/* New reference; NULL without memory. */
json_t *ffl_comparison_to_json(const ffl_comparison *c);

void ffl_comparison_free(ffl_comparison *c);

/*
 * Rows of two sets of journals with the same key on the same machine, whose timed calls PASSED in both. The
 * machine may have moved between the runs: see reports/README.md for what is allowed for. FFL_BAD_INPUT when
 * there is no such row. On FFL_OK to be freed.
 */
ffl_status ffl_comparison_of_journals(ffl_rows *base, ffl_rows *now, double margin, ffl_comparison *out);

#endif
