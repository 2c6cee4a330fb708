/* Thread teams: every row exactly once, each part with scratch of its own, on as many threads as pay. */
#include "kernels/memory.h"
#include "kernels/team.h"
#include <criterion/criterion.h>
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
