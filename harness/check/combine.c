#include "harness/check/combine.h"
#include "kernels/memory.h"
#include <math.h>
#include <string.h>

enum {
    CHUNK = 64,              /* elements verified between two looks at the worst error */
    COMBINATIONS_MAX = 4096, /* tried one by one */
    UNKNOWNS_MAX = 256       /* of the least squares */
};

static void add_chunk(const ffl_sums *change, size_t begin, size_t count, ffl_sums *to)
{
    for (size_t i = 0; i < count; i++) {
        to->y[i] += change->y[begin + i];
        to->worst[i] += change->worst[begin + i];
        to->squares[i] += change->squares[begin + i];
        to->deviations[i] += change->deviations[begin + i];
        if (change->shared)
            to->shared[i] += change->shared[begin + i];
    }
    to->flat_worst += change->flat_worst;
    to->flat_deviations += change->flat_deviations;
}

ffl_errors ffl_combination_errors(const ffl_walk *walk, const ffl_alternatives *alternatives,
                                  const size_t *chosen, size_t count, const float *got)
{
    const size_t width = walk->layer->width_out;
    ffl_errors errors = {0, 0};
    for (size_t j = 0; j < width; j += CHUNK) {
        const size_t n = width - j < CHUNK ? width - j : CHUNK;
        double y[CHUNK] = {0}, w[CHUNK] = {0}, q[CHUNK] = {0}, d[CHUNK] = {0}, h[CHUNK] = {0},
               statistical[CHUNK], worst[CHUNK];
        ffl_sums sums = {.y = y, .worst = w, .squares = q, .deviations = d, .shared = h};
        ffl_sums base = walk->sums;
        base.y = walk->y;
        add_chunk(&base, j, n, &sums);
        for (size_t c = 0; c < count; c++)
            add_chunk(&alternatives->item[chosen[c]].change, j, n, &sums);
        ffl_sums_finish(walk->arithmetic, &sums, y, NULL, n, statistical, worst);
        for (size_t i = 0; i < n; i++) {
            const double error = fabs((double)got[j + i] - y[i]);
            if (!(error <= worst[i]))
                return (ffl_errors){INFINITY, INFINITY};
            errors.worst = error > errors.worst * worst[i] ? error / worst[i] : errors.worst;
            errors.statistical =
                error > errors.statistical * statistical[i] ? error / statistical[i] : errors.statistical;
        }
    }
    return errors;
}

ffl_element ffl_combination_element(const ffl_walk *walk, const ffl_alternatives *alternatives,
                                    const size_t *chosen, size_t count, size_t j)
{
    ffl_element e;
    double y = 0, w = 0, q = 0, d = 0, h = 0;
    ffl_sums sums = {.y = &y, .worst = &w, .squares = &q, .deviations = &d, .shared = &h}, base = walk->sums;
    base.y = walk->y;
    add_chunk(&base, j, 1, &sums);
    for (size_t c = 0; c < count; c++)
        add_chunk(&alternatives->item[chosen[c]].change, j, 1, &sums);
    ffl_sums_finish(walk->arithmetic, &sums, &y, NULL, 1, &e.statistical, &e.worst);
    e.y = y;
    return e;
}

/* Tries one combination and keeps it when it is the best so far. */
static void try_combination(const ffl_walk *walk, const ffl_alternatives *alternatives, const size_t *chosen,
                            size_t count, const float *got, ffl_combination *best)
{
    const ffl_errors errors = ffl_combination_errors(walk, alternatives, chosen, count, got);
    if (!(errors.statistical < best->errors.statistical))
        return;
    best->errors = errors;
    best->margin = -1;
    for (size_t c = 0; c < count; c++)
        best->margin = fmax(best->margin, alternatives->item[chosen[c]].margin);
}

/* One alternative after the last of the same tree. */
static size_t end_of_tree(const ffl_alternatives *alternatives, size_t first)
{
    size_t end = first;
    while (end < alternatives->count && alternatives->item[end].tree == alternatives->item[first].tree)
        end++;
    return end;
}

/* Number of combinations, COMBINATIONS_MAX + 1 when there are more. */
static size_t count_combinations(const ffl_alternatives *alternatives)
{
    size_t product = 1;
    for (size_t first = 0, end; first < alternatives->count && product <= COMBINATIONS_MAX; first = end) {
        end = end_of_tree(alternatives, first);
        product *= end - first + 1;
    }
    return product <= COMBINATIONS_MAX ? product : COMBINATIONS_MAX + 1;
}

/* The combination of a number, read in mixed radix: per tree 0 = the reference path. */
static size_t combination_of(const ffl_alternatives *alternatives, size_t number, size_t *chosen)
{
    size_t count = 0;
    for (size_t first = 0, end; first < alternatives->count; first = end) {
        end = end_of_tree(alternatives, first);
        const size_t options = end - first + 1;
        if (number % options)
            chosen[count++] = first + number % options - 1;
        number /= options;
    }
    return count;
}

/* Solves gram·c = right in place (Cholesky; lower triangle used). A direction without weight gets 0. */
static void solve(double *gram, double *right, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double *row = gram + i * n;
        const double diagonal = row[i];
        for (size_t k = 0; k <= i; k++) {
            double sum = row[k];
            for (size_t m = 0; m < k; m++)
                sum -= row[m] * gram[k * n + m];
            if (k < i)
                row[k] = gram[k * n + k] > 0 ? sum / gram[k * n + k] : 0;
            else
                row[i] = sum > 1e-12 * diagonal ? sqrt(sum) : 0;
        }
        for (size_t m = 0; m < i; m++)
            right[i] -= row[m] * right[m];
        right[i] = row[i] > 0 ? right[i] / row[i] : 0;
    }
    for (size_t i = n; i-- > 0;) {
        for (size_t m = i + 1; m < n; m++)
            right[i] -= gram[m * n + i] * right[m];
        right[i] = gram[i * n + i] > 0 ? right[i] / gram[i * n + i] : 0;
    }
}

/* Least squares of (got - reference) over the changes, each element in units of its bound, rounded. */
static ffl_status propose(const ffl_walk *walk, const ffl_alternatives *alternatives, const float *got,
                          size_t *chosen, size_t *chosen_count)
{
    const size_t n = alternatives->count, width = walk->layer->width_out;
    double *gram = ffl_alloc_array(n, n * sizeof *gram), *right = ffl_alloc_array(n, sizeof *right);
    double *scale = ffl_alloc_array(width, 2 * sizeof *scale), *worst = scale + width;
    *chosen_count = 0;
    if (!gram || !right || !scale) {
        ffl_free(gram), ffl_free(right), ffl_free(scale);
        return FFL_NO_MEMORY;
    }
    ffl_sums_finish(walk->arithmetic, &walk->sums, walk->y, walk->layer->b_out, width, scale, worst);
    for (size_t j = 0; j < width; j++)
        scale[j] = scale[j] > 0 ? 1 / (scale[j] * scale[j]) : 0;
    for (size_t i = 0; i < n; i++) {
        const double *di = alternatives->item[i].change.y;
        for (size_t k = 0; k <= i; k++) {
            const double *dk = alternatives->item[k].change.y;
            for (size_t j = 0; j < width; j++)
                gram[i * n + k] += di[j] * dk[j] * scale[j];
        }
        for (size_t j = 0; j < width; j++)
            right[i] += di[j] * ((double)got[j] - walk->y[j]) * scale[j];
    }
    solve(gram, right, n);
    for (size_t first = 0, end; first < n; first = end) {
        end = end_of_tree(alternatives, first);
        size_t largest = first;
        for (size_t i = first; i < end; i++)
            largest = right[i] > right[largest] ? i : largest;
        if (right[largest] > 0.5)
            chosen[(*chosen_count)++] = largest;
    }
    ffl_free(gram), ffl_free(right), ffl_free(scale);
    return FFL_OK;
}

ffl_status ffl_combination_search(const ffl_walk *walk, const ffl_alternatives *alternatives,
                                  const float *got, ffl_combination *out)
{
    const size_t n = alternatives->count;
    *out = (ffl_combination){.errors = {INFINITY, INFINITY}, .margin = -1};
    size_t *chosen = ffl_alloc_array(n + 1, sizeof *chosen), count = 0;
    if (!chosen)
        return FFL_NO_MEMORY;
    ffl_status status = FFL_OK;
    if (n > 0 && n <= UNKNOWNS_MAX) {
        status = propose(walk, alternatives, got, chosen, &count);
        if (status == FFL_OK)
            try_combination(walk, alternatives, chosen, count, got, out);
        /* With twice as many equations as unknowns the rounded answer is the only candidate. */
        out->decided = 2 * n <= walk->layer->width_out;
    }
    const size_t combinations = count_combinations(alternatives);
    if (status == FFL_OK && !(out->errors.statistical <= 1) && combinations <= COMBINATIONS_MAX) {
        for (size_t number = 0; number < combinations && !(out->errors.statistical <= 1); number++) {
            count = combination_of(alternatives, number, chosen);
            try_combination(walk, alternatives, chosen, count, got, out);
        }
        out->decided = true;
    }
    out->decided &= !alternatives->too_many;
    ffl_free(chosen);
    return status;
}

bool ffl_combination_reachable(const ffl_walk *walk, const ffl_alternatives *alternatives, const float *got)
{
    const ffl_arithmetic *a = walk->arithmetic;
    bool reachable = true;
    for (size_t j = 0; j < walk->layer->width_out; j++) {
        /* Per tree the largest step up, down, and the largest bound: more than any one combination has. */
        double low = walk->y[j], high = walk->y[j], worst = walk->sums.worst[j], flat = walk->sums.flat_worst;
        for (size_t first = 0, end; first < alternatives->count; first = end) {
            end = end_of_tree(alternatives, first);
            double down = 0, up = 0, wider = 0, flatter = 0;
            for (size_t i = first; i < end; i++) {
                const ffl_sums *c = &alternatives->item[i].change;
                down = fmin(down, c->y[j]);
                up = fmax(up, c->y[j]);
                wider = fmax(wider, c->worst[j]);
                flatter = fmax(flatter, c->flat_worst);
            }
            low += down;
            high += up;
            worst += wider;
            flat += flatter;
        }
        double zero = 0, statistical, bound;
        const double largest = fmax(fabs(low), fabs(high));
        const ffl_sums sums = {.worst = &worst, .squares = &zero, .deviations = &zero, .flat_worst = flat};
        ffl_sums_finish(a, &sums, &largest, NULL, 1, &statistical, &bound);
        reachable &= (double)got[j] >= low - bound && (double)got[j] <= high + bound;
    }
    return reachable;
}
