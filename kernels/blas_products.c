#include "kernels/blas_products.h"
#include <string.h>

enum { FEW_TOKENS = 24, FEW_ROWS = 8, ROWS_GEMM = 32, ROWS_GEMV = 64 };

/* Below this many multiply-adds OpenBLAS (AVX-512) multiplies without packing its operands first. */
static const size_t small_product = 1000000;

/* Skinny matrix products: good in OpenBLAS, and up to 30 times slower than gemv in BLIS 0.9 (skx). */
static bool takes_vectors(const ffl_blas *blas, size_t tokens)
{
    return tokens == 1 || (blas->library != FFL_OPENBLAS && tokens < FEW_TOKENS);
}

size_t ffl_blas_row_block(const ffl_blas *blas, size_t tokens, size_t width, int threads)
{
    /* With more threads the library needs the whole product to share out. */
    if (tokens == 1 || threads > 1)
        return SIZE_MAX;
    if (takes_vectors(blas, tokens))
        return ROWS_GEMV;
    return blas->library == FFL_OPENBLAS && tokens * ROWS_GEMM * width <= small_product ? ROWS_GEMM
                                                                                        : SIZE_MAX;
}

/* beta is 1 throughout: not every gemv leaves its result unread at beta = 0. */
void ffl_blas_multiply_in(const ffl_blas *blas, const float *x, size_t ldx, size_t tokens, const float *w,
                          size_t width, size_t rows, float *out, size_t ldo)
{
    const int t = (int)tokens, r = (int)rows, h = (int)width;
    if (!takes_vectors(blas, tokens)) {
        blas->sgemm(FFL_ROW_MAJOR, FFL_NO_TRANS, FFL_TRANS, t, r, h, 1.0f, x, (int)ldx, w, h, 0.0f, out,
                    (int)ldo);
        return;
    }
    for (size_t i = 0; i < tokens; i++)
        memset(out + i * ldo, 0, rows * sizeof *out);
    if (rows < FEW_ROWS && tokens >= 4) {
        for (size_t i = 0; i < rows; i++)
            blas->sgemv(FFL_ROW_MAJOR, FFL_NO_TRANS, t, h, 1.0f, x, (int)ldx, w + i * width, 1, 1.0f, out + i,
                        (int)ldo);
        return;
    }
    for (size_t i = 0; i < tokens; i++)
        blas->sgemv(FFL_ROW_MAJOR, FFL_NO_TRANS, r, h, 1.0f, w, h, x + i * ldx, 1, 1.0f, out + i * ldo, 1);
}

void ffl_blas_multiply_out(const ffl_blas *blas, const float *hidden, size_t ldh, size_t tokens,
                           const float *w, size_t width, size_t rows, float *y, size_t ldy)
{
    const int t = (int)tokens, r = (int)rows, h = (int)width;
    if (!takes_vectors(blas, tokens))
        blas->sgemm(FFL_ROW_MAJOR, FFL_NO_TRANS, FFL_NO_TRANS, t, h, r, 1.0f, hidden, (int)ldh, w, h, 1.0f, y,
                    (int)ldy);
    for (size_t i = 0; i < tokens && takes_vectors(blas, tokens); i++)
        blas->sgemv(FFL_ROW_MAJOR, FFL_TRANS, r, h, 1.0f, w, h, hidden + i * ldh, 1, 1.0f, y + i * ldy, 1);
}
