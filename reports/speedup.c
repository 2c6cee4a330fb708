#include "reports/speedup.h"
#include <math.h>
#include <string.h>

bool ffl_row_is_fff(const ffl_row *row)
{
    return strcmp(row->record.operation, "fff") == 0;
}

bool ffl_row_is_dense(const ffl_row *row)
{
    return strcmp(row->record.operation, "ff") == 0;
}

bool ffl_row_is_reduced(const ffl_row *row)
{
    return row->record.tokens < row->record.batch;
}

bool ffl_row_ran(const ffl_row *row)
{
    const ffl_record *r = &row->record;
    const bool no_device = strcmp(r->place, "cuda") == 0 && strcmp(r->verdict, "SKIPPED") == 0;
    return strcmp(r->kind, "bench") == 0 && strcmp(r->verdict, "UNSUPPORTED") != 0 && !no_device &&
           !r->emulated;
}

bool ffl_row_has_time(const ffl_row *row)
{
    const ffl_record *r = &row->record;
    return ffl_row_ran(row) && strcmp(r->verdict, "PASSED") == 0 && ffl_row_token_ns(row) > 0;
}

/* A dispatcher runs one of the other rows: it would be that one's stand-in, ahead by noise. */
static bool is_dispatcher(const ffl_row *row)
{
    return strcmp(row->record.family, "auto") == 0;
}

static bool may_divide(const ffl_row *row)
{
    return ffl_row_has_time(row) && !row->record.handicapped && !row->record.implausible;
}

bool ffl_row_ranks(const ffl_row *row)
{
    return may_divide(row) && !ffl_row_is_reduced(row);
}

double ffl_row_token_ns(const ffl_row *row)
{
    const ffl_record *r = &row->record;
    return r->tokens > 0 ? r->median_ns / (double)r->tokens : NAN;
}

void ffl_row_token_interval(const ffl_row *row, double *low, double *high)
{
    const double tokens = (double)row->record.tokens;
    *low = tokens > 0 ? row->record.low_ns / tokens : NAN;
    *high = tokens > 0 ? row->record.high_ns / tokens : NAN;
}

bool ffl_row_is_uniform(const ffl_row *row)
{
    const char *routing = row->record.routing;
    return !*routing || strncmp(routing, "uniform", 7) == 0 || strncmp(routing, "as-drawn", 8) == 0;
}

static int order(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int order_cache(const char *a, const char *b)
{
    const int a_hot = strcmp(a, "hot") == 0, b_hot = strcmp(b, "hot") == 0;
    return a_hot != b_hot ? b_hot - a_hot : strcmp(a, b);
}

int ffl_compare_settings(const ffl_row *a, const ffl_row *b)
{
    const ffl_record *x = &a->record, *y = &b->record;
    const int by[] = {strcmp(a->machine, b->machine),
                      -strcmp(x->place, y->place), /* host before cuda */
                      strcmp(x->clazz, y->clazz),
                      order(x->threads, y->threads),
                      order(x->width_in, y->width_in),
                      order(x->width_out, y->width_out),
                      strcmp(x->activation, y->activation),
                      order_cache(x->cache, y->cache),
                      order(x->batch, y->batch)};
    for (size_t i = 0; i < sizeof by / sizeof *by; i++)
        if (by[i])
            return by[i];
    return 0;
}

bool ffl_same_setting(const ffl_row *a, const ffl_row *b)
{
    const ffl_record *x = &a->record, *y = &b->record;
    /* The cheap and telling fields first: every table asks this of every pair of rows. */
    return x->batch == y->batch && x->width_in == y->width_in && x->width_out == y->width_out &&
           x->threads == y->threads && strcmp(x->cache, y->cache) == 0 && ffl_compare_settings(a, b) == 0;
}

static bool fits(const ffl_row *candidate, const ffl_row *row, const char *operation, int64_t neurons)
{
    const ffl_record *c = &candidate->record, *r = &row->record;
    if (strcmp(c->operation, operation) != 0 || c->neurons != neurons || !ffl_same_setting(candidate, row))
        return false;
    if (ffl_row_is_fff(candidate) && ffl_row_is_fff(row))
        return c->trees == r->trees && c->depth == r->depth && strcmp(c->routing, r->routing) == 0;
    return true;
}

static bool is_faster(const ffl_row *a, const ffl_row *b)
{
    return !b || ffl_row_token_ns(a) < ffl_row_token_ns(b);
}

/* Rows of one group were timed interleaved; without groups, beside the same routing. */
static bool is_neighbour(const ffl_row *candidate, const ffl_row *row)
{
    const ffl_record *c = &candidate->record, *r = &row->record;
    if (c->group[0] && r->group[0])
        return strcmp(c->group, r->group) == 0;
    return strcmp(c->routing, r->routing) == 0;
}

bool ffl_is_stand_in(const ffl_rows *rows, const ffl_row *candidate, const ffl_row *row)
{
    if (is_neighbour(candidate, row))
        return false;
    for (size_t i = row->alike_first; i < rows->count; i = ffl_rows_after(rows, i)) {
        const ffl_row *c = &rows->value[i];
        if (is_neighbour(c, row) && ffl_row_has_time(c) &&
            strcmp(c->record.variant, candidate->record.variant) == 0 &&
            ffl_row_is_reduced(c) <= ffl_row_is_reduced(candidate) &&
            fits(c, row, candidate->record.operation, candidate->record.neurons))
            return true;
    }
    return false;
}

static const ffl_row *fastest(const ffl_rows *rows, const ffl_row *row, const char *operation,
                              int64_t neurons, bool reduced)
{
    const ffl_row *best = NULL;
    for (size_t i = row->alike_first; i < rows->count; i = ffl_rows_after(rows, i)) {
        const ffl_row *c = &rows->value[i];
        if (ffl_row_is_reduced(c) == reduced && may_divide(c) && !is_dispatcher(c) &&
            fits(c, row, operation, neurons) && is_faster(c, best) && !ffl_is_stand_in(rows, c, row))
            best = c;
    }
    return best;
}

const ffl_row *ffl_fastest(const ffl_rows *rows, const ffl_row *row, const char *operation, int64_t neurons)
{
    return fastest(rows, row, operation, neurons, false);
}

const ffl_row *ffl_fastest_reduced(const ffl_rows *rows, const ffl_row *row, const char *operation,
                                   int64_t neurons)
{
    return fastest(rows, row, operation, neurons, true);
}

const ffl_row *ffl_same_level(const ffl_rows *rows, const ffl_row *row, int64_t neurons)
{
    const ffl_row *best = NULL;
    for (size_t i = row->alike_first; i < rows->count; i = ffl_rows_after(rows, i)) {
        const ffl_row *c = &rows->value[i];
        if (!may_divide(c) || !fits(c, row, "ff", neurons) ||
            strcmp(c->record.family, row->record.family) != 0 ||
            strcmp(c->record.library, row->record.library) != 0 || ffl_is_stand_in(rows, c, row))
            continue;
        const bool more_full = best && ffl_row_is_reduced(c) < ffl_row_is_reduced(best);
        const bool less_full = best && ffl_row_is_reduced(c) > ffl_row_is_reduced(best);
        if (more_full || (!less_full && is_faster(c, best)))
            best = c;
    }
    return best;
}

ffl_speedup ffl_speedup_of(const ffl_row *row, const ffl_row *dense)
{
    ffl_speedup s = {.ratio = NAN, .low = NAN, .high = NAN};
    if (!dense || !ffl_row_has_time(row) || !ffl_row_has_time(dense))
        return s;
    double low, high, dense_low, dense_high;
    ffl_row_token_interval(row, &low, &high);
    ffl_row_token_interval(dense, &dense_low, &dense_high);
    s.ratio = ffl_row_token_ns(dense) / ffl_row_token_ns(row);
    s.low = dense_low / high;
    s.high = dense_high / low;
    s.reduced = ffl_row_is_reduced(row) || ffl_row_is_reduced(dense);
    return s;
}
