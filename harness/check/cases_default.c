/*
 * The default design. Big layers are dear (a case of 4095 neurons and width 768 makes and guards 25 MB of
 * weights; a dense one costs every naive variant 10 ms per token), so their pairs meet small partners, and
 * the shapes of the paper are added by hand.
 */
#include "harness/check/cases.h"
#include "harness/check/fixtures.h"
#include "harness/check/pairwise.h"
#include <stdio.h>
#include <string.h>

enum {
    FIXTURE,
    SHAPE,
    WIDTH,
    WIDTH_OUT,
    BATCH,
    ACTIVATION,
    THREADS,
    BIAS,
    PADDING_X,
    PADDING_Y,
    OFFSET_X,
    OFFSET_Y
};
enum { ROWS_MAX = 400, SAME = 0 };

static const size_t trees[][2] = {{1, 0}, {1, 1}, {1, 3}, {5, 3}, {1, 11}, {2, 10}, {16, 7}, {64, 2}};
static const size_t neurons[] = {1, 7, 31, 64, 255};
static const size_t widths[] = {1, 16, 100, 767, 768, 769};
static const size_t widths_out[] = {SAME, 1, 17, 100};
static const size_t tree_batches[] = {1, 2, 3, 5, 8, 13, 16, 17, 31, 64, 65};
static const size_t dense_batches[] = {1, 2, 3, 5, 8, 16, 17, 33};
static const char *const tree_fixtures[] = {"random",  "exact",     "ties",  "margin",
                                            "special", "collapsed", "thrash"};
static const char *const dense_fixtures[] = {"random", "exact", "ties", "special"};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static size_t width_out_of(const size_t *choice)
{
    const size_t width_out = widths_out[choice[WIDTH_OUT]];
    return width_out == SAME ? widths[choice[WIDTH]] : width_out;
}

static ffl_status shape_of(ffl_operation operation, const size_t *choice, ffl_layer *shape)
{
    const size_t width = widths[choice[WIDTH]], width_out = width_out_of(choice);
    if (operation == FFL_FF)
        FFL_TRY(ffl_layer_ff(width, width_out, neurons[choice[SHAPE]], shape));
    else
        FFL_TRY(ffl_layer_fff(width, width_out, trees[choice[SHAPE]][0],
                              ffl_levels_from_depth(trees[choice[SHAPE]][1]), shape));
    shape->activation = (ffl_activation)choice[ACTIVATION];
    return FFL_OK;
}

/* One newly covered pair is worth a third of a million weights, or as many multiplications times 16 tokens.
 */
static double tree_cost(const size_t *choice)
{
    ffl_layer shape;
    return shape_of(FFL_FFF, choice, &shape) == FFL_OK ? (double)ffl_layer_bytes(&shape) / 1.2e6 : 0;
}

static double dense_cost(const size_t *choice)
{
    ffl_layer shape;
    return shape_of(FFL_FF, choice, &shape) == FFL_OK
               ? (double)ffl_layer_bytes(&shape) * (double)dense_batches[choice[BATCH]] / 2e7
               : 0;
}

/* The inverse of ffl_layout_from_seed; `number` makes the seeds of a design distinct. */
static uint64_t seed_of(const size_t *choice, uint64_t number)
{
    uint64_t seed = number;
    seed = 4 * seed + choice[OFFSET_Y];
    seed = 4 * seed + choice[OFFSET_X];
    seed = 4 * seed + choice[PADDING_Y];
    seed = 4 * seed + choice[PADDING_X];
    return 4 * seed + (choice[BIAS] ? 1 + number % 3 : 0);
}

static ffl_status add_design(ffl_operation operation, uint64_t seed, ffl_case_list *list)
{
    static ffl_pairwise_row rows[ROWS_MAX];
    const bool tree = operation == FFL_FFF;
    const ffl_axes axes = {
        .count = OFFSET_Y + 1,
        .values = {[FIXTURE] = tree ? COUNT(tree_fixtures) : COUNT(dense_fixtures),
                   [SHAPE] = tree ? COUNT(trees) : COUNT(neurons),
                   [WIDTH] = COUNT(widths),
                   [WIDTH_OUT] = COUNT(widths_out),
                   [BATCH] = tree ? COUNT(tree_batches) : COUNT(dense_batches),
                   [ACTIVATION] = FFL_GELU_TANH + 1,
                   [THREADS] = 2,
                   [BIAS] = 2,
                   [PADDING_X] = 4,
                   [PADDING_Y] = 4,
                   [OFFSET_X] = 4,
                   [OFFSET_Y] = 4},
        .cost = tree ? tree_cost : dense_cost,
    };
    size_t count;
    FFL_TRY(ffl_pairwise(&axes, seed, rows, ROWS_MAX, &count));
    for (size_t r = 0; r < count; r++) {
        const size_t *choice = rows[r].choice;
        ffl_check_case item = {.batch = tree ? tree_batches[choice[BATCH]] : dense_batches[choice[BATCH]],
                               .threads = 1 + (int)choice[THREADS],
                               .seed = seed_of(choice, seed * ROWS_MAX + r)};
        snprintf(item.fixture, sizeof item.fixture, "%s",
                 tree ? tree_fixtures[choice[FIXTURE]] : dense_fixtures[choice[FIXTURE]]);
        FFL_TRY(shape_of(operation, choice, &item.shape));
        FFL_TRY(ffl_cases_add(list, &item));
    }
    return FFL_OK;
}

typedef struct must_have {
    const char *fixture;
    size_t trees, depth, neurons, width, batch;
    int threads;
} must_have;

static const must_have tree_must_haves[] = {
    {"random", 1, 11, 0, 768, 1, 1},
    {"exact", 1, 11, 0, 768, 64, 1},
    {"ties", 1, 11, 0, 768, 33, 1},
    {"margin", 1, 11, 0, 768, 64, 1},
    {"thrash", 1, 11, 0, 768, 65, 1},
    {"random", 1, 11, 0, 768, 257, 2},
    {"random", 512, 2, 0, 128, 8, 1},
    {"random", 1, 15, 0, 24, 64, 1},
    {"random", 1, 7, 0, 8, FFL_MANY_TOKENS, 1},
};
static const must_have dense_must_haves[] = {
    {"random", 0, 0, 4095, 768, 1, 1},  {"exact", 0, 0, 4095, 768, 9, 1},
    {"random", 0, 0, 3072, 768, 17, 2}, {"random", 0, 0, 4095, 768, 64, 2},
    {"random", 0, 0, 100, 64, 257, 1},  {"random", 0, 0, 15, 8, FFL_MANY_TOKENS, 1},
};

static ffl_status add_must_have(ffl_operation operation, const must_have *m, uint64_t seed,
                                ffl_case_list *list)
{
    ffl_check_case item = {.batch = m->batch, .threads = m->threads, .seed = seed};
    snprintf(item.fixture, sizeof item.fixture, "%s", m->fixture);
    if (operation == FFL_FF)
        FFL_TRY(ffl_layer_ff(m->width, m->width, m->neurons, &item.shape));
    else
        FFL_TRY(ffl_layer_fff(m->width, m->width, m->trees, ffl_levels_from_depth(m->depth), &item.shape));
    return ffl_cases_add(list, &item);
}

ffl_status ffl_cases_default(ffl_operation operation, uint64_t seed, ffl_case_list *list)
{
    const must_have *m = operation == FFL_FF ? dense_must_haves : tree_must_haves;
    const size_t count = operation == FFL_FF ? COUNT(dense_must_haves) : COUNT(tree_must_haves);
    FFL_TRY(add_design(operation, seed, list));
    for (size_t i = 0; i < count; i++)
        FFL_TRY(add_must_have(operation, &m[i], seed, list));
    return FFL_OK;
}
