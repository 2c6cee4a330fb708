/* Written by fit_gelu.py, which says what the terms are and how they were fitted. */
#ifndef FFL_KERNELS_SIMD_GELU_TERMS_H
#define FFL_KERNELS_SIMD_GELU_TERMS_H

/* R, coefficients exact: relative error 5.15e-09 */
/* R, coefficients rounded to float: relative error 2.66e-08 */
#define FFL_GELU_P0 0x1p-1f        /* 0.5 */
#define FFL_GELU_P1 0x1.bd33dcp-2f /* 0.43476814 */
#define FFL_GELU_P2 0x1.71e198p-3f /* 0.180606067 */
#define FFL_GELU_P3 0x1.4590ecp-5f /* 0.0397419557 */
#define FFL_GELU_P4 0x1.04fe02p-8f /* 0.0039824252 */
#define FFL_GELU_Q0 0x1p+0f        /* 1 */
#define FFL_GELU_Q1 0x1.aadc1cp+0f /* 1.6674211 */
#define FFL_GELU_Q2 0x1.310de6p+0f /* 1.19161832 */
#define FFL_GELU_Q3 0x1.d9a02ap-2f /* 0.46252504 */
#define FFL_GELU_Q4 0x1.98115cp-4f /* 0.0996259302 */
#define FFL_GELU_Q5 0x1.4719b2p-7f /* 0.00998231117 */

/* exp, coefficients rounded to float: relative error 3.63e-09 */
#define FFL_GELU_E0 0x1.fffffcp-2f                  /* 0.49999994 */
#define FFL_GELU_E1 0x1.555492p-3f                  /* 0.166665211 */
#define FFL_GELU_E2 0x1.5558f2p-5f                  /* 0.041668389 */
#define FFL_GELU_E3 0x1.123a2p-7f                   /* 0.00836874545 */
#define FFL_GELU_E4 0x1.6a23dp-10f                  /* 0.00138145406 */
#define FFL_GELU_MINUS_HALF_LOG2E (-0x1.715476p-1f) /* -0.721347511 */
#define FFL_GELU_MINUS_LN2 (-0x1.62e43p-1f)         /* -0.693147182 */
#define FFL_GELU_MINUS_LN2_LOW 0x1.05c61p-29f       /* 1.90465421e-09 */

/* The tanh form, z/(1 + exp(-t)), t = z*(T1 + T3*z*z): 2*sqrt(2/pi) and 0.044715 times that. */
#define FFL_GELU_T1 0x1.988454p+0f             /* 1.59576917 */
#define FFL_GELU_T3 0x1.2444f2p-4f             /* 0.0713548139 */
#define FFL_GELU_MINUS_LOG2E (-0x1.715476p+0f) /* -1.44269502 */

#endif
