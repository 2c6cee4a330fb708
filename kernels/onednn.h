/*
 * oneDNN as a provider: opened at run time with local binding, as the CBLAS providers are (kernels/blas.h),
 * so that the program links none of it. Only its header is needed to build; of version 2, whose C interface
 * is the one used here.
 */
#ifndef FFL_KERNELS_ONEDNN_H
#define FFL_KERNELS_ONEDNN_H

#include "kernels/status.h"
#include "kernels/variant.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ffl_onednn {
    char version[64]; /* "oneDNN 2.6.3" */
    char family[32];  /* instruction set that its kernels use: "avx512_core", … */
    void *handle;     /* for dlsym */
} ffl_onednn;

/* The library, opened on first use and kept; NULL, with a reason for ffl_error, when it cannot be had. */
const ffl_onednn *ffl_onednn_open(void);

/* A function of the library by its name; NULL when it has none. */
void (*ffl_onednn_function(const ffl_onednn *library, const char *name))(void);

#ifdef __cplusplus
}
#endif
#endif
