/*
 * Matrix products on the device: cuBLASLt, opened at run time (kernels/cublas.h), or plain loops on the
 * emulated device (emulate/gemm.cc), behind one interface.
 *
 *     d = epilogue(a·b + beta·d)       for each product of a batch; all matrices row-major
 *
 *   a [m][k], rows lda apart      b [k][n], rows ldb apart      d [m][n], rows ldd apart; all in elements
 *   transposed_a: a is stored [k][m]      transposed_b: b is stored [n][k] (as weights are)
 *
 *   type   a and b as multiplied         output  d                bias
 *   F32    float, f32 arithmetic         F32                      float
 *   TF32   float; the low 13 bits are    F32                      float
 *          cut off, not rounded away: round before (ffl_tf32_round, cuda/convert.cuh)
 *   BF16   bf16                          F32 or BF16              of the output's type
 *   F16    f16                           F32 or F16               of the output's type
 *
 * Sums are f32 throughout, also where a product is split over k. The same call gives the same bits.
 *
 * Life of a product: new (heuristics of the library), tune (optional: times the first candidates on the
 * device), run any number of times, free. run only enqueues and may be captured in a graph.
 */
#ifndef FFL_CUDA_GEMM_H
#define FFL_CUDA_GEMM_H

#include "kernels/variant.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ffl_gemm_epilogue {
    FFL_GEMM_PLAIN = 0,
    FFL_GEMM_BIAS,           /* + bias [n], the same for all rows */
    FFL_GEMM_BIAS_GELU_TANH, /* the same, then GELU's tanh form: not exact */
} ffl_gemm_epilogue;

typedef struct ffl_gemm_shape {
    size_t m, n, k; /* m: the most rows of one run */
    bool transposed_a, transposed_b;
    size_t lda, ldb, ldd;
    size_t batch; /* products; 0 means 1 */
    size_t step_a, step_b, step_d,
        step_bias; /* elements from one product to the next; a, b, bias: 0 shares */
    ffl_type type, output;
    ffl_gemm_epilogue epilogue;
    float beta;
    size_t alignment; /* every address given to run is a multiple of this many bytes; 0 means 16 */
} ffl_gemm_shape;

typedef struct ffl_gemm ffl_gemm;

/*
 * Plans a product. FFL_BAD_INPUT for a shape that makes no sense, FFL_UNSUPPORTED when the library is missing
 * or has no kernel for it, FFL_DEVICE when it fails.
 */
ffl_status ffl_gemm_new(const ffl_gemm_shape *shape, ffl_gemm **out);
void ffl_gemm_free(ffl_gemm *gemm); /* NULL is fine */

/* Also plans for runs of `rows` rows; without, such a run asks the heuristics itself, every time. */
ffl_status ffl_gemm_plan_rows(ffl_gemm *gemm, size_t rows);

/* Bytes of device memory, at a multiple of 16, that run and tune need; may grow with plan_rows. */
size_t ffl_gemm_workspace(const ffl_gemm *gemm);

/*
 * Times the library's first candidates for runs of `rows` rows on these buffers, as run gets them, and keeps
 * the fastest; d is overwritten. *us: its time for one run, in microseconds. For prepare: synchronises.
 */
ffl_status ffl_gemm_tune(ffl_gemm *gemm, size_t rows, const void *a, const void *b, const void *bias, void *d,
                         void *workspace, double *us);

/*
 * Enqueues the product on a cudaStream_t for rows <= shape.m of a and d (of every product of the batch). bias
 * may be NULL without a bias epilogue. The buffers must not overlap. FFL_DEVICE with the library's words on
 * failure.
 */
ffl_status ffl_gemm_run(const ffl_gemm *gemm, size_t rows, const void *a, const void *b, const void *bias,
                        void *d, void *workspace, void *stream);

/* The same for the first `products` of the batch. */
ffl_status ffl_gemm_run_some(const ffl_gemm *gemm, size_t rows, size_t products, const void *a, const void *b,
                             const void *bias, void *d, void *workspace, void *stream);

/* Bytes of an element of a type in memory: 4 or 2. */
size_t ffl_gemm_element(ffl_type type);

/* FFL_BAD_INPUT, naming field and value, for a shape that makes no sense. Also done by ffl_gemm_new. */
ffl_status ffl_gemm_check(const ffl_gemm_shape *shape);

#ifdef __cplusplus
}
#endif
#endif
