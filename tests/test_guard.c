#include "harness/check/guard.h"
#include <criterion/criterion.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

static sigjmp_buf back;
static char explained[128];

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    if (!ffl_guard_explain(info->si_addr, explained, sizeof explained))
        strcpy(explained, "elsewhere");
    siglongjmp(back, 1);
}

/* Says what an access broke; "" when it went through. */
static const char *touch(volatile unsigned char *at, bool write)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, old;
    sigaction(SIGSEGV, &action, &old);
    explained[0] = '\0';
    if (sigsetjmp(back, 1) == 0) {
        if (write)
            *at = 1;
        else
            (void)*at;
    }
    sigaction(SIGSEGV, &old, NULL);
    return explained;
}

Test(guard, the_fence_is_flush)
{
    for (size_t bytes = 4; bytes < 9000; bytes += 4 * 37) {
        ffl_guarded g;
        cr_assert_eq(ffl_guard_new("x", bytes,
                                   &(ffl_placement){.fence = FFL_FENCE_AFTER, .after = 0, .alignment = 4},
                                   &g),
                     FFL_OK);
        unsigned char *start = (unsigned char *)g.data;
        cr_assert_str_eq(touch(start + bytes - 1, true), "");
        cr_assert_str_eq(touch(start + bytes, false), "0 bytes past the end of x");
        cr_assert_str_eq(touch(start + bytes + 3, true), "3 bytes past the end of x");
        ffl_guard_free(&g);
        cr_assert_eq(ffl_guard_new("y", bytes,
                                   &(ffl_placement){.fence = FFL_FENCE_BEFORE, .before = 0, .alignment = 64},
                                   &g),
                     FFL_OK);
        start = (unsigned char *)g.data;
        cr_assert_str_eq(touch(start, true), "");
        cr_assert_str_eq(touch(start - 1, false), "1 bytes before y");
        ffl_guard_free(&g);
    }
}

Test(guard, slack_and_alignment_shift_the_fence)
{
    ffl_guarded g;
    cr_assert_eq(
        ffl_guard_new("x", 100, &(ffl_placement){.fence = FFL_FENCE_AFTER, .after = 8, .alignment = 4}, &g),
        FFL_OK);
    unsigned char *end = (unsigned char *)g.data + 100;
    cr_assert_str_eq(touch(end + 7, false), "");
    cr_assert_str_eq(touch(end + 8, false), "8 bytes past the end of x");
    ffl_guard_free(&g);
    cr_assert_eq(
        ffl_guard_new("x", 100, &(ffl_placement){.fence = FFL_FENCE_AFTER, .after = 0, .alignment = 64}, &g),
        FFL_OK);
    cr_assert_eq((uintptr_t)g.data % 64, 0);
    ffl_guard_free(&g);
    cr_assert_eq(ffl_guard_new("x", 100,
                               &(ffl_placement){.fence = FFL_FENCE_BEFORE, .before = 12, .alignment = 4}, &g),
                 FFL_OK);
    cr_assert_eq((uintptr_t)g.data % 64, 12);
    ffl_guard_free(&g);
    const ffl_placement readable = {.fence = FFL_FENCE_BEFORE, .after = 20000, .alignment = 4};
    cr_assert_eq(ffl_guard_new("x", 100, &readable, &g), FFL_OK);
    cr_assert_str_eq(touch((unsigned char *)g.data + 20099, false), "");
    ffl_guard_free(&g);
}

Test(guard, a_locked_buffer_is_read_only)
{
    ffl_guarded g;
    cr_assert_eq(
        ffl_guard_new("w_in", 40, &(ffl_placement){.fence = FFL_FENCE_AFTER, .after = 0, .alignment = 4}, &g),
        FFL_OK);
    unsigned char *start = (unsigned char *)g.data;
    cr_assert_eq(ffl_guard_lock(&g, true), FFL_OK);
    cr_assert_str_eq(touch(start + 4, false), "");
    cr_assert_str_eq(touch(start + 4, true), "at byte 4 of w_in, which is read-only");
    cr_assert_eq(ffl_guard_lock(&g, false), FFL_OK);
    cr_assert_str_eq(touch(start + 4, true), "");
    ffl_guard_free(&g);
    cr_assert_eq(ffl_guard_explain(start, explained, sizeof explained), false);
}

Test(guard, canaries_tell_writes_around_the_buffer)
{
    ffl_guarded g;
    ptrdiff_t offset;
    cr_assert_eq(
        ffl_guard_new("y", 100, &(ffl_placement){.fence = FFL_FENCE_AFTER, .after = 16, .alignment = 4}, &g),
        FFL_OK);
    unsigned char *start = (unsigned char *)g.data;
    memset(start, 0, 100);
    cr_assert(ffl_guard_intact(&g, &offset));
    start[103] ^= 1;
    cr_assert(!ffl_guard_intact(&g, &offset));
    cr_assert_eq(offset, 3);
    start[103] ^= 1;
    start[-4] ^= 1;
    cr_assert(!ffl_guard_intact(&g, &offset));
    cr_assert_eq(offset, -4);
    ffl_guard_free(&g);
}

/* A NaN keeps its bits through arithmetic: what is read beside x must not pass for what was beside y. */
Test(guard, canaries_differ_between_buffers)
{
    static const ffl_placement place = {.fence = FFL_FENCE_BEFORE, .alignment = 4};
    ffl_guarded x, y;
    ptrdiff_t offset;
    cr_assert_eq(ffl_guard_new("x", 100, &place, &x), FFL_OK);
    cr_assert_eq(ffl_guard_new("y", 100, &place, &y), FFL_OK);
    memcpy((unsigned char *)y.data + 100, (unsigned char *)x.data + 100, 4);
    cr_assert(!ffl_guard_intact(&y, &offset));
    ffl_guard_free(&x);
    ffl_guard_free(&y);
}

Test(guard, padding_of_rows_is_watched)
{
    ffl_guarded_rows rows;
    char why[128];
    cr_assert_eq(ffl_guarded_rows_new("y", 3, 5, 8,
                                      &(ffl_placement){.fence = FFL_FENCE_AFTER, .after = 0, .alignment = 4},
                                      &rows),
                 FFL_OK);
    for (size_t t = 0; t < 3; t++)
        memset(rows.data + t * 8, 0, 5 * sizeof(float));
    cr_assert(ffl_guarded_rows_intact(&rows, why, sizeof why));
    cr_assert_str_eq(touch((unsigned char *)(rows.data + 2 * 8 + 5), true), "0 bytes past the end of y",
                     "the last row must end at its width");
    rows.data[8 + 6] = 0;
    cr_assert(!ffl_guarded_rows_intact(&rows, why, sizeof why));
    cr_assert_str_eq(why, "wrote the padding of y: row 1, 1 past its width");
    ffl_guarded_rows_free(&rows);
}
