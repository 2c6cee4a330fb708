/* cuBLASLt's functions, found in the library at run time, with the types of its header. */
#ifndef FFL_CUDA_CUBLAS_CUH
#define FFL_CUDA_CUBLAS_CUH

#include "kernels/cublas.h"
#include <cublasLt.h>

/* What is called here. …_internal: the header's inline functions, which fill a struct without allocating it.
 */
#define FFL_CUBLAS_FUNCTIONS(X)                                                                              \
    X(cublasLtGetVersion)                                                                                    \
    X(cublasLtGetStatusString)                                                                               \
    X(cublasLtCreate)                                                                                        \
    X(cublasLtMatmul)                                                                                        \
    X(cublasLtMatmulAlgoGetHeuristic)                                                                        \
    X(cublasLtMatmulDescInit_internal)                                                                       \
    X(cublasLtMatmulDescSetAttribute)                                                                        \
    X(cublasLtMatrixLayoutInit_internal)                                                                     \
    X(cublasLtMatrixLayoutSetAttribute)                                                                      \
    X(cublasLtMatmulPreferenceInit_internal)                                                                 \
    X(cublasLtMatmulPreferenceSetAttribute)

typedef struct ffl_cublas_functions {
#define FFL_CUBLAS_FIELD(name) decltype(&::name) name;
    FFL_CUBLAS_FUNCTIONS(FFL_CUBLAS_FIELD)
#undef FFL_CUBLAS_FIELD
} ffl_cublas_functions;

/* The functions of the opened library; NULL, with ffl_cublas_open's reason, when there is none. */
const ffl_cublas_functions *ffl_cublas_table(void);

#endif
