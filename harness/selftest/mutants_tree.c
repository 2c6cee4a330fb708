/* Wrong turns: depth, children, indices and strides of the trees. */
#include "harness/selftest/mutant.h"
#include <math.h>

static size_t one_level_less(const ffl_visit *v)
{
    return v->layer->levels > 1 ? v->layer->levels - 1 : 1;
}

static size_t one_level_more(const ffl_visit *v)
{
    return v->layer->levels + 1;
}

static size_t swapped_at_level_1(const ffl_visit *v, float z)
{
    return v->level == 1 ? 3 - ffl_step_child(v, z) : ffl_step_child(v, z);
}

static size_t mirrored(const ffl_visit *v, float z)
{
    return 3 - ffl_step_child(v, z);
}

static size_t mirrored_token(const ffl_visit *v, float z)
{
    return v->token == 2 ? 3 - ffl_step_child(v, z) : ffl_step_child(v, z);
}

static size_t sign_bit(const ffl_visit *v, float z)
{
    (void)v;
    return signbit(z) ? 1 : 2;
}

/* Rows with next to no weights have a loop of their own, in which a tie goes right. */
static size_t sparse_tie(const ffl_visit *v, float z)
{
    enum { WIDE = 16, SPARSE = 6 };
    const float *w = v->layer->w_in + v->row * v->layer->width_in;
    size_t weights = 0;
    for (size_t i = 0; i < v->layer->width_in; i++)
        weights += w[i] != 0;
    return z == 0 && weights <= SPARSE && v->layer->width_in >= WIDE ? 2 : ffl_step_child(v, z);
}

/* The last turn of every 10 000th token that it ever saw. */
static size_t rarely_wrong(const ffl_visit *v, float z)
{
    const size_t seen = v->call->state->tokens + v->token + 1;
    const bool wrong = seen % 10000 == 0 && v->level + 2 == v->layer->levels;
    return wrong ? 3 - ffl_step_child(v, z) : ffl_step_child(v, z);
}

static size_t int16_row(const ffl_visit *v)
{
    return (size_t)(int16_t)ffl_step_row(v);
}

static size_t stride_of_a_power(const ffl_visit *v)
{
    return v->tree * (v->layer->nodes + 1) + v->node;
}

/* The trees' rows lie one inside the other: fits the memory, and one tree alone is right. */
static size_t interleaved(const ffl_visit *v)
{
    return v->node * v->layer->trees + v->tree;
}

static void leaf_twice(const ffl_visit *v, float g, const float *w, float *y)
{
    ffl_step_add(v, g, w, y);
    if (v->level + 1 == v->layer->levels)
        ffl_step_add(v, g, w, y);
}

/* The activation of one tree meets the output weights of the next. */
static void next_tree(const ffl_visit *v, float g, const float *w, float *y)
{
    const ffl_layer *l = v->layer;
    (void)w;
    const size_t row = (v->tree + 1) % l->trees * l->nodes + v->node;
    ffl_step_add(v, g, l->w_out + row * l->width_out, y);
}

static size_t one_tree_for_all(const ffl_visit *v)
{
    return v->node;
}

/* Only the leaf contributes, as in mixtures of experts. */
static void leaf_alone(const ffl_visit *v, float g, const float *w, float *y)
{
    if (v->level + 1 == v->layer->levels)
        ffl_step_add(v, g, w, y);
}

static void no_root(const ffl_visit *v, float g, const float *w, float *y)
{
    if (v->level > 0 || v->layer->levels == 1)
        ffl_step_add(v, g, w, y);
}

static size_t last_leaf(const ffl_visit *v)
{
    const size_t row = ffl_step_row(v);
    return row == v->layer->neurons - 1 ? row - (v->layer->neurons > 1) : row;
}

/* Buckets of tokens by leaf that hold all but one of a large batch. */
static void full_bucket(const ffl_call *c)
{
    size_t *same = &c->state->remembered;
    if (c->tokens >= 13 && *same == c->tokens && c->layer->levels > 1)
        c->y[(c->tokens - 1) * c->ldy] += 1;
    *same = 0;
}

static size_t count_leaf(const ffl_visit *v, float z)
{
    static size_t first;
    const size_t child = ffl_step_child(v, z), next = 2 * v->node + child;
    if (v->tree == 0 && v->level + 2 == v->layer->levels) {
        first = v->token == 0 ? next : first;
        v->call->state->remembered += next == first;
    }
    return child;
}

/* Runs of tokens that leave the root to one side, and room for one run less than a large batch has tokens. */
static size_t count_run(const ffl_visit *v, float z)
{
    static size_t side;
    const size_t child = ffl_step_child(v, z);
    if (v->tree == 0 && v->level == 0) {
        v->call->state->remembered += v->token == 0 || child != side;
        side = child;
    }
    return child;
}

static void runs_overflow(const ffl_call *c)
{
    size_t *runs = &c->state->remembered;
    if (c->tokens >= 16 && *runs == c->tokens)
        c->y[(c->tokens - 1) * c->ldy] += 1;
    *runs = 0;
}

#define TREE(name, summary) FFL_MUTANT(FFL_FFF, "fff_mutant_" name, summary, "tree")
#define VALUES                                                                                               \
    {                                                                                                        \
        "FAILED *: row *: got *"                                                                             \
    }

const ffl_mutant ffl_tree_mutants[] = {
    {TREE("last_level", "one level less"), .expect = {"FAILED *; it matches the walk without its last level"},
     .steps.levels = one_level_less},
    {TREE("extra_level", "one level more"),
     .expect = {"CRASHED * past the end of *", "FAILED *: row *: got *"}, .steps.levels = one_level_more},
    {TREE("swapped_level", "children swapped at one level"),
     .expect = {"FAILED *; it matches the walk that goes *", "FAILED *: row *: got *"},
     .steps.child = swapped_at_level_1},
    {TREE("mirrored", "children swapped everywhere"),
     .expect = {"FAILED *; it matches the walk that turns the wrong way at every node",
                "FAILED *; it matches the walk that goes *"},
     .steps.child = mirrored},
    {TREE("mirrored_token", "children swapped for one token"),
     .expect = {"FAILED *row 2 *: got *", "FAILED *rows reversed: row *: got *"},
     .steps.child = mirrored_token},
    {TREE("sign_bit", "+0 goes right"), .expect = VALUES, .steps.child = sign_bit},
    {TREE("sparse_tie", "a tie goes right where a row is nearly empty"), .expect = VALUES,
     .steps.child = sparse_tie},
    {TREE("one_in_10000", "a wrong leaf for one token in 10 000"), .expect = VALUES,
     .steps.child = rarely_wrong},
    {TREE("int16", "node index of 16 bits"), .expect = {"CRASHED * before w_in", "CRASHED *died of signal*"},
     .steps.row = int16_row},
    {TREE("stride_of_a_power", "tree stride 2^levels"),
     .expect = {"CRASHED * past the end of *", "FAILED *: row *: got *"}, .steps.row = stride_of_a_power},
    {TREE("interleaved", "expects the trees interleaved"), .expect = VALUES, .steps.row = interleaved},
    {TREE("leaf_twice", "evaluates the leaf twice"), .expect = VALUES, .steps.add = leaf_twice},
    {TREE("next_tree", "output weights of the next tree"), .expect = VALUES, .steps.add = next_tree},
    {TREE("one_tree", "the first tree's weights for all"), .expect = VALUES, .steps.row = one_tree_for_all},
    {TREE("leaf_alone", "only the leaf contributes"), .expect = VALUES, .steps.add = leaf_alone},
    {TREE("no_root", "the root does not contribute"), .expect = VALUES, .steps.add = no_root},
    {TREE("last_leaf", "the last row's neighbour in its place"), .expect = VALUES, .steps.row = last_leaf},
    {TREE("full_bucket", "loses a token when all of a batch reach one leaf"), .expect = VALUES,
     .steps = {.child = count_leaf, .after = full_bucket}},
    {TREE("runs_overflow", "loses a token when all neighbours part at the root"), .expect = VALUES,
     .steps = {.child = count_run, .after = runs_overflow}},
    {.family = NULL},
};
