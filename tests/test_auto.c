/* The dispatchers: what they choose, and that they run what they chose. */
#include "harness/auto/choice.h"
#include "harness/auto/observe.h"
#include "harness/instance.h"
#include "harness/registry.h"
#include "harness/workload/routing.h"
#include "harness/workload/weights.h"
#include "kernels/memory.h"
#include "tests/dispatch.h"
#include "tests/files.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

TestSuite(auto_, .init = set_up, .fini = tear_down);

/* ---- Choosing ---- */

static const ffl_variant *picked(const ffl_auto_choice *choice, size_t tokens, double shared)
{
    return choice->kernel[ffl_auto_pick(choice, &tree, tokens, shared)].variant;
}

Test(auto_, picks_what_the_table_says)
{
    ffl_tuned_table table = example_table();
    ffl_auto_choice choice;
    cr_assert_eq(ffl_auto_choose(self, &tree, TOKENS, 1, &table, &choice), FFL_OK);
    cr_assert(choice.tuned);
    cr_assert_eq(choice.kernels, 3);
    cr_assert_eq(picked(&choice, 1, NAN), kernel[0]);
    cr_assert_eq(picked(&choice, 32, 1), kernel[0], "32 lies half-way between 1 and 1024");
    cr_assert_eq(picked(&choice, TOKENS, 0), kernel[1]);
    cr_assert_eq(picked(&choice, TOKENS, 0.06), kernel[1]);
    cr_assert_eq(picked(&choice, TOKENS, 0.9), kernel[2]);
    cr_assert_neq(picked(&choice, TOKENS, NAN), kernel[0],
                  "twice the time beats four times, whatever the routing");
    cr_assert_eq(ffl_auto_choose(self, &tree, 8, 1, &table, &choice), FFL_OK);
    cr_assert_eq(choice.kernels, 1, "what larger batches want is not prepared");
    cr_assert_eq(picked(&choice, 8, NAN), kernel[0]);
    ffl_tuned_free(&table);
}

Test(auto_, a_kernel_that_gains_too_little_is_not_prepared)
{
    static const double even[] = {10.02, 10, 10.02};
    ffl_tuned_table table = {.cells = ffl_alloc_array(2, sizeof *table.cells), .count = 2};
    ffl_auto_choice choice;
    table.cells[0] = tuned_cell(1, "uniform", 0, (const double[]){10, 10.02, 10.01});
    table.cells[1] = tuned_cell(TOKENS, "uniform", 0, even);
    cr_assert_eq(ffl_auto_choose(self, &tree, TOKENS, 1, &table, &choice), FFL_OK);
    cr_assert_eq(choice.kernels, 1);
    ffl_tuned_free(&table);
}

Test(auto_, a_distant_layer_is_left_to_the_rules)
{
    ffl_tuned_table table = example_table();
    ffl_auto_choice choice;
    ffl_layer near, far;
    cr_assert_eq(ffl_layer_fff(2 * WIDTH, WIDTH, 2, LEVELS + 1, &near), FFL_OK);
    cr_assert_eq(ffl_layer_fff(WIDTH, WIDTH, 4096, LEVELS, &far), FFL_OK);
    cr_assert_eq(ffl_auto_choose(self, &near, TOKENS, 1, &table, &choice), FFL_OK);
    cr_assert(choice.tuned);
    cr_assert_eq(ffl_auto_choose(self, &far, TOKENS, 1, &table, &choice), FFL_OK);
    cr_assert_not(choice.tuned);
    ffl_tuned_free(&table);
}

/* Every dispatcher, with and without a table, has a kernel for any number of tokens. */
Test(auto_, rules_cover_every_batch)
{
    static const size_t most[] = {1, 5, 100, 5000}, trees[] = {1, 8, 128};
    for (size_t i = 0; i < ffl_registry_count() * 12; i++) {
        const ffl_variant *v = ffl_registry_at(i / 12);
        const size_t max_tokens = most[i % 4];
        ffl_auto_choice choice;
        ffl_layer shape;
        const char *why;
        if (v->family != FFL_AUTO || !ffl_variant_available(v, &why))
            continue;
        if (v->operation == FFL_FFF)
            ffl_layer_fff(40, 24, trees[i / 4 % 3], 5, &shape);
        else
            ffl_layer_ff(40, 24, 50, &shape);
        if (!v->supports(&shape, max_tokens, &why))
            continue; /* no kernel of this class here */
        cr_assert_eq(ffl_auto_choose(v, &shape, max_tokens, 1 + (int)(i % 2), NULL, &choice), FFL_OK);
        for (size_t tokens = 1; tokens <= max_tokens; tokens += 1 + tokens / 7) {
            const size_t k = ffl_auto_pick(&choice, &shape, tokens, 0.5);
            cr_assert_lt(k, choice.kernels);
            cr_assert_leq(tokens, choice.kernel[k].max_tokens);
            cr_assert(ffl_auto_may_use(v, choice.kernel[k].variant, &shape, tokens), "%s", v->name);
        }
    }
}

Test(auto_, only_kernels_that_keep_the_contract_may_be_used)
{
    const ffl_contract promised = self->contract;
    ffl_contract c = promised;
    cr_assert(ffl_auto_contract_holds(&c, &promised));
    c.invariances |= FFL_SAME_BATCH;
    cr_assert(ffl_auto_contract_holds(&c, &promised), "a stricter one is fine");
    c = promised, c.over_read_bytes = 64;
    cr_assert_not(ffl_auto_contract_holds(&c, &promised));
    c = promised, c.activation_error *= 2;
    cr_assert_not(ffl_auto_contract_holds(&c, &promised));
    c = promised, c.flushes_denormals = true;
    cr_assert_not(ffl_auto_contract_holds(&c, &promised));
    c = promised, c.input = FFL_BF16;
    cr_assert_not(ffl_auto_contract_holds(&c, &promised));
    c = promised, c.hidden = FFL_BF16;
    cr_assert_not(ffl_auto_contract_holds(&c, &promised));
    c = promised, c.alignment = 64;
    cr_assert_not(ffl_auto_contract_holds(&c, &promised));
    c = promised, c.invariances = 0;
    cr_assert_not(ffl_auto_contract_holds(&c, &promised));
    for (size_t i = 0; i < ffl_registry_count(); i++)
        if (ffl_auto_may_use(self, ffl_registry_at(i), &tree, 1))
            cr_assert(ffl_registry_at(i)->family != FFL_AUTO && ffl_registry_at(i)->place == FFL_HOST);
}

/* ---- Running ---- */

typedef struct stage {
    ffl_weights weights;
    float *x, *y, *expected;
} stage;

static stage make_stage(const char *routing)
{
    ffl_routing how;
    ffl_routing_report report;
    stage s = {.x = ffl_alloc_rows(TOKENS * WIDTH, sizeof(float)),
               .y = ffl_alloc_rows(TOKENS * WIDTH, sizeof(float)),
               .expected = ffl_alloc_rows(TOKENS * WIDTH, sizeof(float))};
    cr_assert_eq(ffl_weights_new(&tree, false, &s.weights), FFL_OK);
    ffl_weights_randomise(&s.weights, 3);
    cr_assert_eq(ffl_routing_parse(routing, &how), FFL_OK);
    cr_assert_eq(ffl_routing_inputs(&s.weights.layer, &how, 5, s.x, WIDTH, TOKENS, &report), FFL_OK);
    return s;
}

static void free_stage(stage *s)
{
    ffl_weights_free(&s->weights);
    ffl_free(s->x);
    ffl_free(s->y);
    ffl_free(s->expected);
}

static void run(const ffl_variant *v, const stage *s, float *y, size_t tokens, size_t *packed)
{
    ffl_instance instance;
    cr_assert_eq(ffl_instance_new(v, &s->weights.layer, TOKENS, 1, &instance), FFL_OK, "%s", ffl_error());
    *packed = instance.plan.packed_bytes;
    cr_assert_eq(ffl_instance_run(&instance, s->x, WIDTH, y, WIDTH, tokens), FFL_OK, "%s", ffl_error());
    ffl_instance_free(&instance);
}

/* Bits tell kernels apart, if the three differ at all in theirs. */
static void expect_same(const stage *s, const ffl_variant *v, size_t tokens)
{
    size_t packed;
    run(v, s, s->expected, tokens, &packed);
    run(self, s, s->y, tokens, &packed);
    cr_assert_eq(memcmp(s->y, s->expected, tokens * WIDTH * sizeof *s->y), 0, "%zu tokens: not %s", tokens,
                 v->name);
}

Test(auto_, runs_what_it_chose)
{
    stage spread = make_stage("uniform"), single = make_stage("single");
    setenv("FFLAB_TUNING", write_example(), 1);
    expect_same(&spread, kernel[0], 1);
    expect_same(&single, kernel[0], 7);
    expect_same(&spread, kernel[1], TOKENS);
    expect_same(&single, kernel[2], TOKENS);
    free_stage(&spread);
    free_stage(&single);
}

/* A kernel that packs, if any runs here; any other one otherwise. */
static const ffl_variant *packing_kernel(const stage *s)
{
    size_t packed;
    for (size_t i = 0; i < ffl_registry_count(); i++) {
        const ffl_variant *v = ffl_registry_at(i);
        if (!ffl_auto_may_use(self, v, &tree, 1) || !ffl_auto_may_use(self, v, &tree, TOKENS))
            continue;
        run(v, s, s->expected, 1, &packed);
        if (packed > 0 && v != kernel[1] && v != kernel[2])
            return v;
    }
    return kernel[0];
}

Test(auto_, packs_what_its_kernels_pack)
{
    stage s = make_stage("uniform");
    size_t sum = 0, packed;
    kernel[0] = packing_kernel(&s);
    setenv("FFLAB_TUNING", write_example(), 1);
    for (size_t k = 0; k < 3; k++) {
        run(kernel[k], &s, s.expected, 1, &packed);
        sum += packed;
    }
    run(self, &s, s.y, 1, &packed);
    cr_assert_eq(packed, sum);
    free_stage(&s);
}

Test(auto_, tells_concentrated_from_spread_routing)
{
    static const struct {
        const char *routing;
        double low, high;
    } kinds[] = {{"uniform", 0, 0.03}, {"zipf:1", 0.02, 0.2}, {"prototypes:4", 0.05, 0.5}, {"single", 1, 1}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        stage s = make_stage(kinds[i].routing);
        const double seen = ffl_auto_observe(&s.weights.layer, s.x, WIDTH, TOKENS,
                                             (ffl_auto_look){.samples = 64, .decisions = LEVELS - 1});
        cr_assert(seen >= kinds[i].low && seen <= kinds[i].high, "%s: %g", kinds[i].routing, seen);
        free_stage(&s);
    }
}

Test(auto_, looks_only_where_it_costs_little)
{
    ffl_layer shape;
    cr_assert_eq(ffl_layer_fff(768, 768, 1, 12, &shape), FFL_OK);
    for (size_t tokens = 1; tokens <= 100000; tokens += 1 + tokens / 3) {
        const ffl_auto_look look = ffl_auto_look_at(&shape, tokens, 1);
        cr_assert_leq(look.samples * look.decisions, tokens * 12 / 48 + 1, "%zu tokens", tokens);
        cr_assert(look.samples <= 64 && look.decisions <= 11 && look.samples <= tokens);
    }
    cr_assert_gt(ffl_auto_look_at(&shape, 128, 1).samples, 0);
    cr_assert_eq(ffl_auto_look_at(&shape, 16, 1).samples, 0);
    cr_assert_eq(ffl_layer_fff(768, 768, 3072, 1, &shape), FFL_OK);
    cr_assert_eq(ffl_auto_look_at(&shape, 1024, 1).samples, 0, "nothing is decided");
}
