/*
 * The same rows through an instance in calls of several sizes: what --invariance compares.
 *
 * A pool of rows makes the full batch. Up to 64 of them, spread over it, are the probes: their outputs are
 * compared and judged, alone, in batches of 2, 3, 7 and 64 of their own, and in the full batch.
 */
#ifndef FFL_HARNESS_SUITE_H
#define FFL_HARNESS_SUITE_H

#include "harness/check/fixtures.h"
#include "harness/check/trial.h"
#include "harness/instance.h"

enum { FFL_PROBES_MAX = 64, FFL_SUITE_SIZES = 6 };

typedef struct ffl_pool {
    ffl_fixture fixture;           /* weights, and x [batch][width_in] */
    size_t batch, probes, step;    /* probe p is row p * step */
    float *probe_x;                /* [probes][width_in] */
    size_t *shuffled;              /* [batch], every row once */
    size_t sizes[FFL_SUITE_SIZES]; /* ascending, 1 first and the full batch last */
    size_t size_count;
} ffl_pool;

/* How a suite is run; zeros: from 64-byte addresses, rows without padding, in the order of the pool. */
typedef struct ffl_setting {
    size_t offset_x, offset_y;   /* elements past such an address */
    size_t padding_x, padding_y; /* elements after each row */
    bool lonely;                 /* of the full batch, and of every seventh row, all but the probes are NaN */
    bool shuffled;               /* rows in another order */
    bool split;                  /* each batch as two calls */
    bool flush;                  /* the caller reads and writes denormals as zero */
} ffl_setting;

/* Buffers of one thread, and what its last suite wrote. */
typedef struct ffl_lane {
    const ffl_pool *pool;
    float *x, *y; /* room for a full batch with any setting */
    float *got;   /* [size_count][probes][width_out] */
} ffl_lane;

/* Seeded rows and weights for a case; a few probes are denormal. */
ffl_status ffl_pool_new(const ffl_check_case *item, ffl_pool *out);
void ffl_pool_free(ffl_pool *pool);

ffl_status ffl_lane_new(const ffl_pool *pool, ffl_lane *out);
void ffl_lane_free(ffl_lane *lane);

/* All sizes. A status is what the variant's run returned. */
ffl_status ffl_suite_run(const ffl_lane *lane, const ffl_instance *instance, const ffl_setting *setting);

/* Outputs of the probes in batches of sizes[s]. */
float *ffl_suite_rows(const ffl_lane *lane, size_t s);

/* Can the caller's mode be set here? Otherwise `flush` changes nothing. */
bool ffl_suite_flushes(void);

#endif
