/*
 * The operations, and the words used everywhere.
 *
 *   width_in, width_out   elements of an input and an output row
 *   neurons               rows of w_in and w_out
 *   trees, levels, nodes  FFF only: neurons = trees * nodes, nodes = 2^levels - 1; tree t owns rows
 *                         t*nodes … t*nodes + nodes - 1 in heap order (children of i: 2i+1, 2i+2)
 *   levels                neurons evaluated per tree and token; code speaks in levels
 *   depth                 decisions = levels - 1; only the command line and the reports say TxD (trees x
 *                         depth, 1x11 = one tree of 12 levels and 4095 nodes). Published code uses "depth"
 *                         in both senses; ffl_levels_from_depth is the one place that converts.
 *   experts, expert_width leaf FFF and MoE only: neurons = experts * expert_width; expert e, a small FF layer
 *                         with an output bias of its own, owns rows e*expert_width … of w_in and w_out
 *   gates                 rows of w_gate, which choose `chosen` experts per token
 *
 * FF ("DMM", dense):         y = act(x·w_inᵀ + b_in)·w_out (+ b_out)
 * FFF ("CMM", conditional):  per tree, from node i = 0, `levels` times:
 *                            z = x·w_in[i] + b_in[i];  y += act(z)·w_out[i];  i = 2i + 1 + (z > 0)
 *                            All visited nodes contribute, trees are summed, there is no output bias.
 *
 * Leaf FFF:                  a tree of `levels` decisions, gates = 2^levels - 1 in heap order, that add
 * nothing to y: from i = 0, `levels` times: i = 2i + 1 + (x·w_gate[i] + b_gate[i] > 0); then y = FF of expert
 * i - gates (its leaf). levels = 0: one leaf, no gate. MoE:                       gates = experts; z =
 * x·w_gateᵀ + b_gate; S = the `chosen` largest z (equal ones: the lower index; NaN last); y = Σ over S of
 * softmax over S of z · FF of the expert.
 *
 * Tie rule: z > 0 goes right; z < 0, +0, -0 and NaN go left. act is GELU, exact (z·Φ(z) by erf); or the
 * function that BERT's original code has in its place, z/2·(1 + tanh(√(2/π)·(z + 0.044715·z³))), under a name
 * of its own; or ReLU.
 * Source: arXiv:2311.10770; leaf FFF arXiv:2308.14711; MoE arXiv:1701.06538, without noise.
 */
#ifndef FFL_KERNELS_LAYER_H
#define FFL_KERNELS_LAYER_H

#include "kernels/status.h"
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ffl_operation { FFL_FF = 0, FFL_FFF, FFL_FFF_LEAF, FFL_MOE, FFL_OPERATION_COUNT } ffl_operation;
typedef enum ffl_activation { FFL_GELU = 0, FFL_RELU = 1, FFL_GELU_TANH = 2 } ffl_activation;

/* "gelu", "relu", "gelu_tanh", NULL: by value, as the command line and the reports have them. */
extern const char *const ffl_activation_names[];

enum { FFL_DEPTH_MAX = 20, FFL_LEVELS_MAX = FFL_DEPTH_MAX + 1 };

/* A layer whose weight pointers are NULL is a shape. The weights belong to whoever made the layer. */
typedef struct ffl_layer {
    ffl_operation operation;
    ffl_activation activation;
    size_t width_in, width_out;
    size_t neurons;
    size_t trees, levels, nodes;                 /* 0 for FF and MoE; leaf FFF: 1, decisions, gates */
    size_t experts, expert_width, chosen, gates; /* 0 for FF and FFF; leaf FFF: chosen = 1 */
    const float *w_in;                           /* [neurons][width_in] */
    const float *b_in;  /* [neurons]; zeros when the layer has no bias, never NULL in a layer */
    const float *w_out; /* [neurons][width_out] */
    const float
        *b_out; /* FF [width_out], leaf FFF and MoE [experts][width_out]; NULL when absent; FFF: NULL */
    const float *w_gate; /* [gates][width_in]; NULL without gates */
    const float *b_gate; /* [gates]; like b_in never NULL in a layer that has gates */
} ffl_layer;

/* Decisions to neurons evaluated: depth 11 is 12 levels. */
size_t ffl_levels_from_depth(size_t depth);

/* Shapes. FFL_BAD_INPUT, naming the value, when a size is 0, too deep, or its byte counts overflow. */
ffl_status ffl_layer_ff(size_t width_in, size_t width_out, size_t neurons, ffl_layer *shape);
ffl_status ffl_layer_fff(size_t width_in, size_t width_out, size_t trees, size_t levels, ffl_layer *shape);

/* Leaf FFF: `depth` decisions, 2^depth leaves. MoE: chosen <= experts. */
ffl_status ffl_layer_leaf(size_t width_in, size_t width_out, size_t depth, size_t leaf_width,
                          ffl_layer *shape);
ffl_status ffl_layer_moe(size_t width_in, size_t width_out, size_t experts, size_t expert_width,
                         size_t chosen, ffl_layer *shape);

/* "ff", "fff", "fff_leaf", "moe": by value, as variants' names begin and reports have them; NULL ends. */
extern const char *const ffl_operation_names[];

/* Does it have gates and experts: leaf FFF or MoE? */
bool ffl_operation_has_experts(ffl_operation operation);

/* Expert e as an FF layer that shares its weights. */
ffl_layer ffl_layer_expert(const ffl_layer *layer, size_t e);

/* Elements of b_out where there is one: width_out for FF, times experts for leaf FFF and MoE, 0 for FFF. */
size_t ffl_layer_output_biases(const ffl_layer *layer);

/* Bytes of the original f32 weights, biases included. */
size_t ffl_layer_bytes(const ffl_layer *layer);

/* The dense comparator: the same weights read as an FF layer over the first `neurons` rows. */
ffl_layer ffl_layer_dense(const ffl_layer *layer, size_t neurons);

/* `trees` trees of an FFF layer from the first-th on, as a layer that shares its weights. */
ffl_layer ffl_layer_trees(const ffl_layer *layer, size_t first, size_t trees);

/* FFL_BAD_INPUT, naming tensor and index, when a weight or bias is not finite. */
ffl_status ffl_layer_check_finite(const ffl_layer *layer);

#ifdef __cplusplus
}
#endif
#endif
