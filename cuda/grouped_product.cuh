/*
 * Products of many small matrices at once: rows of a, in tiles that each belong to one expert, times that
 * expert's matrix. With one expert and all rows in their own order it is a plain product (a mixture's gates).
 */
#ifndef FFL_CUDA_GROUPED_PRODUCT_CUH
#define FFL_CUDA_GROUPED_PRODUCT_CUH

#include "cuda/expert_pairs.cuh"

/* d = act(a · b + bias) by rows of places. Widths and strides in elements. */
struct ffl_grouped_product {
    const float *a, *b, *bias; /* bias [experts][columns] or NULL */
    float *d;
    size_t lda, ldb, ldd;
    unsigned columns, depth; /* b of an expert: [columns][ldb] where transposed, else [depth][ldb] */
    ffl_row_of row_a, row_d;
    bool activate, transposed;
    ffl_activation activation;
};

/* Tiles of 32 rows or of 128: which suits so many rows of so many experts, on so many multiprocessors. The
 * bits are the same. Large ones are for products that fit them alone: rows of both operands begin at
 * multiples of 16 bytes and consist of whole quads. */
unsigned ffl_grouped_tile_rows(size_t rows, size_t experts, size_t columns, unsigned multiprocessors);
bool ffl_grouped_fits_large(const ffl_grouped_product *product);

/* Only enqueues; tiles of pairs->tile_rows. behind: as FFL_LAUNCH_BEHIND. */
ffl_status ffl_grouped_run(const ffl_grouped_product *product, const ffl_expert_pairs *pairs,
                           unsigned multiprocessors, bool behind, cudaStream_t stream);

#endif
