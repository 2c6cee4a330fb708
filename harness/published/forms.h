/*
 * What the published benchmark of arXiv:2311.10770 timed, form by form: its mistakes one at a time, together
 * as published, and the same loop without them. They are no variants: nothing but `fflab published` knows
 * them, and what they compute is compared with the reference only to show that it is wrong.
 */
#ifndef FFL_HARNESS_PUBLISHED_FORMS_H
#define FFL_HARNESS_PUBLISHED_FORMS_H

#include "kernels/blas.h"
#include "kernels/layer.h"

typedef struct ffl_published_form {
    const char *name;       /* NULL ends the list */
    const char *what;       /* is wrong with it, or what it is when nothing is */
    bool wrong;             /* must not match the reference */
    bool dense;             /* FF in place of FFF */
    bool output_as_weights; /* reads OUT where W_out is meant */
    bool same_rows;         /* every row of the batch is row 0 */
    bool no_activation;
    bool unwritten;       /* weights and inputs in memory that nobody wrote: one page of zeros */
    bool fresh_temporary; /* dense: the hidden values in new memory at each call */
} ffl_published_form;

extern const ffl_published_form ffl_published_forms[];

/*
 * Runs a form on `tokens` rows of x into y, both [tokens][width]. A conditional form: level 1 of `blas`, one
 * token after the other, as published; dense ones: level 3. `unwritten` is memory of the layer's and the
 * inputs' size that was never written, for the forms that ask for it. FFL_NO_MEMORY or FFL_OK.
 */
ffl_status ffl_published_run(const ffl_published_form *form, const ffl_layer *layer, const ffl_blas *blas,
                             const float *unwritten, const float *x, float *y, size_t tokens);

#endif
