/*
 * Fixtures: weights and inputs made to catch a kind of mistake. The same name, shape, bias, tokens and seed
 * give the same bits on every machine.
 *
 *   random     normal weights and inputs; some rows of one sign, some with an outlier
 *   exact      integers and powers of two: any summation order gives the same bits (fixture_exact.c)
 *   ties       about half of all logits are exactly zero, by cancellation; the rest of the layer is random
 *   margin     FFF: biases put one logit per token and tree just inside or just outside its error bound
 *   collapsed  FFF: every token takes one path
 *   thrash     FFF: every leaf in turn, far ones next
 *              all three: gates of a leaf FFF as nodes of a tree; a mixture's in fixture_experts.c
 *   special    denormal, huge, NaN, Inf and zero rows among good ones
 *   real:FILE  a layer, and inputs when it has them, from a safetensors file
 */
#ifndef FFL_HARNESS_FIXTURES_H
#define FFL_HARNESS_FIXTURES_H

#include "harness/check/judge.h"
#include "harness/workload/weights.h"

typedef struct ffl_fixture {
    ffl_weights weights;
    float *x; /* [tokens][width_in], from ffl_alloc */
    size_t tokens;
    ffl_data data; /* what holds in f32; a contract may earn less: ffl_fixture_data */
} ffl_fixture;

typedef struct ffl_fixture_request {
    const char *name;
    ffl_layer shape; /* real: operation and activation; trees and levels 0 = as the file says */
    bool bias;       /* false: b_in and b_gate are zero, b_out absent (margin and real have their own) */
    size_t tokens;   /* real: 0 = as many as the file has */
    uint64_t seed;
} ffl_fixture_request;

/* "random", …; not real:FILE; ended by NULL. */
extern const char *const ffl_fixture_names[];

/* FFL_BAD_INPUT, listing the names, when it is neither one of them nor real:FILE. */
ffl_status ffl_fixture_check_name(const char *name);

/* False, with a reason, where the fixture makes no sense: margin, collapsed and thrash need a choice. */
bool ffl_fixture_fits(const char *name, ffl_operation operation, const char **why);

/* FFL_UNSUPPORTED, saying why, when such data cannot be made for the shape. */
ffl_status ffl_fixture_make(const ffl_fixture_request *request, ffl_fixture *out);

/* What a variant with this contract may be held to: exact data is exact only for types that can hold it. */
ffl_data ffl_fixture_data(const ffl_fixture *fixture, const ffl_contract *contract);

void ffl_fixture_free(ffl_fixture *fixture);

/* ---- The makers, one file each; fixture->weights and x are allocated, x is zero. ---- */

ffl_status ffl_fixture_exact(ffl_fixture *fixture, bool bias, uint64_t seed);
void ffl_fixture_ties(ffl_fixture *fixture, bool bias, uint64_t seed);
ffl_status ffl_fixture_margin(ffl_fixture *fixture, uint64_t seed);
ffl_status ffl_fixture_collapsed(ffl_fixture *fixture, uint64_t seed);
ffl_status ffl_fixture_thrash(ffl_fixture *fixture, uint64_t seed);
ffl_status ffl_fixture_margin_mixture(ffl_fixture *fixture, uint64_t seed);
ffl_status ffl_fixture_collapsed_mixture(ffl_fixture *fixture, uint64_t seed);
ffl_status ffl_fixture_thrash_mixture(ffl_fixture *fixture, uint64_t seed);

/* The statistical bound (README.md) of one logit, with unit roundoff u of the products' factors. */
double ffl_fixture_logit_bound(const float *x, const float *w, size_t n, double u);

ffl_status ffl_fixture_real(const ffl_fixture_request *request, ffl_fixture *out);

/* Streams of the seed that fixtures draw from, apart from those of the weights. */
enum { FFL_STREAM_X = 1 << 30, FFL_STREAM_PLAN, FFL_STREAM_MIRROR };

#endif
