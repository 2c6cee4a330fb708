#include "harness/published/forms.h"
#include "kernels/gelu.h"
#include "kernels/memory.h"
#include <string.h>
#include <sys/mman.h>

const ffl_published_form ffl_published_forms[] = {
    {.name = "level1_right", .what = "level 1, nothing wrong: random weights and inputs"},
    {.name = "level1_output_as_weights",
     .what = "reads OUT where W_out is meant",
     .wrong = true,
     .output_as_weights = true},
    {.name = "level1_same_rows", .what = "every row of the batch is row 0", .wrong = true, .same_rows = true},
    {.name = "level1_no_activation",
     .what = "the activation is dropped",
     .wrong = true,
     .no_activation = true},
    {.name = "level1_unwritten",
     .what = "weights and inputs were never written: one page of zeros, every token on one path",
     .wrong = true,
     .unwritten = true},
    {.name = "level1_as_published",
     .what = "OUT for W_out, and nothing written: level 1 as it was published",
     .wrong = true,
     .output_as_weights = true,
     .unwritten = true},
    {.name = "level2_faults_as_published",
     .what = "same rows, no activation, nothing written: the faults published at level 2",
     .wrong = true,
     .same_rows = true,
     .no_activation = true,
     .unwritten = true},
    {.name = "dense_right", .what = "dense, level 3, hidden values in memory of its own", .dense = true},
    {.name = "dense_fresh_temporary",
     .what = "dense, level 3, hidden values in new memory at each call",
     .dense = true,
     .fresh_temporary = true},
    {.name = NULL},
};

/* ---- Conditional ---- */

static void walk(const ffl_published_form *form, const ffl_layer *l, const ffl_blas *blas, const float *x,
                 float *y)
{
    const int in = (int)l->width_in, out = (int)l->width_out;
    for (size_t tree = 0; tree < l->trees; tree++) {
        size_t node = 0;
        for (size_t level = 0; level < l->levels; level++) {
            const size_t row = tree * l->nodes + node;
            const float z = blas->sdot(in, x, 1, l->w_in + row * l->width_in, 1) + l->b_in[row];
            const float g = form->no_activation ? z : ffl_activate(l->activation, z);
            blas->saxpy(out, g, form->output_as_weights ? y : l->w_out + row * l->width_out, 1, y, 1);
            node = 2 * node + 1 + (z > 0.0f);
        }
    }
}

static void run_tree(const ffl_published_form *form, const ffl_layer *l, const ffl_blas *blas, const float *x,
                     float *y, size_t tokens)
{
    for (size_t t = 0; t < tokens; t++) {
        const size_t row = form->same_rows ? 0 : t;
        float *at = y + row * l->width_out;
        memset(at, 0, l->width_out * sizeof *at);
        walk(form, l, blas, x + row * l->width_in, at);
    }
}

/* ---- Dense ---- */

/* New memory comes page by page, at the first touch of each. */
static float *new_memory(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void multiply(const ffl_layer *l, const ffl_blas *blas, const float *x, float *hidden, float *y,
                     size_t tokens)
{
    const int m = (int)tokens, n = (int)l->neurons, in = (int)l->width_in, out = (int)l->width_out;
    blas->sgemm(FFL_ROW_MAJOR, FFL_NO_TRANS, FFL_TRANS, m, n, in, 1, x, in, l->w_in, in, 0, hidden, n);
    for (size_t t = 0; t < tokens; t++)
        for (size_t k = 0; k < l->neurons; k++) {
            float *h = hidden + t * l->neurons + k;
            *h = ffl_activate(l->activation, *h + l->b_in[k]);
        }
    blas->sgemm(FFL_ROW_MAJOR, FFL_NO_TRANS, FFL_NO_TRANS, m, out, n, 1, hidden, n, l->w_out, out, 0, y, out);
}

static ffl_status run_dense(const ffl_published_form *form, const ffl_layer *l, const ffl_blas *blas,
                            const float *x, float *y, size_t tokens)
{
    static float *kept; /* for the form that keeps its memory: made once, gone with the process */
    static size_t kept_bytes;
    const size_t bytes = tokens * l->neurons * sizeof *kept;
    if (!form->fresh_temporary && bytes > kept_bytes) {
        ffl_free(kept);
        kept = ffl_alloc(bytes);
        kept_bytes = kept ? bytes : 0;
    }
    float *hidden = form->fresh_temporary ? new_memory(bytes) : kept;
    if (!hidden)
        return ffl_fail(FFL_NO_MEMORY, "no memory for %zu hidden values", tokens * l->neurons);
    multiply(l, blas, x, hidden, y, tokens);
    if (form->fresh_temporary)
        munmap(hidden, bytes);
    return FFL_OK;
}

ffl_status ffl_published_run(const ffl_published_form *form, const ffl_layer *layer, const ffl_blas *blas,
                             const float *unwritten, const float *x, float *y, size_t tokens)
{
    ffl_layer l = *layer;
    if (form->unwritten)
        l.w_in = l.w_out = l.b_in = x = unwritten;
    if (form->dense)
        return run_dense(form, &l, blas, x, y, tokens);
    run_tree(form, &l, blas, x, y, tokens);
    return FFL_OK;
}
