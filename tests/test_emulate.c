/*
 * The emulated device itself: what would be a mistake on a GPU must show here, by the right message or a
 * wrong result, and what is right must be exactly what the layouts of cuda/mma.cuh say.
 */
#include "tests/emulate_kernels.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Calls it in a child, which must abort and say `message` and the kernel's name. */
static void expect_death(void (*call)(void), const char *kernel, const char *message)
{
    int ends[2];
    char said[512];
    cr_assert_eq(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        call();
        _exit(0);
    }
    close(ends[1]);
    size_t used = 0;
    for (ssize_t got;
         used + 1 < sizeof said && (got = read(ends[0], said + used, sizeof said - 1 - used)) > 0;)
        used += (size_t)got;
    said[used] = '\0';
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %x; %s", (unsigned)status, said);
    cr_assert(strstr(said, kernel) && strstr(said, message), "%s", said);
}

Test(emulate, a_barrier_that_a_thread_never_reaches_is_fatal)
{
    expect_death(emulate_missing_thread, "missing_thread", "a barrier or warp exchange that not all");
}

Test(emulate, an_exchange_that_lanes_disagree_on_is_fatal)
{
    expect_death(emulate_wrong_mask, "wrong_mask", "a barrier or warp exchange that not all");
}

Test(emulate, a_copy_that_nobody_waits_for_is_fatal)
{
    expect_death(emulate_copy_left_behind, "copy_left_behind", "copies that nobody waited for");
}

Test(emulate, a_missing_barrier_shows_as_a_wrong_result)
{
    int raced = 0;
    for (int again = 0; again < 8; again++) {
        cr_assert_eq(emulate_neighbours(128, true), 0);
        raced += emulate_neighbours(128, false);
    }
    cr_assert_gt(raced, 0);
}

Test(emulate, a_copy_lands_when_it_is_waited_for)
{
    cr_assert_eq(emulate_stale(EMULATE_WAIT), 0);
    cr_assert_eq(emulate_stale(EMULATE_NO_WAIT), 32);
    cr_assert_eq(emulate_stale(EMULATE_WAIT_BUT_ONE), 32);
}

/* Small whole numbers: exact in bf16 and tf32, and so are all sums. */
static float small(size_t i)
{
    return (float)((int)(i * 2654435761u >> 16 & 15) - 7);
}

Test(emulate, matrix_instructions_are_matrix_products)
{
    float a16[16][16], a8[16][8], b16[16][8], d[2][16][8], expected[2][16][8];
    for (size_t i = 0; i < 16; i++)
        for (size_t k = 0; k < 16; k++) {
            a16[i][k] = small(16 * i + k);
            b16[i][k % 8] = small(1000 + 8 * i + k % 8);
            a8[i][k % 8] = a16[i][k % 8];
        }
    for (size_t i = 0; i < 16; i++)
        for (size_t k = 0; k < 8; k++)
            a8[i][k] = a16[i][k];
    for (size_t t = 0; t < 2; t++)
        for (size_t i = 0; i < 16; i++)
            for (size_t j = 0; j < 8; j++) {
                d[t][i][j] = expected[t][i][j] = small(5000 + 8 * i + j);
                for (size_t k = 0; k < (t ? 8u : 16u); k++)
                    expected[t][i][j] += a16[i][k] * b16[k][j];
            }
    emulate_product_bf16((const float(*)[16])a16, (const float(*)[8])b16, d[0]);
    emulate_product_tf32((const float(*)[8])a8, (const float(*)[8])b16, d[1]);
    cr_assert_arr_eq(d, expected, sizeof d);
}

Test(emulate, matrix_instructions_see_no_more_than_their_type)
{
    float a[16][8] = {{0}}, b[8][8] = {{0}}, d[16][8] = {{0}};
    a[3][2] = 1 + 0x1p-12f; /* below tf32's last digit */
    b[2][5] = 1;
    emulate_product_tf32((const float(*)[8])a, (const float(*)[8])b, d);
    cr_assert(d[3][5] == 1, "%a", (double)d[3][5]);
}

Test(emulate, matrices_are_loaded_row_by_row_or_transposed)
{
    unsigned short in[4][8][8];
    unsigned out[32][4];
    for (unsigned short i = 0; i < 256; i++)
        in[i / 64][i / 8 % 8][i % 8] = (unsigned short)(i * 3 + 1);
    for (int transposed = 0; transposed < 2; transposed++) {
        emulate_load((const unsigned short(*)[8][8])in, transposed, out);
        for (unsigned lane = 0; lane < 32; lane++)
            for (unsigned m = 0; m < 4; m++) {
                const unsigned g = lane / 4, q = lane % 4;
                const unsigned low = transposed ? in[m][2 * q][g] : in[m][g][2 * q];
                const unsigned high = transposed ? in[m][2 * q + 1][g] : in[m][g][2 * q + 1];
                cr_assert_eq(out[lane][m], low | high << 16, "lane %u, matrix %u, transposed %d", lane, m,
                             transposed);
            }
    }
}

Test(emulate, a_graph_runs_when_it_is_launched)
{
    int seen[3];
    emulate_graph(seen);
    cr_assert(seen[0] == 0 && seen[1] == 1 && seen[2] == 3, "%d %d %d", seen[0], seen[1], seen[2]);
}

Test(emulate, launches_that_no_device_takes_are_refused)
{
    cr_assert(!emulate_refuses(1, 1024, 227 << 10));
    cr_assert(emulate_refuses(0, 32, 0));
    cr_assert(emulate_refuses(1, 0, 0));
    cr_assert(emulate_refuses(1, 1025, 0));
    cr_assert(emulate_refuses(1, 32, (227 << 10) + 1));
}
