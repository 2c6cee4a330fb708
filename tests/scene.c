#include "tests/scene.h"
#include "harness/workload/random.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include <criterion/criterion.h>
#include <math.h>

scene new_scene(ffl_layer shape, bool output_bias, size_t tokens)
{
    scene s = {.tokens = tokens};
    cr_assert_eq(ffl_weights_new(&shape, output_bias, &s.weights), FFL_OK);
    ffl_weights_randomise(&s.weights, 11);
    s.x = ffl_alloc_array(tokens * shape.width_in, sizeof *s.x);
    s.y = ffl_alloc_array(tokens * shape.width_out, sizeof *s.y);
    ffl_random random = ffl_random_new(5, 0);
    for (size_t i = 0; i < tokens * shape.width_in; i++)
        s.x[i] = (float)ffl_random_normal(&random);
    return s;
}

scene new_tree_scene(size_t width, size_t trees, size_t levels, size_t tokens)
{
    ffl_layer shape;
    cr_assert_eq(ffl_layer_fff(width, width, trees, levels, &shape), FFL_OK);
    return new_scene(shape, false, tokens);
}

void free_scene(scene *s)
{
    ffl_weights_free(&s->weights);
    ffl_free(s->x);
    ffl_free(s->y);
}

ffl_judgement judge_scene(scene *s, const ffl_contract *contract, ffl_data data, const int32_t *trace)
{
    ffl_judge *judge;
    ffl_judgement result;
    s->layer = &s->weights.layer;
    const ffl_layer *l = s->layer;
    cr_assert_eq(ffl_judge_new(l, contract, data, s->x, l->width_in, s->tokens, NULL, 0, &judge), FFL_OK);
    cr_assert_eq(ffl_judge_rows(judge, s->y, l->width_out, trace, &result), FFL_OK);
    ffl_judge_free(judge);
    return result;
}

ffl_judgement run_scene(scene *s, const simulation *how, ffl_data data)
{
    /* Plausible old values, which a kernel that forgets a row leaves behind. */
    for (size_t i = 0; i < s->tokens * s->weights.layer.width_out; i++)
        s->y[i] = 0.5f;
    simulate(how, &s->weights.layer, s->x, s->y, s->tokens);
    return judge_scene(s, &how->contract, data, NULL);
}

/* Token 0 makes every logit a difference of two large, nearly equal numbers. */
static void cancel_biases(scene *s)
{
    const ffl_layer *l = &s->weights.layer;
    for (size_t k = 0; k < l->neurons; k++)
        s->weights.b_in[k] = (float)-ffl_reference_dot(s->x, l->w_in + k * l->width_in, l->width_in);
}

void set_data(scene *s, data_kind kind)
{
    const ffl_layer *l = &s->weights.layer;
    if (kind == OUTLIERS)
        for (size_t i = 0; i < s->tokens * l->width_in; i += 97)
            s->x[i] *= 300;
    if (kind == UNEVEN_ROWS)
        for (size_t i = 0; i < l->neurons * l->width_out; i++)
            s->weights.w_out[i] *= i / l->width_out % 500 ? 1 : 300;
    if (kind == FEW_LARGE_ACTIVATIONS) {
        for (size_t k = 0; k < l->neurons; k++)
            s->weights.b_in[k] += k % 300 == 7 ? 60 : -1;
        for (size_t i = 0; i < l->neurons * l->width_out; i++)
            s->weights.w_out[i] = fabsf(s->weights.w_out[i]);
    }
    if (kind != SAME_SIGN && kind != BIAS_CANCELS)
        return;
    for (size_t i = 0; i < s->tokens * l->width_in; i++)
        s->x[i] = fabsf(s->x[i]);
    for (size_t i = 0; i < l->neurons * l->width_in; i++)
        s->weights.w_in[i] = fabsf(s->weights.w_in[i]);
    for (size_t i = 0; i < l->neurons * l->width_out; i++)
        s->weights.w_out[i] = fabsf(s->weights.w_out[i]);
    if (kind == BIAS_CANCELS)
        cancel_biases(s);
}
