/*
 * Is a pass right? One legitimate flip in an early layer changes everything after it, so a pass is looked at
 * twice: layer by layer, each from the reference's own input, where the feedforward layer is judged by its
 * own contract (harness/check/judge.h), admissible paths included; and end to end, which is measured and
 * reported: the first layer and token that take another path and how close that decision was, and how often
 * the most likely word is the same.
 */
#ifndef FFL_HARNESS_ENCODER_VERIFY_H
#define FFL_HARNESS_ENCODER_VERIFY_H

#include "harness/check/judge.h"
#include "harness/encoder/encoder_reference.h"

typedef struct ffl_encoder_verdict {
    ffl_verdict verdict;
    char reason[512]; /* "" when PASSED */

    /* Layer by layer, from the reference's own input. */
    double parts_error;   /* what the feedforward layers were given: largest error / largest value */
    size_t judged, flips; /* feedforward rows judged; those on another admissible path */
    double flip_margin;   /* largest |z| / statistical bound among these, NaN without */

    /* End to end. */
    double pass_error;             /* after the final norm */
    bool traced;                   /* the variant can tell its paths; otherwise the four below say nothing */
    size_t pass_flips;             /* (layer, token) pairs on another path */
    size_t flip_layer, flip_token; /* the first one … */
    double flip_logit;             /* … and |z| of the reference where it parts, NaN without */
    size_t tokens,
        agreed; /* tokens verified, and whose most likely word is the reference's; 0 without a head */
} ffl_encoder_verdict;

/*
 * What the parts around the feedforward layers may lose from the reference's own input to the input of the
 * layer: largest error / largest value. f32: 1e-5. bf16, with u = 2^-8: the rows that the layer is given are
 * rounded last, u of the largest value; before that, four roundings in a row (norm, q, k and v, the weights
 * of the values, attention) and those of two matrices, u/sqrt(6) each in the root mean square, come to
 * about 1.5u of the branch that is added to the residual stream, and the branch is at most about as large as
 * what the norm makes of the sum. tests/test_encoder_rounding.c holds honest passes with these roundings to
 * it.
 */
double ffl_encoder_tolerance(ffl_type storage);

/* Where a pass can be watched: called after embedding (layer SIZE_MAX) and each layer; e.g. to write files.
 */
typedef ffl_status ffl_encoder_watch(void *user, ffl_encoder *encoder, size_t layer);

/*
 * Runs passes on `input`, and verifies its sequences first … first + reference->tokens / sequence - 1, which
 * the reference must have been computed from. `watch` may be NULL; `logits` may be NULL, else gets every
 * block.
 */
ffl_status ffl_encoder_verify(ffl_encoder *encoder, const ffl_encoder_weights *weights,
                              const ffl_variant *variant, const ffl_encoder_input *input, size_t first,
                              const ffl_encoder_reference *reference, ffl_encoder_watch *watch,
                              ffl_logits_rows *logits, void *user, ffl_encoder_verdict *out);

#endif
