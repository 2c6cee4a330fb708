/*
 * Timed calls that nobody can foretell. Some calls of a row, drawn at random by the operating system, meet
 * inputs that were never there before (another row of the ring, scaled by up to 1 %) at a few places of their
 * batch, and plausible numbers in the outputs that belong to them. What the calls wrote there is kept and
 * judged afterwards: a kernel that counts calls, remembers addresses, or looks out for the NaN that verifiers
 * leave does not know when to work.
 */
#ifndef FFL_HARNESS_SAMPLE_H
#define FFL_HARNESS_SAMPLE_H

#include "harness/check/judge.h"

typedef struct ffl_sample {
    const ffl_layer *layer;
    uint64_t seed;          /* from the operating system */
    size_t *calls;          /* [count] of the calls drawn, ascending */
    size_t count, per_call; /* rows of each */
    size_t next, rows;      /* of the calls; rows kept so far */
    size_t place[4];        /* rows of the present call */
    float *x, *y;           /* [count · per_call][width] */
    float *saved;           /* [per_call][width_in]: what the call's places held */
} ffl_sample;

/* For `calls` calls of `tokens` rows. `layer` must outlive it. */
ffl_status ffl_sample_new(const ffl_layer *layer, size_t calls, size_t tokens, ffl_sample *out);

/* Before call `index`, on x and y of `tokens` rows: true when it is drawn, and its places are prepared. */
bool ffl_sample_begin(ffl_sample *sample, size_t index, const float *ring, size_t ring_rows, float *x,
                      float *y, size_t tokens);

/* After a call that was drawn: keeps its rows and restores x. */
void ffl_sample_end(ffl_sample *sample, float *x, const float *y);

/* Judges what was kept; a reason begins with the call. */
ffl_status ffl_sample_judge(const ffl_sample *sample, const ffl_contract *contract, ffl_judgement *out);

void ffl_sample_free(ffl_sample *sample);

#endif
