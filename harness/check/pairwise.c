#include "harness/check/pairwise.h"
#include "harness/workload/random.h"
#include <stdbool.h>
#include <string.h>

enum { CANDIDATES = 32 };

/* covered[a][b][va][vb], a < b */
typedef struct pair_table {
    bool covered[FFL_AXES_MAX][FFL_AXES_MAX][FFL_AXIS_VALUES_MAX][FFL_AXIS_VALUES_MAX];
    size_t left;
} pair_table;

static bool *pair_of(pair_table *table, size_t a, size_t va, size_t b, size_t vb)
{
    return a < b ? &table->covered[a][b][va][vb] : &table->covered[b][a][vb][va];
}

/* Pairs that axis `a` with value `va` would newly cover against the axes already chosen. */
static size_t gain(pair_table *table, const ffl_axes *axes, const size_t *choice, const bool *chosen,
                   size_t a, size_t va)
{
    size_t pairs = 0;
    for (size_t b = 0; b < axes->count; b++)
        pairs += b != a && chosen[b] && !*pair_of(table, a, va, b, choice[b]);
    return pairs;
}

/* Chooses the axes not yet chosen one by one, each with the value of the highest gain; ties at random. */
static size_t complete(pair_table *table, const ffl_axes *axes, size_t *choice, bool *chosen,
                       ffl_random *random)
{
    size_t total = 0;
    const size_t start = ffl_random_below(random, axes->count);
    for (size_t k = 0; k < axes->count; k++) {
        const size_t a = (start + k) % axes->count, from = ffl_random_below(random, axes->values[a]);
        if (chosen[a])
            continue;
        size_t best = 0;
        for (size_t i = 0; i < axes->values[a]; i++) {
            const size_t va = (from + i) % axes->values[a], pairs = gain(table, axes, choice, chosen, a, va);
            if (i == 0 || pairs > best) {
                best = pairs;
                choice[a] = va;
            }
        }
        chosen[a] = true;
        total += best;
    }
    return total;
}

/* The first pair not covered: every row takes one, so the rows end. */
static void seed_pair(pair_table *table, const ffl_axes *axes, size_t *choice, bool *chosen)
{
    for (size_t a = 0; a < axes->count; a++)
        for (size_t b = a + 1; b < axes->count; b++)
            for (size_t va = 0; va < axes->values[a]; va++)
                for (size_t vb = 0; vb < axes->values[b]; vb++)
                    if (!table->covered[a][b][va][vb]) {
                        choice[a] = va;
                        choice[b] = vb;
                        chosen[a] = chosen[b] = true;
                        return;
                    }
}

static void cover(pair_table *table, const ffl_axes *axes, const size_t *choice)
{
    for (size_t a = 0; a < axes->count; a++)
        for (size_t b = a + 1; b < axes->count; b++) {
            bool *covered = &table->covered[a][b][choice[a]][choice[b]];
            table->left -= !*covered;
            *covered = true;
        }
}

ffl_status ffl_pairwise(const ffl_axes *axes, uint64_t seed, ffl_pairwise_row *rows, size_t max,
                        size_t *count)
{
    pair_table table = {0};
    ffl_random random = ffl_random_new(seed, 0);
    for (size_t a = 0; a < axes->count; a++)
        for (size_t b = a + 1; b < axes->count; b++)
            table.left += axes->values[a] * axes->values[b];
    for (*count = 0; table.left; ++*count) {
        if (*count == max)
            return ffl_fail(FFL_INTERNAL, "the pairwise design needs more than %zu rows", max);
        double best = 0;
        for (size_t k = 0; k < CANDIDATES; k++) {
            size_t choice[FFL_AXES_MAX] = {0};
            bool chosen[FFL_AXES_MAX] = {0};
            seed_pair(&table, axes, choice, chosen);
            double score = (double)complete(&table, axes, choice, chosen, &random);
            if (axes->cost)
                score -= axes->cost(choice);
            if (k == 0 || score > best) {
                best = score;
                memcpy(rows[*count].choice, choice, sizeof choice);
            }
        }
        cover(&table, axes, rows[*count].choice);
    }
    return FFL_OK;
}
