/* What follows from the rest of a journal line; see journal_line.h. */
#ifndef FFL_REPORTS_LINE_RULES_H
#define FFL_REPORTS_LINE_RULES_H

#include <jansson.h>

/*
 * A field, and what it is where a line lacks it: `follow` gives that as a new reference, or NULL for nothing.
 * It may look at `facts` (of the variant, never NULL), at fields without a rule, and at those with a rule
 * before its own.
 */
typedef struct ffl_line_rule {
    const char *field;
    json_t *(*follow)(const json_t *facts, const json_t *line, const char *of);
    const char *of; /* for `follow`: another field, or a constant */
} ffl_line_rule;

/* In the order in which they apply, ended by {NULL}. */
extern const ffl_line_rule ffl_line_rules[];

/* Fields that are the same for all rows of a variant in a run, ended by NULL. */
extern const char *const ffl_line_facts[];

/* Fields with a shorter name in a line: {field, name}, ended by {NULL}. */
extern const char *const ffl_line_names[][2];

/* Fields that only a line has: they replace longer ones. */
#define FFL_LINE_TREE "tree"   /* bench, rows that are no trees: the one that the group is about, "1x11" */
#define FFL_LINE_AT "at"       /* seconds since the date of the run's line: date */
#define FFL_LINE_WORDS "words" /* what the command has at its end beyond what follows from the case */
#define FFL_LINE_SAMPLES "samples" /* samples_ns, packed (samples_text.h) */

/* The date `seconds` after another, both "2026-11-22T11:12:20Z"; NULL for what is no date. */
json_t *ffl_line_date(const char *start, json_int_t seconds);

/* Seconds from one date to another; 0 where one of them is none. */
json_int_t ffl_line_seconds(const char *start, const char *end);

#endif
