/*
 * The report as Markdown, from rows alone: no kernel runs, and every number names the journal line it comes
 * from.
 */
#ifndef FFL_REPORTS_MARKDOWN_H
#define FFL_REPORTS_MARKDOWN_H

#include "reports/sections.h"
#include <stdio.h>

/* The whole report. FFL_IO when it could not be written. */
ffl_status ffl_markdown_write(const ffl_rows *rows, FILE *file);

/* The headline as plain text, one line per case: what a terminal shows. */
ffl_status ffl_headline_print(const ffl_rows *rows, FILE *file);

/* Sections, in the order of sections.c; `races` as from ffl_races. */
void ffl_markdown_headline(const ffl_rows *rows, const ffl_row *const *races, size_t count, FILE *file);
void ffl_markdown_circumstances(const ffl_rows *rows, FILE *file);
void ffl_markdown_checks(const ffl_rows *rows, FILE *file);
/* Nothing without rows of check --invariance or --properties. */
void ffl_markdown_ways(const ffl_rows *rows, FILE *file);
void ffl_markdown_paper(const ffl_rows *rows, const ffl_row *const *races, size_t count, FILE *file);
void ffl_markdown_ranking(const ffl_rows *rows, const ffl_row *const *races, size_t count, FILE *file);
void ffl_markdown_tails(const ffl_rows *rows, const ffl_row *const *races, size_t count, FILE *file);
ffl_status ffl_markdown_routing(const ffl_report *report, FILE *file);
/* Nothing without device rows. */
void ffl_markdown_device(const ffl_rows *rows, FILE *file);
void ffl_markdown_packing(const ffl_rows *rows, FILE *file);
void ffl_markdown_repeat(const ffl_rows *rows, FILE *file);
void ffl_markdown_legend(FILE *file);

#endif
