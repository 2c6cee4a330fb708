/*
 * A layer with inputs and room for outputs, for the tests of bounds and judge.
 */
#ifndef FFL_TESTS_SCENE_H
#define FFL_TESTS_SCENE_H

#include "harness/check/judge.h"
#include "harness/workload/weights.h"
#include "tests/simulate.h"

typedef struct scene {
    ffl_weights weights;
    const ffl_layer *layer;
    size_t tokens;
    float *x, *y;
} scene;

typedef enum data_kind {
    ZERO_MEAN = 0,
    SAME_SIGN,
    OUTLIERS,
    BIAS_CANCELS,
    UNEVEN_ROWS,
    FEW_LARGE_ACTIVATIONS, /* which set the step of the others, and weights of one sign */
    DATA_KINDS
} data_kind;

/* Seeded; of zero mean until set_data says otherwise. */
scene new_scene(ffl_layer shape, bool output_bias, size_t tokens);
scene new_tree_scene(size_t width, size_t trees, size_t levels, size_t tokens);
void set_data(scene *s, data_kind kind);
void free_scene(scene *s);

/* Judges the outputs in y. */
ffl_judgement judge_scene(scene *s, const ffl_contract *contract, ffl_data data, const int32_t *trace);

/* Simulates a kernel, then judges what it wrote. */
ffl_judgement run_scene(scene *s, const simulation *how, ffl_data data);

#endif
