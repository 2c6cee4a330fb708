#include "harness/encoder/projection.h"
#include "kernels/blas_products.h"
#include "kernels/memory.h"
#include <stdbool.h>
#include <time.h>

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Best of some products of about 10 ms in all. */
static double time_of(ffl_blas *blas, int threads, float *x, size_t tokens, float *w, size_t width, float *y)
{
    double best = 1e9, all = 0;
    for (int round = 0; round < 3 || (all < 0.01 && round < 100); round++) { /* the first one only warms up */
        const double start = seconds();
        ffl_project(blas, threads, x, width, tokens, w, width, y);
        const double took = seconds() - start;
        best = round && took < best ? took : best;
        all += took;
    }
    return best;
}

static ffl_status choose(size_t tokens, size_t width, int threads, ffl_blas **out)
{
    float *x = ffl_alloc_rows(tokens * width, sizeof *x), *y = ffl_alloc_rows(tokens * width, sizeof *y);
    float *w = ffl_alloc_rows(width * width, sizeof *w);
    double least = 1e9;
    for (size_t i = 0; x && y && w && i < tokens * width; i++)
        x[i] = (float)(i % 17) - 8.0f;
    for (size_t i = 0; x && y && w && i < width * width; i++)
        w[i] = (float)(i % 13) - 6.0f;
    *out = NULL;
    for (int library = FFL_OPENBLAS; x && y && w && library < FFL_LIBRARY_COUNT; library++) {
        ffl_blas *blas = ffl_blas_open((ffl_library)library);
        const double took = blas ? time_of(blas, threads, x, tokens, w, width, y) : 1e9;
        if (took < least) {
            least = took;
            *out = blas;
        }
    }
    const bool room = x && y && w;
    ffl_free(x);
    ffl_free(y);
    ffl_free(w);
    if (!room)
        return FFL_NO_MEMORY;
    return *out ? FFL_OK
                : ffl_fail(FFL_UNSUPPORTED, "the projections of an encoder need a BLAS; none was found: %s",
                           ffl_error());
}

ffl_status ffl_projection_blas(size_t tokens, size_t width, int threads, ffl_blas **out)
{
    enum { TOKENS_MAX = 1024 };
    static struct {
        size_t tokens, width;
        int threads;
        ffl_blas *blas;
    } last;
    tokens = tokens < TOKENS_MAX ? tokens : TOKENS_MAX;
    if (!last.blas || last.tokens != tokens || last.width != width || last.threads != threads) {
        FFL_TRY(choose(tokens, width, threads, &last.blas));
        last.tokens = tokens;
        last.width = width;
        last.threads = threads;
    }
    *out = last.blas;
    return FFL_OK;
}

void ffl_project(ffl_blas *blas, int threads, const float *x, size_t inputs, size_t tokens, const float *w,
                 size_t outputs, float *y)
{
    ffl_blas_use(blas, threads);
    /* For few tokens libraries are faster on few rows of w at a time (kernels/blas_products.h). */
    const size_t block = ffl_blas_row_block(blas, tokens, inputs, threads);
    for (size_t row = 0, rows; row < outputs; row += rows) {
        rows = outputs - row < block ? outputs - row : block;
        ffl_blas_multiply_in(blas, x, inputs, tokens, w + row * inputs, inputs, rows, y + row, outputs);
    }
}
