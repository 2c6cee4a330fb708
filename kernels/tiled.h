/*
 * The dense layer as two register-tiled products with the activation between them: everything but the tiles
 * themselves, which a variant brings for its instruction set. Blocking after Goto and van de Geijn, ACM TOMS
 * 34(3), 2008.
 *
 * A block of tokens passes through FFL_TILED_DEPTH neurons at a time: hidden = x·w_inᵀ, activation,
 * y += hidden·w_out. The block's x, its hidden values and the next panels of weights live in L2, so the
 * weights come from memory once per block. They are packed in exactly the order of use: the next panel is
 * always the next address, and each tile prefetches its share of it.
 *
 * A layer of trees is evaluated whole and masked between the two products (ffl_tiled.visit). Each step takes
 * whole trees, 16 of them side by side, so that a walk needs nothing but vector compares.
 *
 * Every output element is one sum whose order depends on the layer alone: a row's bits do not change with its
 * batch, its place there, or the number of threads.
 */
#ifndef FFL_KERNELS_TILED_H
#define FFL_KERNELS_TILED_H

#include "kernels/variant.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    FFL_TILED_DEPTH = 384,                   /* k per step */
    FFL_TILED_STRIDE = FFL_TILED_DEPTH + 16, /* of a's rows, in floats: an odd number of cache lines keeps the
                                              * rows of a tile out of one another's cache sets, and a constant
                                              * makes their addresses immediate offsets */
    FFL_TILED_PANEL = 16,                    /* columns of packed weights that lie together: a cache line */
    FFL_TILED_AHEAD = 32,                    /* k: half a page of each panel */
    FFL_TILED_ROWS = 128                     /* tokens per pass over the weights */
};

/*
 * One tile of c [rows][ldc], `columns` wide, = or += a [rows][FFL_TILED_STRIDE] · b, which is one panel
 * [depth] [FFL_TILED_PANEL] after the other, 64-byte aligned. Columns from `columns` up are not touched in c.
 * With every second k, one line at `next` is prefetched towards L2, and next moves on by next_step bytes:
 * where the panels after these begin. NULL: this tile is the only one that uses b, and had better fetch b's
 * own lines FFL_TILED_AHEAD k ahead.
 */
typedef void ffl_tile_function(const float *a, const float *b, size_t depth, float *c, size_t ldc,
                               size_t columns, bool add, const char *next, size_t next_step);

/* The same, and what the panels hold goes to `wide` as panels of floats. */
typedef void ffl_widening_tile_function(const float *a, const float *b, size_t depth, float *c, size_t ldc,
                                        size_t columns, bool add, const char *next, size_t next_step,
                                        float *wide);

typedef struct ffl_tiled {
    size_t rows, panels;             /* of a full tile */
    ffl_tile_function *const *tiles; /* by number of rows, 1 … rows */
    /* z[i] = act(z[i] + bias[i]); y[i] += g·w[i]: as in simd/scalar.h */
    void (*activate)(ffl_activation activation, const float *bias, float *z, size_t n);
    void (*add)(float g, const float *w, float *y, size_t n);

    /*
     * Weights in bf16: a panel is [depth / 2] [FFL_TILED_PANEL] words, the lower half of each an even k, the
     * upper half the next one, or zero after an odd last one. `tiles` take these. Where several share the
     * panels, the first is one of `widening`, the others of `wide`, for panels of floats, if there are such.
     */
    bool bf16;
    ffl_widening_tile_function *const *widening;
    ffl_tile_function *const *wide;
    /* Rows of x as the tiles read them, in the place of as many floats; absent: a copy. */
    void (*copy)(const float *x, float *to, size_t n);

    /*
     * Layers of trees only, in place of activate: z [rows][FFL_TILED_STRIDE] becomes act(z + bias) where the
     * token's path leads, and 0 at every other node, whatever its z. Node i of 16 trees is panel i of
     * l->nodes, then come the next 16 trees; what pads the last group becomes 0, too.
     */
    void (*visit)(const ffl_layer *l, const float *bias, size_t trees, float *z, size_t rows);
} ffl_tiled;

/* Trees of more nodes do not fit: a step takes whole groups of trees. */
enum { FFL_TILED_NODES_MAX = FFL_TILED_DEPTH / FFL_TILED_PANEL };

/* For a variant's entries of the same names; `kernel` must outlive the plan. */
ffl_status ffl_tiled_prepare(const ffl_tiled *kernel, const ffl_layer *layer, ffl_plan *plan);
ffl_status ffl_tiled_run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                         size_t ldy, size_t tokens);
void ffl_tiled_release(ffl_plan *plan);

/* One block of at most FFL_TILED_ROWS rows x[0] … from anywhere, on this thread. scratch: plan->scratch_bytes
 * as prepared for one thread. The same bits as by ffl_tiled_run. */
void ffl_tiled_gathered(const ffl_plan *plan, void *scratch, const float *const *x, size_t rows, float *y,
                        size_t ldy);

#ifdef __cplusplus
}
#endif
#endif
