/*
 * Ways to hold a variant against itself, without a reference: what should a row's bits not depend on (`fflab
 * check
 * --invariance`), and what follows from the equations of the layer (`fflab check --properties`)?
 */
#ifndef FFL_HARNESS_WAYS_H
#define FFL_HARNESS_WAYS_H

#include "kernels/status.h"
#include <jansson.h>

typedef enum ffl_way {
    /* --invariance: the same rows, and only this differs */
    FFL_WAY_RUNS = 0,   /* called again, also after other calls and by a fresh instance */
    FFL_WAY_THREADS,    /* 2 … N threads */
    FFL_WAY_BATCH,      /* alone, and in batches of 2, 3, 7, 64 and the full one */
    FFL_WAY_NEIGHBOURS, /* the other rows of the batch are NaN */
    FFL_WAY_PERMUTED,   /* the rows of the batch in another order */
    FFL_WAY_SPLIT,      /* one batch as two calls */
    FFL_WAY_ADDRESS,    /* x and y at other addresses of a float */
    FFL_WAY_STRIDE,     /* padded rows */
    FFL_WAY_INSTANCES,  /* while another instance runs, on other weights */
    FFL_WAY_DENORMALS,  /* the caller flushes denormals */
    /* --properties */
    FFL_WAY_PATH,       /* output weights name the nodes: they must follow each other */
    FFL_WAY_MIRROR,     /* rows and biases negated, subtrees swapped: y moves by -z·w_out */
    FFL_WAY_SCALED_OUT, /* w_out·2^k: y·2^k */
    FFL_WAY_SCALED_IN,  /* x·2^k with w_in·2^-k: the same y */
    FFL_WAY_LAST_LEVEL, /* zeros in the last level of w_out: one level less */
    FFL_WAY_RELABELLED, /* trees (dense: neurons) in another order */
    FFL_WAY_COUNT
} ffl_way;

enum { FFL_WAYS_INVARIANCE = FFL_WAY_PATH }; /* the first that is a property */

/* From best to worst. Within bound: other bits, and each result is right by itself. */
typedef enum ffl_way_outcome { FFL_NOT_TRIED = 0, FFL_BITWISE, FFL_WITHIN_BOUND, FFL_BROKEN } ffl_way_outcome;

typedef struct ffl_way_outcomes {
    unsigned char way[FFL_WAY_COUNT]; /* ffl_way_outcome */
} ffl_way_outcomes;

/* "run-to-run", …; "bitwise", …; and what varies, in words: "called again". */
const char *ffl_way_name(ffl_way way);
const char *ffl_way_phrase(ffl_way way);
const char *ffl_way_outcome_name(ffl_way_outcome outcome);

/* The promise of the contract (FFL_SAME_*) that this way is held against; 0 where a contract promises
 * nothing. */
unsigned ffl_way_promise(ffl_way way);

/* The worse of both, way by way. */
void ffl_way_outcomes_merge(ffl_way_outcomes *into, const ffl_way_outcomes *from);

/* {"run-to-run": "bitwise", …}, ways that were tried; NULL when there is none. Back: unknown names are
 * ignored. */
json_t *ffl_way_outcomes_to_json(const ffl_way_outcomes *outcomes);
void ffl_way_outcomes_from_json(const json_t *json, ffl_way_outcomes *out);

#endif
