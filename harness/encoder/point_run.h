/* One point of `fflab encoder` at work: a worker is asked (serve.h), its rows are shown and journaled. */
#ifndef FFL_HARNESS_ENCODER_POINT_RUN_H
#define FFL_HARNESS_ENCODER_POINT_RUN_H

#include "harness/encoder/point_record.h"
#include "harness/journal.h"
#include "harness/progress.h"
#include <stdbool.h>

typedef struct ffl_encoder_point_run {
    ffl_point_case point;
    ffl_journal *journal;   /* the caller's; NULL: none is kept */
    ffl_progress *progress; /* the caller's */
    double done, weight;    /* of the progress: before this point, and what it adds */
    bool table;             /* print rows as they come */

    json_t *request;      /* the caller's */
    json_t *variants;     /* names, of the request; null for those that are over */
    json_t *model, *rows; /* owned: what the worker said */
    int at;               /* variant at work, -1: none yet */
    size_t asked, passed, failed, crashes;
} ffl_encoder_point_run;

/*
 * Runs the request (serve.h) with a worker, and again behind a variant that takes the worker down; then
 * "layers_timed" is set in it. `timeout`: seconds without an answer. After FFL_INTERRUPTED the rows that are
 * over are there.
 */
ffl_status ffl_encoder_point_go(const ffl_options *options, json_t *request, double timeout,
                                ffl_encoder_point_run *run);
void ffl_encoder_point_run_free(ffl_encoder_point_run *run);

#endif
