/* Every registered variant that runs here, against the judge: in this process, so a debugger sees what fails.
 */
#include "harness/check/trial.h"
#include "harness/registry.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <string.h>

typedef struct shape_row {
    const char *fixture;
    size_t trees, depth, neurons, width_in, width_out, batch;
    ffl_activation activation;
    uint64_t seed;
} shape_row;

/* One token, odd counts, every vector remainder below 16 over the widths, padding and offsets by the seed. */
static const shape_row rows[] = {
    {"random", 1, 0, 1, 1, 1, 1, FFL_GELU, 1},
    {"random", 1, 3, 15, 33, 17, 7, FFL_GELU, 89},
    {"exact", 3, 4, 31, 50, 35, 5, FFL_RELU, 150},
    {"ties", 2, 5, 63, 100, 100, 13, FFL_GELU_TANH, 211},
    {"exact", 1, 6, 127, 767, 769, 3, FFL_GELU, 318},
    {"random", 5, 2, 17, 24, 40, 33, FFL_RELU, 405},
    {"special", 1, 5, 9, 71, 28, 16, FFL_GELU, 511},
    {"random", 1, 7, 255, 769, 45, 2, FFL_GELU_TANH, 620},
    {"exact", 64, 1, 100, 94, 15, 17, FFL_GELU_TANH, 723},
    {"random", 1, 11, 64, 38, 30, 4, FFL_RELU, 804},
};

static void try_shape(const ffl_variant *variant, const shape_row *row)
{
    ffl_check_case item = {.batch = row->batch, .threads = variant->threaded ? 2 : 1, .seed = row->seed};
    snprintf(item.fixture, sizeof item.fixture, "%s", row->fixture);
    const ffl_status made = variant->operation == FFL_FFF
                                ? ffl_layer_fff(row->width_in, row->width_out, row->trees,
                                                ffl_levels_from_depth(row->depth), &item.shape)
                                : ffl_layer_ff(row->width_in, row->width_out, row->neurons, &item.shape);
    cr_assert_eq(made, FFL_OK);
    item.shape.activation = row->activation;
    ffl_trial *trial;
    ffl_judgement j;
    cr_assert_eq(ffl_trial_new(&item, &trial), FFL_OK, "%s", ffl_error());
    cr_assert_eq(ffl_trial_run(trial, variant, &j), FFL_OK, "%s", ffl_error());
    cr_expect(j.verdict == FFL_PASSED || j.verdict == FFL_UNSUPPORTED_HERE, "%s, %s of width %zu: %s: %s",
              variant->name, row->fixture, row->width_in, ffl_verdict_name(j.verdict), j.reason);
    cr_expect(j.verdict != FFL_PASSED || j.rows + j.unbounded_rows >= row->batch);
    ffl_trial_free(trial);
}

ParameterizedTestParameters(variants, pass_on_every_kind_of_shape)
{
    static size_t indices[512];
    const size_t count = ffl_registry_count();
    for (size_t i = 0; i < count; i++)
        indices[i] = i;
    return cr_make_param_array(size_t, indices, count);
}

ParameterizedTest(size_t *index, variants, pass_on_every_kind_of_shape)
{
    const ffl_variant *variant = ffl_registry_at(*index);
    const char *why = "";
    if (!ffl_variant_available(variant, &why))
        cr_skip_test("%s: %s", variant->name, why);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        try_shape(variant, &rows[r]);
}
