#include "harness/encoder/best.h"
#include "harness/registry.h"
#include "harness/results.h"
#include "reports/speedup.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

static bool fits(const ffl_row *row, const ffl_layer *shape, int threads)
{
    const ffl_record *r = &row->record;
    const ffl_variant *v = ffl_registry_find(r->variant);
    return ffl_row_ranks(row) && ffl_row_is_fff(row) && ffl_row_is_uniform(row) && v &&
           v->family != FFL_AUTO && strcmp(r->clazz, "f32") == 0 && strcmp(r->place, "host") == 0 &&
           r->threads == threads && r->trees == (int64_t)shape->trees &&
           r->depth + 1 == (int64_t)shape->levels && r->width_in == (int64_t)shape->width_in &&
           r->width_out == (int64_t)shape->width_out;
}

/* How far a row's batch is from the tokens of a pass: powers of two. */
static double distance(const ffl_row *row, size_t tokens)
{
    return fabs(log2((double)row->record.batch / (double)tokens));
}

static double nearest(const ffl_rows *rows, const ffl_layer *shape, size_t tokens, int threads)
{
    double least = INFINITY;
    for (size_t i = 0; i < rows->count; i++)
        if (fits(&rows->value[i], shape, threads))
            least = fmin(least, distance(&rows->value[i], tokens));
    return least;
}

static bool is_among(const json_t *names, const char *name)
{
    size_t i;
    const json_t *other;
    json_array_foreach((json_t *)names, i,
                       other) if (strcmp(json_string_value(other), name) == 0) return true;
    return false;
}

/* The fastest of those at `far` that `taken` does not hold. */
static const ffl_row *fastest(const ffl_rows *rows, const ffl_layer *shape, size_t tokens, int threads,
                              double far, const json_t *taken)
{
    const ffl_row *best = NULL;
    for (size_t i = 0; i < rows->count; i++) {
        const ffl_row *row = &rows->value[i];
        if (fits(row, shape, threads) && distance(row, tokens) <= far &&
            !is_among(taken, row->record.variant) &&
            (!best || ffl_row_token_ns(row) < ffl_row_token_ns(best)))
            best = row;
    }
    return best;
}

static ffl_status add_best(const ffl_rows *rows, const ffl_layer *shape, size_t tokens, int threads,
                           size_t count, json_t *names)
{
    const double far = nearest(rows, shape, tokens, threads);
    json_t *taken = json_array();
    if (!taken)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the list of variants");
    for (size_t n = 0; n < count; n++) {
        const ffl_row *row = fastest(rows, shape, tokens, threads, far, taken);
        if (!row)
            break;
        json_array_append_new(taken, json_string(row->record.variant));
        if (!is_among(names, row->record.variant))
            json_array_append_new(names, json_string(row->record.variant));
    }
    json_decref(taken);
    return FFL_OK;
}

ffl_status ffl_encoder_best(const char *dir, const ffl_layer *shape, size_t tokens, int threads, size_t count,
                            json_t *names)
{
    char path[FFL_PATH_MAX];
    const char *const runs[] = {path};
    ffl_rows rows;
    FFL_TRY(ffl_results_path(dir, FFL_JOURNAL_FILE, path));
    if (access(path, R_OK) != 0)
        return FFL_OK;
    FFL_TRY(ffl_rows_read(runs, 1, &rows));
    const ffl_status status = add_best(&rows, shape, tokens, threads, count, names);
    ffl_rows_free(&rows);
    return status;
}
