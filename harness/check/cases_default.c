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

static const size_t neurons[][FFL_CASE_SIZES] = {{1}, {7}, {31}, {64}, {255}};
static const size_t trees[][FFL_CASE_SIZES] = {{1, 0},  {1, 1},  {1, 3},  {5, 3},
                                               {1, 11}, {2, 10}, {16, 7}, {64, 2}};
static const size_t leaves[][FFL_CASE_SIZES] = {{0, 5}, {1, 1}, {2, 64}, {3, 8}, {5, 3}, {7, 1}, {9, 8}};
static const size_t mixtures[][FFL_CASE_SIZES] = {{1, 7, 1}, {2, 1, 2},  {3, 3, 3},   {8, 16, 2},
                                                  {9, 5, 1}, {64, 4, 8}, {130, 8, 1}, {512, 1, 2}};
static const size_t widths[] = {1, 16, 100, 767, 768, 769};
static const size_t widths_out[] = {SAME, 1, 17, 100};
static const size_t tree_batches[] = {1, 2, 3, 5, 8, 13, 16, 17, 31, 64, 65};
static const size_t dense_batches[] = {1, 2, 3, 5, 8, 16, 17, 33};
static const char *const all_fixtures[] = {"random",  "exact",     "ties",  "margin",
                                           "special", "collapsed", "thrash"};
static const char *const dense_fixtures[] = {"random", "exact", "ties", "special"};

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* What the axes of an operation's design hold. */
typedef struct values {
    const size_t (*shapes)[FFL_CASE_SIZES];
    size_t shape_count;
    const size_t *batches;
    size_t batch_count;
    const char *const *fixtures;
    size_t fixture_count;
} values;

#define CHOOSING(shapes)                                                                                     \
    {                                                                                                        \
        shapes, COUNT(shapes), tree_batches, COUNT(tree_batches), all_fixtures, COUNT(all_fixtures)          \
    }
static const values all_values[FFL_OPERATION_COUNT] = {
    [FFL_FF] = {neurons, COUNT(neurons), dense_batches, COUNT(dense_batches), dense_fixtures,
                COUNT(dense_fixtures)},
    [FFL_FFF] = CHOOSING(trees),
    [FFL_FFF_LEAF] = CHOOSING(leaves),
    [FFL_MOE] = CHOOSING(mixtures),
};

static size_t width_out_of(const size_t *choice)
{
    const size_t width_out = widths_out[choice[WIDTH_OUT]];
    return width_out == SAME ? widths[choice[WIDTH]] : width_out;
}

static ffl_status shape_of(ffl_operation operation, const size_t *choice, ffl_layer *shape)
{
    FFL_TRY(ffl_case_shape(operation, all_values[operation].shapes[choice[SHAPE]], widths[choice[WIDTH]],
                           width_out_of(choice), shape));
    shape->activation = (ffl_activation)choice[ACTIVATION];
    return FFL_OK;
}

/* One newly covered pair is worth a third of a million weights, or as many multiplications times 16 tokens.
 */
static double weights_cost(ffl_operation operation, const size_t *choice)
{
    ffl_layer shape;
    return shape_of(operation, choice, &shape) == FFL_OK ? (double)ffl_layer_bytes(&shape) / 1.2e6 : 0;
}

static double tree_cost(const size_t *choice)
{
    return weights_cost(FFL_FFF, choice);
}

static double leaf_cost(const size_t *choice)
{
    return weights_cost(FFL_FFF_LEAF, choice);
}

static double mixture_cost(const size_t *choice)
{
    return weights_cost(FFL_MOE, choice);
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
    static double (*const costs[])(const size_t *) = {
        [FFL_FF] = dense_cost, [FFL_FFF] = tree_cost, [FFL_FFF_LEAF] = leaf_cost, [FFL_MOE] = mixture_cost};
    const values *v = &all_values[operation];
    const ffl_axes axes = {
        .count = OFFSET_Y + 1,
        .values = {[FIXTURE] = v->fixture_count,
                   [SHAPE] = v->shape_count,
                   [WIDTH] = COUNT(widths),
                   [WIDTH_OUT] = COUNT(widths_out),
                   [BATCH] = v->batch_count,
                   [ACTIVATION] = FFL_GELU_TANH + 1,
                   [THREADS] = 2,
                   [BIAS] = 2,
                   [PADDING_X] = 4,
                   [PADDING_Y] = 4,
                   [OFFSET_X] = 4,
                   [OFFSET_Y] = 4},
        .cost = costs[operation],
    };
    size_t count;
    FFL_TRY(ffl_pairwise(&axes, seed, rows, ROWS_MAX, &count));
    for (size_t r = 0; r < count; r++) {
        const size_t *choice = rows[r].choice;
        ffl_check_case item = {.batch = v->batches[choice[BATCH]],
                               .threads = 1 + (int)choice[THREADS],
                               .seed = seed_of(choice, seed * ROWS_MAX + r)};
        snprintf(item.fixture, sizeof item.fixture, "%s", v->fixtures[choice[FIXTURE]]);
        FFL_TRY(shape_of(operation, choice, &item.shape));
        FFL_TRY(ffl_cases_add(list, &item));
    }
    return FFL_OK;
}

typedef struct must_have {
    const char *fixture;
    size_t size[FFL_CASE_SIZES];
    size_t width, batch;
    int threads;
} must_have;

static const must_have tree_must_haves[] = {
    {"random", {1, 11}, 768, 1, 1},
    {"exact", {1, 11}, 768, 64, 1},
    {"ties", {1, 11}, 768, 33, 1},
    {"margin", {1, 11}, 768, 64, 1},
    {"thrash", {1, 11}, 768, 65, 1},
    {"random", {1, 11}, 768, 257, 2},
    {"random", {512, 2}, 128, 8, 1},
    {"random", {1, 15}, 24, 64, 1},
    {"random", {1, 7}, 8, FFL_MANY_TOKENS, 1},
};
static const must_have dense_must_haves[] = {
    {"random", {4095}, 768, 1, 1},  {"exact", {4095}, 768, 9, 1},  {"random", {3072}, 768, 17, 2},
    {"random", {4095}, 768, 64, 2}, {"random", {100}, 64, 257, 1}, {"random", {15}, 8, FFL_MANY_TOKENS, 1},
};
/* As many neurons as the paper's tree; a deep tree; more experts than tokens, many chosen. */
static const must_have leaf_must_haves[] = {
    {"random", {9, 8}, 768, 1, 1},
    {"exact", {9, 8}, 768, 64, 1},
    {"margin", {9, 8}, 768, 64, 1},
    {"thrash", {9, 8}, 768, 65, 1},
    {"random", {9, 8}, 768, 257, 2},
    {"random", {13, 1}, 24, 64, 1},
    {"random", {5, 4}, 8, FFL_MANY_TOKENS, 1},
};
static const must_have mixture_must_haves[] = {
    {"random", {512, 8, 1}, 768, 1, 1},           {"exact", {512, 8, 1}, 768, 33, 1},
    {"thrash", {512, 8, 1}, 768, 65, 1},          {"random", {512, 8, 1}, 768, 257, 2},
    {"random", {8, 512, 2}, 256, 37, 1},          {"exact", {16, 8, 2}, 256, 64, 1},
    {"margin", {64, 8, 2}, 256, 64, 1},           {"random", {100, 3, 16}, 64, 41, 1},
    {"random", {6, 4, 2}, 8, FFL_MANY_TOKENS, 1},
};

#define LIST(array)                                                                                          \
    {                                                                                                        \
        array, COUNT(array)                                                                                  \
    }
static const struct {
    const must_have *all;
    size_t count;
} must_haves[FFL_OPERATION_COUNT] = {[FFL_FF] = LIST(dense_must_haves),
                                     [FFL_FFF] = LIST(tree_must_haves),
                                     [FFL_FFF_LEAF] = LIST(leaf_must_haves),
                                     [FFL_MOE] = LIST(mixture_must_haves)};

static ffl_status add_must_have(ffl_operation operation, const must_have *m, uint64_t seed,
                                ffl_case_list *list)
{
    ffl_check_case item = {.batch = m->batch, .threads = m->threads, .seed = seed};
    snprintf(item.fixture, sizeof item.fixture, "%s", m->fixture);
    FFL_TRY(ffl_case_shape(operation, m->size, m->width, m->width, &item.shape));
    return ffl_cases_add(list, &item);
}

ffl_status ffl_cases_default(ffl_operation operation, uint64_t seed, ffl_case_list *list)
{
    FFL_TRY(add_design(operation, seed, list));
    for (size_t i = 0; i < must_haves[operation].count; i++)
        FFL_TRY(add_must_have(operation, &must_haves[operation].all[i], seed, list));
    return FFL_OK;
}
