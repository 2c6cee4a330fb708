#include "harness/encoder/projection.h"
#include "kernels/blas_products.h"
#include "kernels/memory.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

/* ---- Packed matrices ---- */

struct ffl_packed_matrix {
    const float *weights;
    ffl_product product;
};

static const ffl_product *find(const ffl_packed_set *set, const float *w)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->matrix[i].weights == w)
            return &set->matrix[i].product;
    return NULL;
}

ffl_status ffl_packed_set_add(ffl_packed_set *set, const ffl_projection *projection, const float *w,
                              size_t outputs, size_t inputs)
{
    if (!projection->tiles || find(set, w))
        return FFL_OK;
    struct ffl_packed_matrix *grown = realloc(set->matrix, (set->count + 1) * sizeof *grown);
    if (!grown)
        return ffl_fail(FFL_NO_MEMORY, "no memory for packed matrices");
    set->matrix = grown;
    grown[set->count].weights = w;
    FFL_TRY(ffl_product_new(projection->tiles, w, outputs, inputs, &grown[set->count].product));
    set->count++;
    return FFL_OK;
}

void ffl_packed_set_free(ffl_packed_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        ffl_product_free(&set->matrix[i].product);
    free(set->matrix);
    *set = (ffl_packed_set){0};
}

/* ---- Products ---- */

size_t ffl_projection_scratch(const ffl_projection *projection, size_t tokens, size_t inputs, int threads)
{
    return projection->tiles ? ffl_product_scratch(tokens, inputs, threads) : 0;
}

static void multiply_blas(ffl_blas *blas, const float *x, size_t inputs, size_t tokens, const float *w,
                          const float *bias, size_t outputs, float *y, int threads)
{
    ffl_blas_use(blas, threads);
    /* For few tokens libraries are faster on few rows of w at a time (kernels/blas_products.h). */
    const size_t block = ffl_blas_row_block(blas, tokens, inputs, threads);
    for (size_t row = 0, rows; row < outputs; row += rows) {
        rows = outputs - row < block ? outputs - row : block;
        ffl_blas_multiply_in(blas, x, inputs, tokens, w + row * inputs, inputs, rows, y + row, outputs);
    }
    for (size_t t = 0; bias && t < tokens; t++)
        for (size_t o = 0; o < outputs; o++)
            y[t * outputs + o] += bias[o];
}

void ffl_project(const ffl_projection *projection, const ffl_packed_set *set, const float *x, size_t inputs,
                 size_t tokens, const float *w, const float *bias, size_t outputs, float *y, void *scratch,
                 int threads)
{
    if (projection->tiles)
        ffl_product_run(find(set, w), x, inputs, tokens, bias, y, outputs, scratch, threads);
    else
        multiply_blas(projection->blas, x, inputs, tokens, w, bias, outputs, y, threads);
}

/* ---- The choice ---- */

/* One square product, run by each candidate. */
typedef struct trial {
    size_t tokens, width;
    int threads;
    float *x, *w, *y;
} trial;

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Best of some products of about 10 ms in all; infinite when there is no room for it. */
static double time_of(const trial *t, const ffl_projection *candidate)
{
    double best = INFINITY, all = 0;
    ffl_packed_set set = {0};
    void *scratch = ffl_alloc(ffl_projection_scratch(candidate, t->tokens, t->width, t->threads));
    const bool room = scratch && ffl_packed_set_add(&set, candidate, t->w, t->width, t->width) == FFL_OK;
    for (int round = 0; room && (round < 3 || (all < 0.01 && round < 100));
         round++) { /* the first: warm-up */
        const double start = seconds();
        ffl_project(candidate, &set, t->x, t->width, t->tokens, t->w, NULL, t->width, t->y, scratch,
                    t->threads);
        const double took = seconds() - start;
        best = round && took < best ? took : best;
        all += took;
    }
    ffl_packed_set_free(&set);
    ffl_free(scratch);
    return best;
}

static void try_candidate(const trial *t, const ffl_projection *candidate, double *least, ffl_projection *out)
{
    const double took = candidate->blas || candidate->tiles ? time_of(t, candidate) : INFINITY;
    if (took < *least) {
        *least = took;
        *out = *candidate;
    }
}

static ffl_status choose(size_t tokens, size_t width, int threads, ffl_projection *out)
{
    trial t = {.tokens = tokens, .width = width, .threads = threads};
    double least = INFINITY;
    t.x = ffl_alloc_rows(tokens * width, sizeof *t.x);
    t.y = ffl_alloc_rows(tokens * width, sizeof *t.y);
    t.w = ffl_alloc_rows(width * width, sizeof *t.w);
    const bool room = t.x && t.y && t.w;
    for (size_t i = 0; room && i < tokens * width; i++)
        t.x[i] = (float)(i % 17) - 8.0f;
    for (size_t i = 0; room && i < width * width; i++)
        t.w[i] = (float)(i % 13) - 6.0f;
    *out = (ffl_projection){0};
    /* In turn, three times: one that a neighbour disturbs has two more chances. */
    for (int turn = 0; room && turn < 3; turn++) {
        try_candidate(&t, &(ffl_projection){.tiles = ffl_product_kernel()}, &least, out);
        for (int library = FFL_OPENBLAS; library < FFL_LIBRARY_COUNT; library++)
            try_candidate(&t, &(ffl_projection){.blas = ffl_blas_open((ffl_library)library)}, &least, out);
    }
    ffl_free(t.x);
    ffl_free(t.y);
    ffl_free(t.w);
    if (!room)
        return FFL_NO_MEMORY;
    if (out->blas || out->tiles)
        return FFL_OK;
    if (ffl_product_kernel())
        return ffl_fail(FFL_NO_MEMORY, "no memory to try the projections of an encoder");
    return ffl_fail(FFL_UNSUPPORTED, "the projections of an encoder need AVX2 or a BLAS; neither was found: %s",
                    ffl_error());
}

ffl_status ffl_projection_choose(size_t tokens, size_t width, int threads, ffl_projection *out)
{
    enum { TOKENS_MAX = 1024 };
    static struct {
        size_t tokens, width;
        int threads;
        ffl_projection best;
    } last;
    tokens = tokens < TOKENS_MAX ? tokens : TOKENS_MAX;
    if (last.tokens != tokens || last.width != width || last.threads != threads) {
        last.tokens = 0;
        FFL_TRY(choose(tokens, width, threads, &last.best));
        last.tokens = tokens;
        last.width = width;
        last.threads = threads;
    }
    *out = last.best;
    return FFL_OK;
}

const char *ffl_projection_name(const ffl_projection *projection)
{
    return projection->tiles ? "packed tiles" : ffl_library_name(projection->blas->library);
}
