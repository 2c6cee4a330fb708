/*
 * BLAS providers. OpenBLAS, BLIS and others all export the same cblas_* names, so none is linked: each is
 * opened apart (dlopen, RTLD_LOCAL) and reached through a table of function pointers. One variant source
 * serves every provider, and all of them are really measured in one process.
 *
 * Which kernels a provider runs is decided from the environment when it is loaded: harness/environment.h
 * sets that environment before anything is opened. `family` says what was loaded.
 */
#ifndef FFL_KERNELS_BLAS_H
#define FFL_KERNELS_BLAS_H

#include "kernels/status.h"
#include "kernels/variant.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Values of the CBLAS standard. */
enum { FFL_ROW_MAJOR = 101, FFL_NO_TRANS = 111, FFL_TRANS = 112 };

/* CBLAS with 32-bit integers (LP64); see the BLAS standard for the meaning of each argument. */
typedef struct ffl_blas {
    ffl_library library;
    char path[256];    /* of the shared object really loaded */
    char version[128]; /* as the library states it, "" when it does not */
    char family[64];   /* kernels in use: "SkylakeX", "skx", …; "" when the library does not tell */
    float (*sdot)(int n, const float *x, int incx, const float *y, int incy);
    void (*saxpy)(int n, float alpha, const float *x, int incx, float *y, int incy);
    void (*sgemv)(int order, int trans, int m, int n, float alpha, const float *a, int lda, const float *x,
                  int incx, float beta, float *y, int incy);
    void (*sger)(int order, int m, int n, float alpha, const float *x, int incx, const float *y, int incy,
                 float *a, int lda);
    void (*sgemm)(int order, int transa, int transb, int m, int n, int k, float alpha, const float *a,
                  int lda, const float *b, int ldb, float beta, float *c, int ldc);
    /* Optional, NULL where the library lacks it or refuses stride 0 (one matrix for all). */
    void (*sgemv_batch_strided)(int order, int trans, int m, int n, float alpha, const float *a, int lda,
                                int stridea, const float *x, int incx, int stridex, float beta, float *y,
                                int incy, int stridey, int batch);
    /* One of the two, by the library's own integer; both NULL: it runs as it was started. */
    void (*set_threads)(int threads);
    void (*set_threads_wide)(int64_t threads);
    int threads; /* as last set */
    /* BLIS: its families by number, which is what BLIS_ARCH_TYPE takes; the last one is "generic". */
    const char *(*family_name)(int number);
} ffl_blas;

/*
 * The provider, opened on first use and kept, set to one thread; NULL with a reason for ffl_error when it
 * cannot be had: not installed, no CBLAS, the same object as another provider, or a BLAS that is linked or
 * preloaded into the process (it would serve the internal calls of everything opened here).
 */
ffl_blas *ffl_blas_open(ffl_library library);

/* Names the file behind FFL_CBLAS (--blas-library). Before the first ffl_blas_open; not checked here. */
void ffl_blas_set_path(const char *path);

/* Makes the provider use `threads` threads; cheap when it already does. */
static inline void ffl_blas_use(ffl_blas *blas, int threads)
{
    if (blas->threads == threads)
        return;
    if (blas->set_threads)
        blas->set_threads(threads);
    else if (blas->set_threads_wide)
        blas->set_threads_wide(threads);
    blas->threads = threads;
}

/* supports and prepare of the variants that pack nothing: sizes fit the library's 32-bit integers; the
 * provider that the variant's row names is open and kept in plan->state. */
bool ffl_blas_supports(const ffl_layer *shape, size_t tokens, const char **why);
ffl_status ffl_blas_prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan);

#ifdef __cplusplus
}
#endif
#endif
