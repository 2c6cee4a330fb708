/*
 * The loops of gbench.cc without Google Benchmark: the same calls in the same places, repetitions of all
 * cases in random order. On a machine of which only a compiler can be expected (a GPU node), bench needs no
 * more.
 */
#include "harness/bench/gbench.h"
#include <stdint.h>
#include <stdlib.h>

const char *ffl_gbench_version(void)
{
    return "own loop";
}

/* False: the case has ended. */
static bool run_repetition(const ffl_gbench_case *c)
{
    if (!c->begin(c->user))
        return false;
    for (size_t i = 0; i < c->calls_per_repetition; i++)
        if (!(c->call(c->user) >= 0))
            return false;
    return c->end(c->user);
}

/* Fisher and Yates; the order need not be good, only not the variants'. */
static void shuffle(size_t *order, size_t count)
{
    uint64_t state = UINT64_C(0x9E3779B97F4A7C15);
    for (size_t i = count; i > 1; i--) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        const size_t k = state % i, kept = order[i - 1];
        order[i - 1] = order[k];
        order[k] = kept;
    }
}

ffl_status ffl_gbench_run(const ffl_gbench_case *cases, size_t count, bool interleave)
{
    size_t total = 0, at = 0;
    for (size_t i = 0; i < count; i++)
        total += cases[i].repetitions;
    size_t *order = calloc(total + 1, sizeof *order);
    bool *ended = calloc(count + 1, sizeof *ended);
    for (size_t i = 0; order && i < count; i++)
        for (size_t k = 0; k < cases[i].repetitions; k++)
            order[at++] = i;
    if (order && interleave)
        shuffle(order, total);
    for (size_t i = 0; order && ended && i < total; i++)
        if (!ended[order[i]])
            ended[order[i]] = !run_repetition(&cases[order[i]]);
    const bool done = order && ended;
    free(order);
    free(ended);
    return done ? FFL_OK : ffl_fail(FFL_NO_MEMORY, "no memory for %zu repetitions", total);
}
