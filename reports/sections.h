/*
 * The sections of a report, in order. Each is written once, as Markdown, from rows alone: no kernel runs, and
 * every number names the journal line it comes from. report.md is their sequence; the page (html.h) makes
 * HTML of the same text, with charts beside the tables.
 */
#ifndef FFL_REPORTS_SECTIONS_H
#define FFL_REPORTS_SECTIONS_H

#include "reports/duel.h"
#include "reports/figures.h"
#include "reports/speedup.h"
#include <stdio.h>

/* What sections share; made once per report. */
typedef struct ffl_report {
    const ffl_rows *rows;
    const ffl_row **races; /* as from ffl_races */
    ffl_duel *duels;       /* of each race that is FFF, against as many neurons */
    size_t race_count;
    ffl_figures *figures; /* NULL: no charts */
} ffl_report;

ffl_status ffl_report_open(const ffl_rows *rows, ffl_figures *figures, ffl_report *out);
void ffl_report_close(ffl_report *report);

/* What of a section opens on demand on the page: nothing; each part under a "###" but the first; all lists
 * and tables. */
typedef enum ffl_fold { FFL_FOLD_NOTHING, FFL_FOLD_PARTS, FFL_FOLD_LISTS } ffl_fold;

typedef struct ffl_section {
    const char *id;                                            /* anchor; NULL ends the sections */
    const char *title;                                         /* in the table of contents */
    ffl_status (*write)(const ffl_report *report, FILE *file); /* nothing when there is nothing to say */
    ffl_fold fold;
} ffl_section;

extern const ffl_section ffl_sections[];

/* What could not be read, and what is missing altogether: before the sections. */
void ffl_notes_write(const ffl_rows *rows, FILE *file);

#endif
