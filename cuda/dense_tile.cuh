/*
 * A tile of a dense product: TOKENS rows of inputs times COLUMNS rows of weights, by one block, through a
 * ring of stages that asynchronous copies fill.
 */
#ifndef FFL_CUDA_DENSE_TILE_CUH
#define FFL_CUDA_DENSE_TILE_CUH

#include "cuda/hybrid.cuh"

template <int TOKENS_, int COLUMNS_>
struct ffl_dense_tile {
    static constexpr int TOKENS = TOKENS_, COLUMNS = COLUMNS_;
    /* Warps along the tokens, and the columns: close to squares, which read shared memory least. */
    static constexpr int DOWN = TOKENS < 64 ? TOKENS / 16 : COLUMNS > 128 ? 2 : 4;
    static constexpr int ACROSS = 8 / DOWN < COLUMNS / 16 ? 8 / DOWN : COLUMNS / 16;
    static constexpr int THREADS = 32 * DOWN * ACROSS;
    static constexpr int MI = TOKENS / DOWN / 16, NI = COLUMNS / ACROSS / 8;
    static constexpr int STAGE = (TOKENS + COLUMNS) * FFL_TILE_ROW;
    static constexpr int ROOM = (200 << 10) / STAGE;
    static constexpr int STAGES = ROOM > 8 ? 8 : ROOM;
    static constexpr int SHARED = STAGE * STAGES;
    static constexpr int STRIDE =
        COLUMNS + 1; /* of the products, once they lie where the stages were: floats */
    static_assert(STAGES >= 4 && TOKENS * STRIDE * 4 <= SHARED);
};

/*
 * The products of the tokens from `first` on with packed `weights`; written to the start of `shared`, rows of
 * STRIDE floats; the rest of `shared` is free. Ends without a barrier.
 */
template <class F, class T>
__device__ static inline void ffl_dense_products(const ffl_hybrid_args &a, const unsigned char *weights,
                                                 unsigned first, unsigned char *shared)
{
    const unsigned warp = threadIdx.x / 32, slices = (unsigned)(a.pitch_in / FFL_TILE_ROW);
    const auto load = [&](unsigned slice) {
        unsigned char *stage = shared + slice % T::STAGES * T::STAGE;
        if (slice < slices) {
            ffl_tile_inputs<F, T::TOKENS, T::THREADS>(stage, a, slice, [&](unsigned row) {
                return first + row < a.tokens ? (int)(first + row) : (int)FFL_NO_TOKEN;
            });
            ffl_tile_weights<T::COLUMNS, T::THREADS>(stage + T::TOKENS * FFL_TILE_ROW, weights, a.pitch_in,
                                                     (size_t)slice * FFL_TILE_ROW);
        }
        ffl_copy_commit();
    };
    float z[T::MI][T::NI][4] = {};
    const unsigned my_row = warp / T::ACROSS * 16 * T::MI, my_column = warp % T::ACROSS * 8 * T::NI;
    for (unsigned slice = 0; slice < T::STAGES - 1; slice++)
        load(slice);
    for (unsigned slice = 0; slice < slices; slice++) {
        ffl_copy_wait<T::STAGES - 2>();
        __syncthreads();
        load(slice + T::STAGES - 1);
        const unsigned char *stage = shared + slice % T::STAGES * T::STAGE;
        ffl_tile_product<F>(z, stage, my_row, stage + T::TOKENS * FFL_TILE_ROW, my_column, 0, 1);
    }
    ffl_copy_wait<0>();
    __syncthreads(); /* the stages have been read: their memory holds the products now */
    ffl_tile_store(z, (float *)shared, T::STRIDE, my_row, my_column);
}

#endif
