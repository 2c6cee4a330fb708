/* Thread teams: every row exactly once, each part with scratch of its own, on as many threads as pay. */
#define _GNU_SOURCE
#include "harness/bench/pin.h"
#include "kernels/memory.h"
#include "kernels/team.h"
#include <criterion/criterion.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

enum { ROWS = 101, WIDTH = 3, SHARE = 100 };

static atomic_int parts, narrowest = ROWS + 1;

static void add_one(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y, size_t ldy,
                    size_t tokens)
{
    (void)plan;
    atomic_fetch_add(&parts, 1);
    if ((int)tokens < atomic_load(&narrowest))
        atomic_store(&narrowest, (int)tokens);
    /* Two parts on one share would tread on each other's bytes here. */
    memset(scratch, (int)tokens, SHARE);
    for (size_t t = 0; t < tokens; t++)
        for (size_t i = 0; i < WIDTH; i++)
            y[t * ldy + i] += x[t * ldx + i] + 1;
    for (size_t i = 0; i < SHARE; i++)
        cr_assert_eq(((unsigned char *)scratch)[i], tokens);
}

static void run(size_t tokens, int threads, size_t grain, int expected_parts)
{
    static float x[ROWS][WIDTH + 1], y[ROWS][WIDTH + 2];
    ffl_plan plan = {.threads = 4};
    ffl_team_scratch(&plan, SHARE);
    ffl_exec exec = {.threads = threads, .scratch = ffl_alloc(plan.scratch_bytes)};
    memset(y, 0, sizeof y);
    for (size_t t = 0; t < ROWS; t++)
        for (size_t i = 0; i < WIDTH; i++)
            x[t][i] = (float)(t * WIDTH + i);
    parts = 0;
    narrowest = ROWS + 1;
    cr_assert_eq(ffl_team_rows(&plan, &exec, grain, add_one, x[0], WIDTH + 1, y[0], WIDTH + 2, tokens),
                 FFL_OK);
    for (size_t t = 0; t < ROWS; t++)
        for (size_t i = 0; i < WIDTH + 2; i++)
            cr_assert_eq(y[t][i], t < tokens && i < WIDTH ? x[t][i] + 1 : 0, "row %zu, element %zu", t, i);
    cr_assert_eq(parts, expected_parts, "%zu tokens, %d threads, grain %zu: %d parts", tokens, threads, grain,
                 parts);
    cr_assert_geq(narrowest, (int)(grain < tokens ? grain : tokens));
    ffl_free(exec.scratch);
}

Test(team, every_row_is_done_once_on_as_many_threads_as_pay)
{
    run(ROWS, 1, 1, 1);
    run(ROWS, 4, 1, 4);
    run(ROWS, 3, 10, 3);
    run(ROWS, 4, 40, 2);
    run(ROWS, 4, 60, 1);
    run(3, 4, 1, 3);
    run(1, 4, 16, 1);
    run(1, 4, 0, 1);
}

static void count(void *work, int member, int members)
{
    cr_assert_eq(members, 7);
    atomic_fetch_add((atomic_int *)work + member, 1);
}

Test(team, every_member_is_called_once_whatever_the_number_of_threads)
{
    atomic_int called[7] = {0};
    ffl_team_run(7, count, called);
    for (int i = 0; i < 7; i++)
        cr_assert_eq(called[i], 1, "member %d", i);
}

Test(team, shares_lie_on_pages_of_their_own)
{
    ffl_plan plan = {.threads = 3};
    ffl_team_scratch(&plan, 4097);
    cr_assert_eq(plan.scratch_bytes, 3 * 8192);
    char base[1];
    const ffl_exec exec = {.threads = 3, .scratch = base};
    cr_assert_eq((char *)ffl_team_share(&plan, &exec, 2) - base, 2 * 8192);
    cr_assert_null(ffl_team_share(&plan, &(ffl_exec){.threads = 1}, 0));
}

static void add_trees(const ffl_plan *plan, size_t first, size_t trees, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    atomic_fetch_add(&parts, 1);
    for (size_t t = 0; t < tokens; t++)
        for (size_t i = 0; i < plan->layer->width_out; i++) {
            y[t * ldy + i] = 0;
            for (size_t tree = first; tree < first + trees; tree++)
                y[t * ldy + i] += x[t * ldx + i] / (float)(tree + 1);
        }
}

static void run_trees(size_t trees, size_t tokens, float y[ROWS][WIDTH + 2], int threads)
{
    static float x[ROWS][WIDTH + 1];
    const ffl_layer layer = {.operation = FFL_FFF, .width_out = WIDTH, .trees = trees, .levels = 5};
    ffl_plan plan = {.threads = 4, .layer = &layer, .max_tokens = tokens};
    ffl_team_trees_scratch(&plan);
    const ffl_exec exec = {.threads = threads, .scratch = ffl_alloc(plan.scratch_bytes)};
    for (size_t t = 0; t < tokens; t++)
        for (size_t i = 0; i < WIDTH; i++)
            x[t][i] = (float)(t * WIDTH + i + 1) / 7;
    cr_assert_eq(ffl_team_trees(&plan, &exec, add_trees, x[0], WIDTH + 1, y[0], WIDTH + 2, tokens), FFL_OK);
    for (size_t t = 0; t < tokens; t++)
        for (size_t i = 0; i < WIDTH; i++) {
            double sum = 0;
            for (size_t tree = 0; tree < trees; tree++)
                sum += (double)x[t][i] / (double)(tree + 1);
            cr_assert_float_eq(y[t][i], sum, 1e-5 * sum);
        }
    ffl_free(exec.scratch);
}

Test(team, trees_are_summed_in_the_same_order_by_any_threads)
{
    static const size_t trees[] = {1, 12, 13, 30, 128}, tokens[] = {1, 2, 15, 17, ROWS};
    for (size_t k = 0; k < sizeof trees / sizeof *trees; k++)
        for (size_t b = 0; b < sizeof tokens / sizeof *tokens; b++) {
            static float alone[ROWS][WIDTH + 2], y[ROWS][WIDTH + 2];
            memset(alone, 0, sizeof alone);
            run_trees(trees[k], tokens[b], alone, 1);
            for (int threads = 2; threads <= 4; threads++) {
                memset(y, 0, sizeof y);
                run_trees(trees[k], tokens[b], y, threads);
                cr_assert_arr_eq(y, alone, sizeof y, "%zu trees, %zu tokens, %d threads", trees[k], tokens[b],
                                 threads);
            }
        }
    static float y[ROWS][WIDTH + 2];
    parts = 0;
    run_trees(1, 1, y, 4);
    cr_assert_eq(parts, 1);
}

static void processors(void *work, int member, int members)
{
    cpu_set_t mine;
    (void)members;
    cr_assert_eq(sched_getaffinity(0, sizeof mine, &mine), 0);
    ((int *)work)[member] = CPU_COUNT(&mine);
}

Test(team, bound_threads_have_a_processor_of_their_own_and_the_caller_stays_free)
{
    cpu_set_t allowed;
    int count[2] = {0};
    cr_assert_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    if (!ffl_team_available() || CPU_COUNT(&allowed) < 2)
        cr_skip_test("one processor, or no OpenMP");
    ffl_pin_team(2);
    ffl_team_run(2, processors, count);
    cr_assert_eq(count[0], CPU_COUNT(&allowed));
    cr_assert_eq(count[1], 1);
}
