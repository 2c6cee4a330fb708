/*
 * Cases that nobody can know beforehand: a few small ones whose seeds come from the operating system. A
 * kernel made for the data of the default design meets others here. Their seeds stand in the lines and in the
 * journal.
 */
#include "harness/check/cases.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

typedef struct fresh {
    const char *fixture;
    size_t size[FFL_CASE_SIZES];
    size_t width, width_out, batch;
} fresh;

static const fresh dense_cases[] = {
    {"random", {127}, 96, 64, 17},
    {"exact", {63}, 100, 37, 9},
};
static const fresh tree_cases[] = {
    {"random", {1, 7}, 96, 64, 33},
    {"exact", {3, 4}, 100, 37, 17},
    {"ties", {2, 5}, 64, 48, 9},
};
static const fresh leaf_cases[] = {
    {"random", {6, 5}, 96, 64, 33},
    {"exact", {4, 9}, 100, 37, 17},
    {"ties", {5, 3}, 64, 48, 9},
};
static const fresh mixture_cases[] = {
    {"random", {24, 5, 2}, 96, 64, 33},
    {"exact", {40, 7, 1}, 100, 37, 17},
    {"ties", {12, 3, 3}, 64, 48, 9},
};

#define LIST(array)                                                                                          \
    {                                                                                                        \
        array, sizeof(array) / sizeof *(array)                                                               \
    }
static const struct {
    const fresh *all;
    size_t count;
} lists[FFL_OPERATION_COUNT] = {[FFL_FF] = LIST(dense_cases),
                                [FFL_FFF] = LIST(tree_cases),
                                [FFL_FFF_LEAF] = LIST(leaf_cases),
                                [FFL_MOE] = LIST(mixture_cases)};

static ffl_status unforeseen(uint64_t *seed)
{
    if (getrandom(seed, sizeof *seed, 0) != (ssize_t)sizeof *seed)
        return ffl_fail(FFL_IO, "no random seed from the operating system: %s", strerror(errno));
    *seed >>= 16; /* short enough to be typed again */
    return FFL_OK;
}

ffl_status ffl_cases_fresh(ffl_operation operation, ffl_case_list *list)
{
    for (size_t i = 0; i < lists[operation].count; i++) {
        const fresh *f = &lists[operation].all[i];
        ffl_check_case item = {.batch = f->batch, .threads = 1};
        snprintf(item.fixture, sizeof item.fixture, "%s", f->fixture);
        FFL_TRY(unforeseen(&item.seed));
        FFL_TRY(ffl_case_shape(operation, f->size, f->width, f->width_out, &item.shape));
        FFL_TRY(ffl_cases_add(list, &item));
    }
    return FFL_OK;
}
