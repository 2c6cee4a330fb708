/*
 * Whole encoder passes in a report: from kernel speed to model speed (passes.h), out of the journal's lines
 * of kind "encoder". Rows of one group (model, size, threads, dense side) make a table; the groups' fastest
 * trees an overview.
 */
#ifndef FFL_REPORTS_ENCODER_H
#define FFL_REPORTS_ENCODER_H

#include "reports/passes.h"
#include "reports/rows.h"
#include <stdbool.h>
#include <stdio.h>

typedef struct ffl_pass_row {
    const ffl_row *row;
    ffl_pass_answer answer;
    int64_t layers, layers_timed, batch, sequence, dense_neurons;
    const char *model, *baseline; /* point into the row */
} ffl_pass_row;

/* Timed and PASSED, with a sound `encoder` object; otherwise false. */
bool ffl_pass_row_of(const ffl_row *row, ffl_pass_row *out);

bool ffl_pass_same_group(const ffl_row *a, const ffl_row *b);

/* The f32 tree in the group of `row` whose kernel is the fastest alone; false without any. Chosen by the
 * kernel and not by the pass: the greatest of many measured passes is the luckiest. Results of all layers go
 * before reduced ones. */
bool ffl_pass_fastest(const ffl_rows *rows, const ffl_row *row, ffl_pass_row *out);

/* The section's two halves: method and overview, then a part per group. Nothing without rows. */
void ffl_encoder_overview(const ffl_rows *rows, FILE *file);
ffl_status ffl_encoder_groups(const ffl_rows *rows, FILE *file);

/* Both: encoder.md. */
ffl_status ffl_encoder_write(const ffl_rows *rows, FILE *file);

/* The overview as plain text, a line per group: what a terminal shows. */
void ffl_encoder_headline_print(const ffl_rows *rows, FILE *file);

/* One line per row: what it ran, then every quantity of passes.h with its interval (RFC 4180). */
ffl_status ffl_encoder_csv_write(const ffl_rows *rows, FILE *file);

#endif
