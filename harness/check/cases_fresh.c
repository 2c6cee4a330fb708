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
    size_t trees, depth, neurons, width, width_out, batch;
} fresh;

static const fresh tree_cases[] = {
    {"random", 1, 7, 0, 96, 64, 33},
    {"exact", 3, 4, 0, 100, 37, 17},
    {"ties", 2, 5, 0, 64, 48, 9},
};
static const fresh dense_cases[] = {
    {"random", 0, 0, 127, 96, 64, 17},
    {"exact", 0, 0, 63, 100, 37, 9},
};

static ffl_status unforeseen(uint64_t *seed)
{
    if (getrandom(seed, sizeof *seed, 0) != (ssize_t)sizeof *seed)
        return ffl_fail(FFL_IO, "no random seed from the operating system: %s", strerror(errno));
    *seed >>= 16; /* short enough to be typed again */
    return FFL_OK;
}

ffl_status ffl_cases_fresh(ffl_operation operation, ffl_case_list *list)
{
    const fresh *all = operation == FFL_FF ? dense_cases : tree_cases;
    const size_t count =
        operation == FFL_FF ? sizeof dense_cases / sizeof *all : sizeof tree_cases / sizeof *all;
    for (size_t i = 0; i < count; i++) {
        const fresh *f = &all[i];
        ffl_check_case item = {.batch = f->batch, .threads = 1};
        snprintf(item.fixture, sizeof item.fixture, "%s", f->fixture);
        FFL_TRY(unforeseen(&item.seed));
        if (operation == FFL_FF)
            FFL_TRY(ffl_layer_ff(f->width, f->width_out, f->neurons, &item.shape));
        else
            FFL_TRY(ffl_layer_fff(f->width, f->width_out, f->trees, ffl_levels_from_depth(f->depth),
                                  &item.shape));
        FFL_TRY(ffl_cases_add(list, &item));
    }
    return FFL_OK;
}
