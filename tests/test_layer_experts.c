/* Leaf FFF and mixtures in files and capsules: written, read back, refused, and cut into smaller ones. */
#include "harness/check/reduce.h"
#include "harness/files/layer_file.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include "tests/files.h"
#include <criterion/criterion.h>
#include <string.h>

static ffl_weights leaf_weights(size_t depth)
{
    ffl_layer shape;
    ffl_weights w;
    cr_assert_eq(ffl_layer_leaf(5, 4, depth, 3, &shape), FFL_OK);
    cr_assert_eq(ffl_weights_new(&shape, true, &w), FFL_OK);
    ffl_weights_randomise(&w, 3);
    return w;
}

static ffl_weights mixture_weights(void)
{
    ffl_layer shape;
    ffl_weights w;
    cr_assert_eq(ffl_layer_moe(5, 4, 6, 3, 2, &shape), FFL_OK);
    cr_assert_eq(ffl_weights_new(&shape, true, &w), FFL_OK);
    ffl_weights_randomise(&w, 3);
    return w;
}

static bool same(const float *a, const float *b, size_t count)
{
    return memcmp(a, b, count * sizeof *a) == 0;
}

static void expect_back(ffl_weights w, const ffl_layer_request *request)
{
    const char *path = files_path("layer.safetensors");
    const ffl_layer *l = &w.layer, *b;
    ffl_weights back;
    cr_assert_eq(ffl_layer_file_write(path, l, NULL, 0, NULL), FFL_OK, "%s", ffl_error());
    cr_assert_eq(ffl_layer_file_read(path, request, &back), FFL_OK, "%s", ffl_error());
    b = &back.layer;
    cr_assert(b->operation == l->operation && b->levels == l->levels && b->experts == l->experts &&
              b->expert_width == l->expert_width && b->chosen == l->chosen && b->gates == l->gates);
    cr_assert(same(back.w_in, w.w_in, l->neurons * 5) && same(back.b_in, w.b_in, l->neurons));
    cr_assert(same(back.w_out, w.w_out, l->neurons * 4) && same(back.b_out, w.b_out, l->experts * 4));
    cr_assert(l->gates == 0 ||
              (same(back.w_gate, w.w_gate, l->gates * 5) && same(back.b_gate, w.b_gate, l->gates)));
    ffl_weights_free(&back);
    for (int other = 0; other < FFL_OPERATION_COUNT; other++) {
        const ffl_layer_request wrong = {.operation = (ffl_operation)other};
        if ((ffl_operation)other == l->operation)
            continue;
        cr_assert_eq(ffl_layer_file_read(path, &wrong, &back), FFL_BAD_INPUT);
        cr_assert(strstr(ffl_error(), ffl_operation_names[l->operation]), "%s", ffl_error());
    }
    ffl_weights_free(&w);
}

Test(layer_experts, what_is_written_is_read_back_by_its_own_operation_alone)
{
    const ffl_layer_request leaf = {.operation = FFL_FFF_LEAF}, mixture = {.operation = FFL_MOE};
    const ffl_layer_request told = {.operation = FFL_MOE, .experts = 6, .expert_width = 3, .chosen = 2};
    expect_back(leaf_weights(0), &leaf);
    expect_back(leaf_weights(3), &leaf);
    expect_back(mixture_weights(), &mixture);
    expect_back(mixture_weights(), &told);
    files_remove();
}

Test(layer_experts, options_must_fit_the_file)
{
    ffl_weights w = mixture_weights(), back;
    const char *path = files_path("layer.safetensors");
    cr_assert_eq(ffl_layer_file_write(path, &w.layer, NULL, 0, NULL), FFL_OK);
    const ffl_layer_request wide = {.operation = FFL_MOE, .experts = 6, .expert_width = 4, .chosen = 2};
    cr_assert_eq(ffl_layer_file_read(path, &wide, &back), FFL_BAD_INPUT);
    cr_assert(strstr(ffl_error(), "18 neurons, but 6 experts of 4 take 24 (--moe)"), "%s", ffl_error());
    const ffl_layer_request few = {.operation = FFL_MOE, .experts = 9, .expert_width = 2, .chosen = 2};
    cr_assert_eq(ffl_layer_file_read(path, &few, &back), FFL_BAD_INPUT);
    cr_assert(strstr(ffl_error(), "expected [9, 4], a row per expert"), "%s", ffl_error());
    ffl_weights_free(&w);
    files_remove();
}

static ffl_capsule capsule_of(ffl_weights weights)
{
    ffl_capsule c = {.batch = 2, .threads = 1, .fixture = {.weights = weights, .tokens = 2}};
    c.fixture.x = ffl_alloc_array(2 * weights.layer.width_in, sizeof(float));
    for (size_t i = 0; i < 2 * weights.layer.width_in; i++)
        c.fixture.x[i] = (float)i - 4;
    return c;
}

static void outputs(const ffl_capsule *c, double *y, int32_t *chosen)
{
    const ffl_layer *l = &c->fixture.weights.layer;
    cr_assert_eq(
        ffl_reference_experts(l, c->fixture.x, l->width_in, c->fixture.tokens, y, NULL, chosen, NULL),
        FFL_OK);
}

Test(layer_experts, a_subtree_has_its_own_leaves)
{
    ffl_capsule whole = capsule_of(leaf_weights(3)), part;
    double y[8], cut_y[8];
    int32_t leaf[2], cut_leaf[2];
    bool changed;
    size_t kept = 0;
    outputs(&whole, y, leaf);
    for (size_t side = 0; side < 2; side++) {
        cr_assert_eq(ffl_capsule_reduce(&whole, FFL_AXIS_ROOTS, side, 1, &part, &changed), FFL_OK);
        cr_assert(changed && part.fixture.weights.layer.levels == 2);
        outputs(&part, cut_y, cut_leaf);
        for (size_t t = 0; t < 2; t++)
            if ((size_t)leaf[t] / 4 != side) { /* what is taken away is `side` */
                cr_assert_eq(cut_leaf[t], leaf[t] % 4);
                cr_assert_eq(memcmp(y + 4 * t, cut_y + 4 * t, 4 * sizeof *y), 0);
                kept++;
            }
        ffl_capsule_free(&part);
    }
    cr_assert_eq(kept, 2);
    cr_assert_eq(ffl_capsule_reduce(&whole, FFL_AXIS_LEVELS, 0, 3, &part, &changed), FFL_OK);
    cr_assert(changed && part.fixture.weights.layer.experts == 1 && part.fixture.weights.layer.gates == 0);
    cr_assert(same(part.fixture.weights.w_in, whole.fixture.weights.w_in, 15), "the first leaf stays");
    ffl_capsule_free(&part);
    ffl_capsule_free(&whole);
}

Test(layer_experts, mixtures_lose_experts_that_nobody_chose)
{
    ffl_capsule whole = capsule_of(mixture_weights()), part;
    double y[8], cut_y[8];
    int32_t chosen[4], cut_chosen[4];
    bool changed;
    size_t dropped = 0;
    outputs(&whole, y, chosen);
    for (size_t e = 0; e < 6; e++) {
        bool used = false;
        for (size_t i = 0; i < 4; i++)
            used |= (size_t)chosen[i] == e;
        cr_assert_eq(ffl_capsule_reduce(&whole, FFL_AXIS_TREES, e, 1, &part, &changed), FFL_OK);
        cr_assert(changed && part.fixture.weights.layer.experts == 5);
        outputs(&part, cut_y, cut_chosen);
        cr_assert_eq(memcmp(y, cut_y, sizeof y) == 0, !used, "expert %zu", e);
        dropped += !used;
        ffl_capsule_free(&part);
    }
    cr_assert(dropped >= 2);
    cr_assert_eq(ffl_capsule_reduce(&whole, FFL_AXIS_TREES, 0, 5, &part, &changed), FFL_OK);
    cr_assert(!changed, "one expert cannot be two");
    cr_assert_eq(ffl_capsule_reduce(&whole, FFL_AXIS_CHOSEN, 1, 1, &part, &changed), FFL_OK);
    cr_assert(changed && part.fixture.weights.layer.chosen == 1);
    ffl_capsule_free(&part);
    cr_assert_eq(ffl_capsule_reduce(&whole, FFL_AXIS_EXPERT_WIDTH, 1, 1, &part, &changed), FFL_OK);
    cr_assert(changed && part.fixture.weights.layer.expert_width == 2);
    const float *w = whole.fixture.weights.w_in, *p = part.fixture.weights.w_in;
    cr_assert(same(p, w, 5) && same(p + 5, w + 10, 5) && same(p + 10, w + 15, 5), "0 and 2 of each expert");
    ffl_capsule_free(&part);
    ffl_capsule_free(&whole);
}

Test(layer_experts, hashes_tell_gates_apart)
{
    ffl_capsule c = capsule_of(mixture_weights());
    const uint64_t before = ffl_capsule_hash(&c);
    c.fixture.weights.w_gate[7] += 1;
    const uint64_t other = ffl_capsule_hash(&c);
    c.fixture.weights.b_out[23] += 1;
    cr_assert(before != other && ffl_capsule_hash(&c) != other);
    ffl_capsule_free(&c);
}
