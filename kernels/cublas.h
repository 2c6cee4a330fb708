/*
 * cuBLASLt as a provider of matrix products on the device (cuda/gemm.h), opened at run time with local
 * binding: the program links none of it, and a program built on a machine without it starts there.
 *
 * Looked for under these names, version 13 before 12: the file or folder in FFLAB_CUBLAS (nothing else is
 * tried then: PyTorch's own is in site-packages/nvidia/cu13/lib or site-packages/nvidia/cublas/lib), the
 * loader's own search (LD_LIBRARY_PATH), the toolkit that built the program, /usr/local/cuda/lib64.
 */
#ifndef FFL_KERNELS_CUBLAS_H
#define FFL_KERNELS_CUBLAS_H

#include "kernels/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ffl_cublas {
    char version[64]; /* "cuBLASLt 13.0.2" */
    char path[512];   /* of the file */
} ffl_cublas;

/*
 * The library, opened on first use and kept; NULL, with a reason for ffl_error, when it cannot be had or the
 * program was built without CUDA. Needs no device.
 */
const ffl_cublas *ffl_cublas_open(void);

#ifdef __cplusplus
}
#endif
#endif
