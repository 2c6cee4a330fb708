/* What a point of a sweep and its rows are called in the journal, and a worker's row as a record. */
#ifndef FFL_HARNESS_ENCODER_POINT_RECORD_H
#define FFL_HARNESS_ENCODER_POINT_RECORD_H

#include "harness/encoder/task.h"
#include "reports/record.h"

/* What all rows of a point have in common. */
typedef struct ffl_point_case {
    char model[160];                 /* preset, file or folder */
    char name[480];                  /* group of the records */
    char repeat[900];                /* the command without -v */
    ffl_layer shape;                 /* of the feedforward layers: trees, or dense */
    size_t batch, sequence, neurons; /* neurons: of the dense side */
    int threads;
    uint64_t seed;
    char cpus[64];
} ffl_point_case;

/* `task` may be without weights. */
void ffl_point_case_of(const ffl_options *options, const json_t *request, const ffl_encoder_task *task,
                       ffl_point_case *out);

/* "fff_naive/encoder/ultrafastbert-1x11/neurons:4095/batch:8/seq:128/threads:1/seed:1" */
void ffl_point_key(const ffl_point_case *point, const char *variant, char *out, size_t size);

/* A row of the worker (serve.h), or one of the parent's with verdict and reason alone. Free with
 * ffl_record_free. */
ffl_status ffl_point_record(const ffl_point_case *point, const json_t *row, ffl_record *out);

#endif
