/* From the command line to shapes: presets, --tree, --neurons, --leaf, --moe, --width, --width-out,
 * --activation. */
#ifndef FFL_HARNESS_SHAPES_H
#define FFL_HARNESS_SHAPES_H

#include "harness/cli.h"
#include "kernels/layer.h"

/* One FFF shape and the dense shapes it is compared with (the first: as many neurons as the trees have,
 * unless --neurons says otherwise). */
typedef struct ffl_shape_case {
    ffl_layer tree;
    ffl_layer dense[8];
    size_t dense_count;
    ffl_layer peers[8]; /* leaf trees and mixtures of experts of the same widths and activation */
    size_t peer_count;
} ffl_shape_case;

typedef struct ffl_shape_list {
    ffl_shape_case value[FFL_LIST_MAX];
    size_t count;
} ffl_shape_list;

/* Defaults: --preset paper, that is H=768, 1x11, gelu; --leaf 9x8 and --moe 512x8:1, which have as many
 * neurons, and the leaf tree reads as many rows of weights per token. FFL_BAD_INPUT names option and value.
 */
ffl_status ffl_shapes_from_options(const ffl_options *options, ffl_shape_list *out);

/* "1x11" for trees, "4095" for dense layers, "9x8" for leaf trees, "512x8:1" for mixtures: as --tree,
 * --neurons,
 * --leaf and --moe take it. */
/* The option that takes that name. */
ffl_option ffl_shape_option(ffl_operation operation);

void ffl_shape_name(const ffl_layer *shape, char *out, size_t size);

/* Prints the presets, one line each. */
void ffl_presets_print(void);

#endif
